"""What TFMA asks in place of the ensemble's SavedModel: answers on record."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass

import tensorflow as tf
from tensorflow_model_analysis.api.types import ModelLoader

from cxr.components.ensemble_evaluator.joined import Answers
from cxr.components.metrics.answers import image_number
from cxr.core import features
from cxr.core.errors import CxrError

_standing_in: ContextVar[tuple[str, Answers]] = ContextVar("standing_in")


@contextmanager
def stands_for(saved_model: str, answers: Answers) -> Iterator[None]:
    """Lets answers stand for a SavedModel, given by its folder, inside the block."""
    token = _standing_in.set((saved_model, answers))
    try:
        yield
    finally:
        _standing_in.reset(token)


def loader_of(saved_model: str) -> ModelLoader | None:
    """Returns what loads the answers that stand for a SavedModel, given by its folder; None: none do."""
    replaced, answers = _standing_in.get()
    return ModelLoader(functools.partial(RecordedModel, answers), [tf.saved_model.SERVING]) if saved_model == replaced else None


@dataclass(frozen=True)
class _Signature:
    """A function of serialized tf.Examples, string [batch], in the form that TFMA takes for a SavedModel's."""

    function: Callable[[tf.Tensor], dict[str, tf.Tensor]]
    structured_input_signature: tuple[tuple[()], dict[str, tf.TypeSpec]] = ((), {})

    def __call__(self, examples: tf.Tensor) -> dict[str, tf.Tensor]:
        return self.function(examples)


class RecordedModel:
    """Has the signatures of a SavedModel that the Evaluator asks (gate.eval_config)."""

    def __init__(self, answers: Answers) -> None:
        self._answers = answers
        self.signatures = {
            features.SIGNATURE_EXAMPLES: _Signature(self._probabilities),
            features.SIGNATURE_LABELS: _Signature(self._label_indices),
        }

    def _probabilities(self, examples: tf.Tensor) -> dict[str, tf.Tensor]:
        numbers = [image_number(content_hash) for content_hash in _feature(examples, features.CONTENT_HASH)]
        try:
            rows = [self._answers.rows[number] for number in numbers]
        except KeyError:
            raise CxrError("the ensemble is to be evaluated on images that its members were not; run again with --no-cache") from None
        return {features.PROBABILITIES: tf.constant(self._answers.probabilities[rows])}

    def _label_indices(self, examples: tf.Tensor) -> dict[str, tf.Tensor]:
        # As every Transform graph of ours numbers them, which trainers check (trainer/transform_graph.py).
        numbers = {name.encode(): number for number, name in enumerate(self._answers.class_names)}
        labels = [numbers.get(label, -1) for label in _feature(examples, features.LABEL)]
        return {features.LABEL_INDEX: tf.constant(labels, tf.int64)[:, tf.newaxis]}


def _feature(examples: tf.Tensor, name: str) -> list[bytes]:
    return tf.io.parse_example(examples, {name: tf.io.FixedLenFeature([], tf.string)})[name].numpy().tolist()
