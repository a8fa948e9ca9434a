"""`cxr page`: a page to try the models of a server in the browser."""

from __future__ import annotations

from typing import Annotated

import typer

from cxr.cli import options
from cxr.serving import defaults

EXAMPLES = """
[bold]Examples[/bold]

  cxr page                                             the models of a server on this machine (cxr serve, TensorFlow Serving)

  cxr page -s serving.example.org:8500 --ca ca.pem     another server, encrypted

  cxr page -m ensemble -m mobilenet --label canary     these models, and their versions with this label

  cxr page --port 0 --json                             a free port, printed as JSON
"""


def register(app: typer.Typer) -> None:
    """Adds `cxr page`."""
    app.command("page", help=options.help_of(page, EXAMPLES))(page)


def page(
    server: options.Server = defaults.SERVER,
    model: Annotated[
        list[str] | None,
        typer.Option("--model", "-m", help="a model to show; may be repeated (default: the ensemble, and its members where served)"),
    ] = None,
    label: options.Label = None,
    host: Annotated[
        str, typer.Option(help="address to listen on; any other than 127.0.0.1 lets in everybody who can reach it")
    ] = defaults.LOOPBACK,
    port: Annotated[int, typer.Option(min=0, max=defaults.LARGEST_PORT, help="port of the page; 0 takes a free one")] = defaults.PAGE_PORT,
    allowed_host: Annotated[
        list[str] | None, typer.Option(metavar="NAME", help="a name of the page for browsers, other than localhost; may be repeated")
    ] = None,
    max_message_mb: Annotated[
        int | None, typer.Option(min=1, max=defaults.LARGEST_MESSAGE_MB, metavar="MB", help="largest file (default: as of `cxr serve`)")
    ] = None,
    timeout: Annotated[float, typer.Option(min=0.001, help="seconds for one request, retries included")] = defaults.REQUEST_SECONDS,
    json: Annotated[bool, typer.Option("--json", help="print the address as JSON")] = False,
    tls: options.UseTls = False,
    ca: options.Ca = None,
    cert: options.Cert = None,
    key: options.Key = None,
    server_name: options.ServerName = None,
) -> None:
    """Open a page to try models: drop X-rays into the browser, see the models' predictions and where they look.

    It asks any TensorFlow Serving, or `cxr serve` (whose --page opens the same page), and keeps nothing.
    """
    from cxr.core.console import Console
    from cxr.serving.client.connection import is_loopback
    from cxr.serving.page.served import Served
    from cxr.serving.page.server import Page, run_until_signal
    from cxr.serving.server.options import Limits, host_and_port

    security = options.tls_of(tls, ca, cert, key, server_name)
    messages = Console(stderr=True)
    if not is_loopback(host_and_port(host, port)):
        text = f"warning: everybody who reaches {host} can use the page: it asks for no password, and pictures travel unencrypted"
        messages.print(text, style="yellow", highlight=False, soft_wrap=True)
    options.note_unencrypted(server, security, messages)
    limits = Limits() if max_message_mb is None else Limits(max_message_bytes=max_message_mb * 2**20)
    names = None if not model else lambda: model
    with Page(
        Served(server, names, label=label, tls=security, timeout=timeout), host, port, allowed_hosts=allowed_host or (), limits=limits
    ) as opened:
        run_until_signal(opened, json)
