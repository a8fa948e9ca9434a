"""Single demands of the gate, as the configuration states them."""

from __future__ import annotations

import re
from typing import Annotated, Any, Final, Literal

from pydantic import AfterValidator, ConfigDict, Field, model_validator

from cxr.components.metrics import names
from cxr.core import features, figure_table
from cxr.core.strict_model import StrictModel

Bound = Annotated[float, Field(allow_inf_nan=False)]
Margin = Annotated[float, Field(ge=0, allow_inf_nan=False)]

VALUE: Final = "value"


def _paired(name: str) -> str:
    if name not in names.PAIRED:
        *others, last = map(repr, names.PAIRED)
        raise ValueError(f"Input should be {', '.join(others)} or {last}")  # as pydantic says it of a Literal
    return name


class Demand(StrictModel):
    """Bounds on one figure of a model, on the whole split of the gate or on each value of a feature."""

    model_config = ConfigDict(serialize_by_alias=True)

    metric: str = Field(description=f"one of {', '.join(names.ALL_FIGURES)}, or a metric that gate.metrics adds, by its name")
    class_name: str | None = Field(
        None, alias="class", description=f"for {', '.join(names.CLASS_FIGURES)} and added metrics with per_class; null: every class"
    )
    at: Literal["value", "lower", "upper"] = Field(
        VALUE, description="what is held to the bounds: the figure or an end of its 95 % interval"
    )
    min: Bound | None = Field(None, description="lowest that passes")
    max: Bound | None = Field(None, description="highest that passes")
    slice: str | None = Field(
        None,
        description=f"one of {', '.join(features.SLICE_FEATURES)}: each of its values is held to the bounds; null: the whole split",
    )
    min_patients: int = Field(
        20, ge=1, description="a slice where the figure rests on fewer is named and not judged; the whole split always is"
    )
    models: tuple[str, ...] | None = Field(None, min_length=1, description="that it holds for, by name; null: all")

    @model_validator(mode="after")
    def _check(self) -> Demand:
        if self.min is None and self.max is None:
            raise ValueError("demands nothing: set min, max or both")
        if self.min is not None and self.max is not None and self.min > self.max:
            raise ValueError(f"min {self.min} is above max {self.max}: nothing passes")
        if self.class_name is not None and self.metric in names.FIGURES:
            raise ValueError(f"class: {self.metric} is of all classes; {', '.join(names.CLASS_FIGURES)} are of one")
        if self.at != VALUE and self.metric not in names.ALL_FIGURES:
            raise ValueError(f"at: {self.at}: {self.metric} has no interval; {', '.join(names.ALL_FIGURES)} have")
        if self.slice is not None and self.slice not in features.SLICE_FEATURES:
            raise ValueError(f"slice: {self.slice} is no feature that is evaluated by; {', '.join(features.SLICE_FEATURES)} are")
        return self

    def holds_for(self, model: str) -> bool:
        """Returns whether `model` is held to it."""
        return self.models is None or model in self.models


class NonInferiority(StrictModel):
    """That a candidate is with 97.5 % confidence at most `margin` worse than the baseline: both on the same draws of patients.

    Of the log loss with many hundred patients only: a few very wrong answers decide it, and draws know those alone that were seen.
    """

    metric: Annotated[str, AfterValidator(_paired)] = figure_table.ACCURACY
    margin: Margin = Field(description="how much worse the unfavourable end of the change's 95 % interval may be, absolute")

    @property
    def higher_is_better(self) -> bool:
        """Which way is worse."""
        return not figure_table.row_of(self.metric).lower_is_better

    @property
    def threshold_on(self) -> str:
        """Name of the metric that is held to the margin: the unfavourable end."""
        return names.change(self.metric, names.LOWER if self.higher_is_better else names.UPPER)


class AddedMetric(StrictModel):
    """A metric of TFMA, of Keras or of one's own, as EvalConfig's MetricConfig states it; it is reported and can be demanded."""

    class_name: str = Field(min_length=1, description="as TFMA or tf_keras.metrics call it")
    module: str = Field("", description="where a class of one's own is imported from; empty: TFMA's and Keras's own")
    config: dict[str, Any] = Field({}, description="arguments of the class; `name` among them is the metric's")
    per_class: bool = Field(False, description="binarized: one value per class, that class against the rest")

    @property
    def name(self) -> str:
        """What `demands` call it: its own, or TFMA's default for Keras's, the class's in lower case with underscores."""
        name = re.sub(r"(.)([A-Z][a-z0-9]+)", r"\1_\2", self.class_name)
        return str(self.config.get("name", re.sub(r"([a-z])([A-Z])", r"\1_\2", name).lower()))

    @property
    def arguments(self) -> dict[str, Any]:
        """`config` with the name, so that no class gives itself another."""
        return {**self.config, "name": self.name}
