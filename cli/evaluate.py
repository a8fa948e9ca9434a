"""`cxr evaluate`: how good a model is on labelled images that no run had."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cxr.cli import options
from cxr.cli.ingest import spelled_for
from cxr.core.counts import how_many
from cxr.serving.remedies import EVALUATE

if TYPE_CHECKING:
    from cxr.core.console import Console
    from cxr.pipeline.outside.evaluate import Known, Model, ModelFigures
    from cxr.pipeline.outside.images import LabelledImages
    from cxr.pipeline.outside.training import Training
    from cxr.serving.client.connection import Tls

EXAMPLES = """
[bold]Examples[/bold]

  cxr evaluate --model workspace/cpu/serving_models/ensemble --data hospital/     the champion, on a folder with one folder per class

  cxr evaluate -m ensemble --pipeline cpu --data manifest.csv --json found.json   by name; a manifest

  cxr evaluate -m ensemble --server 127.0.0.1:8500 --data records                 a model server; records of `cxr ingest --split test`

  cxr evaluate -m ensemble --data hospital/ --apart-from records                  without copies and patients of the training data

  cxr evaluate --predictions answers.csv                                          a table: label, a column per class, patient_id, source, …

  cxr evaluate -m ensemble --pipeline cpu --data hospital/ --min-low 0.7 || echo "not good enough there"

