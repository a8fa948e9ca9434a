"""Evaluation: how good each model is on the split that it is judged on."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from cxr.components.answers.image_answers import AnsweredImages
from cxr.components.answers.most_confident import named
from cxr.components.metrics.evaluation import Evaluation
from cxr.components.report.page.charts.curves import precision_recall_chart, reliability_chart, roc_chart
from cxr.components.report.page.charts.models import accuracy_chart
from cxr.components.report.page.charts.slices import slices_chart
from cxr.components.report.page.charts.svg import Chart
from cxr.components.report.page.content import Content, Model
from cxr.components.report.page.numbers import number, percent, unbroken
from cxr.components.report.page.section import Section
from cxr.core import features
from cxr.core.figure_table import OF_ALL_CLASSES, OF_ONE_CLASS
from cxr.core.support import large_share


def _context(content: Content) -> Mapping[str, Any] | None:
    judged = {model.name: model for model in content.models if model.evaluation}
    if not judged:
        return None
    evaluations = {name: model.evaluation for name, model in judged.items() if model.evaluation}
    some = next(iter(evaluations.values()))
    return {
        "examples": some.examples,
        "patients": some.patients,
        "large_share": _large_share(judged),
        "banded": any(curves for model in judged.values() for curves in model.bands.values()),
        "overview": accuracy_chart(evaluations),
        "against": _against_ensemble(judged),
        "class_columns": ("class", "images", *(row.title for row in OF_ONE_CLASS)),
        "models": [
            {
                "name": name,
                "totals": _totals(evaluation),
                "classes": _classes(evaluation),
                "matrix": _matrix(evaluation),
                "class_names": evaluation.class_names,
                "invalid": evaluation.invalid_predictions,
                "charts": list(_charts(f"evaluation-{at}", judged[name], evaluation)),
                "slices": slices_chart(f"slices-{at}", name, evaluation),
            }
            for at, (name, evaluation) in enumerate(evaluations.items())
        ],
    }


def _large_share(judged: Mapping[str, Model]) -> str:
    """Returns a sentence where one patient has a large part of the images; empty where none has, or nobody knows whose they are."""
    known = [model.answers.patients for model in judged.values() if model.answers is not None and model.answers.patients is not None]
    return large_share(known[0]) if known else ""


def _charts(key: str, model: Model, evaluation: Evaluation) -> Iterator[Chart]:
    if model.roc:
        yield roc_chart(f"{key}-roc", model.name, evaluation, model.roc, model.bands)
        yield precision_recall_chart(f"{key}-pr", model.name, evaluation, model.roc, model.bands)
    yield reliability_chart(f"{key}-reliability", model.name, evaluation)


def _totals(evaluation: Evaluation) -> list[tuple[str, str]]:
    return [(row.title, unbroken(str(evaluation.figure(row.name)))) for row in OF_ALL_CLASSES]


def _classes(evaluation: Evaluation) -> list[tuple[str, ...]]:
    return [
        (result.name, str(result.examples), *(unbroken(str(result.figure(row.name))) for row in OF_ONE_CLASS))
        for result in evaluation.classes
    ]


def _matrix(evaluation: Evaluation) -> list[tuple[str, list[tuple[int, str, float]]]]:
    """Rows: true class; count, rate and its number in [0, 1] for each predicted class. Rates are of all images of the true class."""
    rows = []
    for result, counts in zip(evaluation.classes, evaluation.confusion_matrix, strict=True):
        shares = [count / result.examples if result.examples else 0.0 for count in counts]
        rows.append((result.name, [(count, percent(share), round(share, 3)) for count, share in zip(counts, shares, strict=True)]))
    return rows


def _against_ensemble(judged: Mapping[str, Model]) -> list[tuple[str, ...]]:
    """Rows: member, images that both get right, only the ensemble, only the member, none; change of accuracy."""
    ensemble = judged.get(features.ENSEMBLE)
    if ensemble is None or ensemble.answers is None:
        return []
    ours = _right(ensemble.answers)
    rows = []
    for name, model in judged.items():
        if model is ensemble or model.answers is None or not np.array_equal(model.answers.images, ensemble.answers.images):
            continue
        theirs = _right(model.answers)
        counts = [int(part.sum()) for part in (ours & theirs, ours & ~theirs, ~ours & theirs, ~ours & ~theirs)]
        rows.append((name, *map(str, counts), number(float(ours.mean() - theirs.mean()))))
    return rows


def _right(answers: AnsweredImages) -> npt.NDArray[np.bool_]:
    """Tells of each image whether the answer is right; what is no vector of probabilities is wrong."""
    return named(answers.probabilities) == answers.labels


SECTION = Section("evaluation", "Evaluation", _context)
