"""Do heat maps lie where the lesions are? Energy inside the lesion and the pointing game, beside chance.

Energy: Wang et al., Score-CAM, CVPR workshops 2020, https://arxiv.org/abs/1910.01279. Pointing game: Zhang et al., IJCV 126, 2018,
https://arxiv.org/abs/1608.00507.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from PIL import Image

from cxr.components.explanation.result import Localisation
from cxr.core.figures import Floats
from cxr.core.intervals import TOO_FEW, Figure, bootstrap_interval, share_interval
from cxr.core.resampling import drawn_means, patient_numbers
from cxr.core.support import images_of, quantile

GRID = 64  # cells a side that maps and masks are compared on
Heat = npt.NDArray[np.float32]
Mask = npt.NDArray[np.bool_]


def energy_inside(heat: Heat, masks: Mask) -> Floats:
    """Returns the share of a map's heat that lies inside each mask, float64 [masks]; NaN for an empty map.

    Args:
      heat: float [rows, columns], none negative, laid over the whole picture.
      masks: bool [masks, height, width], of whole pictures.
    """
    large = _laid_over(heat, *masks.shape[1:]).astype(np.float64)
    return masks.reshape(len(masks), -1) @ large.ravel() / (large.sum() or np.nan)


def points_inside(heat: Heat, mask: Mask) -> bool:
    """Whether the hottest place of a map lies inside a mask, bool [height, width]; that of an empty map does not."""
    return bool(heat.any() and mask.flat[int(_laid_over(heat, *mask.shape).argmax())])


def localise(
    model: str, heats: Sequence[Heat], masks: Sequence[Mask], classes: Sequence[str], patients: Sequence[bytes]
) -> Localisation | None:
    """Measures how much of the maps lies inside the lesions.

    Beside it stand two kinds of chance. A map that is the same everywhere has as much inside as the lesion has of the picture. And since
    lesions are mostly in the lungs, a map that is always the same would do better than that: so each map is also compared with the
    lesions of the same class in other patients' pictures.

    Args:
      model: Whose maps they are.
      heats: [rows, columns] each, for the class of the lesion.
      masks: bool [height, width] each, with at least one pixel set.
      classes: Of the lesions.
      patients: Pseudonyms.

    Returns:
      None where there is no map, or where all are empty.
    """
    full = [k for k, heat in enumerate(heats) if heat.any()]
    if not full:
        return None
    coarse = np.stack([_on_grid(masks[k]) for k in full])
    numbers, count = patient_numbers([patients[k] for k in full])
    inside = np.stack([energy_inside(heats[k], coarse) for k in full])  # [map, mask]
    kinds = np.array([classes[k] for k in full])
    others = (numbers[:, np.newaxis] != numbers[np.newaxis]) & (kinds[:, np.newaxis] == kinds[np.newaxis])
    elsewhere = np.array([row[other].mean() if other.any() else np.nan for row, other in zip(inside, others, strict=True)])
    energy, area = np.diag(inside), coarse.mean(axis=(1, 2))
    hits = np.array([points_inside(heats[k], mask) for k, mask in zip(full, coarse, strict=True)], np.float64)
    share = float(hits.mean())
    measured = Localisation(
        model=model,
        images=len(full),
        patients=count,
        empty=len(heats) - len(full),
        energy=_mean(energy, numbers),
        area=_mean(area, numbers),
        above_area=_mean(energy - area, numbers),
        elsewhere=_mean(elsewhere, numbers),
        above_elsewhere=_mean(energy - elsewhere, numbers),
        hits=Figure.of(share, share_interval(share, drawn_means(hits, numbers), count, quantile(images_of(numbers)))),
        verdict="",
    )
    return measured.model_copy(update={"verdict": _verdict(measured)})


def _mean(values: Floats, patients: npt.NDArray[np.int64]) -> Figure:
    """Of the images where it is defined."""
    known = ~np.isnan(values)
    if not known.any():
        return Figure(value=None)
    keys, numbers, images = np.unique(patients[known], return_inverse=True, return_counts=True)
    draws = drawn_means(values[known], numbers.astype(np.int64))
    return Figure.of(float(values[known].mean()), bootstrap_interval(draws, len(keys), quantile(images)))


def _verdict(found: Localisation) -> str:
    size = f"{found.energy} of the heat lies inside the lesions, which cover {found.area} of the picture"
    if found.above_area.low is None:
        return f"{size}; {TOO_FEW}"
    if not found.above_area.low > 0:
        return f"{size}: no better than chance"
    others = f"the lesions of the same class in other patients ({found.elsewhere})"
    if found.above_elsewhere.low is None:
        return f"{size}: better than chance; compared with {others}: {TOO_FEW}"
    if not found.above_elsewhere.low > 0:
        return f"{size}, which is better than chance; but as much lies inside {others}: the maps show where lesions mostly are"
    return f"{size}: better than chance, and more than inside {others}"


def _laid_over(heat: Heat, height: int, width: int) -> Heat:
    large = Image.fromarray(np.asarray(heat, np.float32)).resize((width, height), Image.Resampling.BILINEAR)
    return np.asarray(large).clip(0)


def _on_grid(mask: Mask) -> Mask:
    shares = Image.fromarray(mask.astype(np.float32)).resize((GRID, GRID), Image.Resampling.BOX)
    found = np.asarray(shares) >= 0.5
    return found if found.any() else np.asarray(shares) > 0  # a lesion smaller than a cell
