"""How far the features of new data lie from those that a model was trained on, beside what chance alone does."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from math import isnan
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import tensorflow_data_validation as tfdv
from pydantic import Field
from tensorflow_metadata.proto.v0 import schema_pb2

from cxr.components.anomaly_check.anomalies import sentences_of
from cxr.components.drift_check.distances import BINS, divergence
from cxr.components.drift_check.drift_config import Limits
from cxr.core import features
from cxr.core.strict_model import StrictModel
from cxr.pipeline.outside.chance import Floats, borders, divisions

if TYPE_CHECKING:
    from tensorflow_metadata.proto.v0 import statistics_pb2

Measure = tuple[str, str]  # feature, and one of the next two
JENSEN_SHANNON, L_INFINITY = "jensen_shannon", "l_infinity"


class Thresholds(Limits):
    """When a feature counts as drifted; `cxr validate` has an option for each limit."""

    not_judged: tuple[str, ...] = Field(
        (features.LABEL, features.SOURCE), description="shown but no finding: another place is another source, with its own mix of classes"
    )


class FeatureDrift(StrictModel):
    """One feature of the new data beside the training data; null where a measure does not apply or nothing is stated."""

    feature: str
    stated: float = Field(description="share of the new images that state it")
    stated_in_training: float
    jensen_shannon: float | None
    jensen_shannon_by_chance: float | None = Field(description="how far chance takes it, see `chance.borders`")
    l_infinity: float | None
    l_infinity_by_chance: float | None
    judged: bool
    drifted: bool = Field(description="a measure lies above its threshold and above what chance does")


def anomalies_of(new: pd.DataFrame, schema: schema_pb2.Schema) -> list[str]:
    """Returns one sentence for each way in which new data break the schema.

    Args:
      new: One row per image, raw features but the picture.
      schema: Curated; IMAGE is passed over, since only what could be read as a picture stands in `new`.
    """
    schema = _of_properties(schema)
    return sentences_of(tfdv.validate_statistics(_statistics(new, schema), schema), "the new data")


def drift(new: pd.DataFrame, training: pd.DataFrame, thresholds: Thresholds) -> list[FeatureDrift]:
    """Compares each feature's distribution.

    TFDV calls the same comparison drift between spans of data and skew between training and serving.

    Args:
      new: One row per image: raw features, PATIENT_ID among them.
      training: The same.
      thresholds: When a feature counts as drifted.
    """
    shown = [name for name in (*features.NUMBERS, *features.VALUES) if name in new.columns and name in training.columns]
    counted = {name: _counted(name, pd.concat([new[name], training[name]])) for name in shown}
    measures = [
        (name, kind) for name in shown for kind in ((JENSEN_SHANNON,) if name in features.NUMBERS else (JENSEN_SHANNON, L_INFINITY))
    ]
    patients = [np.unique(data[features.PATIENT_ID], return_inverse=True)[1] for data in (new, training)]
    distances = np.concatenate([_distances(measures, counted, *sides) for sides in divisions(*patients)])
    judged = np.array([name not in thresholds.not_judged for name, _ in measures], bool)
    # What one side does not state has no distance, and is no finding.
    chance = dict(zip(measures, borders(np.nan_to_num(distances), judged).tolist(), strict=True))
    found = {measure: value for measure, value in zip(measures, distances[0].tolist(), strict=True) if not isnan(value)}
    return [_feature(name, new, training, found, chance, thresholds) for name in (*features.NUMBERS, *features.VALUES)]


def _feature(
    name: str,
    new: pd.DataFrame,
    training: pd.DataFrame,
    found: Mapping[Measure, float],
    chance: Mapping[Measure, float],
    thresholds: Thresholds,
) -> FeatureDrift:
    judged = name not in thresholds.not_judged
    limits = {JENSEN_SHANNON: thresholds.jensen_shannon, L_INFINITY: thresholds.l_infinity}
    measured = [(name, kind) for kind in limits if (name, kind) in found]
    by_chance = {kind: chance[name, kind] for name, kind in measured}
    beyond = any(found[name, kind] > max(limits[kind], chance[name, kind]) for name, kind in measured)
    return FeatureDrift(
        feature=name,
        stated=_stated(new, name),
        stated_in_training=_stated(training, name),
        jensen_shannon=found.get((name, JENSEN_SHANNON)),
        jensen_shannon_by_chance=by_chance.get(JENSEN_SHANNON),
        l_infinity=found.get((name, L_INFINITY)),
        l_infinity_by_chance=by_chance.get(L_INFINITY),
        judged=judged,
        drifted=judged and beyond,
    )


def _counted(name: str, stated: pd.Series) -> Floats:
    """Returns which value, or which bin, each image has, float32 [images, values]; a row of zeros where it states none.

    The bins of numbers are of all images together. They are not TFDV's: that spreads what two histograms with other edges hold evenly over
    their bins. Where most pictures are 512 pixels wide two draws from one set then differ by up to 0.7, and a feature with one value only
    by 1 from any other.
    """
    present = stated.notna().to_numpy()
    values = stated[present].to_numpy()
    if name in features.NUMBERS:
        edges = np.histogram_bin_edges(values.astype(float), BINS)
        codes, count = np.searchsorted(edges[1:-1], values.astype(float), side="right"), BINS
    else:
        known, codes = np.unique(values.astype(str), return_inverse=True)
        count = len(known)
    counted = np.zeros([len(stated), count], np.float32)
    counted[np.flatnonzero(present), codes] = 1
    return counted


def _distances(measures: Sequence[Measure], counted: Mapping[str, Floats], new: Floats, training: Floats) -> Floats:
    """Returns all distances of some divisions, [divisions, measures]; NaN where a side states nothing. See `divisions` and `_counted`."""
    found: list[Floats] = []
    for name, kind in measures:
        one, other = new @ counted[name], training @ counted[name]
        if kind == JENSEN_SHANNON:
            found.append(divergence(one, other))
        else:
            with np.errstate(invalid="ignore"):
                found.append(np.abs(one / one.sum(axis=1, keepdims=True) - other / other.sum(axis=1, keepdims=True)).max(axis=1, initial=0))
    return np.stack(found, axis=1)


def _statistics(data: pd.DataFrame, schema: schema_pb2.Schema) -> statistics_pb2.DatasetFeatureStatisticsList:
    known = [feature.name for feature in schema.feature if feature.name in data.columns]
    return tfdv.generate_statistics_from_dataframe(data[known], stats_options=tfdv.StatsOptions(schema=schema))


def _of_properties(schema: schema_pb2.Schema) -> schema_pb2.Schema:
    """Returns a copy of the schema without the picture, and without what only tells images and patients apart."""
    return schema_without(schema, {feature.name for feature in schema.feature} - {*features.NUMBERS, *features.VALUES})


def schema_without(schema: schema_pb2.Schema, names: Collection[str]) -> schema_pb2.Schema:
    """Returns a copy of a schema without some features."""
    left = schema_pb2.Schema()
    left.CopyFrom(schema)
    del left.feature[:]
    left.feature.extend(feature for feature in schema.feature if feature.name not in names)
    return left


def _stated(data: pd.DataFrame, name: str) -> float:
    if name not in data.columns:
        return 0.0
    column = data[name]
    return float((column.notna() & (column != features.UNKNOWN)).mean())
