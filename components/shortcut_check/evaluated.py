"""Reads from an Evaluator's output what a model is compared by."""

from __future__ import annotations

import numpy as np

from cxr.components.metrics import names
from cxr.components.metrics.evaluator_output import read_values
from cxr.components.metrics.values import support_of
from cxr.components.shortcut_check.judge import Evaluated
from cxr.core.figure_table import AUC, BALANCED_ACCURACY


def read_evaluated(evaluation: str) -> Evaluated:
    """Reads the figures of the whole split.

    Args:
      evaluation: URI of a ModelEvaluation artifact.

    Raises:
      CxrError: It holds none.
    """
    values, _ = read_values(evaluation)
    draws, support = values[names.DRAWS, None].astype(np.float32), support_of(*(values[name, None] for name in names.SUPPORT))
    return Evaluated(
        values[BALANCED_ACCURACY, None],
        draws[:, names.FIGURES.index(BALANCED_ACCURACY)],
        int(values[names.EXAMPLE_COUNT, None]),
        support,
        [values[AUC, number] for number in range(support.per_class.shape[1])],
    )
