"""Names of the metrics in an Evaluator's output: written by `classification` and `answers`, gated by pipeline/gate.py, read by
`evaluator_output`. Those of the figures are in core/figure_table.py.
"""

from collections.abc import Mapping
from typing import Any

from cxr.core.figure_table import OF_ALL_CLASSES, OF_ONE_CLASS, TABLE

Values = Mapping[tuple[str, int | None], Any]  # a slice's metrics, by name and class; None: of all classes

# === One number per slice ===
EXAMPLE_COUNT = "example_count"
PATIENT_COUNT = "patient_count"
INVALID_PREDICTIONS = "invalid_predictions"
FIGURES = tuple(row.name for row in OF_ALL_CLASSES)
PAIRED = tuple(row.name for row in OF_ALL_CLASSES if row.paired)  # that two models can be compared in

# === One number per slice and class (the metric key's sub-key is the class's index) ===
CLASS_FIGURES = tuple(row.name for row in OF_ONE_CLASS)

ALL_FIGURES = (*FIGURES, *CLASS_FIGURES)

# === The ends of each figure's 95 % interval, and of that of its change against the baseline: numbers too, see `end` and `change` ===
LOWER, UPPER = "lower", "upper"
ENDS = (LOWER, UPPER)

# === Arrays per slice ===
PATIENTS = "patients"  # int64 [2, class]: patients with an image of the class, and with one that is taken for it
QUANTILES = "quantiles"  # float64 [4, class], core/support.py: by how many standard errors intervals reach to each side
SUPPORT = (PATIENT_COUNT, PATIENTS, QUANTILES)  # what a core.support.Support is made of
DRAWS = "draws"  # float32 [draw of patients, figure]: FIGURES, then for each of CLASS_FIGURES one column per class
CONFUSION_MATRIX = "confusion_matrix"  # int64 [true class, predicted class; the last column: no valid prediction]
CALIBRATION_BINS = "calibration_bins"  # float64 [bin, (examples, sum of confidences, right answers)]

# === Arrays per slice, one row per example, sorted (answers.py) ===
ANSWERED_IMAGES = "answered_images"  # int64 [example]: answers.image_number of its content hash
ANSWERED_LABELS = "answered_labels"  # int64 [example]: true class
ANSWERED_PROBABILITIES = "answered_probabilities"  # float32 [example, class]

# === Arrays per slice and class ===
ROC = "roc"  # float64 [threshold, (threshold, false positive rate, true positive rate)], one against the rest

CLASS_NAMES = "class_names"  # argument of the metric, in EvalConfig's JSON


def end(figure: str, which: str) -> str:
    """Returns the metric that is one end of a figure's interval: `recall_lower`."""
    return f"{figure}_{which}"


def change(figure: str, which: str) -> str:
    """Returns the metric that is one end of the interval of candidate minus baseline, as TFMA's difference: `accuracy_change_lower`."""
    return f"{figure}_change_{which}"


def columns(classes: int) -> list[tuple[str, int | None]]:
    """Returns figure and class (None: of all classes) of each column of DRAWS, in order."""
    single: list[tuple[str, int | None]] = [(name, None) for name in FIGURES]
    return single + [(name, class_id) for name in CLASS_FIGURES for class_id in range(classes)]


def taken() -> frozenset[str]:
    """Returns every name of this module's that is a number."""
    derived = {name(figure, which) for figure in ALL_FIGURES for which in ENDS for name in (end, change)}
    return frozenset({EXAMPLE_COUNT, PATIENT_COUNT, INVALID_PREDICTIONS, *ALL_FIGURES, *derived})


def title(metric: str) -> str:
    """Returns what sentences call a metric: a figure's title; of any other, counts and those of `gate.metrics`, its own name in words."""
    return TABLE[metric].title if metric in TABLE else metric.replace("_", " ")


# === Modules and classes of the metrics, as an EvalConfig names them ===
METRIC_MODULE, METRIC_CLASS = "cxr.components.metrics.classification", "ClassificationMetrics"
DEMANDED_MODULE, DEMANDED_CLASS = "cxr.components.metrics.demanded", "DemandedFigure"
ANSWERS_MODULE, ANSWERS_CLASS = "cxr.components.metrics.answers", "ImageAnswers"
OUR_CLASSES = (METRIC_CLASS, DEMANDED_CLASS, ANSWERS_CLASS)
