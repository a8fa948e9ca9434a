"""From what `cxr serve` was asked for to a server's options."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import typer
from pydantic import ValidationError

from cxr.cli.serve_errors import in_words_of_options
from cxr.core.errors import UsageError
from cxr.serving.server.options import ServerOptions
from cxr.serving.server.textprotos import read_batching, read_tls

_MB = 2**20


def options_of(
    *,
    models_dir: Path | None,
    model_config_file: Path | None,
    rest_port: int,
    no_rest: bool,
    page: bool,
    page_port: int,
    rest_timeout: float | None,
    no_batching: bool,
    max_batch_size: int | None,
    batch_timeout_micros: int | None,
    max_enqueued_batches: int | None,
    batching_parameters_file: Path | None,
    ssl_config_file: Path | None,
    max_message_mb: int | None,
    max_image_pixels: int | None,
    max_concurrent_requests: int | None,
    no_warm_up: bool,
    log_requests: Path | None,
    log_sampling: float | None,
    log_file_mb: int | None,
    log_total_mb: int | None,
    named: Mapping[str, bool],
    **same: Any,
) -> ServerOptions:
    """Returns the options of a server, of the command's parameters by their names; what is None has the default.

    `named` tells of parameters that have a default whether the user gave them; those in `same` are called as in `ServerOptions`.

    Raises:
      UsageError: Something is not there, out of bounds, or would not be heeded.
      typer.BadParameter: Likewise.
    """
    _check_places(models_dir, model_config_file)
    sizes = {"max_batch_size": max_batch_size, "batch_timeout_micros": batch_timeout_micros, "max_enqueued_batches": max_enqueued_batches}
    if named["page_port"] and not page:
        raise UsageError("--page-port without --page: there is no page; give that, too")
    if no_batching:
        _check_heeded("--no-batching", sizes)
    if no_rest:
        _check_heeded("--no-rest", {"rest_port": rest_port if named["rest_port"] else None, "rest_timeout": rest_timeout})
    if batching_parameters_file is not None and (_given(sizes) or no_batching):
        raise UsageError("--batching-parameters-file replaces the other options of batching; drop those")
    kept = _given({"sampling": log_sampling, "file_bytes": _in_bytes(log_file_mb), "total_bytes": _in_bytes(log_total_mb)})
    if kept and log_requests is None:
        raise typer.BadParameter("--log-sampling, --log-file-mb and --log-total-mb need it", param_hint="--log-requests")
    limits = {
        "max_message_bytes": _in_bytes(max_message_mb),
        "max_image_pixels": max_image_pixels,
        "max_concurrent_requests": max_concurrent_requests,
    }
    batching = read_batching(batching_parameters_file) if batching_parameters_file else {"enabled": not no_batching, **_given(sizes)}
    values = {
        "models_dir": models_dir,
        "model_config_file": model_config_file,
        "page_port": page_port if page else None,
        "rest": _given({"timeout_seconds": rest_timeout}),
        "limits": _given(limits),
        "batching": batching,
        "tls": read_tls(ssl_config_file) if ssl_config_file else None,
        "warm_up": not no_warm_up,
        "request_log": {"folder": log_requests.absolute(), **kept} if log_requests else None,
        **same,
    }
    try:
        return ServerOptions(**_given(values), rest_port=None if no_rest else rest_port)  # None is said here: no REST, not the default
    except ValidationError as error:
        raise UsageError(in_words_of_options(error)) from None


def _check_places(models_dir: Path | None, model_config_file: Path | None) -> None:
    for path in (models_dir, model_config_file):
        if path is not None and not path.exists():
            raise UsageError(f"{path}: no such file or folder; a pipeline run pushes models to workspace/<pipeline>/serving_models")
    if models_dir is not None and not models_dir.is_dir():
        raise UsageError(f"MODELS_DIR {models_dir}: is a file; name the folder of <model>/<version>/saved_model.pb, or --model-config-file")
    if model_config_file is not None and model_config_file.is_dir():
        raise UsageError(f"--model-config-file {model_config_file}: is a folder; name a file, or leave out the option")


def _check_heeded(without: str, beside: Mapping[str, object]) -> None:
    if given := _given(beside):
        names = ", ".join(f"--{name.replace('_', '-')}" for name in given)
        raise UsageError(f"{names} beside {without}: there is nothing that would obey; leave out one of them")


def _in_bytes(megabytes: int | None) -> int | None:
    return None if megabytes is None else megabytes * _MB


def _given(values: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in values.items() if value is not None}
