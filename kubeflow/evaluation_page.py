"""What Kubeflow Pipelines' page shows of an evaluation: scalar metrics, confusion matrix, ROC curves and a report in HTML.

TFX's ModelEvaluation is a folder that the page cannot read. The compiler therefore gives every Evaluator further outputs of KFP's own
types (`outputs`), and the entry point fills them after TFX's executor has run (`publish`). The forms of the metadata are those of kfp.dsl.
"""

from __future__ import annotations

import html
import math
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from cxr.components.metrics.evaluation import Evaluation, Validation
from cxr.components.metrics.evaluator_output import read_evaluation, read_roc, read_validation
from cxr.core.counts import how_many
from cxr.core.disclaimer import NOT_A_DEVICE
from cxr.core.figure_table import ACCURACY, AUC, OF_ALL_CLASSES, OF_ONE_CLASS, row_of
from cxr.core.intervals import NONE, with_interval
from cxr.kubeflow.uris import local_path

EXECUTOR = "cxr.components.evaluator.executor.Executor"
METRICS, CONFUSION_MATRIX, REPORT = "metrics", "confusion_matrix", "report"
_ROC = "roc_"


def outputs(class_names: Sequence[str]) -> dict[str, Any]:
    """Returns the definitions of an Evaluator's further outputs.

    Args:
      class_names: The classes; each has a ROC curve of its own, one against the rest.
    """
    titles = {METRICS: "Metrics", CONFUSION_MATRIX: "ClassificationMetrics"}
    titles |= dict.fromkeys(roc_keys(class_names).values(), "ClassificationMetrics")
    titles[REPORT] = "HTML"
    return {key: {"artifactType": {"schemaTitle": f"system.{title}", "schemaVersion": "0.0.1"}} for key, title in titles.items()}


def roc_keys(class_names: Sequence[str]) -> dict[str, str]:
    """Returns for each class the name of the output with its ROC curve: with its number too, where two differ in signs only."""
    keys = [_ROC + re.sub("[^0-9A-Za-z]", "_", name) for name in class_names]
    if len(set(keys)) < len(keys):
        keys = [f"{_ROC}{number}_{key.removeprefix(_ROC)}" for number, key in enumerate(keys)]
    return dict(zip(class_names, keys, strict=True))


def publish_from(folder: str, given: Mapping[str, Any]) -> dict[str, Any]:
    """Reads a ModelEvaluation artifact's folder and publishes it; see `publish`."""
    return publish(given, read_evaluation(folder), read_validation(folder), read_roc(folder))


def publish(given: Mapping[str, Any], evaluation: Evaluation, validation: Validation, curves: Mapping[str, np.ndarray]) -> dict[str, Any]:
    """Fills those of a task's outputs that are in `outputs`.

    Args:
      given: The launcher's ExecutorInput.
      evaluation: What the Evaluator measured.
      validation: The gate's answer.
      curves: ROC curves by class name, float64 [thresholds, 3]; see read_roc.

    Returns: entries for the `artifacts` of an ExecutorOutput.
    """
    metadata: dict[str, dict[str, Any]] = {
        METRICS: _scalars(evaluation, validation),
        CONFUSION_MATRIX: _confusion_matrix(evaluation),
        REPORT: {},
    }
    keys = roc_keys(evaluation.class_names)
    metadata |= {keys[name]: _roc(curve) for name, curve in curves.items()}
    found = {}
    for key, facts in metadata.items():
        for artifact in given["outputs"]["artifacts"].get(key, {}).get("artifacts", []):
            if key == REPORT:
                file = Path(local_path(artifact["uri"]))
                file.parent.mkdir(parents=True, exist_ok=True)
                file.write_text(html_report(evaluation, validation), encoding="utf-8")
            found[key] = {"artifacts": [{"name": artifact.get("name", key), "uri": artifact["uri"], "metadata": facts}]}
    return found


