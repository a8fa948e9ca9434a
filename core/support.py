"""On whom a figure rests: how many patients, and how unequal their shares of the images are, which makes an interval wider."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from cxr.core.figure_table import Behind, row_of
from cxr.core.figures import Answers
from cxr.core.intervals import CONFIDENCE, Z

LARGE_SHARE = 0.2  # of all images
# Which rows of `Support.quantiles` speak of whom
ROWS = {
    Behind.EVERYBODY: [0],
    Behind.RAREST_CLASS: [1],
    Behind.OWN: [1],
    Behind.TAKEN_FOR_IT: [2],
    Behind.OTHERS: [3],
    Behind.SMALLER_SIDE: [1, 3],
}


@dataclass(frozen=True)
class Support:
    """Of one set of answers.

    Attributes:
      patients: All.
      per_class: int64 [2, classes], see `Answers.patients_per_class`.
      quantiles: float64 [4, classes], see `quantile`: of all patients, the same for each class; of those with an image of the class, with
          one that is taken for it, and with one of another class.
    """

    patients: int
    per_class: npt.NDArray[np.int64]
    quantiles: npt.NDArray[np.float64]

    @classmethod
    def of(cls, answers: Answers) -> Support:
        """Counts."""
        labels, predicted = answers.labels, answers.predicted
        whole = images_of(answers.patients)
        rows = [
            (quantile(whole), *(quantile(images_of(answers.patients[part])) for part in (labels == c, predicted == c, labels != c)))
            for c in range(answers.classes)
        ]
        return cls(len(whole), answers.patients_per_class, np.array(rows).T.reshape(4, answers.classes))

    @classmethod
    def of_both(cls, one: Support, other: Support) -> Support:
        """Returns what a difference between two models on the same images rests on: where theirs differ, on the weaker."""
        return cls(one.patients, np.minimum(one.per_class, other.per_class), np.maximum(one.quantiles, other.quantiles))

    def quantile(self, figure: str, class_id: int | None) -> float:
        """Returns the quantile of a figure's interval: of several groups of patients whom it is made of, the greatest.

        Args:
          figure: A name of `figure_table`.
          class_id: None: of all classes.
        """
        found = self.quantiles[ROWS[row_of(figure).behind]]
        return float((found if class_id is None else found[:, class_id]).max(initial=Z))


def images_of(patients: npt.ArrayLike) -> npt.NDArray[np.int64]:
    """Returns how many images each patient has, int64 [patients].

    Args:
      patients: [images], anything that is equal for the images of one patient.
    """
    return np.unique(np.asarray(patients), return_counts=True)[1]


def quantile(images: npt.ArrayLike) -> float:
    """Returns by how many standard errors an interval reaches to each side: Z where all patients have as many images, else more.

    A variance that few patients make, since they have most of the images, is badly known itself: as badly as that of (Σm²)² / Σm⁴ patients
    with as many images each. These are Satterthwaite's degrees of freedom (Biometrics Bulletin 2, 1946) of the cluster-robust variance of a
    mean, as Bell and McCaffrey take them (Survey Methodology 28, 2002), where answers to a patient's images are all alike. So Z grows as
    Student's t of so many grows above that of all of them. Measured by benchmarks/intervals.py (docs/evaluation.md, Intervals).

    Args:
      images: m, how many each patient has, [patients]; none: Z.
    """
    from scipy.special import stdtrit

    squares = np.asarray(images, np.float64) ** 2
    if not squares.sum():
        return Z
    freedom = squares.sum() ** 2 / (squares**2).sum()
    level = (1 + CONFIDENCE) / 2
    return float(Z * stdtrit(freedom, level) / stdtrit(len(squares), level))


def large_share(patients: npt.ArrayLike) -> str:
    """Returns a sentence where one patient has so many of the images that figures hang on this one; empty where none has.

    Args:
      patients: [images], anything that is equal for the images of one patient; it is not shown.
    """
    found = one_with_most(images_of(patients).tolist())
    return f"{found}: every figure depends on this patient, and its interval is wide" if found else ""


def one_with_most(images: Collection[int]) -> str:
    """Returns "one patient has 40 of the 100 images" where one has a large share of them; empty where none has.

    Args:
      images: How many each patient has.
    """
    total, most = sum(images), max(images, default=0)
    if not total or most <= max(LARGE_SHARE, 3 / len(images)) * total:  # of few patients each has much, if all have as many
        return ""
    return f"one patient has {most} of the {total} images"
