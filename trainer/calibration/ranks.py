"""The one rank that split-conformal methods need."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt


def conformal_rank(count: int, share: float) -> int:
    """Returns the rank, from 1, of the value that `conformal_quantile` returns; beyond `count` where there is none."""
    return math.ceil(round((count + 1) * share, 9))  # 0.9 · 10 is 9.000000000000002 to a float


def conformal_quantile(values: npt.ArrayLike, share: float) -> float | None:
    """Returns the value that a new one, drawn like these, exceeds with a probability of at most 1 - share.

    The ceil((n + 1) share)-th smallest of n values (Vovk et al. 2005; Angelopoulos and Bates 2023, https://arxiv.org/abs/2107.07511,
    section 1). That holds for images as exchangeable as the values' are, which images of one patient are not quite.

    Args:
      values: [images].
      share: In (0, 1).

    Returns:
      None where there are too few values to say so.
    """
    ordered = np.sort(np.asarray(values, np.float64).ravel())
    rank = conformal_rank(len(ordered), share)
    return float(ordered[rank - 1]) if 0 < rank <= len(ordered) else None
