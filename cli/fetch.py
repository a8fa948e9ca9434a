"""`cxr fetch`: public collections of chest X-rays, brought into the form that `cxr ingest` takes."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cxr.cli.options import help_of

if TYPE_CHECKING:
    from cxr.data.fetch.about import About

EXAMPLES = """
[bold]Collections[/bold]

  ieee8023        COVID-19 image data collection (GitHub): COVID-19, other pneumonias, a few normal; licence per image

  nih-subset      NIH ChestX-ray14: images with the single label Pneumonia or No Finding

  covidx          COVIDx V9A (COVID-Net; images from Kaggle): three classes, 30,530 images, large

  kaggle-covid    the 188 images that the 2021 paper used (Kaggle), only to reproduce it

[bold]Examples[/bold]

  cxr fetch ieee8023 xrays                                  xrays/images and xrays/manifest.csv

  cxr fetch nih-subset xrays --per-class 300 --parts 1-3    added to the same folder; three of twelve archives (10 of 45 GB)

  cxr fetch covidx covidx --from ~/Downloads/archive.zip    downloaded already: a folder, or a zip or tar.gz

  cxr ingest xrays records                                  what comes next

After an interruption, a lost connection or a full disk the same command goes on where it stopped. If all is done, it returns at once.
Kaggle needs credentials: KAGGLE_API_TOKEN, or KAGGLE_USERNAME and KAGGLE_KEY, or ~/.kaggle/kaggle.json.
docs/data.md says what is taken from each collection. Exit codes: 0 done, 1 failed, 2 wrong arguments, 130 interrupted.
"""


def register(app: typer.Typer) -> None:
    """Adds `cxr fetch`."""
    app.command("fetch", help=help_of(fetch, EXAMPLES))(fetch)


def fetch(
    name: Annotated[str, typer.Argument(help="ieee8023, nih-subset, covidx or kaggle-covid")],
    out: Annotated[Path | None, typer.Argument(help="folder to write or to add to (default: the collection's name)")] = None,
    origin: Annotated[Path | None, typer.Option("--from", help="folder or archive that was downloaded already")] = None,
    per_class: Annotated[int | None, typer.Option(min=1, help="nih-subset: images of each class, at most (300)")] = None,
    seed: Annotated[int | None, typer.Option(min=0, help="nih-subset: decides which images are drawn (0)")] = None,
    parts: Annotated[str | None, typer.Option(help="nih-subset: numbers of the archives to draw from, for example 1-3,12 (all)")] = None,
    licensed_only: Annotated[bool, typer.Option("--licensed-only", help="leave out images that state no licence")] = False,
    keep_archives: Annotated[bool, typer.Option("--keep-archives", help="keep the downloads after their images were extracted")] = False,
) -> None:
    """Download a public collection, or convert one that is here, into images and a manifest."""
    from cxr.core.console import Console
    from cxr.core.errors import UsageError
    from cxr.data.fetch.catalogue import COLLECTIONS, NIH_SUBSET
    from cxr.data.fetch.fetch import fetch as fetch_collection
    from cxr.data.fetch.selection import Options
    from cxr.data.ingest.rows import hint_at

    if name not in COLLECTIONS:
        raise UsageError(f"no collection of this name{hint_at(name, tuple(COLLECTIONS))}; there are {', '.join(COLLECTIONS)}")
    drawing = {"per_class": per_class, "seed": seed, "parts": numbers(parts)}
    given = {key: value for key, value in drawing.items() if value is not None}
    if given and name != NIH_SUBSET.name:
        raise UsageError(f"--{next(iter(given)).replace('_', '-')}: only {NIH_SUBSET.name} is drawn from; {name} is taken whole")
    options = Options.model_validate(given | {"licensed_only": licensed_only})
    target = out or Path(name)
    about = fetch_collection(COLLECTIONS[name], target, options, console=Console(stderr=True), origin=origin, keep_archives=keep_archives)
    _print(about, target)


def numbers(text: str | None) -> tuple[int, ...] | None:
    """Reads `1-3,12`.

    Raises:
      UsageError: It is none of that, or a number has no archive.
    """
    from cxr.core.errors import UsageError
    from cxr.data.fetch.catalogue import NIH_PART_IMAGES

    if text is None:
        return None
    last = len(NIH_PART_IMAGES)
    found: set[int] = set()
    for item in text.split(","):
        first, dash, end = item.strip().partition("-")
        if not first.isdecimal() or (dash and not end.isdecimal()):
            raise UsageError(f"--parts {text!r}: must be numbers and ranges, for example 1-3,12")
        span = range(int(first), int(end or first) + 1)
        if not span or span[0] < 1 or span[-1] > last:
            raise UsageError(f"--parts {text!r}: the archives are numbered 1 to {last}")
        found |= set(span)
    return tuple(sorted(found))


def _print(about: About, out: Path) -> None:
    from rich.table import Table

    from cxr.cli.options import stdout_console
    from cxr.core import features
    from cxr.core.counts import how_many

    console = stdout_console()
    console.print(f"{about.title}: {how_many(sum(about.images.values()), 'image')}", highlight=False, soft_wrap=True)
    table = Table()
    table.add_column("class")
    table.add_column("images", justify="right")
    for label in features.CLASS_NAMES:
        table.add_row(label, str(about.images.get(label, 0)))
    console.print(table)
    lines = [f"left out: {count} {reason}" for reason, count in about.left_out.items()]
    lines += [f"licence: {licence} ({how_many(count, 'image')})" for licence, count in about.licences.items()]
    lines += [f"terms: {about.licence}; {about.page}", f"to cite: {about.citation}"]
    lines += [f"note: {about.remark}"] if about.remark else []
    present = [label for label in features.CLASS_NAMES if about.images.get(label)]
    classes = "" if len(present) == len(features.CLASS_NAMES) else f" --classes {','.join(present)}"
    lines += [f"manifest: {out}/manifest.csv", f"next: cxr ingest {out} records{classes}"]
    for line in lines:
        console.print(line, highlight=False, soft_wrap=True)
