"""Heat maps laid over radiographs, and the table of a folder of such pictures."""

from __future__ import annotations

import errno
from collections.abc import Iterator, Sequence
from dataclasses import astuple, dataclass, fields
from pathlib import Path

import numpy as np
import numpy.typing as npt
from matplotlib import colormaps
from PIL import Image, ImageDraw, ImageFont

from cxr.core import features
from cxr.core.counts import agreeing, how_many
from cxr.core.durable import remove_left_over, replace_text, replacing
from cxr.core.errors import CxrError
from cxr.core.file_names import file_name_of
from cxr.core.machine_faults import explained as explained_fault
from cxr.core.visible import csv_text

TABLE = "explanations.csv"
COLOURS = "turbo"  # of the heat, from 0 (blue) to 1 (red)
OPACITY = 0.6  # of the hottest region; what is cold shows the radiograph alone
EMPTY = "no region supports {}"
_BANNER, _SMALLEST = 0.05, 9  # height of that text: share of the picture's, and pixels


class UnwrittenError(CxrError):
    """The folder takes no overlay, of whatever image."""


@dataclass(frozen=True)
class Explanation:
    """One overlay and what it explains; a row of the table."""

    image: str
    model: str  # a member, or the model itself
    explained: str  # class
    predicted: str  # class, by this model
    probability: float  # of the explained class, by this model
    empty: bool  # no region speaks for the class: the overlay says so
    overlay: str  # file name in the output folder
    remarks: str = ""  # what the header of a DICOM file says against a frontal chest X-ray
    outside: bool | None = None  # the picture is unlike anything that the whole model was trained on; None: it does not say
    version: int | None = None  # on a server; None: a model's folder was asked


def overlay(
    grey: npt.NDArray[np.uint8],
    heat: npt.NDArray[np.float32],
    explained: str,
    seen: Sequence[float] = features.WHOLE,
    outside: bool | None = None,
) -> Image.Image:
    """Lays a heat map over a radiograph; words on the picture say that it is empty, or that the model does not know such pictures.

    Args:
      grey: uint8 [height, width].
      heat: float32 [rows, columns] in [0, 1].
      explained: The class that it speaks for.
      seen: What the map stands for: top, left, bottom, right, shares of height and width (features.SEEN_BOX).
      outside: As an Explanation's.

    Returns:
      RGB, of the radiograph's size.

    Raises:
      ValueError: An array is of another kind or shape.
    """
    if grey.dtype != np.uint8 or grey.ndim != 2 or not grey.size:
        raise ValueError(f"the radiograph must be uint8 [height, width], not {grey.dtype} {list(grey.shape)}")
    if heat.dtype.kind != "f" or heat.ndim != 2 or not heat.size or not np.isfinite(heat).all():
        raise ValueError(f"the heat map must be finite floats [rows, columns], not {heat.dtype} {list(heat.shape)}")
    said = [text for text, so in ((features.OUTSIDE_SAID, outside), (EMPTY.format(explained), not heat.any())) if so]
    height, width = grey.shape
    top, left, bottom, right = (round(share * side) for share, side in zip(seen, (height, width) * 2, strict=True))
    large = np.zeros(grey.shape, np.float32)
    inner = large[top:bottom, left:right]
    fitted = Image.fromarray(heat.astype(np.float32)).resize(inner.shape[::-1], Image.Resampling.BICUBIC)
    inner[:] = np.asarray(fitted).clip(0, 1)
    colours = colormaps[COLOURS](large)[..., :3] * 255
    opacity = OPACITY * large[..., np.newaxis]
    drawn = Image.fromarray((grey[..., np.newaxis] * (1 - opacity) + colours * opacity).round().astype(np.uint8))
    return _with_banner(drawn, "; ".join(said)) if said else drawn


def save_overlay(picture: Image.Image, out: Path, image: Path, model: str, explained: str, probability: float) -> str:
    """Writes an overlay, whole or not at all, into an existing folder and returns the file's name, which no earlier one has.

    Raises:
      UnwrittenError: The disk is full or read-only, the folder is gone, or the user has no right; the image is not named.
      OSError: The name is too long.
    """
    # A model names itself and its classes: no folder may come of that.
    stem = "_".join((image.stem, *map(file_name_of, (model, explained)), f"{probability:.2f}"))
    path, number = out / f"{stem}.png", 2
    while path.exists():  # images of different folders may share their name
        path, number = out / f"{stem}_{number}.png", number + 1
    try:
        with replacing(path) as file:
            picture.save(file, "PNG")
    except OSError as error:
        if error.errno == errno.ENAMETOOLONG:
            raise
        told = explained_fault(OSError(error.errno, error.strerror), out)
        raise UnwrittenError(told or f"{out}: no overlay can be written ({error.strerror}); name another folder") from None
    return path.name


def list_overlays(out: Path, explanations: Sequence[Explanation]) -> Iterator[str]:
    """Writes one CSV row per overlay, and yields what a user is told of them; what killed calls left unfinished goes."""
    if not explanations:
        return  # a list of earlier ones stays
    remove_left_over(out, "*.png")
    rows = [[field.name for field in fields(Explanation)], *map(astuple, explanations)]
    replace_text(out / TABLE, csv_text(rows))
    if empty := sum(row.empty for row in explanations):
        which, say = agreeing(empty, "is", "are"), agreeing(empty, "its overlay says", "these overlays say")
        of_all = how_many(len(explanations), "map")
        yield f"{empty} of {of_all} {which} empty: no region of the picture supports the class; {say} so"
    yield f"{how_many(len(explanations), 'overlay')} in {out}, listed in {TABLE}"


def _with_banner(picture: Image.Image, text: str) -> Image.Image:
    size = max(_SMALLEST, round(_BANNER * picture.height))
    font = ImageFont.load_default(size)
    while font.getlength(text) > picture.width and size > 1:
        size -= 1
        font = ImageFont.load_default(size)
    draw = ImageDraw.Draw(picture)
    draw.rectangle((0, picture.height - round(1.6 * size), picture.width, picture.height), fill="black")
    draw.text((picture.width / 2, picture.height - 0.8 * size), text, fill="white", font=font, anchor="mm")
    return picture
