"""`cxr serving bench`: how many images per second a server answers, and how fast."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from cxr.cli import options
from cxr.core import features
from cxr.serving import defaults
from cxr.serving.remedies import BENCH


def bench(
    server: options.Server = defaults.SERVER,
    model: options.Model = features.ENSEMBLE,
    version: options.Version = None,
    label: options.Label = None,
    images: Annotated[Path | None, typer.Option(help="folder of images to send; none: made-up ones")] = None,
    payload: Annotated[str, typer.Option(help="image_bytes, image_tensor or both")] = "both",
    concurrency: Annotated[
        list[int] | None, typer.Option(min=1, max=256, help="requests at a time; repeat it for several (default: 8)")
    ] = None,
    batch_size: Annotated[int, typer.Option(min=1, max=1024, help="images in one request")] = 1,
    duration: Annotated[float, typer.Option(min=0.1, max=600, help="seconds per measurement")] = 10.0,
    requests: Annotated[int, typer.Option(min=1, max=1_000_000, help="end a measurement after that many requests")] = 100_000,
    rate: Annotated[float, typer.Option(min=0, help="requests per second to offer; 0: as many as the server answers")] = 0.0,
    timeout: Annotated[float, typer.Option(min=0.001, help="seconds for one request")] = 30.0,
    json: options.Json = False,
    tls: options.UseTls = False,
    ca: options.Ca = None,
    cert: options.Cert = None,
    key: options.Key = None,
    server_name: options.ServerName = None,
) -> None:
    """Measure images per second and latencies of a server you name."""
    import json as json_module

    from cxr.core.console import Console
    from cxr.core.errors import UsageError
    from cxr.serving.client import payloads
    from cxr.serving.client.bench import Load, Result, measure
    from cxr.serving.client.bench_table import table
    from cxr.serving.client.connection import Connection
    from cxr.serving.client.models import Target, metadata

    signatures = payloads.PAYLOADS if payload == "both" else (payload,)
    if not set(signatures) <= set(payloads.PAYLOADS):
        raise UsageError(f"--payload {payload!r}: must be both, {' or '.join(payloads.PAYLOADS)}")
    target, messages = Target(model, version, label), Console(stderr=True)
    results: list[Result] = []
    with Connection(server, options.tls_of(tls, ca, cert, key, server_name), BENCH) as connection:
        known = metadata(connection, target, timeout)
        pictures = payloads.pictures(images)
        for signature in signatures:
            made = payloads.payload(signature, pictures, batch_size, target, known)
            for count in concurrency or [8]:
                with messages.status(f"{signature}, {count} at a time, {duration:g} s"):
                    load = Load(count, duration, requests, rate, min(1.0, duration / 10), timeout)
                    results.append(measure(connection, made, batch_size, load, str(target)))
                if json:
                    typer.echo(json_module.dumps(results[-1].to_json()))
    if not json:
        options.stdout_console().print(table(f"{known.model} version {known.version} on {server}", results))
