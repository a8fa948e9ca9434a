"""`cxr validate`: new data beside those that a model was trained on."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cxr.cli import options
from cxr.cli.ingest import spelled_for

if TYPE_CHECKING:
    from cxr.core.console import Console
    from cxr.trainer.calibration_info import Outside
    from cxr.trainer.scoring import SavedModel

EXAMPLES = """
[bold]Examples[/bold]

  cxr validate hospital/ --against records                       new images, compared with the training records

  cxr validate new.csv --against ensemble --pipeline cpu         with the training data of the pushed ensemble, which is asked too

  cxr validate logs/ --against ensemble --pipeline cpu           what a server was asked (cxr serve --log-requests logs)

  cxr validate records2 --against workspace/cpu/runs/latest --json found.json

  cxr validate hospital/ --against records --js 0.2 --no-near    a wider limit; exact copies only

Labels and classes may be missing; the output says which checks were left out for that. Checked are the schema, drift of each feature,
copies of training pictures, and, where a model is named, how many images it finds unlike its training images. Files that cannot be used
are listed for you alone: validate.private/rejects.csv in the workspace.
Exit codes: 0 nothing found, 1 failed, 2 wrong arguments, 3 findings.
"""


def register(app: typer.Typer) -> None:
    """Adds `cxr validate`."""
    app.command("validate", help=options.help_of(validate, EXAMPLES))(validate)


def validate(
    data: Annotated[str, typer.Argument(help="images (a folder, or a manifest CSV), records of `cxr ingest`, or logs of requests")],
    against: Annotated[str, typer.Option("--against", "-a", help="records, a run's folder, or a pushed model (folder or name)")],
    model: Annotated[
        str | None, typer.Option("--model", "-m", help="a pushed model to ask (folder or name); default: that of --against")
    ] = None,
    json: Annotated[Path | None, typer.Option("--json", help="file for all that was found")] = None,
    js: Annotated[float | None, typer.Option("--js", min=0, max=1, help="Jensen-Shannon divergence that counts as drift (0.1)")] = None,
    l_infinity: Annotated[float | None, typer.Option(min=0, max=1, help="L-infinity distance that counts as drift (0.1)")] = None,
    near: Annotated[bool, typer.Option(help="look for near copies of training pictures too")] = True,
    split: Annotated[str | None, typer.Option(help="one of the splits of the data, or all (default: test)")] = None,
    where: Annotated[list[str] | None, typer.Option(help="COLUMN=VALUE: take only these rows of a manifest (repeatable)")] = None,
    listed_twice: Annotated[str | None, typer.Option(help="a path that is listed twice: refuse, or merge (read once)")] = None,
    paths_outside: Annotated[str | None, typer.Option(help="images outside the folder of the data: refuse or allow")] = None,
    workspace: options.Workspace = Path("workspace"),
    pipeline: Annotated[str, typer.Option("--pipeline", "-p", help="pipeline in which the name of a model is looked up")] = "demo",
) -> None:
    """Compare new data with the training data: schema, drift, duplicates."""
    import logging

    from cxr.core import exit_codes
    from cxr.core.console import Console
    from cxr.core.silence import tensorflow_starting
    from cxr.data.ingest.progress_bar import stages
    from cxr.pipeline.outside.images import private_of
    from cxr.pipeline.outside.labelled import reading_config
    from cxr.pipeline.outside.unlabelled import open_new
    from cxr.pipeline.workspace import Workspace

    messages = Console(stderr=True)
    logging.getLogger("apache_beam").setLevel(logging.ERROR)
    options.check_file("--json", json)
    with messages.status("importing TensorFlow Data Validation"), tensorflow_starting():
        from cxr.pipeline.outside import validate as validation
        from cxr.pipeline.outside.drift import Thresholds
        from cxr.pipeline.outside.training import find_training
        from cxr.pipeline.outside.versions import find_version

    named = Workspace(workspace, pipeline)
    training = find_training(against, named)
    version = find_version(model, named) if model else training.version
    made_with = training.dataset.config
    settings = {"where": options.conditions(where), "listed_twice": listed_twice, "paths_outside": paths_outside}
    config = reading_config(training.dataset.class_names, made_with.max_side, **settings)
    spelled = spelled_for("--against", or_else="give the images without labels, which are looked at too")
    images = open_new(data, split, config, spelled, private_of(workspace, "validate"))
    limits = {"jensen_shannon": js, "l_infinity": l_infinity}
    thresholds = Thresholds.model_validate({name: value for name, value in limits.items() if value is not None})
    asked, border = _loaded(version, messages) if version else (None, None)
    with stages(messages, "") as stage:
        found = validation.validate(images, training, thresholds, model=asked, border=border, near=near, stage=stage)
    console = options.stdout_console()
    console.print(validation.table(found))
    for line in validation.remarks(found):
        console.print(line, highlight=False, soft_wrap=True)
    for line in found.findings:
        console.print(line, style="red", highlight=False, soft_wrap=True)
    options.note_rejects(images.reject_list, images.unwritten, messages)
    if json is not None:
        options.write_file(json, found.model_dump_json(indent=2) + "\n")
        messages.print(f"all that was found: {json}", highlight=False, soft_wrap=True)
    if found.findings:
        raise typer.Exit(exit_codes.REFUSED)
    console.print(validation.conclusion(found), highlight=False, soft_wrap=True)


def _loaded(version: Path, messages: Console) -> tuple[SavedModel, Outside | None]:
    """Returns a model, and what it says of its border between like and unlike its training images."""
    from cxr.core.silence import tensorflow_starting

    with messages.status("loading the model"), tensorflow_starting():
        from cxr.trainer.model_info import read_info
        from cxr.trainer.scoring import SavedModel

        return SavedModel(str(version)), read_info(str(version)).outside
