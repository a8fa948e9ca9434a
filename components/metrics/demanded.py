"""One figure as a demand of the gate asks for it, as a TFMA metric: its threshold stands beside it in EvalConfig.

TFMA applies a threshold on a sliced feature to every value of it, down to the one with a single patient, and counts it as failed where the
metric is missing (metrics_validator.validate_metrics) or the slice is left out (`min_slice_size`). A slice that cannot be judged therefore
needs a number, and one that passes: this metric gives out the bound itself there. components/metrics/verdicts.py names these slices.
"""

from __future__ import annotations

from functools import partial
from math import nan
from typing import Any

import numpy as np
import tensorflow_model_analysis as tfma
from tensorflow_model_analysis.metrics import metric_types, metric_util

from cxr.components.metrics import names
from cxr.components.metrics.demand_support import judged, patients_of_demand


class DemandedFigure(tfma.metrics.Metric):
    """A figure of ClassificationMetrics, an end of its interval, or the number that another metric of the same EvalConfig gives."""

    def __init__(
        self,
        figure: str,
        end: str = "",
        class_id: int | None = None,
        min_patients: int = 0,
        otherwise: float = 0.0,
        name: str = "demanded_figure",
    ):
        """Sets what TFMA writes into, and builds again from, EvalConfig's JSON.

        Args:
            figure: name of the metric.
            end: of its interval, one of names.ENDS; empty: the value.
            class_id: the metric's sub-key; None: it has none.
            min_patients: where the figure rests on fewer, or is not defined, the slice is not judged; 0: everything is.
            otherwise: what is given out there.
            name: of the demand.
        """
        super().__init__(
            metric_util.merge_per_key_computations(_computations),
            figure=figure,
            end=end,
            class_id=class_id,
            min_patients=min_patients,
            otherwise=otherwise,
            name=name,
        )


def _computations(
    figure: str,
    end: str,
    class_id: int | None,
    min_patients: int,
    otherwise: float,
    name: str,
    model_name: str = "",
    output_name: str = "",
    example_weighted: bool = False,
) -> metric_types.MetricComputations:
    key = metric_types.MetricKey(name=name, model_name=model_name, output_name=output_name, example_weighted=example_weighted)
    result = partial(_demanded, key=key, figure=figure, end=end, class_id=class_id, min_patients=min_patients, otherwise=otherwise)
    return [metric_types.DerivedMetricComputation(keys=[key], result=result)]


def _demanded(
    metrics: dict[metric_types.MetricKey, Any],
    *,
    key: metric_types.MetricKey,
    figure: str,
    end: str,
    class_id: int | None,
    min_patients: int,
    otherwise: float,
) -> dict[metric_types.MetricKey, float]:
    def find(name: str, class_id: int | None = None) -> Any:
        """Returns a metric of this model, whatever it says of example weights; NaN where there is none."""
        sub_key = None if class_id is None else metric_types.SubKey(class_id=class_id)
        wanted = key._replace(name=name, sub_key=sub_key)
        return next((value for other, value in metrics.items() if other._replace(example_weighted=key.example_weighted) == wanted), nan)

    found = np.asarray(find(names.end(figure, end) if end else figure, class_id))
    number = float(found.item()) if found.size == 1 and np.issubdtype(found.dtype, np.number) else nan  # an array can meet no bound
    if min_patients:
        patients = patients_of_demand(figure, class_id, int(find(names.PATIENT_COUNT)), find(names.PATIENTS))
        if not judged(number, patients, min_patients):
            return {key: otherwise}
    return {key: number}
