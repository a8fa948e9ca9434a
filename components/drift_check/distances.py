"""Distances between the statistics of two sets of images, as StatisticsGen writes them."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
import tensorflow_data_validation as tfdv
from scipy.spatial.distance import jensenshannon
from tensorflow_metadata.proto.v0 import schema_pb2, statistics_pb2
from tensorflow_metadata.proto.v0.statistics_pb2 import DatasetFeatureStatisticsList as Statistics

from cxr.core import features

BINS = 10  # of a number, from the smallest value of both sets to the largest

Floats = npt.NDArray[np.float64]


def l_infinity(new: Statistics, old: Statistics) -> Iterator[tuple[str, float]]:
    """Yields each categorical feature that both sets state, with the largest difference of one value's share: TFDV's drift comparator.

    Args:
      new: Of one set of images.
      old: Of another.
    """
    schema = schema_pb2.Schema()
    for name in features.VALUES:
        if values(new, name) and values(old, name):
            feature = schema.feature.add(name=name, type=schema_pb2.BYTES)
            feature.drift_comparator.infinity_norm.threshold = 1  # TFDV measures what has a threshold; the limits are another module's
    found = tfdv.validate_statistics(new, schema, previous_statistics=old)
    for info in found.drift_skew_info:
        yield info.path.step[0], info.drift_measurements[0].value


def jensen_shannon(new: Statistics, old: Statistics) -> Iterator[tuple[str, float]]:
    """Yields each numeric feature that both sets state, with the divergence of its distributions on BINS common bins.

    Not TFDV's: that spreads each of its bins, equally wide from the smallest value to the largest, evenly over the other's. Of pictures
    which are mostly as wide as each other it calls two random parts of one set 0.2 apart. The quantiles of the same statistics keep such
    values together. (Between the extremes of two sets there are eleven of them: a distance of a few hundredths says nothing.)

    Args:
      new: Of one set of images.
      old: Of another.
    """
    for name in features.NUMBERS:
        if values(new, name) and values(old, name):
            one, other = _quantiles(new, name), _quantiles(old, name)
            edges = np.linspace(min(one[0, 0], other[0, 0]), max(one[-1, 1], other[-1, 1]), BINS + 1)
            yield name, float(divergence(_masses(one, edges), _masses(other, edges)))


def divergence(one: npt.ArrayLike, other: npt.ArrayLike) -> Floats:
    """Returns the Jensen-Shannon divergence (Lin, IEEE Transactions on Information Theory 37, 1991) of histograms, base 2.

    Args:
      one: [..., bins], counts.
      other: [..., bins], counts in the same bins.

    Returns:
      [...]; NaN where one of both is empty.
    """
    with np.errstate(invalid="ignore"):
        distances = np.asarray(jensenshannon(one, other, base=2, axis=-1))
    both = (np.sum(one, axis=-1) > 0) & (np.sum(other, axis=-1) > 0)
    # the root of a sum that rounding made less than 0: proportional counts
    return np.where(np.isnan(distances) & both, 0.0, distances) ** 2


def values(statistics: Statistics, name: str) -> int:
    """Returns how many images state a feature; UNKNOWN counts as a value."""
    found = _feature(statistics, name)
    return 0 if found is None else getattr(found, str(found.WhichOneof("stats"))).common_stats.num_non_missing


def _feature(statistics: Statistics, name: str) -> statistics_pb2.FeatureNameStatistics | None:
    return next((found for data in statistics.datasets for found in data.features if list(found.path.step) == [name]), None)


def _quantiles(statistics: Statistics, name: str) -> Floats:
    """Returns [buckets, 3]: lowest and highest value of each, and how many lie in it."""
    found = _feature(statistics, name)
    assert found is not None
    histogram = next(one for one in found.num_stats.histograms if one.type == statistics_pb2.Histogram.QUANTILES)
    return np.array([(bucket.low_value, bucket.high_value, bucket.sample_count) for bucket in histogram.buckets])


def _masses(quantiles: Floats, edges: Floats) -> Floats:
    """Returns [bins]: how many values lie in each, those of a bucket spread evenly over it; one without width is a single value."""
    masses = np.zeros(len(edges) - 1)
    for low, high, count in quantiles:
        if high > low:
            masses += count * np.clip(np.minimum(edges[1:], high) - np.maximum(edges[:-1], low), 0, None) / (high - low)
        else:
            masses[np.clip(np.searchsorted(edges, low, side="right") - 1, 0, len(masses) - 1)] += count
    return masses
