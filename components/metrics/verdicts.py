"""What the gate demanded of a candidate, what was measured, and a sentence for each demand that was not met."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import isnan, nan
from typing import TYPE_CHECKING, Literal

from cxr.components.metrics import names
from cxr.components.metrics.demand_support import judged, patients_of_demand
from cxr.components.metrics.names import Values
from cxr.core import figure_table
from cxr.core.counts import how_many
from cxr.core.refusal import Check, Refusal

if TYPE_CHECKING:
    from tensorflow_model_analysis.proto import config_pb2, validation_result_pb2

_DIGITS = 8
Verdict = Literal["met", "missed", "not judged"]
Slice = tuple[str, str] | None  # feature and value; None: the whole split

_INTERVAL = {names.LOWER: " (lower end of the 95 % interval)", names.UPPER: " (upper end of the 95 % interval)", "": ""}


@dataclass(frozen=True)
class Measured:
    """What the Evaluator measured in one slice."""

    where: Slice
    values: Values  # of the candidate
    changes: Values  # candidate minus baseline; empty without one


@dataclass(frozen=True)
class Failure:
    """A threshold that did not hold, as TFMA says."""

    where: Slice
    proto: validation_result_pb2.ValidationFailure


@dataclass(frozen=True)
class Judgement:
    """One demand in one slice.

    Attributes:
      demand: the metric that holds the threshold: `demands.0.recall.covid19` is `gate.demands[0]` on this class,
        `demands.above_chance.balanced_accuracy` is `gate.above_chance`.
      what: the figure, its class and the end of its interval.
      where: feature and value of the slice; None: the whole split.
      measured: NaN where it is not defined.
      least: lowest that passes; None: there is no such bound.
      most: highest that passes; None: there is no such bound.
      patients: on whom the figure rests.
      min_patients: how many a slice needs to be judged; 0: the whole split always is.
      verdict: `not judged` where the figure rests on too few patients of a slice, or is not defined there.
    """

    demand: str
    what: str
    where: Slice
    measured: float
    least: float | None
    most: float | None
    patients: int
    min_patients: int
    verdict: Verdict

    @property
    def subject(self) -> str:
        """What was demanded, and where."""
        return f"{self.what} in {self.where[0].replace('_', ' ')} {self.where[1]}" if self.where else self.what

    @property
    def wanted(self) -> str:
        """The bounds."""
        bounds = (("at least", self.least), ("at most", self.most))
        return " and ".join(f"{side} {bound:.3f}" for side, bound in bounds if bound is not None)

    @property
    def reason(self) -> str:
        """Why it was not met."""
        if isnan(self.measured):
            return f"{self.subject} is not defined ({how_many(self.patients, 'patient')}); {self.wanted} is required"
        if self.least is not None and self.measured < self.least:
            return f"{self.subject} {self.measured:.3f} is below {self.least:.3f}"
        return f"{self.subject} {self.measured:.3f} is above {self.most:.3f}"


def judge(config: config_pb2.EvalConfig, slices: Sequence[Measured], failures: Sequence[Failure]) -> list[Judgement]:
    """Returns what became of every threshold that was applied, in the order of the configuration.

    Args:
      config: as the Evaluator ran with it.
      slices: that it measured; the whole split among them.
      failures: TFMA's decision.
    """
    failed = {(failure.where, failure.proto.metric_key.name, failure.proto.metric_key.is_diff) for failure in failures}
    whole = [measured for measured in slices if measured.where is None]
    found = [judgement for spec in config.metrics_specs for part in whole for judgement in _of_figures(spec, part, failed)]
    class_names = class_names_of(config)
    for spec in config.metrics_specs:
        for metric in spec.metrics:
            if metric.class_name == names.DEMANDED_CLASS:
                found += _of_demand(metric, class_names, slices, failed)
    return found


def not_judged(judgements: Sequence[Judgement]) -> list[str]:
    """Returns a sentence for each demand that left slices out."""
    found: dict[tuple[str, str], list[str]] = {}
    for judgement in judgements:
        if judgement.verdict == "not judged" and judgement.where:
            feature, value = judgement.where
            enough = judgement.patients >= judgement.min_patients
            why = "not defined" if enough else how_many(judgement.patients, "patient")
            found.setdefault((judgement.what, feature), []).append(f"{value} ({why})")
    return [
        Check.GATE.says(f"{what} was not judged in {feature.replace('_', ' ')} {', '.join(values)}")
        for (what, feature), values in found.items()
    ]


def class_names_of(config: config_pb2.EvalConfig) -> tuple[str, ...]:
    """Returns the classes in the order of the models' probabilities; none where pipeline/gate.py did not make the configuration."""
    configs = (json.loads(metric.config or "{}") for spec in config.metrics_specs for metric in spec.metrics)
    return next((tuple(found[names.CLASS_NAMES]) for found in configs if names.CLASS_NAMES in found), ())


def refusal(failure: Failure, judgements: Sequence[Judgement], accuracy: float | None) -> Refusal:
    """Returns what the gate says of a threshold that did not hold: what was measured and what was asked for.

    Args:
      failure: one threshold that did not hold.
      judgements: see `judge`.
      accuracy: the candidate's, which a failure of the change threshold does not carry.
    """
    return Refusal(check=Check.GATE, text=_sentence(failure, judgements, accuracy), behind_baseline=_behind_baseline(failure))


