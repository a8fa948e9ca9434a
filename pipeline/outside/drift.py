"""How far the features of new data lie from those that a model was trained on, beside what chance alone does."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING

import numpy as np
import tensorflow_data_validation as tfdv
from pydantic import Field
from tensorflow_metadata.proto.v0 import anomalies_pb2, schema_pb2

from cxr.components.anomaly_check.anomalies import sentences_of
from cxr.components.drift_check import distances
from cxr.components.drift_check.drift_config import Limits
from cxr.core import features
from cxr.core.strict_model import StrictModel

if TYPE_CHECKING:
    import pandas as pd
    from tensorflow_metadata.proto.v0 import statistics_pb2

DRAWS = 20  # of training patients: the largest of 20 values is about the 95 % quantile of what chance does
SEED = 2021

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
    jensen_shannon_by_chance: float | None = Field(description="largest value of DRAWS draws of as many training patients")
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


def drift(new: pd.DataFrame, training: pd.DataFrame, schema: schema_pb2.Schema, thresholds: Thresholds) -> list[FeatureDrift]:
    """Compares each feature's distribution.

    TFDV calls the same comparison drift between spans of data and skew between training and serving.

    Args:
      new: One row per image: raw features, PATIENT_ID among them.
      training: The same.
      schema: Tells the types.
      thresholds: When a feature counts as drifted.
    """
    schema = _of_properties(schema)
    for feature in schema.feature:
        if feature.name in features.VALUES:  # TFDV measures what has a threshold
            feature.drift_comparator.jensen_shannon_divergence.threshold = thresholds.jensen_shannon
            feature.drift_comparator.infinity_norm.threshold = thresholds.l_infinity
    before = _statistics(training, schema)
    found = _measured(new, training, before, schema)
    chance: dict[Measure, float] = {}
    for drawn in _draws(training, new[features.PATIENT_ID].nunique()):
        for measure, value in _measured(drawn, training, before, schema).items():
            chance[measure] = max(chance.get(measure, 0.0), value)
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
    beyond = any(found.get((name, kind), 0) > max(limit, chance.get((name, kind), 0)) for kind, limit in limits.items())
    return FeatureDrift(
        feature=name,
        stated=_stated(new, name),
        stated_in_training=_stated(training, name),
        jensen_shannon=found.get((name, JENSEN_SHANNON)),
        jensen_shannon_by_chance=chance.get((name, JENSEN_SHANNON)),
        l_infinity=found.get((name, L_INFINITY)),
        l_infinity_by_chance=chance.get((name, L_INFINITY)),
        judged=judged,
        drifted=judged and beyond,
    )


def _measured(
    new: pd.DataFrame, training: pd.DataFrame, before: statistics_pb2.DatasetFeatureStatisticsList, schema: schema_pb2.Schema
) -> dict[Measure, float]:
    kinds = anomalies_pb2.DriftSkewInfo.Measurement
    names = {kinds.JENSEN_SHANNON_DIVERGENCE: JENSEN_SHANNON, kinds.L_INFTY: L_INFINITY}
    compared = tfdv.validate_statistics(_statistics(new, schema), schema, previous_statistics=before)
    found = {
        (info.path.step[0], names[measurement.type]): measurement.value
        for info in compared.drift_skew_info
        for measurement in info.drift_measurements
    }
    for name in features.NUMBERS:
        if name in new.columns and name in training.columns:
            one, other = (data[name].dropna().to_numpy(float) for data in (new, training))
            if len(one) and len(other):
                found[name, JENSEN_SHANNON] = divergence(one, other)
    return found


def divergence(one: np.ndarray, other: np.ndarray) -> float:
    """The Jensen-Shannon divergence of two histograms with the same bins, base 2.

    Not TFDV's: that spreads what two histograms with other edges hold evenly over their bins. Where most pictures are 512 pixels wide two
    draws from one set then differ by up to 0.7, and a feature with one value only by 1 from any other.

    Args:
      one: [values].
      other: [values].
    """
    edges = np.histogram_bin_edges(np.concatenate([one, other]), distances.BINS)
    return distances.divergence(np.histogram(one, edges)[0], np.histogram(other, edges)[0])


def _draws(training: pd.DataFrame, patients: int) -> list[pd.DataFrame]:
    """Returns draws of as many training patients, with replacement, with all their images."""
    images = list(training.groupby(features.PATIENT_ID, sort=True).indices.values())
    random = np.random.default_rng(SEED)
    chosen = random.integers(len(images), size=(DRAWS, patients))
    return [training.iloc[np.concatenate([images[number] for number in draw])] for draw in chosen]


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
