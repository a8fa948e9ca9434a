"""Compares the statistics of a run's data with those of the run before, split by split."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from google.protobuf.message import DecodeError

from cxr.components.drift_check import distances
from cxr.components.drift_check.distances import Statistics
from cxr.components.drift_check.drift_config import Drift
from cxr.components.drift_check.result import MEASURES, Distance, DriftResult
from cxr.core.places import STATISTICS, by_split

NO_RUN_BEFORE = "no earlier run used other data: there is nothing to compare with"
UNREADABLE = "the statistics of the previous run cannot be read: nothing was compared"


def compare(statistics: str, previous: str | None, settings: Drift) -> DriftResult:
    """Returns how far each feature has moved.

    Args:
      statistics: URI of the run's ExampleStatistics (`Split-<name>/FeatureStats.pb` below it).
      previous: The same of the run before; None: there is none.
      settings: The limits.

    Raises:
      FileNotFoundError: The run's own artifact holds no split.
    """
    if previous is None:
        return DriftResult(settings=settings, compared=False, note=NO_RUN_BEFORE)
    new = _splits(statistics)
    if not new:
        raise FileNotFoundError(f"{statistics}: no {STATISTICS}: not the output of StatisticsGen")
    try:
        old = _splits(previous)
    except (OSError, DecodeError):
        old = {}
    if not old:
        return DriftResult(settings=settings, compared=False, note=UNREADABLE)
    alone = [name for name in new if name not in old]
    return DriftResult(
        settings=settings,
        compared=len(alone) < len(new),
        note=f"not compared, because the previous run did not have this split: {', '.join(alone)}" if alone else "",
        distances=tuple(_distances(new, old, settings)),
    )


def _distances(new: Mapping[str, Statistics], old: Mapping[str, Statistics], settings: Drift) -> Iterator[Distance]:
    for split in (name for name in new if name in old):
        both = new[split], old[split]
        for measure in MEASURES:
            for feature, distance in getattr(distances, measure)(*both):
                images, before = (distances.values(one, feature) for one in both)
                judged = min(images, before) >= settings.min_images
                yield Distance(
                    split=split,
                    feature=feature,
                    measure=measure,
                    distance=distance,
                    images=images,
                    images_before=before,
                    judged=judged,
                    drifted=judged and distance > getattr(settings, measure),
                )


def _splits(folder: str) -> dict[str, Statistics]:
    return {split: Statistics.FromString(file.read_bytes()) for split, file in by_split(folder, STATISTICS).items()}
