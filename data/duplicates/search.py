"""Finds the pairs of pictures that may be the same one: every view of each against all others, as products of matrices, block by block."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import numpy.typing as npt
from threadpoolctl import threadpool_limits

from cxr.core.stored_rows import StoredRows
from cxr.data.duplicates.descriptors import VIEWS, WHOLE, Floats, Whitening, coefficients, even
from cxr.data.duplicates.thumbnails import ManyThumbnails

THRESHOLD = 0.65  # lower ones find hardly more copies and three times as many strangers, each 0.05; see benchmarks/duplicates.py
# Groups of views, by what is cut off left and at the top. One look at each group's mean spares the look at all its views where there is
# nothing to see: 99 in 100 pairs of strangers, and none of those that reach THRESHOLD in the benchmark.
GROUPS = (
    [0],
    *([k for k, v in enumerate(VIEWS) if v != WHOLE and (v[0], v[2]) == cut] for cut in sorted({(v[0], v[2]) for v in VIEWS[1:]})),
)
ROUGH = 0.35
PAIRS = 4096  # looked at closely at a time, 17 MB
ROWS, COLUMNS = 512, 2048  # of one block of similarities, 4 MB
SAMPLE = 20_000  # pictures that the whitening is fitted to

# A pair: window number `window` (in VIEWS) of picture `first`, brought into a form (turned.py) and mirrored or not, looks like `second`.
CANDIDATE = np.dtype(
    [
        ("first", np.int32),
        ("second", np.int32),
        ("window", np.int16),
        ("form", np.int8),
        ("mirrored", np.bool_),
        ("similarity", np.float32),
    ]
)
Candidates = npt.NDArray[np.void]  # [pairs] of CANDIDATE
Halves = tuple[Floats, Floats]  # even and odd part of descriptors


def candidates(thumbnails: ManyThumbnails, workers: int, advance: Callable[[int], None] = lambda pictures: None) -> Candidates:
    """Returns the pairs whose descriptors agree by THRESHOLD or more, each once.

    Args:
      thumbnails: [pictures, SIDE, SIDE]; a block of them is in memory at a time.
      workers: Threads.
      advance: Is told how many more pictures have been compared with all.
    """
    count = len(thumbnails)
    index, found = Index(count), [np.empty(0, CANDIDATE)]
    # One thread each: the threads of the matrix library would leave all steps between the products to a single core, and where cores are
    # busy they wait for each other: whitening took a quarter of a second in place of a thousandth.
    with threadpool_limits(1, "blas"), ThreadPoolExecutor(workers) as pool:
        sample = thumbnails[:: max(1, count // SAMPLE)]
        whitening = Whitening.fit(
            np.concatenate(list(pool.map(lambda start: _coefficients(sample, start), range(0, len(sample), ROWS)))), even()
        )

        def describe(start: int) -> None:
            index.add(start, whitening.descriptors(_coefficients(thumbnails, start)))

        list(pool.map(describe, range(0, count, ROWS)))
        for start in range(0, count, ROWS):
            block = np.asarray(thumbnails[start : start + ROWS])
            views = pool.map(lambda window, block=block: whitening.descriptors(coefficients(block, window)), VIEWS)
            found.append(index.search(np.stack(list(views)), start, pool))
            advance(len(block))
    return each_once(np.concatenate(found))


class Index:
    """Descriptors to search in, on disk.

    A product's even and odd part, kept apart, give the similarity to both the picture and its mirror image.
    """

    def __init__(self, count: int):
        """Makes room for those of so many pictures."""
        self._even, self._odd = (StoredRows.empty(count, (int(part.sum()),), np.float32) for part in (even(), ~even()))

    def add(self, start: int, descriptors: Floats) -> None:
        """Takes those of consecutive pictures, [pictures, coefficients]; `start` is the number of the first of them."""
        for part, own in zip((self._even, self._odd), _halves(descriptors), strict=True):
            part[start : start + len(own)] = own

    def search(self, views: Floats, start: int, pool: ThreadPoolExecutor) -> Candidates:
        """Returns the pairs in which a view of a picture agrees with another picture.

        Args:
          views: Descriptors [views, pictures, coefficients] of consecutive pictures.
          start: Number of the first of them.
          pool: For the blocks.
        """
        columns = range(0, len(self._even), COLUMNS)
        halves, rough = _halves(views), _halves(_grouped(views))
        return np.concatenate(list(pool.map(lambda column: self._block(halves, rough, start, column), columns)))

    def _block(self, views: Halves, rough: Halves, start: int, column: int) -> Candidates:
        even_part, odd_part = (np.asarray(part[column : column + COLUMNS]) for part in (self._even, self._odd))
        shape = views[0].shape[1], len(even_part)
        best, even_product, odd_product = np.full(shape, -1, np.float32), np.empty(shape, np.float32), np.empty(shape, np.float32)
        for one, other in zip(*rough, strict=True):
            np.matmul(one, even_part.T, out=even_product)
            np.matmul(other, odd_part.T, out=odd_product)
            np.abs(odd_product, out=odd_product)  # the larger of even + odd (upright) and even - odd (mirrored)
            np.maximum(best, np.add(even_product, odd_product, out=even_product), out=best)
        rows, columns = np.nonzero(best >= ROUGH)
        others = start + rows != column + columns
        rows, columns = rows[others], columns[others]
        found = [np.empty(0, CANDIDATE)]
        for k in range(0, len(rows), PAIRS):
            row, other = rows[k : k + PAIRS], columns[k : k + PAIRS]
            odd = np.einsum("vpc,pc->vp", views[1][:, row], odd_part[other])
            similarity = np.einsum("vpc,pc->vp", views[0][:, row], even_part[other]) + np.abs(odd)
            window, pair = similarity.argmax(axis=0), np.arange(len(row))
            some = np.zeros(len(row), CANDIDATE)
            some["first"], some["second"], some["window"] = start + row, column + other, window
            some["mirrored"], some["similarity"] = odd[window, pair] < 0, similarity[window, pair]
            found.append(some[some["similarity"] >= THRESHOLD])
        return np.concatenate(found)


def _halves(descriptors: Floats) -> Halves:
    """Returns the even and the odd part."""
    return np.ascontiguousarray(descriptors[..., even()]), np.ascontiguousarray(descriptors[..., ~even()])


def _grouped(views: Floats) -> Floats:
    """Returns the whole picture's descriptor and the mean direction of each group of similar views, [groups, pictures, coefficients]."""
    means = np.stack([views[group].mean(axis=0) for group in GROUPS])
    return means / np.maximum(np.linalg.norm(means, axis=2, keepdims=True), 1e-6)


def _coefficients(thumbnails: ManyThumbnails, start: int) -> Floats:
    """Returns the coefficients of ROWS pictures, [pictures, coefficients]."""
    return coefficients(np.asarray(thumbnails[start : start + ROWS]))


def each_once(found: Candidates) -> Candidates:
    """Keeps of the several ways in which a pair was found the one that agrees best."""
    low, high = np.minimum(found["first"], found["second"]), np.maximum(found["first"], found["second"])
    order = np.lexsort((-found["similarity"], high, low))
    low, high = low[order], high[order]
    new = np.ones(len(order), bool)
    new[1:] = (np.diff(low) != 0) | (np.diff(high) != 0)
    return found[order][new]
