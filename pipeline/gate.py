"""What a candidate must reach before it is pushed: the configuration of the gate, and the TFMA EvalConfig made of it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

from pydantic import Field

from cxr.components.metrics import names
from cxr.core import features
from cxr.core.strict_model import StrictModel

if TYPE_CHECKING:
    from tensorflow_model_analysis.proto.config_pb2 import EvalConfig

Share = Annotated[float, Field(ge=0, le=1)]

METRIC_MODULE, METRIC_CLASS = "cxr.components.metrics.classification", "ClassificationMetrics"
ROUNDING = 1e-9  # 0.84 - 0.86 is -0.020000000000000018: without this a drop of exactly the tolerance would be refused


class Gate(StrictModel):
    """Bounds that hold on the whole evaluation split; the slices are reported, not gated."""

    split: str = Field("test", description="split that the models are judged on")
    min_accuracy: Share = Field(0.5, description="lowest accuracy that passes (three balanced classes: 0.33 by chance)")
    min_accuracy_of: dict[str, Share] = Field({}, description="the same for single models, by name")
    tolerance: Share = Field(0.02, description="how far accuracy may fall below the baseline's (the best pushed version), absolute")
    # A network that is no better than a forest on 18 numbers has shown nothing. More than 0 would ask for what test splits of some hundred
    # images cannot show: the difference's interval is about 0.15 wide there.
    shortcut_margin: float | None = Field(
        0.0,
        ge=-1,
        lt=1,
        description="balanced accuracy must be more than this above that of each shortcut of the audit (grey histogram, border, …); "
        "null: shown, not demanded",
    )
    calibration_bins: int = Field(15, ge=1, description="bins of the expected calibration error")

    def lower_bound(self, model: str) -> float:
        """Returns the lowest accuracy with which `model` passes."""
        return self.min_accuracy_of.get(model, self.min_accuracy)


def eval_config(gate: Gate, model: str, class_names: Sequence[str] = features.CLASS_NAMES, *, code_version: str = "") -> EvalConfig:
    """Returns the Evaluator's configuration for one model, the same with and without a baseline.

    Labels are numbered by the model itself, with the graph of Transform that it was exported with (signature `transform_labels`).

    The Evaluator adds the baseline's ModelSpec (a copy of the one here, which must carry no name for that), or, where there is none,
    drops the change threshold.

    Args:
      gate: the bounds.
      model: name of the model, which selects its bound.
      class_names: in the order of the model's probabilities.
      code_version: of the metrics' code, which makes it part of the Evaluator's cache key.
    """
    # the protos' own module: TFMA 0.52 exports them under its root only once TFX has been imported
    from tensorflow_model_analysis.constants import TF_GENERIC
    from tensorflow_model_analysis.proto import config_pb2

    metric = config_pb2.MetricConfig(
        class_name=METRIC_CLASS,
        module=METRIC_MODULE,
        config=json.dumps({names.CLASS_NAMES: list(class_names), "calibration_bins": gate.calibration_bins, "code_version": code_version}),
    )
    accuracy = config_pb2.MetricThreshold(
        value_threshold=config_pb2.GenericValueThreshold(lower_bound={"value": gate.lower_bound(model)}),
        change_threshold=config_pb2.GenericChangeThreshold(
            direction=config_pb2.MetricDirection.HIGHER_IS_BETTER, absolute={"value": -gate.tolerance - ROUNDING}
        ),
    )
    all_valid = config_pb2.MetricThreshold(value_threshold=config_pb2.GenericValueThreshold(upper_bound={"value": 0}))

    metrics = config_pb2.MetricsSpec(metrics=[metric])
    for name, threshold in {names.ACCURACY: accuracy, names.INVALID_PREDICTIONS: all_valid}.items():
        # on the whole split only: MetricsSpec.thresholds would hold in every slice, down to the one with a single example
        metrics.per_slice_thresholds[name].thresholds.add(slicing_specs=[config_pb2.SlicingSpec()], threshold=threshold)
    # no options.min_slice_size: TFMA counts the thresholds as failed in each slice that it leaves out
    return config_pb2.EvalConfig(
        model_specs=[
            config_pb2.ModelSpec(
                model_type=TF_GENERIC,  # without it TFMA tries to load the SavedModel as a Keras model first
                signature_name=features.SIGNATURE_EXAMPLES,
                preprocessing_function_names=[features.SIGNATURE_LABELS],
                label_key=features.LABEL_INDEX,
                prediction_key=features.PROBABILITIES,
            )
        ],
        slicing_specs=[config_pb2.SlicingSpec(), *(config_pb2.SlicingSpec(feature_keys=[name]) for name in features.SLICE_FEATURES)],
        metrics_specs=[metrics],
    )
