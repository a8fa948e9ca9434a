"""How trained, frozen members are joined: from their predictions alone, no image passes through a backbone again.

Methods (voting.py): soft, hard, weighted (a soft vote with fitted shares), stacking (Dense on the concatenated probabilities, trained)
and best (one member alone, the most accurate on the validation split). Shares and layer are fitted to answers that fitting_data.py
chooses: the out-of-fold ones where there are any. `auto` takes the method with the lowest loss on the validation split among those that
are at least as accurate there as the best member. There is always one: that member itself.

With some 150 validation images this choice must not have much freedom. So the shares are quarters (15 ways for three members) instead of
fitted numbers, and the Dense layer starts at the soft vote and keeps the weights with the lowest validation loss, those it started with
among them. What is chosen on a split is flattered by it: the number to quote is the test split's, which takes no part here.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import combinations_with_replacement
from typing import Any

import keras
import numpy as np
import numpy.typing as npt

from cxr.core import features
from cxr.core.errors import CxrError
from cxr.trainer.calibration.layers import Temperature
from cxr.trainer.ensemble.stacking import train_stacking
from cxr.trainer.ensemble.voting import HardVote, WeightedVote
from cxr.trainer.history import Score, StageHistory
from cxr.trainer.losses import make_loss
from cxr.trainer.model_config import Ensemble
from cxr.trainer.predictions import Predictions

METHODS = ("soft", "hard", "weighted", "stacking", "best")  # the first wins where losses are equal
STEPS = 4  # shares of a weighted vote are multiples of 1 / STEPS


@dataclass(frozen=True)
class Votes:
    """The members' answers on one split, in the same order."""

    probabilities: list[npt.NDArray[np.float32]]  # one [images, classes] per member
    labels: npt.NDArray[np.float32]  # [images, classes], one-hot
    patients: npt.NDArray[np.int64]  # [images], numbers
    unlike_training: list[npt.NDArray[np.float32]] | None = None  # one [images] per member; None: some member has no such output

    def take(self, which: npt.NDArray[np.int64]) -> Votes:
        """Returns some of the images, by position."""
        scores = self.unlike_training and [s[which] for s in self.unlike_training]
        return Votes([p[which] for p in self.probabilities], self.labels[which], self.patients[which], scores)


@dataclass(frozen=True)
class Joined:
    """How the members were joined, and why."""

    method: str
    layer: keras.layers.Layer  # list of [batch, classes] -> [batch, classes]
    methods: dict[str, Score]  # on the validation split; empty without one
    members: dict[str, Score]
    stages: tuple[StageHistory, ...]  # the stacking method's training, where it was chosen

    def answer(self, votes: Votes) -> npt.NDArray[np.float32]:
        """Returns the joined answers, [images, classes], before the ensemble's own temperature."""
        return _answer(self.layer, votes)

    def report(self) -> dict[str, Any]:
        """Returns what history.json and model.json keep."""
        return {
            "method": self.method,
            "shares": getattr(self.layer, "shares", None),
            "validation": {
                "methods": {name: asdict(score) for name, score in self.methods.items()},
                "members": {name: asdict(score) for name, score in self.members.items()},
            },
        }


def align(predictions: Mapping[str, Predictions], split: str) -> Votes:
    """Brings the members' answers on a split into one order (image hash, then label).

    Raises:
      CxrError: The members answered for different images.
    """
    ordered = {}
    for member, p in predictions.items():
        order = np.lexsort((p.label_index, p.content_hash))
        scores = p.unlike_training[order] if p.unlike_training is not None else None
        ordered[member] = Predictions(p.content_hash[order], p.label_index[order], p.probabilities[order], p.patients[order], scores)
    first_name, first = next(iter(ordered.items()))
    for member, p in ordered.items():
        if not (np.array_equal(p.content_hash, first.content_hash) and np.array_equal(p.label_index, first.label_index)):
            raise CxrError(
                f"split {split!r}: {member} and {first_name} were not trained on the same images "
                f"({len(p.label_index)} and {len(first.label_index)}); train all members in one run"
            )
    classes = first.probabilities.shape[1]
    scored = [p.unlike_training for p in ordered.values() if p.unlike_training is not None]
    one_hot = np.eye(classes, dtype=np.float32)[first.label_index]
    return Votes([p.probabilities for p in ordered.values()], one_hot, first.patients, scored if len(scored) == len(ordered) else None)


