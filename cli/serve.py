"""`cxr serve`: an embedded server with TensorFlow Serving's protocol, or TensorFlow Serving itself."""

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cxr.cli.options import help_of, source_of
from cxr.core.places import WARM_UP
from cxr.serving import defaults

if TYPE_CHECKING:
    from cxr.serving.server.app import OpenPage

EXAMPLES = """
[bold]Examples[/bold]

  cxr serve workspace/demo/serving_models

  cxr serve workspace/demo/serving_models --port 0 --json      free ports, printed as JSON

  cxr serve workspace/demo/serving_models --page               and a page to try the models: http://127.0.0.1:8502

  cxr serve --model-config-file models.config --allow-version-labels-for-unavailable-models   policies and labels

  cxr serve MODELS_DIR --no-batching --no-rest

  cxr serve MODELS_DIR --log-requests logs --log-sampling 0.05  one request in twenty is kept, for `cxr validate logs`

  cxr serve MODELS_DIR --engine tfserving --host 0.0.0.0       TensorFlow Serving's binary with the same options
"""


class Engine(StrEnum):
    """Who answers."""

    embedded = "embedded"
    tfserving = "tfserving"


def register(app: typer.Typer) -> None:
    """Adds `cxr serve`."""
    app.command("serve", help=help_of(serve, EXAMPLES))(serve)


