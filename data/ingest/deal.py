"""Deals patients to splits so that every class has its share in each, and few of them move when others are added."""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter, defaultdict
from collections.abc import Collection, Mapping, Sequence

from cxr.data.ingest.rows import uniform

# How far a class's limit between two splits may lie from the asked-for share, in shares of its patients. Within it the limits stay where
# they are whoever is added: in a class of more than some 1,000 patients nobody moves.
TOLERANCE = 0.02


def deal(
    classes: Mapping[str, Collection[str]],
    order: Sequence[str],
    shares: Sequence[tuple[str, float]],
    present: set[tuple[str, str]],
    seed: int,
) -> dict[str, str]:
    """Deals units (patients, or images) to splits, class by class.

    A unit counts for the rarest of its classes. Within a class the units stand in the order of a hash of seed and unit, between 0 and 1,
    and each split is a range of it: [0, 0.7) and so on. Where these ranges would miss the asked-for numbers by more than TOLERANCE, or
    leave a split without the class, the limit between two splits moves just as far as needed. One more unit can therefore push others over
    a limit only where they lie next to it.

    Args:
      classes: Unit: its classes.
      order: All classes; decides between classes that are as rare as each other.
      shares: Split: share above zero.
      present: (split, class) of the units that have their split already.
      seed: Of the hash.

    Returns:
      Unit: split. A class with fewer units than splits misses some of them.
    """
    present = set(present)
    units = Counter(name for own in classes.values() for name in own)
    rank = {name: k for k, name in enumerate(sorted(order, key=lambda name: (units[name], order.index(name))))}
    strata: dict[str, list[tuple[float, str]]] = defaultdict(list)
    for unit, own in classes.items():
        strata[min(own, key=rank.__getitem__)].append((uniform(seed, unit), unit))
    dealt: dict[str, str] = {}
    for name in sorted(strata, key=rank.__getitem__):
        stratum = sorted(strata[name])
        missing = [split for split, _ in shares if (split, name) not in present]
        limits = cuts([position for position, _ in stratum], shares, missing)
        for (split, _), start, end in zip(shares, (0, *limits), (*limits, len(stratum)), strict=True):
            for _, unit in stratum[start:end]:
                dealt[unit] = split
                present.update((split, other) for other in classes[unit])
    return dealt


def cuts(positions: Sequence[float], shares: Sequence[tuple[str, float]], missing: Collection[str]) -> list[int]:
    """Returns how many of the positions come before the end of each split but the last.

    Args:
      positions: Numbers in [0, 1), ascending.
      shares: Split: share above zero.
      missing: Splits that need at least one.
    """
    quotas = apportion(len(positions), shares, missing)
    slack = min(int(TOLERANCE * len(positions)), *((quotas[split] - (split in missing)) // 2 for split, _ in shares))
    found, exact, bound = [], 0, 0.0
    for split, share in shares[:-1]:
        exact += quotas[split]
        bound += share
        found.append(min(max(bisect_left(positions, bound), exact - slack), exact + slack))
    return found


def apportion(total: int, shares: Sequence[tuple[str, float]], missing: Collection[str]) -> dict[str, int]:
    """Deals seats by Sainte-Laguë's method: one more in total is one more for one split, and none fewer for another.

    Args:
      total: Seats.
      shares: Split: share above zero.
      missing: Splits that get a seat first, if there are enough for all of them.
    """
    seats = {split: int(split in missing and len(missing) <= total) for split, _ in shares}
    for _ in range(total - sum(seats.values())):
        split, _ = max(shares, key=lambda item: item[1] / (2 * seats[item[0]] + 1))
        seats[split] += 1
    return seats
