"""All classification metrics from one pass over a slice, as a TFMA metric.

TFMA would need one combiner per metric and class for them (and has no balanced accuracy by argmax and no expected calibration error);
its accuracy is a float32 mean, which falls below a bound that it equals (14 of 20 is 0.69999999, not 0.7), its AUC stops
the Evaluator at the first NaN, where a diverged model should be refused, and its bootstrap draws images, not patients.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np
import tensorflow_model_analysis as tfma
from tensorflow_model_analysis.metrics import metric_types, metric_util
from tensorflow_model_analysis.proto import config_pb2
from tensorflow_model_analysis.utils import model_util

from cxr.components.metrics import names
from cxr.components.metrics.merging import MergingCombiner
from cxr.components.metrics.tally import Tally
from cxr.components.metrics.values import support_of, values_of
from cxr.core import features
from cxr.core.figure_intervals import difference_interval
from cxr.core.figures import CALIBRATION_BINS
from cxr.core.support import Support

_DIGITS = 6  # that draws in float32 have: 0.80 - 0.85 is -0.0500000119 of them, which a margin of 0.05 would refuse


class ClassificationMetrics(tfma.metrics.Metric):
    """Metrics of a classifier whose labels are class numbers (int64 [1]) and whose predictions are one probability per class.

    For each slice: every name of `names`, with per-class values under the sub-key `class_id`; each figure with both ends of its interval.
    Where TFMA compares with a baseline also both ends of each figure's change, as differences (`is_diff`) that a change threshold can
    bound: TFX drops those where there is no baseline. Example weights are not supported.
    """

    def __init__(
        self,
        class_names: Sequence[str],
        calibration_bins: int = CALIBRATION_BINS,
        code_version: str = "",
        name: str = "classification_metrics",
    ):
        """Sets what TFMA writes into, and builds again from, EvalConfig's JSON.

        Args:
            class_names: in the order of the model's probabilities.
            calibration_bins: equally wide bins of the top probability.
            code_version: not read; in EvalConfig it keeps TFX's cache from answering with metrics of other code.
            name: TFMA wants one; it shows up in no output.
        """
        super().__init__(
            _computations,
            class_names=list(class_names),
            calibration_bins=calibration_bins,
            code_version=code_version,
            name=name,
        )


def _computations(
    class_names: Sequence[str],
    calibration_bins: int,
    code_version: str,
    name: str,
    eval_config: config_pb2.EvalConfig | None = None,
    model_names: Sequence[str] | None = None,
    output_names: Sequence[str] | None = None,
) -> metric_types.MetricComputations:
    """Returns one computation per model; its key only tells candidate and baseline apart, the combiner yields all metrics' keys.

    With a baseline, one more for each other model. Both models' combiners have drawn the same patients, so that draw minus draw is paired.
    """
    computations: metric_types.MetricComputations = []
    baseline = model_util.get_baseline_model_spec(eval_config) if eval_config else None
    for output_name in output_names or [""]:
        for model_name in model_names or [""]:
            key = metric_types.MetricKey(name=name, model_name=model_name, output_name=output_name)
            combiner = ClassificationCombiner(class_names, calibration_bins, eval_config, model_name, output_name)
            patient = metric_types.FeaturePreprocessor([features.PATIENT_ID])
            computations.append(metric_types.MetricComputation(keys=[key], preprocessors=[patient], combiner=combiner))
            if baseline and model_name != baseline.name:
                result = partial(_changes, candidate=model_name, baseline=baseline.name, output_name=output_name, classes=len(class_names))
                key = metric_types.MetricKey(name=f"{name}_change", model_name=model_name, output_name=output_name, is_diff=True)
                computations.append(metric_types.DerivedMetricComputation(keys=[key], result=result))
    return computations


def _changes(
    metrics: dict[metric_types.MetricKey, Any], *, candidate: str, baseline: str, output_name: str, classes: int
) -> dict[metric_types.MetricKey, float]:
    """Returns both ends of the interval of every figure's change, from what the combiners found in one slice."""

    def of_both(name: str, class_id: int | None = None) -> list[Any]:
        """Returns the candidate's and the baseline's."""
        return [metrics[_key(name, model, output_name, class_id)] for model in (candidate, baseline)]

    ours, theirs = (np.asarray(draws, np.float64) for draws in of_both(names.DRAWS))
    support = Support.of_both(*(support_of(*found) for found in zip(*map(of_both, names.SUPPORT), strict=True)))
    result = {}
    for column, (figure, class_id) in enumerate(names.columns(classes)):
        new, old = of_both(figure, class_id)
        change = np.round(ours[:, column] - theirs[:, column], _DIGITS)
        found = difference_interval(figure, class_id, float(new - old), change, support)
        for which, value in zip(names.ENDS, (found.low, found.high), strict=True):
            result[_key(names.change(figure, which), candidate, output_name, class_id).make_diff_key()] = value
    return result


def _key(name: str, model_name: str, output_name: str, class_id: int | None = None) -> metric_types.MetricKey:
    # example_weighted=None: so are the keys that TFMA makes from the thresholds of a MetricsSpec, and the two must be equal
    return metric_types.MetricKey(
        name=name,
        model_name=model_name,
        output_name=output_name,
        sub_key=None if class_id is None else metric_types.SubKey(class_id=class_id),
        example_weighted=None,
    )


class ClassificationCombiner(MergingCombiner[Tally]):
    """Adds up a Tally per slice and turns it into metrics."""

    def __init__(
        self,
        class_names: Sequence[str],
        calibration_bins: int,
        eval_config: config_pb2.EvalConfig | None,
        model_name: str,
        output_name: str,
    ):
        self._class_names = tuple(class_names)
        self._calibration_bins = calibration_bins
        self._eval_config = eval_config
        self._model_name = model_name
        self._output_name = output_name

    def create_accumulator(self) -> Tally:
        """Returns the sums over no examples."""
        return Tally(len(self._class_names), self._calibration_bins)

    def add_input(self, accumulator: Tally, element: metric_types.StandardMetricInputs) -> Tally:
        """Adds one example."""
        for label, prediction, _ in metric_util.to_label_prediction_example_weight(
            element,
            eval_config=self._eval_config,
            model_name=self._model_name,
            output_name=self._output_name,
            flatten=False,
        ):
            accumulator.add(self._true_class(label), np.asarray(prediction), _patient(element))
        return accumulator

    def extract_output(self, accumulator: Tally) -> dict[metric_types.MetricKey, Any]:
        """Returns the metrics of the slice; the arrays as NumPy, which TFMA writes as ArrayValue."""
        return {self._key(name, class_id): value for (name, class_id), value in values_of(accumulator.results()).items()}

    def _key(self, name: str, class_id: int | None = None) -> metric_types.MetricKey:
        return _key(name, self._model_name, self._output_name, class_id)

    def _true_class(self, label: np.ndarray) -> int:
        index = int(np.asarray(label).reshape(-1)[0])
        if not 0 <= index < len(self._class_names):
            raise ValueError(f"an example's label is none of the classes {', '.join(self._class_names)}; ingest it again")
        return index


def _patient(element: metric_types.StandardMetricInputs) -> bytes:
    found = np.asarray((element.features or {}).get(features.PATIENT_ID, [])).reshape(-1)
    if not len(found):
        raise ValueError(f"an example has no {features.PATIENT_ID}; ingest it again")
    return found[0] if isinstance(found[0], bytes) else str(found[0]).encode()
