"""What several commands share: options, their help, and the console that they print on."""

from __future__ import annotations

import csv
import inspect
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cxr.core.counts import how_many
from cxr.core.model_versions import LARGEST_VERSION

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from cxr.core.console import Console
    from cxr.serving.client.connection import Tls

PIPE_WIDTH = 200  # a pipe has no width, and 80 columns would tear file names and numbers apart

Workspace = Annotated[Path, typer.Option(envvar="CXR_WORKSPACE", help="where runs keep what they write")]
Json = Annotated[bool, typer.Option("--json", help="JSON lines instead of a table")]

# === Of commands that talk to a model server ===
Server = Annotated[str, typer.Option("--server", "-s", metavar="HOST:PORT", envvar="CXR_SERVER", help="gRPC address of the model server")]
Model = Annotated[str, typer.Option("--model", "-m", help="name of the model on the server")]
Version = Annotated[int | None, typer.Option(min=0, max=LARGEST_VERSION, metavar="NUMBER", help="this version of the model")]
Label = Annotated[str | None, typer.Option(help="the version with this label: stable, canary")]
UseTls = Annotated[bool, typer.Option("--tls", help="encrypt; implied by --ca and --cert")]
Ca = Annotated[Path | None, typer.Option("--ca", help="PEM file of the authority that signed the server's certificate")]
Cert = Annotated[Path | None, typer.Option("--cert", help="PEM file of this client's certificate")]
Key = Annotated[Path | None, typer.Option("--key", help="PEM file of its key")]
ServerName = Annotated[str | None, typer.Option("--server-name", help="name in the server's certificate, where it is not the address")]


def help_of(command: Callable[..., None], *more: str) -> str:
    """Returns a command's help: its docstring, and what else is to be read there, examples for instance."""
    return f"{inspect.getdoc(command)}\n" + "".join(more)


def make_folder(option: str, folder: Path) -> None:
    """Makes the folder that an option names, unless it is there.

    Raises:
      UsageError: It cannot be made.
    """
    from cxr.core.errors import UsageError

    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(f"{option} {folder}: {error.strerror}") from None


def source_of(context: typer.Context, name: str) -> str:
    """Returns where the value of a parameter is from: COMMANDLINE, ENVIRONMENT, DEFAULT or another name of click's; empty: from nowhere."""
    source = context.get_parameter_source(name)
    return source.name if source else ""


def check_file(option: str, file: Path | None, *, makes_folder: bool = False) -> None:
    """Looks whether a file can be where an option names it, before work is done for nothing.

    Args:
      option: Its name.
      file: That it names; None: none.
      makes_folder: The command makes the file's folder.

    Raises:
      UsageError: It cannot.
    """
    from cxr.core.errors import UsageError

    if file is not None and file.is_dir():
        raise UsageError(f"{option} {file}: is a folder; name a file")
    if file is not None and not makes_folder and not file.absolute().parent.is_dir():
        raise UsageError(f"{option} {file}: the folder {file.absolute().parent} does not exist")


def write_file(file: Path, text: str) -> None:
    """Writes a file that an option names, whole or not at all; its folder is made.

    Raises:
      CxrError: The disk is full or read-only, or the user has no right.
    """
    from cxr.core.durable import replace_output
    from cxr.core.machine_faults import writing_to

    with writing_to(file):
        file.absolute().parent.mkdir(parents=True, exist_ok=True)
        replace_output(file, text)


def tls_of(use: bool, ca: Path | None, cert: Path | None, key: Path | None, server_name: str | None) -> Tls | None:
    """Returns what the options ask for; None for plaintext."""
    from cxr.serving.client.connection import Tls

    if not (use or ca or cert or key or server_name):
        return None
    return Tls(ca, cert, key, server_name)


def note_unencrypted(server: str, security: Tls | None, messages: Console) -> None:
    """Says it where images travel to another machine in plaintext."""
    from cxr.serving.client.connection import is_loopback

    if security is None and not is_loopback(server):
        text = f"note: images travel to {server} unencrypted; --tls encrypts them"
        messages.print(text, style="yellow", highlight=False, soft_wrap=True)


def find_images(paths: Iterable[Path], messages: Console) -> list[Path]:
    """Returns the images that paths name (`inputs.find_images`), and says how many other files of folders were passed over."""
    from cxr.serving.client import inputs

    passed_over: list[Path] = []
    found = inputs.find_images(paths, passed_over)
    if passed_over:
        count = how_many(len(passed_over), "file of the folders is", "files of the folders are")
        text = f"note: {count} no PNG, JPEG, BMP, TIFF or DICOM, and passed over; name one to see what is wrong with it"
        messages.print(text, style="yellow", highlight=False, soft_wrap=True)
    return found


def note_rejects(listed: Path | None, unwritten: str, messages: Console) -> None:
    """Says where the files are listed that could not be used, or why they are not; nothing where there are none."""
    from cxr.data.ingest.private_lists import whole_list

    if listed is not None:
        messages.print(f"files that could not be used, {whole_list(listed)}", highlight=False, soft_wrap=True)
    elif unwritten:
        messages.print(f"files that could not be used: their list could not be written ({unwritten})", style="yellow", highlight=False)


def conditions(where: list[str] | None) -> dict[str, str] | None:
    """Reads `--where COLUMN=VALUE`; None where it was not given.

    Raises:
      UsageError: One is none, or a column is named twice.
    """
    from cxr.core.errors import UsageError

    if not where:
        return None
    pairs = [item.partition("=") for item in where]
    for item, (column, equals, _) in zip(where, pairs, strict=True):
        if not column or not equals:
            raise UsageError(f"--where {item!r}: must be COLUMN=VALUE, for example subset=main")
    found = {column: value for column, _, value in pairs}
    if len(found) < len(pairs):
        raise UsageError("--where: names a column twice, and a row has one value of it; name each once")
    return found


def names(text: str) -> tuple[str, ...]:
    """Reads names that are separated by commas; one that has a comma itself stands in double quotes."""
    return tuple(name.strip() for line in csv.reader(text.splitlines(), skipinitialspace=True) for name in line)


def stdout_console() -> Console:
    """Returns a console for tables on stdout."""
    from cxr.core.console import Console

    console = Console()
    if not console.is_terminal:
        console.width = max(console.width, PIPE_WIDTH)
    return console
