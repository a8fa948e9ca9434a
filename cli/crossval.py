"""`cxr crossval`: a configuration in folds by patient, by image and by source."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cxr.cli.options import Workspace, check_file, help_of, names, stdout_console, write_file

if TYPE_CHECKING:
    from rich.table import Table

    from cxr.trainer.crossval.report import Report
    from cxr.trainer.crossval.results import FoldFigures

EXAMPLES = """
[bold]Examples[/bold]

  cxr crossval --config cpu --data records                               five folds of the training and validation patients

  cxr crossval --config cpu --data records defaults.bn_recalibration=none  the same with other batch statistics

  cxr crossval --config full --data records --models mobilenet --folds 3   one model, trained whole in every fold

  cxr crossval --config full --data records defaults.fine_tuning=null    only the heads of a configuration that fine-tunes

  cxr crossval -c cpu -d records --folds 10 --out figures                ten folds, every fold's answers below figures/folds
"""


def register(app: typer.Typer) -> None:
    """Adds `cxr crossval`."""
    app.command("crossval", help=help_of(crossval, EXAMPLES))(crossval)


def crossval(
    data: Annotated[str, typer.Option("--data", "-d", help="folder of `cxr ingest`, or images: a folder per class, or a manifest CSV")],
    overrides: Annotated[list[str] | None, typer.Argument(help="key=value changes of the configuration, as in `cxr run`")] = None,
    config: Annotated[str, typer.Option("--config", "-c", help="a shipped configuration or a YAML file")] = "cpu",
    models: Annotated[str | None, typer.Option(help="only these models, with commas; of one alone there is no ensemble")] = None,
    folds: Annotated[int, typer.Option(min=2, help="how many, by patient and by image")] = 5,
    seed: Annotated[int, typer.Option(min=0, help="of the deals")] = 0,
    splits: Annotated[str, typer.Option(help="whose images take part, with commas; the files of others are not opened")] = "train,val",
    json_file: Annotated[Path | None, typer.Option("--json", metavar="FILE", help="also write the summary there")] = None,
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="folder for summary and folds; else below the workspace, by date", file_okay=False)
    ] = None,
    workspace: Workspace = Path("workspace"),
) -> None:
    """Cross-validate a configuration: members, ensemble and logistic regression in folds by patient.

    Beside it the same by image (what leakage is worth) and with one source left out at a time. Features of frozen backbones are computed
    once. Heads, ensembles and, where the configuration fine-tunes, whole networks are trained per fold; how many and how long they may
    take is said before. All that is finished is kept in the workspace: the same command goes on after an interruption.
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


def table(report: Report) -> Table:
    """The table that ends a cross-validation."""
    from rich.table import Table

    from cxr.core.counts import how_many
    from cxr.core.disclaimer import SYNTHETIC
    from cxr.core.figure_table import ACCURACY, BALANCED_ACCURACY
    from cxr.trainer.crossval.experiment import BY_IMAGE, BY_PATIENT
    from cxr.trainer.crossval.report import rows_of

    results = report.results
    others = [scheme for scheme in results if scheme not in (BY_PATIENT, BY_IMAGE)]
    images = f"{how_many(report.images, 'image')} of {how_many(report.patients, 'patient')} ({', '.join(report.splits)})"
    warning = f" ({SYNTHETIC})" if report.synthetic else ""
    shown = Table(title=f"{report.folds} folds, {images}; 95 % intervals by patient{warning}")
    columns = ["model", "accuracy by patient", "balanced by patient", "accuracy by image", "what leakage is worth"]
    for column in [*columns, *(f"accuracy {scheme}" for scheme in others), *(f"balanced {scheme}" for scheme in others)]:
        shown.add_column(column, overflow="fold")
    for name in rows_of(results):
        own = results[BY_PATIENT][name]
        shown.add_row(
            name,
            str(own.figure(ACCURACY)),
            str(own.figure(BALANCED_ACCURACY)),
            str(results[BY_IMAGE][name].figure(ACCURACY)),
            str(report.leakage[name]),
            *(str(results[scheme][name].figure(ACCURACY)) for scheme in others),
            *(str(results[scheme][name].figure(BALANCED_ACCURACY)) for scheme in others),
        )
    return shown


def elsewhere(results: dict[str, dict[str, FoldFigures]]) -> list[str]:
    """Returns how the first model of the table did at the hardest source that was left out; nothing where no source could be.

    Sources lack classes, and of two classes chance has more than of three: balanced accuracies are compared as scikit-learn adjusts them,
    (value - chance) / (1 - chance).
    """
    from cxr.core.figure_table import BALANCED_ACCURACY
    from cxr.trainer.crossval.experiment import BY_IMAGE, BY_PATIENT
    from cxr.trainer.crossval.report import rows_of

    name = rows_of(results)[0]
    found = {scheme: models[name] for scheme, models in results.items() if scheme != BY_IMAGE}
    known = {
        scheme: (value, asked_about(one)) for scheme, one in found.items() if (value := one.figure(BALANCED_ACCURACY).value) is not None
    }

    def adjusted(scheme: str) -> float:
        """0 at chance, 1 where all is right."""
        value, asked = known[scheme]
        return (value - 1 / len(asked)) / (1 - 1 / len(asked))

    def figure(scheme: str) -> str:
        """With the classes."""
        asked = known[scheme][1]
        return f"{found[scheme].figure(BALANCED_ACCURACY)}: classes {', '.join(asked)}, chance {1 / len(asked):.3f}"

    sources = [scheme for scheme, (_, asked) in known.items() if scheme != BY_PATIENT and len(asked) > 1]
    if not sources:
        return []
    hardest = min(sources, key=adjusted)
    harder = BY_PATIENT not in known or adjusted(hardest) < adjusted(BY_PATIENT)
    least, asked = known[hardest if harder else BY_PATIENT]
    own = [f"for other patients of the same sources it was {figure(BY_PATIENT)}"] if BY_PATIENT in known else []
    return [
        f"at the source that was hardest ({hardest}) the balanced accuracy of {name} was {'only ' if harder else ''}{figure(hardest)}",
        *own,
        f"of another hospital claim no more than {least:.3f} ({len(asked)} classes); none of these figures bounds it, and it may be less",
    ]


def asked_about(found: FoldFigures) -> list[str]:
    """Returns the classes of which there were images."""
    from cxr.core.figure_table import RECALL

    return [name for name, figure in found.of_classes(RECALL).items() if figure.value is not None]


def remarks(report: Report) -> list[str]:
    """What belongs to the table."""
    lines = elsewhere(report.results)
    lines += [f"best backbone by logistic regression on its frozen features: {report.best_backbone}"]
    lines += [f"{what}: {data}" for what, data in report.data_used.items()]
    lines += [f"backbone of {name}: {note}" for name, note in report.weights.items()]
    lines += [f"source {source} was not left out: {reason}" for source, reason in report.sources_not_left_out.items()]
    return lines