The data may have any of the classes. Images that the model was trained on are left out and counted. Nothing is written except --json,
and a list of files that cannot be used, for you alone: evaluate.private/rejects.csv in the workspace.
Exit codes: 0 measured, 1 failed, 2 wrong arguments, 3 below --min-accuracy or --min-low.
"""


def register(app: typer.Typer) -> None:
    """Adds `cxr evaluate`."""
    app.command("evaluate", help=options.help_of(evaluate, EXAMPLES))(evaluate)


def evaluate(
    model: Annotated[
        str | None,
        typer.Option("--model", "-m", help="a pushed version, a model's folder (its champion), or a name (see --pipeline, --server)"),
    ] = None,
    data: Annotated[
        str | None, typer.Option("--data", "-d", help="images (a folder per class, or a manifest CSV), or records of `cxr ingest`")
    ] = None,
    predictions: Annotated[Path | None, typer.Option(help="a CSV of predictions, in place of a model and data")] = None,
    json: Annotated[Path | None, typer.Option("--json", help="file for all figures")] = None,
    split: Annotated[str | None, typer.Option(help="one of the splits of the data, or all (default: test)")] = None,
    where: Annotated[list[str] | None, typer.Option(help="COLUMN=VALUE: take only these rows of a manifest (repeatable)")] = None,
    listed_twice: Annotated[str | None, typer.Option(help="a path that is listed twice: refuse, or merge (read once)")] = None,
    paths_outside: Annotated[str | None, typer.Option(help="images outside the folder of the data: refuse or allow")] = None,
    classes: Annotated[str | None, typer.Option(help="class names of --predictions, comma-separated (default: the project's)")] = None,
    include_seen: Annotated[bool, typer.Option("--include-seen", help="measure also on images that the model was trained on")] = False,
    apart_from: Annotated[
        str | None, typer.Option(help="leave out copies and patients of these training data too: records, a run, or a pushed model")
    ] = None,
    min_accuracy: Annotated[float | None, typer.Option(min=0, max=1, help="exit with 3 if accuracy is below this")] = None,
    min_low: Annotated[float | None, typer.Option(min=0, max=1, help="exit with 3 if the lower end of its interval is below this")] = None,
    batch_size: Annotated[int, typer.Option(min=1, help="images in one batch")] = 32,
    workspace: options.Workspace = Path("workspace"),
    pipeline: Annotated[str, typer.Option("--pipeline", "-p", help="pipeline in which the name of a model is looked up")] = "demo",
    server: Annotated[
        str | None, typer.Option("--server", "-s", metavar="HOST:PORT", help="ask a model server; --model is a name there")
    ] = None,
    version: options.Version = None,
    label: options.Label = None,
    tls: options.UseTls = False,
    ca: options.Ca = None,
    cert: options.Cert = None,
    key: options.Key = None,
    server_name: options.ServerName = None,
) -> None:
    """Measure a model on labelled images of another hospital, with the figures and intervals of a run."""
    from cxr.core.console import Console
    from cxr.core.errors import UsageError
    from cxr.core.silence import tensorflow_starting

    messages, listed, unwritten = Console(stderr=True), None, ""
    options.check_file("--json", json)
    if predictions is not None:
        beside = {
            "--model": model, "--data": data, "--split": split, "--where": where, "--listed-twice": listed_twice,
            "--paths-outside": paths_outside, "--include-seen": include_seen, "--apart-from": apart_from, "--server": server,
            "--version": version, "--label": label, "--tls": tls, "--ca": ca, "--cert": cert, "--key": key, "--server-name": server_name,
        }  # fmt: skip
        if given := [name for name, value in beside.items() if value]:
            raise UsageError(f"--predictions: a table is measured as it is; leave out {', '.join(given)}")
        found = _of_table(predictions, classes)
    elif model is None or data is None:
        raise UsageError(f"{'--model' if model is None else '--data'} is missing (or give --predictions)")
    elif classes is not None:
        raise UsageError("--classes: names those of --predictions; a model knows its own")
    else:
        security = options.tls_of(tls, ca, cert, key, server_name)
        if server is not None:
            opened = _served(server, model, (version, label), security, batch_size, messages)
        else:
            if given := [name for name, value in (("--version", version), ("--label", label), ("--tls", security)) if value is not None]:
                raise UsageError(f"{', '.join(given)}: of a model server; name it with --server, or a version's folder with --model")
            opened = _loaded(model, workspace, pipeline, messages)
        settings = {"where": options.conditions(where), "listed_twice": listed_twice, "paths_outside": paths_outside}
        with opened as asked:
            with tensorflow_starting():
                from cxr.pipeline.outside.images import private_of
                from cxr.pipeline.outside.labelled import open_labelled, reading_config
                from cxr.pipeline.outside.training import find_training
                from cxr.pipeline.workspace import Workspace

            config = reading_config(asked.class_names, asked.max_side, **settings)
            trained = find_training(apart_from, Workspace(workspace, pipeline), "--apart-from") if apart_from else None

            def images() -> LabelledImages:
                return open_labelled(data, split, config, spelled_for("--model"), private_of(workspace, "evaluate"))

            known = _known(images(), trained, messages) if trained else None
            new = images()
            found = _of_model(asked, new, batch_size, include_seen, known, messages)
            listed, unwritten = new.reject_list, new.unwritten
    _show(found, json, messages)
    options.note_rejects(listed, unwritten, messages)
    _demand(found, min_accuracy, min_low, messages)


def _of_table(predictions: Path, classes: str | None) -> ModelFigures:
    from cxr.core import features
    from cxr.core.figures import CALIBRATION_BINS
    from cxr.pipeline.outside.evaluate import measured
    from cxr.pipeline.outside.predictions import read_predictions

    names = options.names(classes) if classes else features.CLASS_NAMES
    answers, notes = read_predictions(predictions, names)
    return measured(answers, names, CALIBRATION_BINS, notes=notes)


@contextmanager
def _loaded(model: str, workspace: Path, pipeline: str, messages: Console) -> Iterator[Model]:
    from cxr.core.silence import tensorflow_starting
    from cxr.pipeline.workspace import Workspace

    with messages.status("loading the model"), tensorflow_starting():
        from cxr.pipeline.outside.versions import find_version  # TensorFlow: seconds
        from cxr.trainer.scoring import SavedModel

        loaded = SavedModel(str(find_version(model, Workspace(workspace, pipeline))))
    yield loaded


@contextmanager
def _served(
    server: str, model: str, which: tuple[int | None, str | None], security: Tls | None, batch_size: int, messages: Console
) -> Iterator[Model]:
    from cxr.serving.client.client import Client
    from cxr.serving.client.scoring import ServedModel

    options.note_unencrypted(server, security, messages)
    with Client(server, model, *which, tls=security, batch_size=batch_size, remedies=EVALUATE) as client:
        yield ServedModel(client)


def _known(images: LabelledImages, trained: Training, messages: Console) -> Known:
    from cxr.data.ingest.progress_bar import stages
    from cxr.pipeline.outside.evaluate import known_from
    from cxr.pipeline.outside.gathered import gather

    with stages(messages, "") as stage:
        new = gather(images, True, "looking for known images", stage)
        return known_from(new, trained.gather(True, stage), images.patients_differ(trained.dataset.key_id), stage)


def _of_model(
    model: Model, images: LabelledImages, batch_size: int, include_seen: bool, known: Known | None, messages: Console
) -> ModelFigures:
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    from cxr.core.figures import CALIBRATION_BINS
    from cxr.pipeline.outside.evaluate import evaluate as measure

    columns = (TextColumn("measuring"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=messages, transient=True, disable=not messages.is_terminal) as progress:
        bar = progress.add_task("images", total=images.total)
        return measure(
            model,
            images,
            bins=CALIBRATION_BINS,
            batch_size=batch_size,
            include_seen=include_seen,
            known=known,
            advance=lambda: progress.advance(bar),
        )


def _show(found: ModelFigures, json: Path | None, messages: Console) -> None:
    from cxr.pipeline.outside.tables import remarks, tables

    console = options.stdout_console()
    for table in tables(found):
        console.print(table)
    for line in remarks(found):
        console.print(line, highlight=False, soft_wrap=True)
    if found.images_per_second is not None:
        messages.print(f"{how_many(round(found.images_per_second), 'image')} a second", highlight=False)
    if json is not None:
        options.write_file(json, found.model_dump_json(indent=2) + "\n")
        messages.print(f"all figures: {json}", highlight=False, soft_wrap=True)


def _demand(found: ModelFigures, min_accuracy: float | None, min_low: float | None, messages: Console) -> None:
    from cxr.core import exit_codes

    e = found.evaluation
    failed = []
    if min_accuracy is not None and not e.accuracy >= min_accuracy:
        failed.append(f"accuracy {e.accuracy:.3f} is below {min_accuracy:.3f} (--min-accuracy)")
    if min_low is not None and not e.accuracy_interval.low >= min_low:  # NaN too
        failed.append(f"the interval of accuracy begins at {e.accuracy_interval.low:.3f}, below {min_low:.3f} (--min-low)")
    for line in failed:
        messages.print(line, style="red", highlight=False, soft_wrap=True)
    if failed:
        raise typer.Exit(exit_codes.REFUSED)
