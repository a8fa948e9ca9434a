"""What SavedModels answered in earlier evaluations: kept in the feature cache, under the bytes of the SavedModel and the image."""

from __future__ import annotations

import functools
import hashlib
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from cxr.components.evaluator.recorded_model import image_numbers
from cxr.components.metrics.answers import NO_IMAGE
from cxr.components.metrics.evaluator_output import read_answers_by_image
from cxr.core import features
from cxr.trainer import devices, files, model_info
from cxr.trainer.feature_cache.shards import key
from cxr.trainer.feature_cache.store import ANSWERS, Group, GroupInfo, Store


@dataclass(frozen=True)
class Kept:
    """A SavedModel's answers as far as they are kept, and the SavedModel for the others; see `recorded_model.Record`.

    Attributes:
      saved_model: Its folder.
      class_names: In the order of the probabilities.
      group: Where its answers are kept.
    """

    saved_model: str
    class_names: tuple[str, ...]
    group: Group

    def probabilities(self, examples: tf.Tensor) -> npt.NDArray[np.float32]:
        """Returns the answers to a batch; the SavedModel is loaded where one of them is not kept."""
        numbers = image_numbers(examples)
        known = [number for number in numbers if number is not None]
        if len(known) == len(numbers):
            rows, found = self.group.read([_key(number) for number in known], len(self.class_names))
            if found.all():
                return np.asarray(rows)
        outputs = _loaded(self.saved_model).signatures[features.SIGNATURE_EXAMPLES](examples=examples)
        return outputs[features.PROBABILITIES].numpy()

    def add(self, evaluation: str) -> None:
        """Keeps what an evaluation of the SavedModel, given by its URI, has of it."""
        answers = read_answers_by_image(evaluation)
        if answers is None:
            return
        numbers, probabilities = answers
        keys = [_key(number) for number in numbers.tolist()]
        new = np.flatnonzero(~self.group.read(keys, len(self.class_names))[1] & (numbers != NO_IMAGE))
        if new.size:
            self.group.add([keys[i] for i in new], probabilities[new])


def kept_answers(store: Store, saved_model: str) -> Kept:
    """Returns what a cache holds of a SavedModel, given by its folder."""
    info = model_info.read_info(saved_model)
    about = GroupInfo(kind=ANSWERS, backbone=info.backbone or info.name, image_size=info.image_size)
    return Kept(saved_model, info.class_names, store.group(_made_by(saved_model), about))


def _key(number: int) -> bytes:
    return key(number.to_bytes(8, "little", signed=True))


def _made_by(saved_model: str) -> str:
    """Returns a name for all that the answers hang on besides the image; equal for a trainer's export and what was pushed of it."""
    digest = hashlib.sha256(f"{tf.__version__} {devices.has_gpu()}".encode())
    # The index has a checksum of each variable's bytes.
    for file in (tf.saved_model.SAVED_MODEL_FILENAME_PB, "variables/variables.index"):
        digest.update(hashlib.sha256(files.read_bytes(f"{saved_model}/{file}")).digest())
    return digest.hexdigest()[:24]


@functools.lru_cache(maxsize=2)  # the candidate and its baseline
def _loaded(saved_model: str) -> Any:
    return tf.saved_model.load(saved_model)
