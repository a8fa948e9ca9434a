"""Near duplicates among many pictures: candidates by descriptor, then each pair laid one over the other and compared."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from threadpoolctl import threadpool_limits

from cxr.data.duplicates import registration, search
from cxr.data.duplicates.descriptors import VIEWS
from cxr.data.duplicates.search import Candidates
from cxr.data.duplicates.thumbnails import Thumbnails

CONFIRMED = 0.88  # agreement of copies; benchmarks/duplicates.py prints what falls on either side
BATCH = 64  # pairs registered at a time
MIN_SPREAD = 2.0  # grey levels, standard deviation: a thumbnail with less shows nothing to compare


class Pair(NamedTuple):
    """Two pictures of the same radiograph; `first` < `second`."""

    first: int
    second: int
    agreement: float  # registration.agreement


def near_duplicates(
    thumbnails: Thumbnails, workers: int, stage: Callable[[str, int], Callable[[int], None]] = lambda name, total: lambda done: None
) -> list[Pair]:
    """Finds the pictures that show the same radiograph.

    Of three copies that have the same thumbnail to the pixel only the pairs with the first are given.

    Args:
      thumbnails: [pictures, SIDE, SIDE]; black ones are left out.
      workers: Threads.
      stage: Is told what begins and how many pictures or pairs it takes; what it returns is told how many more are done.
    """
    same: dict[bytes, list[int]] = defaultdict(list)
    for number, picture in enumerate(thumbnails):
        if picture.std() >= MIN_SPREAD:
            same[hashlib.blake2b(picture.tobytes(), digest_size=16).digest()].append(number)
    pairs = [Pair(first, other, 1.0) for first, *others in same.values() for other in others]
    distinct = np.array([numbers[0] for numbers in same.values()], int)
    if len(distinct) > 1:
        chosen = thumbnails if len(distinct) == len(thumbnails) else thumbnails[distinct]  # no second copy where none is needed
        found = search.candidates(chosen, workers, stage("comparing", len(chosen)))
        scores = agreements(chosen, found, workers, stage("confirming", len(found)))
        for candidate, score in zip(found, scores, strict=True):
            if score >= CONFIRMED:
                first, second = sorted(int(distinct[candidate[side]]) for side in ("first", "second"))
                pairs.append(Pair(first, second, float(score)))
    return sorted(pairs)


def agreements(
    thumbnails: Thumbnails, found: Candidates, workers: int, advance: Callable[[int], None] = lambda pairs: None
) -> npt.NDArray[np.float64]:
    """Returns the agreement of each candidate, [pairs]."""

    def batch(start: int) -> npt.NDArray[np.float64]:
        some = found[start : start + BATCH]
        maps = np.stack([registration.start(VIEWS[pair["window"]], bool(pair["mirrored"])) for pair in some])
        return registration.agreement(thumbnails[some["first"]], thumbnails[some["second"]], maps)

    scores = [np.empty(0)]
    with threadpool_limits(1, "blas"), ThreadPoolExecutor(workers) as pool:
        for values in pool.map(batch, range(0, len(found), BATCH)):
            scores.append(values)
            advance(len(values))
    return np.concatenate(scores)
