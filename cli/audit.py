"""`cxr audit`: what the class can be told from besides the lungs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from cxr.cli.options import help_of

EXAMPLES = """
[bold]Examples[/bold]

  cxr audit records/                      records of `cxr ingest`: a table, and a sentence per shortcut

  cxr audit records/ --json > audit.json  the same, as `cxr run` stores it

  cxr audit records/ --clear-auc 0.9      only nearly perfect predictions count as clear

A small model (a random forest) learns the class from each shortcut: source, file type, view, sex and age, size, brightness, grey
histogram, corners, border, marks, sharp edges, left and right, traces of processing; from all metadata together, and from metadata
and grey levels together. It is measured in folds by patient. Where the splits exist, it is also trained on the training split and
measured on --split. Centre and whole picture are shown for comparison. docs/evaluation.md explains it.

Exit codes: 0 no shortcut predicts a class clearly, 3 at least one does, 1 failed, 2 wrong arguments.
"""


def register(app: typer.Typer) -> None:
    """Adds `cxr audit`."""
    app.command("audit", help=help_of(audit, EXAMPLES))(audit)


def audit(
    records: Annotated[Path, typer.Argument(help="folder that `cxr ingest` wrote")],
    split: Annotated[str | None, typer.Option(help="split that models are judged on (test)", show_default=False)] = None,
    folds: Annotated[int | None, typer.Option(min=2, help="number of folds, by patient (5)", show_default=False)] = None,
    seed: Annotated[int | None, typer.Option(min=0, help="seed of the folds and of the small models (2021)", show_default=False)] = None,
    clear_auc: Annotated[
        float | None,
        typer.Option(
            max=1,
            help="a shortcut is clear if the lower end of an AUC's interval reaches this, or if the AUC is halfway from this to 1 and "
            "the lower end halfway from 0.5 to this; above 0.5 (0.8)",
            show_default=False,
        ),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="JSON instead of a table")] = False,
) -> None:
    """Measure how well the class can be predicted without the lungs."""
    from pydantic import ValidationError

    from cxr.cli.options import stdout_console
    from cxr.core import exit_codes
    from cxr.core.console import Console
    from cxr.core.errors import UsageError
    from cxr.core.features import TEST
    from cxr.core.file_names import check_readable
    from cxr.core.places import records_in
    from cxr.core.silence import tensorflow_starting
    from cxr.core.validation_errors import all_said
    from cxr.data.audit.audit_config import Audit
    from cxr.data.ingest.damage import check_sizes
    from cxr.data.ingest.dataset import DATASET, read_dataset

    if not (records / DATASET).is_file():
        raise UsageError(f"{records}: holds no {DATASET}; make it with `cxr ingest SOURCE {records}`")
    check_readable("records", records)
    given = {"folds": folds, "seed": seed, "clear_auc": clear_auc}
    try:
        settings = Audit.model_validate({key: value for key, value in given.items() if value is not None})
    except ValidationError as error:
        raise UsageError(all_said(error)) from None
    dataset = read_dataset(records)
    if split is not None and split not in dataset.splits:
        raise UsageError(f"--split {split}: {records} has {', '.join(dataset.splits)}")
    present = {name for counts in dataset.counts.values() for name, count in counts.items() if count}
    if len(present) < 2:
        raise UsageError(f"{records}: all images are of one class, so that there is no other to tell it from; name records of several")
    check_sizes(records, dataset)
    with tensorflow_starting():
        import tensorflow  # noqa: F401  # reads the records

        from cxr.data.audit.audit import run_audit
        from cxr.data.audit.conclusions import conclusion, table
        from cxr.data.audit.records import read_tables

    with Console(stderr=True).status("reading pictures, then a small model on each shortcut"):
        tables = read_tables({name: [records_in(f"{records}/{name}")] for name in dataset.splits}, dataset.class_names)
        result, _ = run_audit(tables, dataset.class_names, settings, split or TEST)
    if as_json:
        typer.echo(result.model_dump_json(indent=2))
    else:
        console = stdout_console()
        console.print(table(result, dataset.synthetic))
        for found in result.shortcuts:
            style = "yellow" if found in result.clear or found in result.hints else None
            console.print(found.verdict, style=style, highlight=False, soft_wrap=True)
        console.print(conclusion(result), highlight=False, soft_wrap=True)
    raise typer.Exit(exit_codes.REFUSED if result.clear else exit_codes.OK)
