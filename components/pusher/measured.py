"""Reads from an Evaluator's output what is kept beside a pushed model."""

from __future__ import annotations

from cxr.components.metrics import names

KEPT = (names.EXAMPLE_COUNT, names.ACCURACY, names.BALANCED_ACCURACY, names.LOG_LOSS, names.CALIBRATION_ERROR)
_CANDIDATES = ("", "candidate")  # TFMA's name of the model without and with a baseline
_BASELINE = "baseline"


def measured(evaluation: str) -> tuple[dict[str, float], dict[str, float] | None]:
    """Reads the metrics of the whole split.

    Args:
      evaluation: URI of a ModelEvaluation artifact.

    Returns: those of the candidate, and those of the baseline it was compared with; None without one.
    """
    import tensorflow_model_analysis as tfma

    ours: dict[str, float] = {}
    theirs: dict[str, float] = {}
    for record in tfma.load_metrics(evaluation):
        if record.slice_key.single_slice_keys:
            continue
        for item in record.metric_keys_and_values:
            if item.key.name in KEPT and not item.key.is_diff:
                kept = ours if item.key.model_name in _CANDIDATES else theirs if item.key.model_name == _BASELINE else {}
                kept[item.key.name] = item.value.double_value.value
    return ours, theirs or None
