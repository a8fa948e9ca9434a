"""Which image goes to which split: by a hash of the patient, so that nothing moves when images are added."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence

from cxr.core import features
from cxr.core.errors import CxrError
from cxr.data.ingest.ingest_config import Ingest
from cxr.data.ingest.rows import Row, uniform

MAX_DEVIATION = 0.05  # of a class's share in a split from the asked-for one, before a warning
SEEDS_TRIED = 200
SHOWN = 5


def assign(rows: list[Row], config: Ingest) -> tuple[list[Row], list[str]]:
    """Sets the split of every row.

    Given splits are kept; a patient of whom one image has a given split goes there with all images. The others go where a hash of
    seed and patient falls, so that a patient never stands in two splits, whatever the classes.

    Returns:
      The rows that are used (all, unless `per_class` asks for fewer), and warnings.

    Raises:
      CxrError: A patient in two given splits; a class without an image in a split; too few images for `per_class`.
    """
    if config.per_class is not None:
        return _exact(rows, config), []
    units = [row.image_unit if config.split_by == "image" else row.unit for row in rows]
    given = _given(rows, units, config)
    free = [(row.label, unit) for row, unit in zip(rows, units, strict=True) if unit not in given]
    for row, unit in zip(rows, units, strict=True):
        row.split = given.get(unit) or split_of(unit, config.seed, config)
    if not free:
        _check_given(rows, config)
        return rows, []
    return rows, _check_shares(rows, free, config)


def split_of(unit: str, seed: int, config: Ingest) -> str:
    """Returns the split of a patient (or image) that has no given one."""
    position, bound = uniform(seed, unit), 0.0
    shares = config.splits.items()
    for split, share in shares:
        bound += share
        if position < bound:
            return split
    return shares[-1][0]  # the bounds may sum to a hair less than 1


def _given(rows: list[Row], units: list[str], config: Ingest) -> dict[str, str]:
    given: dict[str, str] = {}
    torn: dict[str, list[str]] = {}
    for row, unit in zip(rows, units, strict=True):
        if row.split and given.setdefault(unit, row.split) != row.split:
            torn.setdefault(unit, [f"{given[unit]} and {row.split} ({row.where})"])
    if torn:
        listed = "".join(f"\n  {unit.partition(':')[2]}: {places[0]}" for unit, places in list(torn.items())[:SHOWN])
        more = f"\n  and {len(torn) - SHOWN} more" if len(torn) > SHOWN else ""
        raise CxrError(f"{len(torn)} patients stand in two splits; move their images or drop the given splits:{listed}{more}")
    return given


def _check_given(rows: list[Row], config: Ingest) -> None:
    counts = Counter((row.split, row.label) for row in rows)
    for split in features.SPLITS:
        for name in config.class_names:
            if any(counts[split, other] for other in config.class_names) and not counts[split, name]:
                raise CxrError(f"class {name!r} has no image in the given split {split!r}; add some")
    if not any(row.split == "train" for row in rows):
        raise CxrError("the given splits have no 'train'")


def _check_shares(rows: list[Row], free: Sequence[tuple[str, str]], config: Ingest) -> list[str]:
    counts = Counter((row.split, row.label) for row in rows)
    empty = [(split, name) for split in config.split_names for name in config.class_names if not counts[split, name]]
    actual = _shares(free, config.seed, config)
    off = {key: share for key, share in actual.items() if abs(share - dict(config.splits.items())[key[0]]) > MAX_DEVIATION}
    if not empty and not off:
        return []
    best = balanced_seed(free, config)
    if empty:
        split, name = empty[0]
        if _empty_after(best, rows, free, config):
            raise CxrError(f"class {name!r} has no image in split {split!r}, and no seed mends it: it needs images of more patients")
        raise CxrError(f"class {name!r} has no image in split {split!r} with seed {config.seed}; --seed {best} balances best")
    targets = dict(config.splits.items())
    parts = [f"{split}/{name} {share:.0%} in place of {targets[split]:.0%}" for (split, name), share in off.items()]
    return [f"uneven splits with seed {config.seed}: {', '.join(parts)}; --seed {best} balances best"]


def _empty_after(seed: int, rows: list[Row], free: Sequence[tuple[str, str]], config: Ingest) -> bool:
    units = {unit for _, unit in free}
    counts = Counter((split_of(unit, seed, config), label) for label, unit in free)
    counts.update((row.split, row.label) for row in rows if row.unit not in units and row.image_unit not in units)
    return any(not counts[split, name] for split in config.split_names for name in config.class_names)


def balanced_seed(free: Sequence[tuple[str, str]], config: Ingest) -> int:
    """Returns, of the seeds near the configured one, that with the smallest largest deviation from the asked-for shares.

    Args:
      free: (label, unit) of every image without a given split.
      config: Shares, and the first seed tried.
    """
    targets = dict(config.splits.items())

    def deviation(seed: int) -> float:
        shares = _shares(free, seed, config)
        # a class that misses a split altogether is worse than any deviation
        return max(abs(share - targets[split]) + (share == 0) for (split, _), share in shares.items())

    return min(range(config.seed, config.seed + SEEDS_TRIED), key=deviation)


def _shares(free: Sequence[tuple[str, str]], seed: int, config: Ingest) -> dict[tuple[str, str], float]:
    """Returns (split, class): share of the class's images that falls in the split."""
    splits: dict[str, str] = {}
    counts: Counter[tuple[str, str]] = Counter()
    for label, unit in free:
        if unit not in splits:
            splits[unit] = split_of(unit, seed, config)
        counts[splits[unit], label] += 1
    totals = Counter(label for label, _ in free)
    return {
        (split, name): counts[split, name] / totals[name] for split in config.split_names for name in config.class_names if totals[name]
    }


def _exact(rows: list[Row], config: Ingest) -> list[Row]:
    """Takes exactly the asked-for numbers, in the order of a hash of seed and image."""
    assert config.per_class is not None
    numbers: dict[str, dict[str, int]] = {str(split): counts for split, counts in config.per_class.items()}
    placed = next((row for row in rows if row.split), None)
    if placed:
        raise CxrError(f"{placed.where}: states a split, and `per_class` sets the splits itself; drop one of them")
    by_class: dict[str, list[Row]] = defaultdict(list)
    for row in sorted(rows, key=lambda row: uniform(config.seed, row.image_unit)):
        by_class[row.label].append(row)
    taken = []
    for name in config.class_names:
        wanted = sum(counts[name] for counts in numbers.values())
        if len(by_class[name]) < wanted:
            raise CxrError(f"per_class: class {name!r} has {len(by_class[name])} images, {wanted} are asked for")
        remaining = iter(by_class[name])
        for split in config.split_names:
            for _ in range(numbers[split][name]):
                row = next(remaining)
                row.split = split
                taken.append(row)
    return taken
