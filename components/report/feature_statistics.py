"""Reads what StatisticsGen found into rows for the page."""

from __future__ import annotations

from collections.abc import Iterator

from tensorflow_metadata.proto.v0 import statistics_pb2

from cxr.components.report.page.content import NumberStatistics, ValueCounts
from cxr.core import features
from cxr.core.damaged_artifact import reading
from cxr.core.places import STATISTICS, by_split

MOST_VALUES = 12  # of a categorical feature; the others are added up
OTHERS = "others"


def read_statistics(folder: str) -> tuple[tuple[NumberStatistics, ...], tuple[ValueCounts, ...]]:
    """Returns the rows of an ExampleStatistics artifact: of each feature, one per split.

    Args:
      folder: URI of the artifact (`Split-<name>/FeatureStats.pb` below it).

    Raises:
      CxrError: It is damaged.
    """
    numbers: list[NumberStatistics] = []
    values: list[ValueCounts] = []
    for split, statistics in _splits(folder):
        for feature in statistics.features:
            name = feature.path.step[0] if feature.path.step else feature.name
            if name in features.NUMBERS:
                numbers.append(_numbers(name, split, feature.num_stats))
            elif name in features.VALUES:
                values.append(_values(name, split, feature.string_stats))
    numbers.sort(key=lambda row: features.NUMBERS.index(row.feature))  # stable: the splits stay in their order
    values.sort(key=lambda row: features.VALUES.index(row.feature))
    return tuple(numbers), tuple(values)


def _splits(folder: str) -> Iterator[tuple[str, statistics_pb2.DatasetFeatureStatistics]]:
    files = by_split(folder, STATISTICS)
    for split in sorted(files, key=lambda name: features.SPLITS.index(name) if name in features.SPLITS else len(features.SPLITS)):
        with reading(folder):
            found = statistics_pb2.DatasetFeatureStatisticsList.FromString(files[split].read_bytes())
        if found.datasets:
            yield split, found.datasets[0]


def _numbers(name: str, split: str, found: statistics_pb2.NumericStatistics) -> NumberStatistics:
    common = found.common_stats
    if not common.num_non_missing:
        return NumberStatistics(name, split, 0, common.num_missing)
    return NumberStatistics(
        name, split, common.num_non_missing, common.num_missing, found.mean, found.std_dev, found.min, found.median, found.max
    )


def _values(name: str, split: str, found: statistics_pb2.StringStatistics) -> ValueCounts:
    buckets = sorted(found.rank_histogram.buckets, key=lambda bucket: (-bucket.sample_count, bucket.label))
    counts = {bucket.label: round(bucket.sample_count) for bucket in buckets[:MOST_VALUES]}
    if rest := round(sum(bucket.sample_count for bucket in buckets[MOST_VALUES:])):
        counts[OTHERS] = rest
    return ValueCounts(name, split, counts)
