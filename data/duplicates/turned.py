"""Finds pictures that may be another one turned by quarters, or with black and white exchanged: by what neither changes.

A cosine transform's coefficients change their signs when a picture is mirrored or inverted, and (u, v) becomes (v, u) when it is turned by
a quarter. So of each such pair the sum and the difference of the absolute values stay the same, whatever was done. They say less than the
coefficients: a copy that was cropped by a tenth as well is not found. But one look at them takes the place of fourteen.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from functools import cache

import numpy as np
import numpy.typing as npt
from threadpoolctl import threadpool_limits

from cxr.core.stored_rows import StoredRows
from cxr.data.duplicates.descriptors import SIDE, WHOLE, Floats, Whitening, band, spectrum
from cxr.data.duplicates.search import CANDIDATE, COLUMNS, PAIRS, ROWS, Candidates
from cxr.data.duplicates.thumbnails import ManyThumbnails, Thumbnails

INVERTED, UPSIDE_DOWN, TRANSPOSED = 1, 2, 4  # a form is the sum of what is done, in the opposite order; mirrored or not is asked in each
FORMS = 8
ALIKE = 0.5  # of invariants
THRESHOLD = 0.5  # of spectra in the right form
SAMPLE = 5_000  # pictures that the whitening is fitted to; its numbers are a quarter of those of the search


def turned(thumbnails: Thumbnails, forms: npt.NDArray[np.integer]) -> Thumbnails:
    """Returns pictures in other forms.

    Args:
      thumbnails: uint8 [pictures, side, side].
      forms: [pictures], each below FORMS.
    """
    found = np.array(thumbnails)
    for form in np.unique(forms):
        some = found[forms == form]
        some = some.swapaxes(1, 2) if form & TRANSPOSED else some
        some = some[:, ::-1] if form & UPSIDE_DOWN else some
        found[forms == form] = 255 - some if form & INVERTED else some
    return found


def candidates(thumbnails: ManyThumbnails, workers: int) -> Candidates:
    """Returns the pairs of which one may be the other turned or inverted, each once; `form` is what `first` has to be brought into.

    Args:
      thumbnails: [pictures, SIDE, SIDE]; a block of them is in memory at a time.
      workers: Threads.
    """
    count, found = len(thumbnails), [np.empty(0, CANDIDATE)]
    with threadpool_limits(1, "blas"), ThreadPoolExecutor(workers) as pool:
        sample = thumbnails[:: max(1, count // SAMPLE)]
        parts = pool.map(lambda start: invariants(np.asarray(sample[start : start + ROWS])), range(0, len(sample), ROWS))
        samples = np.concatenate(list(parts))
        whitening = Whitening.fit(samples, np.ones(samples.shape[1], bool))  # mirroring changes none of them
        index = StoredRows.empty(count, whitening.mean.shape, np.float32)

        def describe(start: int) -> None:
            own = whitening.descriptors(invariants(np.asarray(thumbnails[start : start + ROWS])))
            index[start : start + len(own)] = own

        list(pool.map(describe, range(0, count, ROWS)))
        for start in range(0, count, ROWS):
            own = np.asarray(index[start : start + ROWS])
            columns = range(start, count, COLUMNS)
            pairs = pool.map(
                lambda column, own=own, start=start: _alike(own, start, np.asarray(index[column : column + COLUMNS]), column), columns
            )
            found += [_in_their_form(thumbnails, some[k : k + PAIRS]) for some in pairs for k in range(0, len(some), PAIRS)]
    return np.concatenate(found)


def invariants(thumbnails: Thumbnails) -> Floats:
    """Returns what turning, mirroring and inverting leave as it is, float32 [pictures, numbers]."""
    absolute = np.abs(spectrum(thumbnails, WHOLE))
    swapped = absolute.transpose(0, 2, 1)
    sums, differences = _kept()
    return np.concatenate([(absolute + swapped)[:, sums], np.abs(absolute - swapped)[:, differences]], axis=1)


@cache
def _kept() -> tuple[npt.NDArray[np.bool_], npt.NDArray[np.bool_]]:
    """Returns which sums and which differences say something: one of each pair of places, and none on the diagonal."""
    waves = np.arange(SIDE)
    return band() & (waves[:, None] <= waves), band() & (waves[:, None] < waves)


def _alike(own: Floats, start: int, others: Floats, column: int) -> npt.NDArray[np.int64]:
    """Returns the numbers of pictures whose invariants agree, [pairs, 2], the lower one first."""
    rows, columns = np.nonzero(own @ others.T >= ALIKE)
    pairs = np.stack([start + rows, column + columns], axis=1)
    return pairs[pairs[:, 0] < pairs[:, 1]]


def _in_their_form(thumbnails: ManyThumbnails, pairs: npt.NDArray[np.int64]) -> Candidates:
    """Returns the pairs that agree in a form other than their own."""
    first, second = (spectrum(np.asarray(thumbnails[pairs[:, side]]), WHOLE) * band() for side in (0, 1))
    lengths = np.maximum(np.linalg.norm(first, axis=(1, 2)) * np.linalg.norm(second, axis=(1, 2)), 1e-6)
    best = np.zeros(len(pairs), CANDIDATE)
    best["first"], best["second"], best["similarity"] = pairs[:, 0], pairs[:, 1], -1
    for transposed, moved in ((0, first), (TRANSPOSED, first.swapaxes(1, 2))):
        # Even and odd waves down, even and odd waves across: [2, 2, pairs]. What turns a picture over changes the sign of the odd ones.
        sums = np.array([[(moved * second)[:, down::2, across::2].sum(axis=(1, 2)) for across in (0, 1)] for down in (0, 1)])
        for upside_down, (even, odd) in ((0, sums[0] + sums[1]), (UPSIDE_DOWN, sums[0] - sums[1])):
            for inverted, sign in ((0, 1), (INVERTED, -1)):
                similarity = (sign * even + np.abs(odd)) / lengths
                better = similarity > best["similarity"]
                best["form"][better] = transposed + upside_down + inverted
                best["mirrored"][better], best["similarity"][better] = sign * odd[better] < 0, similarity[better]
    return best[(best["form"] > 0) & (best["similarity"] >= THRESHOLD)]
