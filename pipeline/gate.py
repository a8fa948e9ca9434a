"""What a candidate must reach before it is pushed: the configuration of the gate, and the TFMA EvalConfig made of it."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Annotated

from pydantic import Field, field_validator, model_validator

from cxr.components.metrics import names
from cxr.core import features, figure_table
from cxr.core.errors import UsageError
from cxr.core.figures import CALIBRATION_BINS, ROUNDING
from cxr.core.strict_model import StrictModel
from cxr.pipeline.demands import VALUE, AddedMetric, Demand, NonInferiority

if TYPE_CHECKING:
    from tensorflow_model_analysis.proto.config_pb2 import EvalConfig, MetricConfig, MetricsSpec

Share = Annotated[float, Field(ge=0, le=1)]

_ANEW = "take the demand out, or set gate.demands anew"


class Gate(StrictModel):
    """All that is demanded. `min_accuracy` and `tolerance` hold on the whole evaluation split, `demands` where each says."""

    split: str = Field(features.TEST, description="split that the models are judged on")
    min_accuracy: Share = Field(0.5, description="lowest accuracy that passes (always the most frequent class has its share)")
    min_accuracy_of: dict[str, Share] = Field({}, description="the same for single models, by name")
    tolerance: Share = Field(0.02, description="how far accuracy may fall below the baseline's (the best pushed version), absolute")
    # Accuracy cannot tell it: of 88 % in one class a model that looks at nothing is right. Nor can shortcuts that are at chance themselves.
    above_chance: bool = Field(
        True, description="balanced accuracy must surely be above chance: the lower end of its interval above 1 / classes; of every model"
    )
    demands: tuple[Demand, ...] = Field((), description="bounds on any figure, on the ends of its interval, in slices")
    # Not on by default: by chance alone the interval of a small test split is wider than any margin worth demanding (docs/evaluation.md).
    non_inferiority: NonInferiority | None = Field(None, description="what the comparison must prove, beside the tolerance; null: nothing")
    metrics: tuple[AddedMetric, ...] = Field((), description="TFMA metrics beside ours")
    # A network that is no better than a forest on 18 numbers has shown nothing. More than 0 would ask for what test splits of some hundred
    # images cannot show: the difference's interval is about 0.15 wide there.
    shortcut_margin: float | None = Field(
        0.0,
        ge=-1,
        lt=1,
        description="balanced accuracy must be more than this above that of each shortcut of the audit (grey histogram, border, …), and "
        "the AUC of a class that one tells clearly above the shortcut's; null: shown, not demanded",
    )
    calibration_bins: int = Field(CALIBRATION_BINS, ge=1, description="bins of the calibration error")

    @field_validator("split")
    @classmethod
    def _check_split(cls, split: str) -> str:
        if split != features.TEST:
            raise ValueError(
                f"must be {features.TEST}: models learn from {features.TRAIN}, and are stopped, calibrated and chosen by {features.VAL}"
            )
        return split

    @model_validator(mode="after")
    def _check_metrics(self) -> Gate:
        added: dict[str, AddedMetric] = {}
        for number, metric in enumerate(self.metrics):
            if metric.name in names.taken() or metric.name in added:
                raise ValueError(f"metrics.{number}: the name {metric.name} is taken; give it another with `config: {{name: …}}`")
            added[metric.name] = metric
        for number, demand in enumerate(self.demands):
            if demand.metric not in (*names.ALL_FIGURES, *added):
                known = f"the figures {', '.join(names.ALL_FIGURES)}" + (f", and gate.metrics has {', '.join(added)}" if added else "")
                raise ValueError(f"demands.{number}.metric: there is no {demand.metric}; there are {known}")
            if demand.class_name is not None and demand.metric in added and not added[demand.metric].per_class:
                raise ValueError(f"demands.{number}.class: {demand.metric} has one value; set per_class in gate.metrics for one per class")
        return self

    def lower_bound(self, model: str) -> float:
        """Returns the lowest accuracy with which `model` passes."""
        return self.min_accuracy_of.get(model, self.min_accuracy)

    def all_demands(self, classes: int) -> dict[str, Demand]:
        """Returns `demands` by their numbers, and what `above_chance` demands by that name.

        Args:
          classes: how many there are.
        """
        found = {str(number): demand for number, demand in enumerate(self.demands)}
        if self.above_chance:
            found["above_chance"] = Demand(metric=figure_table.BALANCED_ACCURACY, at="lower", min=1 / classes)
        return found

    @property
    def compared(self) -> tuple[str, ...]:
        """Metrics that a candidate must not lose against the baseline; a version that is worse in one of them is no new floor."""
        return tuple(dict.fromkeys([figure_table.ACCURACY, *([self.non_inferiority.metric] if self.non_inferiority else [])]))

    def per_class(self, metric: str) -> bool:
        """Returns whether a metric has a value for each class."""
        return metric in names.CLASS_FIGURES or any(added.per_class for added in self.metrics if added.name == metric)

    def unknown_models(self, candidates: Sequence[str]) -> Iterator[str]:
        """Yields which settings name a model that is none of `candidates`, each with what to do."""
        models = ", ".join(candidates)
        for model in self.min_accuracy_of:
            if model not in candidates:
                anew = "take it out, or set gate.min_accuracy_of anew"
                yield f"gate.min_accuracy_of.{model}: there is no model {model}; there are {models}: {anew}"
        for number, demand in enumerate(self.demands):
            for model in demand.models or ():
                if model not in candidates:
                    yield f"gate.demands.{number}.models: there is no model {model}; there are {models}: {_ANEW}"

    def unknown_classes(self, class_names: Sequence[str]) -> Iterator[str]:
        """Yields which demands name a class that is none of `class_names`, each with what to do."""
        for number, demand in enumerate(self.demands):
            if demand.class_name is not None and demand.class_name not in class_names:
                yield f"gate.demands.{number}.class: there is no class {demand.class_name}; there are {', '.join(class_names)}: {_ANEW}"


def eval_config(gate: Gate, model: str, class_names: Sequence[str] = features.CLASS_NAMES, *, code_version: str) -> EvalConfig:
    """Returns the Evaluator's configuration for one model, the same with and without a baseline.

    Labels are numbered by the model itself, with the graph of Transform that it was exported with (signature `transform_labels`).

    The Evaluator adds the baseline's ModelSpec (a copy of the one here, which must carry no name for that), or, where there is none,
    drops the change threshold.

    Args:
      gate: the bounds.
      model: name of the model, which selects its bound.
      class_names: in the order of the model's probabilities.
      code_version: of the metrics' code, which makes it part of the Evaluator's cache key.

    Raises:
      UsageError: a demand names a class that there is not, or an added metric cannot be made.
    """
    # the protos' own module: TFMA 0.52 exports them under its root only once TFX has been imported
    from tensorflow_model_analysis.constants import TF_GENERIC
    from tensorflow_model_analysis.proto import config_pb2

    metric = config_pb2.MetricConfig(
        class_name=names.METRIC_CLASS,
        module=names.METRIC_MODULE,
        config=json.dumps({names.CLASS_NAMES: list(class_names), "calibration_bins": gate.calibration_bins, "code_version": code_version}),
    )
    answers = config_pb2.MetricConfig(
        class_name=names.ANSWERS_CLASS,
        module=names.ANSWERS_MODULE,
        config=json.dumps({"classes": len(class_names), "code_version": code_version}),
    )
    accuracy = config_pb2.MetricThreshold(
        value_threshold=config_pb2.GenericValueThreshold(lower_bound={"value": gate.lower_bound(model)}),
        change_threshold=config_pb2.GenericChangeThreshold(
            direction=config_pb2.MetricDirection.HIGHER_IS_BETTER, absolute={"value": -gate.tolerance - ROUNDING}
        ),
    )
    all_valid = config_pb2.MetricThreshold(value_threshold=config_pb2.GenericValueThreshold(upper_bound={"value": 0}))

    thresholds = {figure_table.ACCURACY: accuracy, names.INVALID_PREDICTIONS: all_valid}
    if rule := gate.non_inferiority:
        worst = -rule.margin - ROUNDING if rule.higher_is_better else rule.margin + ROUNDING
        direction = config_pb2.MetricDirection.HIGHER_IS_BETTER if rule.higher_is_better else config_pb2.MetricDirection.LOWER_IS_BETTER
        thresholds[rule.threshold_on] = config_pb2.MetricThreshold(
            change_threshold=config_pb2.GenericChangeThreshold(direction=direction, absolute={"value": worst})
        )

    metrics = config_pb2.MetricsSpec(metrics=[metric, answers])  # the first: kubeflow/parameters.py points into it
    for name, threshold in thresholds.items():
        # on the whole split only: MetricsSpec.thresholds would hold in every slice, down to the one with a single example
        metrics.per_slice_thresholds[name].thresholds.add(slicing_specs=[config_pb2.SlicingSpec()], threshold=threshold)
    specs = [metrics, *_added(gate, len(class_names))]
    if demanded := list(_demanded(gate, model, class_names)):
        specs.append(config_pb2.MetricsSpec(metrics=demanded))  # the last: TFMA derives metrics in order, these from others
    # no options.min_slice_size: TFMA counts the thresholds as failed in each slice that it leaves out
    config = config_pb2.EvalConfig(
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
        metrics_specs=specs,
    )
    _try(gate, config)
    return config


def _added(gate: Gate, classes: int) -> Iterator[MetricsSpec]:
    from tensorflow_model_analysis.proto import config_pb2

    for per_class in (False, True):
        metrics = [
            config_pb2.MetricConfig(class_name=added.class_name, module=added.module, config=json.dumps(added.arguments))
            for added in gate.metrics
            if added.per_class == per_class
        ]
        if metrics:
            spec = config_pb2.MetricsSpec(metrics=metrics)
            if per_class:
                spec.binarize.class_ids.values.extend(range(classes))
            yield spec


def _demanded(gate: Gate, model: str, class_names: Sequence[str]) -> Iterator[MetricConfig]:
    """Yields a metric with its threshold for each demand on `model`; of a figure with a value per class one for each class."""
    from tensorflow_model_analysis.proto import config_pb2

    if problems := list(gate.unknown_classes(class_names)):
        raise UsageError("; ".join(problems))
    for key, demand in gate.all_demands(len(class_names)).items():
        if not demand.holds_for(model):
            continue
        bounds = config_pb2.GenericValueThreshold()
        if demand.min is not None:
            bounds.lower_bound.value = demand.min - ROUNDING  # the mean of three times 0.7 is 0.6999999999999998
        if demand.max is not None:
            bounds.upper_bound.value = demand.max + ROUNDING
        spec = config_pb2.SlicingSpec(feature_keys=[demand.slice] if demand.slice else [])
        for class_name in [demand.class_name] if demand.class_name or not gate.per_class(demand.metric) else class_names:
            config = {
                "figure": demand.metric,
                "end": "" if demand.at == VALUE else demand.at,
                "class_id": None if class_name is None else list(class_names).index(class_name),
                "min_patients": demand.min_patients if demand.slice else 0,
                "otherwise": demand.max if demand.min is None else demand.min,
                "name": ".".join(filter(None, ("demands", key, demand.metric, class_name))),
            }
            found = config_pb2.MetricConfig(class_name=names.DEMANDED_CLASS, module=names.DEMANDED_MODULE, config=json.dumps(config))
            found.per_slice_thresholds.add(slicing_specs=[spec], threshold=config_pb2.MetricThreshold(value_threshold=bounds))
            yield found


def _try(gate: Gate, config: EvalConfig) -> None:
    """Makes what the Evaluator will make, now and not after hours of training."""
    from tensorflow_model_analysis.metrics import metric_specs, metric_types

    if not gate.metrics:
        return
    try:
        computations = metric_specs.to_computations(config.metrics_specs, eval_config=config)
    except Exception as error:  # whatever the class of the metric raises
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise UsageError(f"gate.metrics: TFMA cannot make {', '.join(metric.name for metric in gate.metrics)}: {reason}") from error
    found = {key.name for computation in computations for key in computation.keys if not isinstance(key, metric_types.PlotKey)}
    for metric in gate.metrics:
        if metric.name not in found and any(demand.metric == metric.name for demand in gate.demands):
            given = ", ".join(sorted(name for name in found if not name.startswith(("_", "demands."))))
            raise UsageError(f"gate.metrics: {metric.class_name} gives no number named {metric.name}, which is demanded; there are {given}")
