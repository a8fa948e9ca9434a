"""Where the lungs are taken to be: a fixed box round the picture's centre, and the frame that is left.

A box is no segmentation. It holds the lungs of nearly every frontal radiograph, with much that is none: heart, spine, shoulders, cables.
The frame holds chest wall, arms, neck, borders and most burnt-in letters, and now and then the edge of a lung.
"""

from __future__ import annotations

from typing import Literal, TypeVar

import numpy as np
import numpy.typing as npt

FRAME = 0.08  # share of a side, at each end: the box holds 71 % of the picture
CORNER = 0.15  # share of a side: corners hold letters and side markers, and no lung

Grey = npt.NDArray[np.uint8]
Level = TypeVar("Level", bound=np.generic)
Masked = Literal["centre", "border"]  # what is blacked out


def blacked_out(grey: Grey, part: Masked) -> Grey:
    """Returns a copy with the box ("centre") or the frame round it ("border") black.

    Args:
      grey: [height, width].
      part: What is blacked out.
    """
    height, width = grey.shape
    rows, columns = _inner(height), _inner(width)
    if part == "centre":
        masked = grey.copy()
        masked[rows, columns] = 0
    else:
        masked = np.zeros_like(grey)
        masked[rows, columns] = grey[rows, columns]
    return masked


def frame(grey: npt.NDArray[Level]) -> tuple[npt.NDArray[Level], ...]:
    """Returns the frame round the box: above, below, left, right.

    Args:
      grey: [height, width], of any dtype.
    """
    height, width = grey.shape
    rows, columns = _inner(height), _inner(width)
    return grey[: rows.start], grey[rows.stop :], grey[rows, : columns.start], grey[rows, columns.stop :]


def corners(grey: Grey) -> tuple[Grey, Grey, Grey, Grey]:
    """Returns the four corners: top left, top right, bottom left, bottom right."""
    rows, columns = (max(1, round(CORNER * side)) for side in grey.shape)
    return grey[:rows, :columns], grey[:rows, -columns:], grey[-rows:, :columns], grey[-rows:, -columns:]


def _inner(side: int) -> slice:
    edge = max(1, round(FRAME * side))
    return slice(edge, side - edge)
