"""Options that every command talking to a model server shares."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from rich.console import Console

    from cxr.serving.client.connection import Tls

PIPE_WIDTH = 200  # a pipe has no width, and 80 columns would tear file names and numbers apart
LOCAL_SERVER = "127.0.0.1:8500"  # cxr.serving.client.connection.DEFAULT_SERVER, without importing grpc for --help

Server = Annotated[str, typer.Option("--server", "-s", metavar="HOST:PORT", envvar="CXR_SERVER", help="gRPC address of the model server")]
UseTls = Annotated[bool, typer.Option("--tls", help="encrypt; implied by --ca and --cert")]
Ca = Annotated[Path | None, typer.Option("--ca", help="PEM file of the authority that signed the server's certificate")]
Cert = Annotated[Path | None, typer.Option("--cert", help="PEM file of this client's certificate")]
Key = Annotated[Path | None, typer.Option("--key", help="PEM file of its key")]
ServerName = Annotated[str | None, typer.Option("--server-name", help="name in the server's certificate, where it is not the address")]


def tls_of(use: bool, ca: Path | None, cert: Path | None, key: Path | None, server_name: str | None) -> Tls | None:
    """Returns what the options ask for; None for plaintext."""
    from cxr.serving.client.connection import Tls

    if not (use or ca or cert or key or server_name):
        return None
    return Tls(ca, cert, key, server_name)


def stdout_console() -> Console:
    """Returns a console for tables on stdout."""
    from rich.console import Console

    console = Console()
    if not console.is_terminal:
        console.width = max(console.width, PIPE_WIDTH)
    return console
