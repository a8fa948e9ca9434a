"""The bootstrap over patients: how much every metric would move with other patients.

Images of one patient resemble each other, and so do a model's errors on them; resampling images would make the intervals too narrow.
Patients are drawn with replacement, all images of each together (the cluster bootstrap: Field and Welsh, JRSS B 69, 2007).
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

import numpy as np
import numpy.typing as npt

from cxr.core.figures import Answers, Floats

Measured = TypeVar("Measured")

DRAWS = 1000
SEED = 2021  # the same patients are drawn for every model that is judged on them: differences are paired
_CELLS = 1_000_000  # weights held at once, 8 MB, and what is measured with them several times as much


def patient_key(patient: bytes) -> int:
    """Returns 64 bits, signed, that stand for a patient's pseudonym; their order is that of the draws."""
    return int.from_bytes(hashlib.sha256(patient).digest()[:8], "big", signed=True)


def patient_numbers(patients: Iterable[bytes]) -> tuple[npt.NDArray[np.int64], int]:
    """Returns whose image each is, as `Answers.patients` wants it, and how many patients there are.

    Whoever numbers the same patients so gets the same draws, whatever order the images come in.
    """
    keys, numbers = np.unique(np.array([patient_key(patient) for patient in patients], np.int64), return_inverse=True)
    return numbers.astype(np.int64), len(keys)


def resampled(answers: Answers, measure: Callable[[Floats], Measured]) -> Iterator[Measured]:
    """Yields what is measured in DRAWS draws, some at a time.

    Args:
      answers: Whose patients are drawn.
      measure: From weights, float64 [draws, examples], to what was measured with them, such as `figures.Measure`.
    """
    if len(answers.patients):
        yield from map(measure, _weights(answers.patients))


def drawn_means(values: Floats, patients: npt.NDArray[np.int64]) -> Floats:
    """Returns the mean in each of DRAWS draws, float64 [DRAWS].

    Args:
      values: [images], finite.
      patients: int64 [images], numbers as `patient_numbers` gives them.
    """
    return np.concatenate([weights @ values / weights.sum(axis=1) for weights in _weights(patients)])


def _weights(patients: npt.NDArray[np.int64]) -> Iterator[Floats]:
    """Yields how often each image is drawn, float64 [some draws, images], DRAWS in all."""
    random = np.random.default_rng(SEED)
    step = max(1, _CELLS // max(1, len(patients)))
    for start in range(0, DRAWS, step):
        yield _drawn(random, int(patients.max(initial=-1)) + 1, min(step, DRAWS - start))[:, patients]


def _drawn(random: np.random.Generator, patients: int, count: int) -> Floats:
    """How often each patient is drawn, float64 [count, patients]."""
    drawn = random.integers(patients, size=(count, patients))
    offsets = np.arange(count)[:, np.newaxis] * patients
    return np.bincount((drawn + offsets).ravel(), minlength=count * patients).reshape(count, patients).astype(np.float64)
