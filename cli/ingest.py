"""`cxr ingest` and `cxr demo-data`: the data a run starts from."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cxr.cli.options import Workspace, conditions, help_of, names
from cxr.core.counts import how_many
from cxr.data.demo import SEVERITY
from cxr.data.ingest.manifest import OPTIONAL, REQUIRED

if TYPE_CHECKING:
    from pydantic_core import ErrorDetails

    from cxr.data.ingest.ingest_config import Ingest, Spelling

INGEST_EXAMPLES = f"""
[bold]Examples[/bold]

  cxr ingest xrays/ records/                              a folder with one folder per class (also below train/, val/, test/)

  cxr ingest manifest.csv records/ --where subset=main    only the rows whose column `subset` says main

  cxr ingest xrays/ records/ --config cpu --seed 7        the section `data` of a configuration, and another seed

  cxr ingest xrays/ records/ --beam-workers 8             eight processes, for many images on many cores

  cxr ingest other.csv records/ --split test              another hospital's images, to measure models on: one split, any of the classes

A manifest has the columns {" and ".join(REQUIRED)}, and where known {", ".join(OPTIONAL)}.
A radiograph with several labels stops it (records.private/problems.csv), unless --label-conflicts says what to do.
A second call with nothing changed returns at once. Exit codes: 0 done, 1 failed (no records are
written; OUT.private says why), 2 wrong arguments.
"""
DEMO_EXAMPLES = """
[bold]Examples[/bold]

  cxr demo-data demo/                              480 images of 128x128 pixels

  cxr demo-data demo/ --images 120 --size 64 --seed 7

  cxr demo-data faint/ --severity 0.05 0.3         diseases that are hard to see

  cxr demo-data shown/ --size 512 --masks          also masks/: where the disease is visible (the manifest's column `mask` names the file)

  cxr demo-data marked/ --confounder marker        with a letter in the corner of every picture of one class, for `cxr audit` to find

  cxr ingest demo/ records/                        what comes next
"""


def register(app: typer.Typer) -> None:
    """Adds `cxr ingest` and `cxr demo-data`."""
    app.command("ingest", help=help_of(ingest, INGEST_EXAMPLES))(ingest)
    app.command("demo-data", help=help_of(demo_data, DEMO_EXAMPLES))(demo_data)


def ingest(
    source: Annotated[str, typer.Argument(help="folder with one folder per class, or a manifest CSV")],
    out: Annotated[str, typer.Argument(help="folder to write; appears only when all went well")],
    config: Annotated[str | None, typer.Option(help="configuration (name or YAML file) whose section `data` to start from")] = None,
    seed: Annotated[int | None, typer.Option(help="seed of the division into splits (2021)")] = None,
    where: Annotated[list[str] | None, typer.Option(help="COLUMN=VALUE: take only these rows of a manifest (repeatable)")] = None,
    classes: Annotated[
        str | None, typer.Option(help="class names, comma-separated ('\"a, b\",c' are two), in the order of the models' outputs")
    ] = None,
    split: Annotated[str | None, typer.Option(help="put all images into this split, train, val or test; classes may be missing")] = None,
    split_by: Annotated[str | None, typer.Option(help="divide by patient or image (patient)")] = None,
    listed_twice: Annotated[str | None, typer.Option(help="a path that is listed twice: refuse, or merge: read once (refuse)")] = None,
    near_duplicates: Annotated[
        str | None, typer.Option(help="pictures of the same radiograph: join: one split, one person; list, or ignore (join)")
    ] = None,
    label_conflicts: Annotated[
        str | None, typer.Option(help="a radiograph with several labels: fail, drop, or keep_by_source, see --source-priority (fail)")
    ] = None,
    source_priority: Annotated[
        str | None, typer.Option(help="sources, comma-separated, the most trusted first: whose label counts in a conflict")
    ] = None,
    paths_outside: Annotated[
        str | None, typer.Option(help="images outside SOURCE (absolute, ../, links): refuse or allow (refuse)")
    ] = None,
    max_reject_share: Annotated[float | None, typer.Option(help="above this share of unusable files nothing is written (0.05)")] = None,
    max_side: Annotated[int | None, typer.Option(help="longer images are scaled down to this many pixels (1024)")] = None,
    workers: Annotated[int | None, typer.Option(help="images read at a time (2)")] = None,
    key_file: Annotated[
        Path | None,
        typer.Option(
            envvar="CXR_PSEUDONYM_KEY_FILE",
            help="key of the patients' pseudonyms, made if it does not exist (default: the workspace's)",
        ),
    ] = None,
    workspace: Workspace = Path("workspace"),
    overwrite: Annotated[bool, typer.Option("--overwrite", help="replace the records of another source or configuration")] = False,
    beam_workers: Annotated[int, typer.Option(min=1, help="processes that share the reading, instead of threads (docs/scale.md)")] = 1,
    beam: Annotated[
        list[str] | None, typer.Option(help="option of Beam, for example --beam=--runner=PortableRunner (repeatable; docs/scale.md)")
    ] = None,
) -> None:
    """Turn labelled X-rays into TFRecords, split by patient."""
    import logging

    from cxr.core.console import Console
    from cxr.core.silence import leave_remarks_out

    options = _options(config, where, classes, source_priority, {
        "seed": seed, "only_split": split, "split_by": split_by, "listed_twice": listed_twice, "paths_outside": paths_outside,
        "max_reject_share": max_reject_share, "max_side": max_side, "workers": workers,
        "near_duplicates": near_duplicates, "label_conflicts": label_conflicts,
    })  # fmt: skip
    logging.getLogger("apache_beam").setLevel(logging.ERROR)
    leave_remarks_out()  # TensorFlow only writes files here
    from cxr.core.beam_options import reading
    from cxr.core.file_names import check_readable
    from cxr.data.ingest import ingest
    from cxr.data.ingest.pseudonyms import key_path

    check_readable("OUT", Path(out))
    dataset = ingest.ingest(
        source,
        out,
        options,
        key_file=key_file or key_path(workspace),
        console=Console(stderr=True),
        overwrite=overwrite,
        beam_options=(*reading(beam_workers), *(beam or ())),
        spelled=spelled,
    )
    from cxr.data.ingest.summary import remarks, table

    console = Console()
    console.print(table(dataset))
    for line in remarks(dataset, Path(out).absolute()):
        console.print(line, highlight=False, soft_wrap=True)
    console.print(f"records: {out}", highlight=False, soft_wrap=True)


def spelled(name: str, value: object) -> str:
    """Spells a setting as an option of `cxr ingest`; what has none can be set in a configuration file."""
    import inspect

    from cxr.data.ingest.ingest_config import dotted

    if name == "class_names":
        return f"--classes {str(value).strip('[]')}"
    if name == "source_priority":
        return f"--source-priority {str(value).strip('[]')}"
    if name == "only_split":
        return f"--split {value}"
    if name in inspect.signature(ingest).parameters:
        return f"--{name.replace('_', '-')} {value}"
    return f"`{dotted(name, value)}` in a file for --config"


def spelled_for(option: str, or_else: str = "") -> Spelling:
    """Returns how a command spells the settings of ingest, where classes come from what an option names.

    Args:
      option: `--model`, say.
      or_else: Another remedy for a class that is not known.
    """
    known = f"{option} to one that knows it{f', or {or_else}' if or_else else ''}"
    return lambda name, value: known if name == "class_names" else spelled(name, value)


def _options(
    config: str | None, where: list[str] | None, classes: str | None, source_priority: str | None, changes: dict[str, Any]
) -> Ingest:
    import pydantic

    from cxr.core.errors import UsageError
    from cxr.data.ingest.ingest_config import Ingest

    if config is None:
        base = Ingest()
    else:
        from cxr.pipeline.pipeline_config import load

        base = load(config).data
    values = base.model_dump(exclude_unset=True) | {key: value for key, value in changes.items() if value is not None}
    if found := conditions(where):
        values["where"] = found
    if classes:
        values["class_names"] = names(classes)
    if source_priority:
        values["source_priority"] = names(source_priority)
    try:
        return Ingest.model_validate(values)
    except pydantic.ValidationError as error:
        raise UsageError("\n".join(map(_complaint, error.errors()))) from None


def _complaint(error: ErrorDetails) -> str:
    """What is wrong with a setting, which is named as an option where it has one."""
    from cxr.core.validation_errors import said

    if error["loc"]:
        return f"{spelled('.'.join(map(str, error['loc'])), error['input'])}: {said(error)}"
    name, colon, rest = said(error).partition(": ")  # of a check of several settings
    option = spelled(name, "").split()[0]
    return f"{option}: {rest}" if colon and option.startswith("--") else said(error)


def demo_data(
    out: Annotated[Path, typer.Argument(help="folder to write")],
    images: Annotated[int, typer.Option(min=30, help="number of images")] = 480,
    size: Annotated[int, typer.Option(min=32, max=1024, help="height and width, pixels")] = 128,
    seed: Annotated[int, typer.Option(min=0, max=2**32 - 1, help="the same seed makes the same images")] = 2021,
    confounder: Annotated[
        str,
        typer.Option(help="plant a shortcut to one class: none, marker (in a corner), brightness or compression (as if stored as JPEGs)"),
    ] = "none",
    severity: Annotated[
        tuple[float, float], typer.Option(metavar="LOW HIGH", help="severity of the diseases, drawn between the two: 0 invisible, 1 severe")
    ] = SEVERITY,
    masks: Annotated[bool, typer.Option("--masks", help="also write where the disease is visible, one PNG for each image")] = False,
) -> None:
    """Make synthetic chest radiographs; nothing medical can be learnt from them."""
    from cxr.core.console import Console
    from cxr.data.demo.generate import make_demo_data

    console = Console()
    manifest = make_demo_data(
        out,
        images=images,
        image_size=size,
        seed=seed,
        console=Console(stderr=True),
        confounder=confounder,
        severity=severity,
        masks=masks,
    )
    console.print(f"{how_many(images, 'synthetic image')}: {out / manifest.name}", highlight=False, soft_wrap=True)
    console.print(f"next: cxr ingest {out} records/", highlight=False, soft_wrap=True)
