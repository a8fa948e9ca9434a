"""What TFMA asks in place of a SavedModel: answers on record."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt
import tensorflow as tf
from tensorflow_model_analysis.api.types import ModelLoader

from cxr.components.metrics.answers import image_number
from cxr.core import features


class Record(Protocol):
    """Answers on record; Beam sends it to workers."""

    @property
    def class_names(self) -> tuple[str, ...]:
        """In the order of the probabilities."""

    def probabilities(self, examples: tf.Tensor) -> npt.NDArray[np.float32]:
        """Returns the answers, float32 [batch, classes], to serialized tf.Examples, string [batch]."""


_standing_in: ContextVar[Mapping[str, Record]] = ContextVar("standing_in")


@contextmanager
def stand_in(records: Mapping[str, Record]) -> Iterator[None]:
    """Lets records stand for SavedModels, given by their folders, inside the block."""
    token = _standing_in.set(records)
    try:
        yield
    finally:
        _standing_in.reset(token)


def loader_of(saved_model: str) -> ModelLoader | None:
    """Returns what loads the record that stands for a SavedModel, given by its folder; None: none does."""
    record = _standing_in.get().get(saved_model)
    return ModelLoader(functools.partial(RecordedModel, record), [tf.saved_model.SERVING]) if record else None


@dataclass(frozen=True)
class _Signature:
    """A function of serialized tf.Examples, string [batch], in the form that TFMA takes for a SavedModel's."""

    function: Callable[[tf.Tensor], dict[str, tf.Tensor]]
    structured_input_signature: tuple[tuple[()], dict[str, tf.TypeSpec]] = ((), {})

    def __call__(self, examples: tf.Tensor) -> dict[str, tf.Tensor]:
        return self.function(examples)


class RecordedModel:
    """Has the signatures of a SavedModel that the Evaluator asks (gate.eval_config)."""

    def __init__(self, record: Record) -> None:
        self._record = record
        self.signatures = {
            features.SIGNATURE_EXAMPLES: _Signature(lambda examples: {features.PROBABILITIES: tf.constant(record.probabilities(examples))}),
            features.SIGNATURE_LABELS: _Signature(self._label_indices),
        }

    def _label_indices(self, examples: tf.Tensor) -> dict[str, tf.Tensor]:
        # As every Transform graph of ours numbers them, which trainers check (trainer/transform_graph.py).
        numbers = {name.encode(): number for number, name in enumerate(self._record.class_names)}
        labels = [numbers.get(label, -1) for label in _feature(examples, features.LABEL)]
        return {features.LABEL_INDEX: tf.constant(labels, tf.int64)[:, tf.newaxis]}


def image_numbers(examples: tf.Tensor) -> list[int | None]:
    """Returns the numbers of the images (`image_number`) of serialized tf.Examples; None: the example has no content hash."""
    return [image_number(content_hash) if content_hash else None for content_hash in _feature(examples, features.CONTENT_HASH, b"")]


def _feature(examples: tf.Tensor, name: str, default: bytes | None = None) -> list[bytes]:
    return tf.io.parse_example(examples, {name: tf.io.FixedLenFeature([], tf.string, default)})[name].numpy().tolist()