def join(config: Ensemble, member_names: Sequence[str], fit: Votes, val: Votes | None) -> Joined:
    """Fits the configured method, or all of them and chooses.

    Args:
      config: Which method, and how the stacking method is trained.
      member_names: In the order of the votes.
      fit: Answers that weights are fitted to.
      val: Answers on the validation split, if there is one: they choose, and tell where the training of stacking stops.

    Raises:
      CxrError: The method needs a validation split and there is none.
    """
    config.check_validation(features.ENSEMBLE, has_validation=val is not None)
    members = {name: _score(config, p, val.labels) for name, p in zip(member_names, val.probabilities, strict=True)} if val else {}
    floor = max((score.accuracy for score in members.values()), default=0.0)

    layers: dict[str, keras.layers.Layer] = {}
    stages: tuple[StageHistory, ...] = ()
    for method in METHODS if config.method == "auto" else (config.method,):
        if method == "soft":
            layers[method] = WeightedVote([1 / len(member_names)] * len(member_names))
        elif method == "hard":
            layers[method] = HardVote()
        elif method == "weighted":
            layers[method] = _fit_shares(config, fit)
        elif method == "stacking":
            layers[method], history = train_stacking(config, _pair(fit), _pair(val) if val else None)
            stages = (history,)
        else:
            best = max(member_names, key=lambda name: (members[name].accuracy, -members[name].loss))
            layers[method] = WeightedVote([float(name == best) for name in member_names])

    scores = {name: _score(config, _answer(layer, val), val.labels) for name, layer in layers.items()} if val else {}
    if config.method == "auto":
        accurate = [name for name in METHODS if scores[name].accuracy >= floor]
        chosen = min(accurate, key=lambda name: scores[name].loss)
    else:
        chosen = config.method
    return Joined(chosen, layers[chosen], scores, members, stages if chosen == "stacking" else ())


def joint_model(members: Mapping[str, keras.Model], layer: keras.layers.Layer, image_size: int, temperature: float = 1.0) -> keras.Model:
    """Returns one model with one image input that runs all members.

    Args:
      members: Name to model, float32 [batch, image_size, image_size, 3] in [0, 1] -> [batch, classes]. They are frozen and renamed.
      layer: How their answers are joined.
      image_size: Height and width, pixels.
      temperature: Of the joined answers; 1: they stay as they are.

    Returns:
      A model of the same kind, with a layer `<member>` and a layer `probabilities_<member>` for each member.
    """
    image = keras.Input([image_size, image_size, 3], name=features.IMAGE_TENSOR)
    probabilities = []
    for name, member in members.items():
        member.name = name
        member.trainable = False
        # A layer of its own, so that the export finds each member's answer; float32 also where the member computes in half precision.
        output = keras.layers.Identity(name=features.MEMBER_PROBABILITIES.format(member=name), dtype="float32")
        probabilities.append(output(member(image)))
    return keras.Model(image, _joined(layer, temperature, probabilities), name=features.ENSEMBLE)


def joint_layers(layer: keras.layers.Layer, members: int, classes: int, temperature: float = 1.0) -> keras.Model:
    """Returns what `joint_model` does with its members' answers, as a model: a list of float32 [batch, classes] -> [batch, classes].

    Args:
      layer: How the answers are joined.
      members: How many there are.
      classes: How many probabilities each yields.
      temperature: Of the joined answers; 1: they stay as they are.
    """
    answers = [keras.Input([classes], dtype="float32") for _ in range(members)]
    return keras.Model(answers, _joined(layer, temperature, answers), name="joint_layers")


def possible_shares(members: int) -> Iterator[tuple[float, ...]]:
    """Yields the shares that a weighted vote may have: equal ones, then all multiples of 1 / STEPS that sum to one."""
    yield (1 / members,) * members
    for owners in combinations_with_replacement(range(members), STEPS):
        yield tuple(owners.count(member) / STEPS for member in range(members))


def _fit_shares(config: Ensemble, fit: Votes) -> WeightedVote:
    """The shares with the lowest loss among those at least as accurate as the best member, one of which is that member alone."""
    floor = max(_score(config, p, fit.labels).accuracy for p in fit.probabilities)
    tried = [(shares, _score(config, _answer(WeightedVote(shares), fit), fit.labels)) for shares in possible_shares(len(fit.probabilities))]
    shares, _ = min((pair for pair in tried if pair[1].accuracy >= floor), key=lambda pair: pair[1].loss)
    return WeightedVote(shares)


def _joined(layer: keras.layers.Layer, temperature: float, answers: list[keras.KerasTensor]) -> keras.KerasTensor:
    joined = layer(answers)
    return joined if temperature == 1 else Temperature(temperature, name="joint_temperature", dtype="float32")(joined)


def _answer(layer: keras.layers.Layer, votes: Votes) -> npt.NDArray[np.float32]:
    return np.asarray(layer([keras.ops.convert_to_tensor(p) for p in votes.probabilities]))


def _score(config: Ensemble, probabilities: npt.NDArray[np.float32], labels: npt.NDArray[np.float32]) -> Score:
    accuracy = np.mean(probabilities.argmax(axis=1) == labels.argmax(axis=1))
    return Score(float(make_loss(config.loss)(labels, probabilities)), float(accuracy))


def _pair(votes: Votes) -> tuple[list[npt.NDArray[np.float32]], npt.NDArray[np.float32]]:
    return votes.probabilities, votes.labels
