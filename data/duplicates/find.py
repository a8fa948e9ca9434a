"""Near duplicates among many pictures: candidates by descriptor, then each pair laid one over the other and compared."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from threadpoolctl import threadpool_limits

from cxr.data.duplicates import registration, search, turned
from cxr.data.duplicates.descriptors import VIEWS
from cxr.data.duplicates.search import Candidates
from cxr.data.duplicates.thumbnails import ManyThumbnails

CONFIRMED = 0.88  # agreement of copies; benchmarks/duplicates.py prints what falls on either side
BATCH = 64  # pairs registered at a time
BLOCK = 512  # pictures in memory at a time
MIN_SPREAD = 2.0  # grey levels, standard deviation: a thumbnail with less shows nothing to compare, and is a copy of an equal one only


class Pair(NamedTuple):
    """Two pictures of the same radiograph; `first` < `second`."""

    first: int
    second: int
    agreement: float  # registration.agreement


def near_duplicates(
    thumbnails: ManyThumbnails, workers: int, stage: Callable[[str, int], Callable[[int], None]] = lambda name, total: lambda done: None
) -> list[Pair]:
    """Finds the pictures that show the same radiograph.

    Of three copies that have the same thumbnail to the pixel only the pairs with the first are given.

    Args:
      thumbnails: [pictures, SIDE, SIDE]; black ones are left out.
      workers: Threads.
      stage: Is told what begins and how many pictures or pairs it takes; what it returns is told how many more are done.
    """
    numbers, digests, shown = _pictures(thumbnails)
    _, first_places, same = np.unique(digests, return_index=True, return_inverse=True)
    firsts = numbers[first_places[same]]
    pairs = [Pair(int(first), int(other), 1.0) for first, other in zip(firsts, numbers, strict=True) if first != other]
    distinct = numbers[np.sort(first_places[shown[first_places]])]
    if len(distinct) > 1:
        chosen = thumbnails if len(distinct) == len(thumbnails) else thumbnails[distinct]
        found = candidates(chosen, workers, stage("comparing", len(chosen)))
        scores = agreements(chosen, found, workers, stage("confirming", len(found)))
        for candidate, score in zip(found, scores, strict=True):
            if score >= CONFIRMED:
                first, second = sorted(int(distinct[candidate[side]]) for side in ("first", "second"))
                pairs.append(Pair(first, second, float(score)))
    return sorted(pairs)


def candidates(thumbnails: ManyThumbnails, workers: int, advance: Callable[[int], None] = lambda pictures: None) -> Candidates:
    """Returns the pairs that may be the same picture, as it is, mirrored, turned by quarters or inverted; each once.

    Args:
      thumbnails: [pictures, SIDE, SIDE]; a block of them is in memory at a time.
      workers: Threads.
      advance: Is told how many more pictures have been compared with all.
    """
    return search.each_once(np.concatenate([turned.candidates(thumbnails, workers), search.candidates(thumbnails, workers, advance)]))


def _pictures(thumbnails: ManyThumbnails) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.bytes_], npt.NDArray[np.bool_]]:
    """Returns the numbers of the thumbnails that are not of one level, the hash of each, 16 bytes, and whether it can be compared."""
    numbers, digests, shown = [np.empty(0, np.int64)], [np.empty(0, "S16")], [np.empty(0, np.bool_)]
    for start in range(0, len(thumbnails), BLOCK):
        block = np.asarray(thumbnails[start : start + BLOCK])
        spreads = np.array([picture.std() for picture in block])
        own = np.flatnonzero(spreads)
        hashes = b"".join(hashlib.blake2b(block[k].tobytes(), digest_size=16).digest() for k in own)
        numbers.append(start + own)
        digests.append(np.frombuffer(hashes, "S16"))
        shown.append(spreads[own] >= MIN_SPREAD)
    return np.concatenate(numbers), np.concatenate(digests), np.concatenate(shown)


def agreements(
    thumbnails: ManyThumbnails, found: Candidates, workers: int, advance: Callable[[int], None] = lambda pairs: None
) -> npt.NDArray[np.float64]:
    """Returns the agreement of each candidate, [pairs]."""

    def batch(start: int) -> npt.NDArray[np.float64]:
        some = found[start : start + BATCH]
        maps = np.stack([registration.start(VIEWS[pair["window"]], bool(pair["mirrored"])) for pair in some])
        first, second = (np.asarray(thumbnails[some[side]]) for side in ("first", "second"))
        return registration.agreement(turned.turned(first, some["form"]), second, maps)

    scores = [np.empty(0)]
    with threadpool_limits(1, "blas"), ThreadPoolExecutor(workers) as pool:
        for values in pool.map(batch, range(0, len(found), BATCH)):
            scores.append(values)
            advance(len(values))
    return np.concatenate(scores)
