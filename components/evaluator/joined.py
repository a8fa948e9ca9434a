"""What an ensemble answers, from what its members have answered."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from cxr.components.evaluator.recorded_model import image_numbers
from cxr.components.metrics.evaluator_output import read_answers_by_image
from cxr.core.errors import CxrError
from cxr.trainer import model_info
from cxr.trainer.ensemble.joint_answers import joint_answers


@dataclass(frozen=True)
class Joined:
    """An ensemble's answers on record; see `recorded_model.Record`.

    Attributes:
      class_names: In the order of the probabilities.
      rows: Number of an image (components.metrics.answers.image_number) to its row.
      answers: float32 [images, classes].
    """

    class_names: tuple[str, ...]
    rows: Mapping[int, int]
    answers: npt.NDArray[np.float32]

    def probabilities(self, examples: tf.Tensor) -> npt.NDArray[np.float32]:
        """Returns the answers to a batch.

        Raises:
          CxrError: The members were not asked about some image.
        """
        numbers = image_numbers(examples)
        rows = [self.rows[number] for number in numbers if number is not None and number in self.rows]
        if len(rows) < len(numbers):
            raise CxrError("the ensemble is to be evaluated on images that its members were not; run again with --no-cache")
        return self.answers[rows]


def joined_answers(model: str, evaluations: Sequence[str]) -> Joined:
    """Returns what an ensemble answers to the images that its members have been evaluated on.

    Args:
      model: URI of the ensemble's Model artifact.
      evaluations: URIs of the members' ModelEvaluation artifacts, in the order in which they were joined.

    Raises:
      CxrError: An Evaluator kept no answers, or they are to different images, or the ensemble was joined by an older version.
    """
    found = [_by_image(uri) for uri in evaluations]
    images = found[0][0]
    for uri, (others, _) in zip(evaluations, found, strict=True):
        if not np.array_equal(others, images):
            raise CxrError(f"{uri}: the members were evaluated on different images; run again with --no-cache")
    rows = {number: row for row, number in enumerate(images.tolist())}
    return Joined(model_info.read_info(model).class_names, rows, joint_answers(model, [probabilities for _, probabilities in found]))


def _by_image(evaluation: str) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float32]]:
    """Returns the numbers of the images, each once and in order, and the probabilities."""
    answers = read_answers_by_image(evaluation)
    if answers is None:
        raise CxrError(f"{evaluation}: the Evaluator kept no answers; run again with --no-cache")
    return answers
