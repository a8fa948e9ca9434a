"""`cxr predict`: images in, labels and probabilities out."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cxr.cli import options
from cxr.core import features
from cxr.core.counts import agreeing, how_many
from cxr.serving import defaults

if TYPE_CHECKING:
    from cxr.core.console import Console
    from cxr.data.images.overlays import Explanation
    from cxr.serving.client.client import Client
    from cxr.serving.client.predictions import Prediction

EXAMPLES = """
[bold]Examples[/bold]

  cxr predict xray.png                                    ask the ensemble on this machine (start it with `cxr serve`)

  cxr predict study.dcm images/ --model mobilenet         DICOM files and whole folders

  cxr predict images/ --label stable --json > out.jsonl   one line per image, for scripts

  cxr predict xray.png --explain maps                     with Grad-CAM overlays: which regions support the answer

  cxr predict x.png -s serving.example.org:8500 --ca ca.pem --cert me.pem --key me.key

Exit codes: 0 done, 1 failed (even one image), 2 wrong arguments.
"""

_SYNTHETIC = "note: {0.model} version {0.version} was trained on SYNTHETIC images: its answers say nothing about patients"
_TOOK_OVER = "note: {0.model} version {0.version} answered in place of version {1} from image {2} on"


def register(app: typer.Typer) -> None:
    """Adds `cxr predict`."""
    app.command("predict", help=options.help_of(predict, EXAMPLES))(predict)


def predict(
    context: typer.Context,
    images: Annotated[list[Path], typer.Argument(help="PNG, JPEG, BMP, TIFF or DICOM files, or folders of them")],
    server: options.Server = defaults.SERVER,
    model: options.Model = features.ENSEMBLE,
    version: options.Version = None,
    label: options.Label = None,
    json: options.Json = False,
    explain: Annotated[
        Path | None, typer.Option(metavar="DIR", help="folder for Grad-CAM overlays and explanations.csv; the server makes the maps")
    ] = None,
    class_name: Annotated[str | None, typer.Option("--class", help="with --explain: explain this class, not the predicted one")] = None,
    timeout: Annotated[
        float, typer.Option(min=0.001, help="seconds for one request, retries included; unless given, 5 to find server and model")
    ] = defaults.REQUEST_SECONDS,
    batch_size: Annotated[int, typer.Option(min=1, help="images in one request")] = defaults.REQUEST_IMAGES,
    in_flight: Annotated[int, typer.Option(min=1, max=64, help="requests at a time")] = defaults.REQUESTS_AT_A_TIME,
    tls: options.UseTls = False,
    ca: options.Ca = None,
    cert: options.Cert = None,
    key: options.Key = None,
    server_name: options.ServerName = None,
) -> None:
    """Classify images on a model server."""
    from cxr.core import exit_codes
    from cxr.core.console import Console
    from cxr.core.errors import UsageError
    from cxr.serving.client.client import CONTACT_TIMEOUT, Client

    if class_name is not None and explain is None:
        raise UsageError("--class says what to explain: give --explain DIR too")
    messages = Console(stderr=True)
    files = options.find_images(images, messages)
    if explain is not None:
        options.make_folder("--explain", explain)
    security = options.tls_of(tls, ca, cert, key, server_name)
    options.note_unencrypted(server, security, messages)
    contact = CONTACT_TIMEOUT if options.source_of(context, "timeout") in ("", "DEFAULT") else timeout
    with Client(server, model, version, label, tls=security, timeout=timeout, batch_size=batch_size, max_in_flight=in_flight) as client:
        client.metadata(contact)  # a server or model that is not there is said before any image is read
        failed = _show(client, files, json, messages, explain, class_name)
    if failed:
        messages.print(f"{failed} of {how_many(len(files), 'image')} failed", style="red")
        raise typer.Exit(exit_codes.FAILED)


def _show(client: Client, files: list[Path], as_json: bool, messages: Console, maps: Path | None, class_name: str | None) -> int:
    """Prints results to stdout as they come (JSON) or at the end (table), also those before an error; writes overlays into `maps`.

    Returns the number of failures.
    """
    import json as json_module

    from rich.progress import Progress

    from cxr.core.errors import CxrError
    from cxr.serving.client.predictions import Failure, Prediction
    from cxr.serving.client.table import table

    results: list[Prediction | Failure] = []
    answering: int | None = None  # the version that gave the last answer
    synthetic: set[int] = set()  # versions that the user was told of
    explained: list[Explanation] = []
    try:
        with Progress(console=messages, transient=True, disable=not messages.is_terminal) as progress:
            bar = progress.add_task("images", total=len(files))
            for result in client.predict_files(files, explain=maps is not None, class_name=class_name):
                results.append(result)
                overlay = {}
                if maps is not None and isinstance(result, Prediction):
                    explained.append(_overlay(result, maps))
                    overlay = {"overlay": explained[-1].overlay}
                progress.advance(bar)
                if isinstance(result, Prediction):
                    if answering not in (None, result.version):
                        progress.console.print(
                            _TOOK_OVER.format(result, answering, len(results)), style="yellow", highlight=False, soft_wrap=True
                        )
                    answering = result.version
                    if result.synthetic and result.version not in synthetic:
                        synthetic.add(result.version)
                        progress.console.print(_SYNTHETIC.format(result), style="yellow", highlight=False, soft_wrap=True)
                if as_json:
                    typer.echo(json_module.dumps({**result.to_json(), **overlay}, ensure_ascii=False))
                if isinstance(result, Failure):
                    progress.console.print(str(result.error), style="red", highlight=False, soft_wrap=True)
    except CxrError:
        messages.print(
            f"{len(results)} of {how_many(len(files), 'image')} {agreeing(len(results), 'was', 'were')} answered before this error:",
            style="red",
        )
        raise
    finally:
        if not as_json and results:
            console = options.stdout_console()
            console.print(table(results, console.width))
        if maps is not None and explained:
            from cxr.data.images.overlays import list_overlays

            for line in list_overlays(maps, explained):
                messages.print(line, highlight=False, soft_wrap=True)
    return sum(isinstance(result, Failure) for result in results)


def _overlay(result: Prediction, out: Path) -> Explanation:
    from cxr.core.errors import CxrError
    from cxr.data.images.overlays import Explanation

    assert result.heat_map is not None  # it was asked for
    explained = result.heat_map.explained
    share = result.probabilities[explained]
    try:
        name = result.heat_map.save(out, Path(result.path), result.model, share, result.outside)
    except OSError as error:
        raise CxrError(
            f"--explain {out}: an overlay cannot be written ({error.strerror}); free some space, or name another folder"
        ) from None
    row = (result.path, result.model, explained, result.label, round(share, 4), result.heat_map.empty, name)
    return Explanation(*row, remarks="; ".join(result.remarks), outside=result.outside, version=result.version)