def _behind_baseline(failure: Failure) -> bool:
    """Whether the candidate was measured to be worse than the baseline: not where too few patients leave that open."""
    compared = failure.proto.metric_threshold.HasField("change_threshold") and failure.proto.HasField("metric_value")
    return compared and not isnan(failure.proto.metric_value.double_value.value)


def _sentence(failure: Failure, judgements: Sequence[Judgement], accuracy: float | None) -> str:
    proto = failure.proto
    key, threshold = proto.metric_key, proto.metric_threshold
    for judgement in judgements:
        if judgement.demand.startswith("demands.") and (judgement.demand, judgement.where) == (key.name, failure.where):
            return judgement.reason
    name = names.title(key.name)
    if not proto.HasField("metric_value"):
        return f"{name} was not measured"
    value = proto.metric_value.double_value.value
    if key.name == names.INVALID_PREDICTIONS:
        wrong = how_many(round(value), "prediction is not a vector of probabilities", "predictions are not vectors of probabilities")
        return f"{wrong} (NaN, infinite or outside [0, 1])"
    if threshold.HasField("change_threshold"):
        allowed = abs(threshold.change_threshold.absolute.value)
        if key.name != figure_table.ACCURACY:
            return _inferior(key.name, value, allowed)
        ours = f"{name} {accuracy:.3f}" if accuracy is not None else name
        theirs = f"'s {accuracy - value:.3f}" if accuracy is not None else ""
        return f"{ours} is {-value:.3f} below the baseline{theirs}; {allowed:.3f} is allowed"
    bounds = threshold.value_threshold
    if bounds.HasField("upper_bound") and value > bounds.upper_bound.value:
        return f"{name} {value:.3f} is above {bounds.upper_bound.value:.3f}"
    return f"{name} {value:.3f} is below {bounds.lower_bound.value:.3f}"


def _inferior(name: str, value: float, margin: float) -> str:
    figure, _, end = name.partition("_change_")
    figure, side = names.title(figure), "below" if end == names.LOWER else "above"
    if isnan(value):
        return f"{figure} was measured on too few patients for a comparison; at most {margin:.3f} {side} the baseline is allowed"
    return (
        f"{figure} may be {abs(value):.3f} {side} the baseline's (end of the 95 % interval of the difference, same patients); "
        f"{margin:.3f} is allowed"
    )


def _of_figures(spec: config_pb2.MetricsSpec, part: Measured, failed: set[tuple[Slice, str, bool]]) -> Iterator[Judgement]:
    """Yields what became of the thresholds that stand in a MetricsSpec, all on the whole split."""
    patients = int(part.values.get((names.PATIENT_COUNT, None), 0))
    for name, per_slice in sorted(spec.per_slice_thresholds.items()):  # a map has no order of its own
        for item in per_slice.thresholds:
            value, change = item.threshold.value_threshold, item.threshold.change_threshold
            if item.threshold.HasField("value_threshold"):
                measured = float(part.values.get((name, None), nan))
                missed = (None, name, False) in failed
                yield Judgement(name, names.title(name), None, measured, *_bounds(value), patients, 0, "missed" if missed else "met")
            if item.threshold.HasField("change_threshold"):
                figure, _, end = name.partition("_change_")
                bound, lower_is_better = change.absolute.value, figure_table.row_of(figure).lower_is_better
                yield Judgement(
                    demand=name,
                    what=f"change of {names.title(figure)} against the baseline{_INTERVAL[end]}",
                    where=None,
                    measured=float(part.changes.get((name, None), nan)),
                    least=None if lower_is_better else bound,
                    most=bound if lower_is_better else None,
                    patients=patients,
                    min_patients=0,
                    verdict="missed" if (None, name, True) in failed else "met",
                )


def _of_demand(
    metric: config_pb2.MetricConfig, class_names: Sequence[str], slices: Sequence[Measured], failed: set[tuple[Slice, str, bool]]
) -> Iterator[Judgement]:
    """Yields what became of one of `gate.demands`, in each slice that it holds in."""
    demand = json.loads(metric.config)
    figure, end, class_id, name = demand["figure"], demand["end"], demand["class_id"], demand["name"]
    of_class = f" of {class_names[class_id]}" if class_id is not None else ""
    for item in metric.per_slice_thresholds:
        (spec,) = item.slicing_specs
        for part in slices:
            if (part.where[:1] if part.where else ()) != tuple(spec.feature_keys):
                continue
            values = part.values
            patients = patients_of_demand(figure, class_id, int(values[names.PATIENT_COUNT, None]), values[names.PATIENTS, None])
            figure_here = values.get((names.end(figure, end) if end else figure, class_id), nan)
            measured = float(figure_here) if isinstance(figure_here, float) else nan
            enough = demand["min_patients"]
            if enough and not judged(measured, patients, enough):
                verdict: Verdict = "not judged"
            else:
                measured = float(values.get((name, None), nan))  # what TFMA held to the bounds
                verdict = "missed" if (part.where, name, False) in failed else "met"
            what = f"{names.title(figure)}{of_class}{_INTERVAL[end]}"
            yield Judgement(name, what, part.where, measured, *_bounds(item.threshold.value_threshold), patients, enough, verdict)


def _bounds(threshold: config_pb2.GenericValueThreshold) -> tuple[float | None, float | None]:
    """Returns what was stated; the gate leaves room for rounding beside it."""
    least = round(threshold.lower_bound.value, _DIGITS) + 0.0 if threshold.HasField("lower_bound") else None
    return least, round(threshold.upper_bound.value, _DIGITS) + 0.0 if threshold.HasField("upper_bound") else None
