"""What chance does where new data are like the training data: how far it is believed, for everything that `cxr validate` judges together.

Both judgements, of drift and of flagged images, get half of FALSE_ALARMS (Bonferroni), so that one `cxr validate` of data like those of
the training has a finding among them in at most so many of all cases.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
from scipy.stats import betabinom

from cxr.trainer.calibration.ranks import conformal_rank

FALSE_ALARMS = 0.05  # of comparisons of data like those of the training
LEVEL = FALSE_ALARMS / 2  # drift is judged, and how many images are flagged
DIVISIONS = 1999  # with the one that was found 2,000: of 13 distances each is then believed beyond about its fifth largest value
SEED = 2021
_CELLS = 4_000_000  # images of divisions held at once, 4 bytes each

Floats = npt.NDArray[np.floating]


def divisions(new: npt.NDArray[np.int64], training: npt.NDArray[np.int64]) -> Iterator[tuple[Floats, Floats]]:
    """Divides the patients of both sets anew by chance; a division that was found is one of these where both are alike.

    A patient takes the place of another, with at most as many images as that one has, drawn from his own: new data with one image of a
    patient each are as uncertain as they are, whatever the training data have of theirs. On each side those with the most images take the
    places of those with the most, so that few images are left out where both sets have as many of a patient.

    Args:
      new: [new images], whose each is: numbers from 0.
      training: [training images], the same, of other patients.

    Yields:
      Some divisions at a time, first the one that was found, then DIVISIONS others: which images are on the side of the new ones, and on
      that of the training, 0 or 1, float32 [divisions, new images + training images].
    """
    first = int(new.max()) + 1  # patient of the training
    patients = np.concatenate([new, training + first])
    sizes = np.bincount(patients)
    start = np.cumsum(sizes) - sizes
    places = np.sort(sizes[:first]), np.sort(sizes[first:])  # how many images each takes, on either side
    random = np.random.default_rng(SEED)
    step = max(1, _CELLS // len(patients))
    for begin in range(0, 1 + DIVISIONS, step):
        sides = np.zeros([2, min(step, 1 + DIVISIONS - begin), len(patients)], np.float32)
        for row in range(sides.shape[1]):
            shuffled = random.permutation(len(sizes)) if begin + row else np.arange(len(sizes))
            most = np.empty(len(sizes), np.int64)  # images of a patient that his place takes
            for side, taking in zip((shuffled[:first], shuffled[first:]), places, strict=True):
                most[side[np.argsort(sizes[side], kind="stable")]] = taking
            is_new = np.zeros(len(sizes), bool)
            is_new[shuffled[:first]] = True
            order = np.lexsort((random.random(len(patients)), patients))
            rank = np.empty(len(patients), np.int64)  # of an image among those of its patient
            rank[order] = np.arange(len(patients)) - start[patients[order]]
            taken = rank < most[patients]
            sides[:, row] = taken & is_new[patients], taken & ~is_new[patients]
        yield sides[0], sides[1]


def borders(found: Floats, judged: npt.NDArray[np.bool_], level: float = LEVEL) -> Floats:
    """Returns how far chance takes each distance: in a share `level` of divisions at most does any that is judged lie beyond its border.

    Beyond each border lie equally many divisions (single-step min P: Westfall and Young, Resampling-Based Multiple Testing, 1993, section
    2.5): a distance with a long tail costs the others nothing. That is exact where the patients of both sets are exchangeable.

    Args:
      found: [divisions, distances], that which was found first.
      judged: [distances], which of them may be a finding.
      level: See above.

    Returns:
      [distances].
    """
    as_far = len(found) - np.stack([np.searchsorted(np.sort(column), column) for column in found.T], axis=1)  # divisions, itself included
    most = np.sort(as_far[:, judged].min(axis=1, initial=len(found)))[int(level * len(found))] - 1
    return np.sort(found[1:], axis=0)[-max(most, 1)]


def most_flagged(share: float, validation: int, new: int) -> int:
    """Returns how many new images, each of another patient, are flagged by mistake at most, but for a share LEVEL of cases.

    The border is the value of one rank among the validation images. What share of others lies beyond is not known exactly, but
    distributed as Beta(n + 1 - rank, rank) (Vovk, Conditional validity of inductive conformal predictors, Machine Learning 92, 2013), and
    of how many new images it is the share as the beta-binomial distribution says.

    Args:
      share: That was allowed, see `outside.fit`.
      validation: How many images, each of another patient, the border was found on; at least one.
      new: How many are asked about.
    """
    rank = min(conformal_rank(validation, 1 - share), validation)
    return int(betabinom.ppf(1 - LEVEL, new, validation + 1 - rank, rank))
