"""The other engine: TensorFlow Serving's own binary with options equivalent to ours."""

import json
import os
import shutil
from pathlib import Path

from cxr.core.errors import CxrError, UsageError
from cxr.serving.server.options import Batching, ServerOptions, Tls
from cxr.serving.server.tensorflow_log import leave_warnings_out
from cxr.serving.server.textprotos import BATCHING_VALUES

BINARY = "tensorflow_model_server"
ALL_INTERFACES = "0.0.0.0"
MONITORING = 'prometheus_config { enable: true path: "/monitoring/prometheus/metrics" }\n'


def execute(options: ServerOptions) -> None:
    """Replaces this process by tensorflow_model_server; returns never.

    Args:
      options: the server.

    Raises:
      CxrError: the binary is not on PATH, or it cannot do what the options ask for.
    """
    binary = shutil.which(BINARY)
    if binary is None:
        remedy = "install it (Docker image tensorflow/serving, or its apt repository), or leave out --engine tfserving"
        raise CxrError(f"{BINARY} is not on PATH; {remedy}")
    leave_warnings_out()
    os.execv(binary, [binary, *arguments(options)])


def arguments(options: ServerOptions, folder: Path | None = None) -> list[str]:
    """Returns tensorflow_model_server's arguments and writes the files they name.

    Args:
      options: the server.
      folder: where models.config, batching, monitoring and TLS files are written; must be readable by the owner only. None writes
        them to memory: this process and the one it becomes by `exec` can read them, and they (a TLS key) end with it.

    Raises:
      UsageError: a port, an address or a limit that TensorFlow Serving cannot have, or no model.
    """
    if options.port == 0 or options.rest_port == 0:
        raise UsageError("--port 0: TensorFlow Serving takes no free port by itself (0 switches it off there); name one")
    if options.host != ALL_INTERFACES:
        raise UsageError(f"TensorFlow Serving listens on all interfaces, not on {options.host}; accept that with --host {ALL_INTERFACES}")
    if options.page_port is not None:
        raise UsageError("--page belongs to the embedded server; beside TensorFlow Serving start: cxr page --server HOST:PORT")
    if options.tls is not None and options.rest_port is not None:
        raise UsageError("TensorFlow Serving has no TLS for REST: it would answer in plaintext beside the protected port; add --no-rest")
    if options.request_log is not None:
        raise UsageError("TensorFlow Serving's open build has no log collector that writes files; leave --log-requests out")
    if own := _own(options):
        remedy = "leave it out, or --engine tfserving"
        raise UsageError(f"{', '.join(own)}: only the embedded server obeys it, TensorFlow Serving has nothing like it; {remedy}")
    config_file = options.model_config_file
    if config_file is None:
        from cxr.serving import models_config  # imports TensorFlow's protocol messages

        assert options.models_dir is not None
        config_file = _write(folder, "models.config", str(models_config.from_folder(options.models_dir)))
    channel = [f"grpc.max_receive_message_length={options.limits.max_message_bytes}"]
    if options.max_connection_age_seconds is not None:
        channel.append(f"grpc.max_connection_age_ms={round(options.max_connection_age_seconds * 1000)}")
    found = {
        "port": options.port,
        "rest_api_port": options.rest_port or 0,
        "rest_api_timeout_in_ms": round(options.rest.timeout_seconds * 1000),
        "model_config_file": config_file.absolute(),  # not resolved: a file in memory has no other name, a ConfigMap's link moves
        "monitoring_config_file": _write(folder, "monitoring.config", MONITORING),
        "file_system_poll_wait_seconds": max(1, round(options.poll_seconds)),
        "model_config_file_poll_wait_seconds": 0 if (wait := options.model_config_file_poll_seconds) is None else max(1, round(wait)),
        "max_num_load_retries": options.load_retries,
        "load_retry_interval_micros": round(options.load_retry_seconds * 1e6),
        "num_load_threads": options.load_threads,
        "enable_model_warmup": _flag(options.warm_up),
        "tensorflow_intra_op_parallelism": options.intra_op_threads,
        "tensorflow_inter_op_parallelism": options.inter_op_threads,
        "allow_version_labels_for_unavailable_models": _flag(True),  # without it no first configuration can have labels
        "grpc_channel_arguments": ",".join(channel),
        "enable_grpc_healthcheck_service": _flag(True),  # as the embedded server has it: probes ask both alike
    }
    if options.batching.enabled:
        found["enable_batching"] = _flag(True)
        found["batching_parameters_file"] = _write(folder, "batching.config", batching_text(options.batching))
    if options.tls is not None:
        found["ssl_config_file"] = _write(folder, "ssl.config", _tls_text(options.tls))
    return [f"--{name}={value}" for name, value in found.items()]


def _own(options: ServerOptions) -> list[str]:
    """Returns the options, changed from their defaults, that only the embedded server obeys."""
    limits = options.limits
    own = {
        "--max-image-pixels": (limits, "max_image_pixels"),
        "--max-concurrent-requests": (limits, "max_concurrent_requests"),
        "--start-seconds": (options, "start_seconds"),
        "--drain-seconds": (options, "drain_seconds"),
        "--unchecked-models": (options, "unchecked_models"),
    }
    return [option for option, (part, field) in own.items() if getattr(part, field) != type(part).model_fields[field].default]


def batching_text(batching: Batching) -> str:
    """Returns a BatchingParameters text proto."""
    values = {name: getattr(batching, name) for name in BATCHING_VALUES}
    lines = [f"{name} {{ value: {json.dumps(value)} }}" for name, value in values.items() if value is not None]
    lines += [f"allowed_batch_sizes: {size}" for size in batching.allowed_batch_sizes]
    return "\n".join(lines) + "\n"


def _tls_text(tls: Tls) -> str:
    lines = [f"server_key: {json.dumps(tls.key)}", f"server_cert: {json.dumps(tls.certificate)}"]
    if tls.client_ca:
        lines.append(f"custom_ca: {json.dumps(tls.client_ca)}")
    return "\n".join([*lines, f"client_verify: {_flag(tls.client_verify)}"]) + "\n"


def _write(folder: Path | None, name: str, text: str) -> Path:
    if folder is not None:
        path = folder / name
        path.write_text(text, encoding="utf-8")
        return path
    descriptor = os.memfd_create(name, 0)  # 0: it stays open over `exec`
    with open(descriptor, "w", encoding="utf-8", closefd=False) as file:
        file.write(text)
    return Path(f"/proc/self/fd/{descriptor}")


def _flag(value: bool) -> str:
    return str(value).lower()
