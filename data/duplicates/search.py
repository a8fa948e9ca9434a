"""Finds the pairs of pictures that may be the same one: every view of each against all others, as products of matrices, block by block."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import numpy.typing as npt
from threadpoolctl import threadpool_limits

from cxr.data.duplicates.descriptors import VIEWS, Floats, Whitening, coefficients, even
from cxr.data.duplicates.thumbnails import Thumbnails

THRESHOLD = 0.65  # lower ones find hardly more copies and three times as many strangers, each 0.05; see benchmarks/duplicates.py
ROWS, COLUMNS = 512, 2048  # of one block of similarities, 4 MB
SAMPLE = 20_000  # pictures that the whitening is fitted to

# A pair: window number `window` (in VIEWS) of picture `first`, mirrored or not, looks like picture `second`.
CANDIDATE = np.dtype([("first", np.int32), ("second", np.int32), ("window", np.int16), ("mirrored", np.bool_), ("similarity", np.float32)])
Candidates = npt.NDArray[np.void]  # [pairs] of CANDIDATE


def candidates(thumbnails: Thumbnails, workers: int, advance: Callable[[int], None] = lambda pictures: None) -> Candidates:
    """Returns the pairs whose descriptors agree by THRESHOLD or more, each once.

    Args:
      thumbnails: [pictures, SIDE, SIDE].
      workers: Threads.
      advance: Is told how many more pictures have been compared with all.
    """
    count = len(thumbnails)
    whitening = Whitening.fit(_coefficients(thumbnails[:: max(1, count // SAMPLE)]))
    index = Index(whitening.descriptors(_coefficients(thumbnails)))
    found = [np.empty(0, CANDIDATE)]
    # One thread each: the threads of the matrix library would leave all steps between the products to a single core.
    with threadpool_limits(1, "blas"), ThreadPoolExecutor(workers) as pool:
        for start in range(0, count, ROWS):
            block = thumbnails[start : start + ROWS]
            views = pool.map(lambda window, block=block: whitening.descriptors(coefficients(block, window)), VIEWS)
            found.append(index.search(np.stack(list(views)), start, pool))
            advance(len(block))
    return _each_once(np.concatenate(found))


class Index:
    """Descriptors to search in. A product's even and odd part, kept apart, give the similarity to both the picture and its mirror image."""

    def __init__(self, descriptors: Floats):
        """Takes [pictures, coefficients]."""
        self._even, self._odd = (np.ascontiguousarray(descriptors[:, part]) for part in (even(), ~even()))

    def search(self, views: Floats, start: int, pool: ThreadPoolExecutor) -> Candidates:
        """Returns the pairs in which a view of a picture agrees with another picture.

        Args:
          views: Descriptors [views, pictures, coefficients] of consecutive pictures.
          start: Number of the first of them.
          pool: For the blocks.
        """
        evens, odds = (np.ascontiguousarray(views[..., part]) for part in (even(), ~even()))
        columns = range(0, len(self._even), COLUMNS)
        return np.concatenate(list(pool.map(lambda column: self._block(evens, odds, start, column), columns)))

    def _block(self, evens: Floats, odds: Floats, start: int, column: int) -> Candidates:
        even_part, odd_part = (part[column : column + COLUMNS] for part in (self._even, self._odd))
        shape = evens.shape[1], len(even_part)
        best, even_product, odd_product = np.full(shape, -1, np.float32), np.empty(shape, np.float32), np.empty(shape, np.float32)
        for one, other in zip(evens, odds, strict=True):
            np.matmul(one, even_part.T, out=even_product)
            np.matmul(other, odd_part.T, out=odd_product)
            np.abs(odd_product, out=odd_product)  # the larger of even + odd (upright) and even - odd (mirrored)
            np.maximum(best, np.add(even_product, odd_product, out=even_product), out=best)
        rows, columns = np.nonzero(best >= THRESHOLD)
        others = start + rows != column + columns
        rows, columns = rows[others], columns[others]
        odd = np.einsum("vpc,pc->vp", odds[:, rows], odd_part[columns])
        window = (np.einsum("vpc,pc->vp", evens[:, rows], even_part[columns]) + np.abs(odd)).argmax(axis=0)
        found = np.empty(len(rows), CANDIDATE)
        found["first"], found["second"], found["window"] = start + rows, column + columns, window
        found["mirrored"], found["similarity"] = odd[window, np.arange(len(rows))] < 0, best[rows, columns]
        return found


def _coefficients(thumbnails: Thumbnails) -> Floats:
    return np.concatenate([coefficients(thumbnails[start : start + ROWS]) for start in range(0, len(thumbnails), ROWS)])


def _each_once(found: Candidates) -> Candidates:
    """Keeps of the two directions of a pair the one that agrees better."""
    low, high = np.minimum(found["first"], found["second"]), np.maximum(found["first"], found["second"])
    order = np.lexsort((-found["similarity"], high, low))
    low, high = low[order], high[order]
    new = np.ones(len(order), bool)
    new[1:] = (np.diff(low) != 0) | (np.diff(high) != 0)
    return found[order][new]
