"""`cxr serve`: an embedded server with TensorFlow Serving's protocol, or TensorFlow Serving itself."""

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

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
    page_port: Annotated[int, typer.Option(help="Port of the page; 0 takes a free one.")] = defaults.PAGE_PORT,
    rest_timeout: Annotated[float | None, typer.Option(help="Seconds that a REST request may take (30).")] = None,
    no_batching: Annotated[bool, typer.Option("--no-batching", help="Do not join concurrent requests into batches.")] = False,
    max_batch_size: Annotated[int | None, typer.Option(help="Images per batch, and at most per request (32).")] = None,
    batch_timeout_micros: Annotated[int | None, typer.Option(help="How long a batch waits for more (0).")] = None,
    max_enqueued_batches: Annotated[int | None, typer.Option(help="Above it, requests are refused with UNAVAILABLE (100).")] = None,
    batching_parameters_file: Annotated[Path | None, typer.Option(help="TensorFlow Serving's file instead of the three above.")] = None,
    ssl_config_file: Annotated[Path | None, typer.Option(help="TensorFlow Serving's SSLConfig: TLS, client certificates.")] = None,
    max_message_mb: Annotated[int | None, typer.Option(help="Largest request (256).")] = None,
    max_image_pixels: Annotated[int | None, typer.Option(help="Largest image, decoded (50000000).")] = None,
    max_concurrent_requests: Annotated[int | None, typer.Option(help="Above it, requests are refused with UNAVAILABLE (256).")] = None,
    poll_seconds: Annotated[float | None, typer.Option(help="Pause between checks for new versions (1).")] = None,
    model_config_file_poll_seconds: Annotated[float | None, typer.Option(help="Seconds between readings of it (none: read once).")] = None,
    load_retries: Annotated[int | None, typer.Option(help="How often a failed load is tried again (5).")] = None,
    load_retry_seconds: Annotated[float | None, typer.Option(help="Pause before it is tried again (60).")] = None,
    start_seconds: Annotated[float | None, typer.Option(help="Give up if the models are not loaded by then (default: never).")] = None,
    drain_seconds: Annotated[float | None, typer.Option(help="How long accepted requests may take after SIGTERM (30).")] = None,
    max_connection_age_seconds: Annotated[
        float | None, typer.Option(help="Age at which clients connect again, and find new servers (default: 3600).")
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
        Path | None, typer.Option(metavar="DIR", help="Keep a sample of answered requests here: pixels and answers, nothing else.")
    ] = None,
    log_sampling: Annotated[float | None, typer.Option(help="Share of the requests that are kept (0.1).")] = None,
    log_file_mb: Annotated[int | None, typer.Option(min=1, metavar="MB", help="Size at which a new file begins (64).")] = None,
    log_total_mb: Annotated[int | None, typer.Option(min=2, metavar="MB", help="Size of all files; the oldest go (1024).")] = None,
    intra_op_threads: Annotated[int | None, typer.Option(help="Threads inside an operation (default: cores).")] = None,
    engine: Annotated[Engine, typer.Option(help="Which server answers.")] = Engine.embedded,
    json: Annotated[bool, typer.Option("--json", help="Print the addresses as JSON.")] = False,
) -> None:
    """Serve models over gRPC and REST, as TensorFlow Serving does.

    MODELS_DIR holds <model>/<version>/saved_model.pb, as a pipeline run pushes it (workspace/<pipeline>/serving_models). New versions are
    found while it runs; each is loaded and warmed up before the old one goes. Prints one line when it answers, and finishes the
    requests it has accepted on SIGTERM or Ctrl-C.
    """
    given = {name: value for name, value in locals().items() if name not in ("context", "engine", "json")}

    from cxr.cli.serve_options import options_of
    from cxr.cli.strangers import warn_of_strangers
    from cxr.core.errors import UsageError

    named = {name: source_of(context, name) not in ("", "DEFAULT") for name in ("page_port", "rest_port")}
    options = options_of(**given, named=named)
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
