"""Reads from an Evaluator's output what a model is compared by."""

from __future__ import annotations

from typing import Any

import numpy as np

from cxr.components.metrics import names
from cxr.components.shortcut_check.judge import Evaluated
from cxr.core.errors import CxrError

_CANDIDATES = ("", "candidate")  # TFMA's name of the model without and with a baseline


def read_evaluated(evaluation: str) -> Evaluated:
    """Reads the figures of the whole split.

    Args:
      evaluation: URI of a ModelEvaluation artifact.

    Raises:
      CxrError: It holds none.
    """
    import tensorflow_model_analysis as tfma

    for record in tfma.load_metrics(evaluation):
        if not record.slice_key.single_slice_keys:
            found: dict[str, Any] = {
                item.key.name: item.value
                for item in record.metric_keys_and_values
                if item.key.model_name in _CANDIDATES and not item.key.is_diff and not item.key.HasField("sub_key")
            }
            array = found[names.DRAWS].array_value
            draws = np.array(array.float32_values or array.float64_values, np.float32).reshape(tuple(array.shape))
            return Evaluated(
                found[names.BALANCED_ACCURACY].double_value.value,
                draws[:, names.FIGURES.index(names.BALANCED_ACCURACY)],
                int(found[names.EXAMPLE_COUNT].double_value.value),
                int(found[names.PATIENT_COUNT].double_value.value),
            )
    raise CxrError(f"{evaluation} holds no metrics for the whole split: the Evaluator saw no examples, or did not finish; see its log")
