"""What a model answered to each image of the split that it was judged on, and whose images these are."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from cxr.components.metrics.answers import NO_IMAGE, image_number
from cxr.components.metrics.evaluator_output import read_answers
from cxr.core import features
from cxr.core.resampling import patient_numbers
from cxr.data.example_columns import columns, files_of


@dataclass(frozen=True)
class AnsweredImages:
    """What a model answered to each image of the evaluation split.

    Attributes:
      images: int64 [images], the number of each (components.metrics.answers.image_number).
      labels: int64 [images], true class.
      probabilities: float32 [images, classes].
      patients: int64 [images], numbers: whose each is (core.resampling.patient_numbers); None: not known.
    """

    images: npt.NDArray[np.int64]
    labels: npt.NDArray[np.int64]
    probabilities: npt.NDArray[np.float32]
    patients: npt.NDArray[np.int64] | None = None


def read_image_answers(evaluation: str | Path, patients: Mapping[int, bytes]) -> AnsweredImages | None:
    """Returns a model's answers to the images that can be told apart; None where an Evaluator of an older version kept none.

    Args:
      evaluation: URI of the ModelEvaluation artifact.
      patients: Number of an image: its patient's pseudonym; see `read_patients`.

    Raises:
      CxrError: The artifact holds no metrics.
    """
    found = read_answers(evaluation)
    if found is None:
        return None
    images, labels, probabilities = found
    known = images != NO_IMAGE
    if not known.any():
        return None
    numbers = [int(number) for number in images[known]]
    everybody = all(number in patients for number in numbers)
    return AnsweredImages(
        images[known],
        labels[known],
        probabilities[known],
        patient_numbers([patients[number] for number in numbers])[0] if everybody else None,
    )


def read_patients(folder: str | Path) -> dict[int, bytes]:
    """Returns whose each image of a split is: number of the image (answers.image_number) to the patient's pseudonym.

    Args:
      folder: Of TFRecords of raw examples; where it does not exist nothing is known.
    """
    found: dict[int, bytes] = {}
    for batch in columns(files_of([f"{folder}/*"]), {features.CONTENT_HASH: "", features.PATIENT_ID: ""}):
        for content_hash, patient in zip(*batch, strict=True):
            found.setdefault(image_number(content_hash), patient)
    return found