def serve(
    context: typer.Context,
    models_dir: Annotated[Path | None, typer.Argument(help="Folder of models; or give --model-config-file.", show_default=False)] = None,
    model_config_file: Annotated[Path | None, typer.Option(help="Text proto ModelServerConfig: policies, labels.")] = None,
    host: Annotated[str, typer.Option(help="Address to listen on; 0.0.0.0 for all, :: for IPv6 too.")] = defaults.LOOPBACK,
    port: Annotated[int, typer.Option(help="gRPC port; 0 takes a free one.")] = defaults.GRPC_PORT,
    rest_port: Annotated[int, typer.Option(help="REST and metrics port; 0 takes a free one.")] = defaults.REST_PORT,
    no_rest: Annotated[bool, typer.Option("--no-rest", help="gRPC alone: no REST, no Prometheus metrics.")] = False,
    page: Annotated[bool, typer.Option("--page", help="Also a page to try the models in the browser, for this machine only.")] = False,
    page_port: Annotated[int, typer.Option(help="Its port; 0 takes a free one.")] = defaults.PAGE_PORT,
    rest_timeout: Annotated[float | None, typer.Option(help="Seconds that a REST request may take (30).")] = None,
    no_batching: Annotated[bool, typer.Option("--no-batching", help="Do not join concurrent requests into batches.")] = False,
    max_batch_size: Annotated[int | None, typer.Option(help="Images per batch, and at most per request (32).")] = None,
    batch_timeout_micros: Annotated[int | None, typer.Option(help="How long a batch waits for more (0).")] = None,
    max_enqueued_batches: Annotated[int | None, typer.Option(help="Above, requests are refused with UNAVAILABLE (100).")] = None,
    batching_parameters_file: Annotated[Path | None, typer.Option(help="TensorFlow Serving's file instead of the three above.")] = None,
    ssl_config_file: Annotated[Path | None, typer.Option(help="TensorFlow Serving's SSLConfig: TLS, client certificates.")] = None,
    max_message_mb: Annotated[int | None, typer.Option(help="Largest request (256).")] = None,
    max_image_pixels: Annotated[int | None, typer.Option(help="Largest image, decoded (50000000).")] = None,
    max_concurrent_requests: Annotated[int | None, typer.Option(help="Above, requests are refused with UNAVAILABLE (256).")] = None,
    poll_seconds: Annotated[float | None, typer.Option(help="Pause between looks for new versions (1).")] = None,
    model_config_file_poll_seconds: Annotated[float | None, typer.Option(help="Read the file again, that far apart (none: once).")] = None,
    load_retries: Annotated[int | None, typer.Option(help="How often a failed load is tried again (5).")] = None,
    load_retry_seconds: Annotated[float | None, typer.Option(help="Pause before that (60).")] = None,
    start_seconds: Annotated[float | None, typer.Option(help="Give up when the models are not loaded by then (default: never).")] = None,
    drain_seconds: Annotated[float | None, typer.Option(help="How long accepted requests may take after SIGTERM (30).")] = None,
    max_connection_age_seconds: Annotated[
        float | None, typer.Option(help="Clients connect again after that: they find new servers (default: 3600).")
    ] = None,
    no_warm_up: Annotated[bool, typer.Option("--no-warm-up", help=f"Do not replay {WARM_UP} before a version is served.")] = False,
    unchecked_models: Annotated[
        bool,
        typer.Option(
            "--unchecked-models",
            help="Load models whose graph reads or writes files or runs Python, too: only your own (docs/security.md).",
        ),
    ] = False,
    allow_version_labels_for_unavailable_models: Annotated[
        bool,
        typer.Option(
            "--allow-version-labels-for-unavailable-models",
            help="New labels may name versions not loaded yet; a first file with labels needs it.",
        ),
    ] = False,
    log_requests: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Keep a sample of answered requests there: pixels and answers, nothing else.")
    ] = None,
    log_sampling: Annotated[float | None, typer.Option(help="Share of the requests that are kept (0.1).")] = None,
    log_file_mb: Annotated[int | None, typer.Option(min=1, metavar="MB", help="Size at which a new file begins (64).")] = None,
    log_total_mb: Annotated[int | None, typer.Option(min=2, metavar="MB", help="Size of all files; the oldest go (1024).")] = None,
    intra_op_threads: Annotated[int | None, typer.Option(help="Threads inside an operation (default: cores).")] = None,
    engine: Annotated[Engine, typer.Option(help="Who answers.")] = Engine.embedded,
    json: Annotated[bool, typer.Option("--json", help="Print the addresses as JSON.")] = False,
) -> None:
    """Serve models over gRPC and REST, as TensorFlow Serving does.

    MODELS_DIR holds <model>/<version>/saved_model.pb, as a pipeline run pushes it (workspace/<pipeline>/serving_models). New versions are
    found while it runs; each is loaded and warmed up before the old one goes. Prints one line when it answers, and finishes the
    requests it has accepted on SIGTERM or Ctrl-C.
    """
    from pydantic import ValidationError

    from cxr.cli.serve_errors import in_words_of_options
    from cxr.cli.strangers import warn_of_strangers
    from cxr.core.errors import UsageError
    from cxr.serving.server.options import ServerOptions

    limits = {
        "max_message_bytes": None if max_message_mb is None else max_message_mb * 2**20,
        "max_image_pixels": max_image_pixels,
        "max_concurrent_requests": max_concurrent_requests,
    }
    sizes = {"max_batch_size": max_batch_size, "batch_timeout_micros": batch_timeout_micros, "max_enqueued_batches": max_enqueued_batches}
    values: dict[str, Any] = {
        "models_dir": models_dir,
        "model_config_file": model_config_file,
        "host": host,
        "port": port,
        "page_port": page_port if page else None,
        "rest": _given({"timeout_seconds": rest_timeout}),
        "limits": _given(limits),
        "batching": {"enabled": not no_batching, **_given(sizes)},
        "poll_seconds": poll_seconds,
        "model_config_file_poll_seconds": model_config_file_poll_seconds,
        "load_retries": load_retries,
        "load_retry_seconds": load_retry_seconds,
        "start_seconds": start_seconds,
        "drain_seconds": drain_seconds,
        "max_connection_age_seconds": max_connection_age_seconds,
        "warm_up": not no_warm_up,
        "unchecked_models": unchecked_models,
        "allow_version_labels_for_unavailable_models": allow_version_labels_for_unavailable_models,
        "intra_op_threads": intra_op_threads,
    }
    kept = _given(
        {
            "sampling": log_sampling,
            "file_bytes": None if log_file_mb is None else log_file_mb * 2**20,
            "total_bytes": None if log_total_mb is None else log_total_mb * 2**20,
        }
    )
    if log_requests is not None:
        values["request_log"] = {"folder": log_requests.absolute(), **kept}
    elif kept:
        raise typer.BadParameter("--log-sampling, --log-file-mb and --log-total-mb need it", param_hint="--log-requests")
    if (models_dir is None) == (model_config_file is None):
        raise typer.BadParameter("name the folder of models, or a --model-config-file (one of them)", param_hint="MODELS_DIR")
    for path in (models_dir, model_config_file):
        if path is not None and not path.exists():
            raise UsageError(f"{path}: no such file or folder; a pipeline run pushes models to workspace/<pipeline>/serving_models")
    if models_dir is not None and not models_dir.is_dir():
        raise UsageError(f"MODELS_DIR {models_dir}: is a file; name the folder of <model>/<version>/saved_model.pb, or --model-config-file")
    if model_config_file is not None and model_config_file.is_dir():
        raise UsageError(f"--model-config-file {model_config_file}: is a folder; name a file, or leave out the option")
    if model_config_file_poll_seconds is not None and model_config_file is None:
        raise UsageError("--model-config-file-poll-seconds reads the file again that --model-config-file names; give that, too")
    named = {name: source_of(context, name) not in ("", "DEFAULT") for name in ("page_port", "rest_port")}
    if named["page_port"] and not page:
        raise UsageError("--page-port without --page: there is no page; give that, too")
    of_rest = {"rest_port": rest_port if named["rest_port"] else None, "rest_timeout": rest_timeout}
    for off, without, beside in ((no_batching, "--no-batching", sizes), (no_rest, "--no-rest", of_rest)):
        if off and (given := _given(beside)):
            names = ", ".join(f"--{name.replace('_', '-')}" for name in given)
            raise UsageError(f"{names} beside {without}: there is nothing that would obey; leave out one of them")
    if batching_parameters_file is not None:
        from cxr.serving.server.textprotos import read_batching

        if _given(sizes) or no_batching:
            raise UsageError("--batching-parameters-file replaces the other options of batching; drop those")
        values["batching"] = read_batching(batching_parameters_file)
    if ssl_config_file is not None:
        from cxr.serving.server.textprotos import read_tls

        values["tls"] = read_tls(ssl_config_file)
    try:
        options = ServerOptions(**_given(values), rest_port=None if no_rest else rest_port)  # None is said here: no REST, not the default
    except ValidationError as error:
        raise UsageError(in_words_of_options(error)) from None
    warn_of_strangers(options)
    if engine is Engine.tfserving:
        from cxr.serving.server.tfserving import execute

        if json:
            raise UsageError("--json: TensorFlow Serving prints no addresses; leave it out, or --engine tfserving")

        execute(options)
    from cxr.serving.server.main import serve as run

    run(options, _page() if page else None, as_json=json)


def _page() -> "OpenPage":
    from cxr.serving.page.server import beside  # half a second, for those who ask for a page

    return beside


def _given(values: dict) -> dict:
    return {name: value for name, value in values.items() if value is not None}
