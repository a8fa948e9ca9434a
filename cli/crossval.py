"""`cxr crossval`: a configuration in folds by patient, by image and by source."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from cxr.cli.options import Workspace, check_file, help_of, names, stdout_console, write_file

EXAMPLES = """
[bold]Examples[/bold]

  cxr crossval --config cpu --data records                               five folds of the training and validation patients

  cxr crossval --config cpu --data records defaults.bn_recalibration=none  the same with other batch statistics

  cxr crossval --config full --data records --models mobilenet --folds 3   one model, the whole network trained in every fold

  cxr crossval --config full --data records defaults.fine_tuning=null    only the heads of a configuration that fine-tunes

  cxr crossval -c cpu -d records --folds 10 --out figures                ten folds, every fold's predictions below figures/folds
"""


def register(app: typer.Typer) -> None:
    """Adds `cxr crossval`."""
    app.command("crossval", help=help_of(crossval, EXAMPLES))(crossval)


def crossval(
    data: Annotated[str, typer.Option("--data", "-d", help="folder of `cxr ingest`, or images: a folder per class, or a manifest CSV")],
    overrides: Annotated[list[str] | None, typer.Argument(help="key=value changes of the configuration, as in `cxr run`")] = None,
    config: Annotated[str, typer.Option("--config", "-c", help="a shipped configuration or a YAML file")] = "cpu",
    models: Annotated[str | None, typer.Option(help="only these models, comma-separated; with only one there is no ensemble")] = None,
    folds: Annotated[int, typer.Option(min=2, help="number of folds, by patient and by image")] = 5,
    seed: Annotated[int, typer.Option(min=0, help="seed of the division into folds")] = 0,
    splits: Annotated[str, typer.Option(help="splits that take part, comma-separated; files of others are not opened")] = "train,val",
    json_file: Annotated[Path | None, typer.Option("--json", metavar="FILE", help="also write the summary to this file")] = None,
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="folder for summary and folds (default: in the workspace, by date)", file_okay=False)
    ] = None,
    workspace: Workspace = Path("workspace"),
) -> None:
    """Cross-validate a configuration: members, ensemble and logistic regression in folds by patient.

    It also does the same by image (what leakage is worth), and with one source left out at a time. Features of frozen backbones are
    computed once. Heads, ensembles and, where the configuration fine-tunes, whole networks are trained per fold; the command first says
    how many, and how long they may take. Finished work is kept in the workspace: the same command goes on after an interruption.
    """
    from datetime import datetime

    from cxr.core.console import Console
    from cxr.core.errors import UsageError
    from cxr.core.silence import tensorflow_starting
    from cxr.pipeline.pipeline_config import load
    from cxr.pipeline.workspace import Workspace as Folders

    loaded = load(config, overrides or ())
    if not (wanted := tuple(dict.fromkeys(filter(None, names(splits))))):
        raise UsageError(f"--splits {splits!r}: names no split; the folds are dealt from train,val by default")
    check_file("--json", json_file, makes_folder=True)
    messages = Console(stderr=True)
    with messages.status("importing TensorFlow"), tensorflow_starting():  # not before the arguments are known to be right
        from cxr.pipeline.crossval import cross_validate, only
        from cxr.trainer.crossval.conclusions import remarks, table

    if models is not None:
        loaded = only(loaded, names(models))
    places = Folders(workspace, loaded.name)
    target = out or places.crossval_results / datetime.now().strftime("%Y%m%d-%H%M%S")
    report = cross_validate(loaded, data, wanted, places, messages, folds=folds, seed=seed, folder=target)
    if json_file is not None:
        write_file(json_file, report.model_dump_json(indent=2) + "\n")
    console = stdout_console()
    console.print(table(report))
    for line in remarks(report):
        console.print(line, highlight=False, soft_wrap=True)
    messages.print(f"every fold's figures and answers: {target}", highlight=False, soft_wrap=True)