def _scalars(evaluation: Evaluation, validation: Validation) -> dict[str, float | str]:
    values: dict[str, float | None] = {
        "examples": evaluation.examples,
        **{row.name: evaluation.figure(row.name).value for row in OF_ALL_CLASSES},
        f"{ACCURACY}_low": evaluation.accuracy_interval.low,
        f"{ACCURACY}_high": evaluation.accuracy_interval.high,
        "invalid_predictions": evaluation.invalid_predictions,
        "baseline_accuracy": evaluation.baseline_accuracy,
    }
    values |= {f"{AUC}_{result.name}": result.auc for result in evaluation.classes}
    # protojson has no NaN
    finite = {name: float(value) for name, value in values.items() if value is not None and math.isfinite(value)}
    return {**finite, "gate": "blessed" if validation.blessed else "refused"}


def _confusion_matrix(evaluation: Evaluation) -> dict[str, Any]:
    return {
        "confusionMatrix": {
            "annotationSpecs": [{"displayName": name} for name in evaluation.class_names],
            "rows": [{"row": list(row)} for row in evaluation.confusion_matrix],
        }
    }


def _roc(curve: np.ndarray) -> dict[str, Any]:
    """Returns nothing for a class of which the split holds no examples, or nothing else."""
    points = [
        {"confidenceThreshold": threshold, "falsePositiveRate": false_positive, "recall": true_positive}
        for threshold, false_positive, true_positive in curve[::-1].tolist()  # from the lower left corner
        if math.isfinite(false_positive) and math.isfinite(true_positive)
    ]
    return {"confidenceMetrics": points} if points else {}


def html_report(evaluation: Evaluation, validation: Validation) -> str:
    """Returns the evaluation as one HTML page without scripts and without anything from elsewhere."""
    import pandas as pd

    def table(rows: Sequence[Mapping[str, Any]]) -> str:
        return pd.DataFrame(rows).to_html(index=False, border=0, na_rep=NONE, float_format=lambda value: f"{value:.3f}")  # escapes

    verdict = "blessed" if validation.blessed else "refused"
    shown = "value (95 % interval)"
    overall = [{"metric": row.title, shown: str(evaluation.figure(row.name))} for row in OF_ALL_CLASSES]
    if evaluation.baseline_accuracy is not None and evaluation.change is not None:
        accuracy = row_of(ACCURACY).title
        overall.append({"metric": f"{accuracy} of the baseline", shown: f"{evaluation.baseline_accuracy:.3f}"})
        change = evaluation.accuracy - evaluation.baseline_accuracy
        overall.append({"metric": f"change of {accuracy} (same patients)", shown: with_interval(change, evaluation.change)})
    classes = [
        {"class": result.name, "examples": result.examples, **{row.title: str(result.figure(row.name)) for row in OF_ONE_CLASS}}
        for result in evaluation.classes
    ]
    slices = [
        {
            "feature": result.feature,
            "value": result.value,
            "examples": result.examples,
            "patients": result.patients,
            **{row.title: str(result.figure(row.name)) for row in OF_ALL_CLASSES if row.by_slice},
        }
        for result in evaluation.slices
    ]
    demands = [
        {
            "demand": demand.subject,
            "wanted": demand.wanted,
            "measured": demand.measured,
            "patients": demand.patients,
            "verdict": demand.verdict,
        }
        for demand in validation.demands
    ]
    parts = [
        f"<h2>Gate: {verdict}</h2>",
        "".join(f"<p>{html.escape(reason)}</p>" for reason in validation.reasons),
        table(demands) if demands else "",
        f"<p>{how_many(evaluation.examples, 'example')} of {how_many(evaluation.patients, 'patient')}, {evaluation.correct} right, "
        f"{evaluation.invalid_predictions} without a valid prediction. "
        f"{NOT_A_DEVICE}</p>",
        f"<h3>Whole split</h3>{table(overall)}<h3>Classes, one against the rest</h3>{table(classes)}",
        f"<h3>Slices, with 95 % intervals</h3>{table(slices)}" if slices else "",
    ]
    style = "body{font:14px sans-serif;margin:1em} td,th{padding:.2em .8em;text-align:left} tr:nth-child(even){background:#f3f3f3}"
    return f'<!DOCTYPE html><html lang="en"><head><meta charset="utf-8"><style>{style}</style></head><body>{"".join(parts)}</body></html>'
