"""Groups for `deal` other than patients: single images, and sources that are left out one at a time."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from cxr.core.counts import how_many
from cxr.core.folds import Fold, Indices

MIN_SOURCE_IMAGES = 20  # a source with fewer says nothing: an interval as wide as the scale


def by_image(images: int) -> npt.NDArray[np.str_]:
    """Returns groups for `deal` of one image each."""
    return np.arange(images).astype(np.str_)


def by_source(
    labels: Indices, patients: npt.NDArray[np.str_], sources: npt.NDArray[np.str_], least_patients: int
) -> tuple[list[Fold], dict[str, str]]:
    """Leaves one source out at a time.

    A class is learnt where the other sources have enough patients of it, and asked about where it was learnt. A patient with images in
    the source that is left out is not learnt from.

    Args:
      labels: [images].
      patients: [images].
      sources: [images].
      least_patients: Patients of a class in the other sources below which it is not learnt.

    Returns:
      The folds, and the sources that could not be left out with the reason.
    """
    folds: list[Fold] = []
    skipped: dict[str, str] = {}
    for source in np.unique(sources):
        own = sources == source
        rest = ~own & ~np.isin(patients, patients[own])
        known = [c for c in np.unique(labels[rest]) if len(np.unique(patients[rest & (labels == c)])) >= least_patients]
        asked = own & np.isin(labels, known)
        if len(known) < 2:
            skipped[str(source)] = (
                f"the other sources have {how_many(len(known), 'class', 'classes')} with {least_patients} or more patients"
            )
        elif asked.sum() < MIN_SOURCE_IMAGES:
            skipped[str(source)] = (
                f"{how_many(asked.sum(), 'image')} of classes that the other sources have, fewer than {MIN_SOURCE_IMAGES}"
            )
        elif len(np.unique(labels[asked])) < 2:
            skipped[str(source)] = "its images of classes that the other sources have are all of one class"
        else:
            folds.append(Fold(str(source), np.flatnonzero(rest & np.isin(labels, known)), np.flatnonzero(asked)))
    return folds, skipped
