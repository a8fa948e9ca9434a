"""What a cross-validation says in the end: its table, and what may be claimed of it."""

from __future__ import annotations

from rich.table import Table

from cxr.core.counts import how_many
from cxr.core.disclaimer import SYNTHETIC
from cxr.core.figure_table import ACCURACY, BALANCED_ACCURACY, RECALL
from cxr.trainer.crossval.experiment import BY_IMAGE, BY_PATIENT
from cxr.trainer.crossval.report import Report, rows_of
from cxr.trainer.crossval.results import FoldFigures


def table(report: Report) -> Table:
    """Returns the table that ends a cross-validation."""
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


def remarks(report: Report) -> list[str]:
    """Returns what belongs to the table, a line each."""
    lines = elsewhere(report.results)
    lines += [f"best backbone by logistic regression on its frozen features: {report.best_backbone}"]
    lines += [f"{what}: {data}" for what, data in report.data_used.items()]
    lines += [f"backbone of {name}: {note}" for name, note in report.weights.items()]
    lines += [f"source {source} was not left out: {reason}" for source, reason in report.sources_not_left_out.items()]
    return lines


def elsewhere(results: dict[str, dict[str, FoldFigures]]) -> list[str]:
    """Returns how the first model of the table did at the hardest source that was left out; nothing where no source could be.

    Sources lack classes, and of two classes chance has more than of three: balanced accuracies are compared as scikit-learn adjusts them,
    (value - chance) / (1 - chance).
    """
    name = rows_of(results)[0]
    found = {scheme: models[name] for scheme, models in results.items() if scheme != BY_IMAGE}
    known = {
        scheme: (value, _asked_about(one)) for scheme, one in found.items() if (value := one.figure(BALANCED_ACCURACY).value) is not None
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
        f"at the hardest source ({hardest}) the balanced accuracy of {name} was {'only ' if harder else ''}{figure(hardest)}",
        *own,
        f"for another hospital claim no more than {least:.3f} ({len(asked)} classes); this is no guarantee, it may be lower there",
    ]


def _asked_about(found: FoldFigures) -> list[str]:
    """Returns the classes of which there were images."""
    return [name for name, figure in found.of_classes(RECALL).items() if figure.value is not None]
