"""What is left to train in a cross-validation, what that will cost at most, and how much time is left while it runs.

The unit is one image's way through the frozen backbone, which was measured when its features were computed. A step of training goes back
through the network too, for the images' gradients and for the weights': three times as much (Kaplan and others, Scaling Laws for Neural
Language Models, 2020, section 2.1). Heads on cached features cost next to nothing beside that.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from cxr.core.counts import how_many
from cxr.core.spans import about
from cxr.trainer.crossval.experiment import Scheme, named, titled
from cxr.trainer.crossval.fold_run import to_train
from cxr.trainer.crossval.members import Member
from cxr.trainer.crossval.subject import Subject

TRAINING_STEP = 3  # passes


@dataclass(frozen=True)
class Job:
    """A model of a fold that is yet to be trained.

    Attributes:
      fold: Number of the fold, from 1.
      name: Of the model.
      seconds: That it takes at most; 0 where only a head is trained.
    """

    fold: int
    name: str
    seconds: float


def jobs(subject: Subject, schemes: list[Scheme], seed: int, folder: Path, seconds_per_image: Mapping[str, float]) -> list[Job]:
    """Returns what is left to train, in the order in which it will be.

    Args:
      subject: What is cross-validated.
      schemes: All folds.
      seed: Of the deals inside the folds.
      folder: Where what is finished is kept.
      seconds_per_image: Name of a model: what its backbone takes for one image.

    Raises:
      CxrError: A fold cannot be dealt; names it.
    """
    found: list[Job] = []
    files: set[Path] = set()
    for number, (title, scheme, fold) in enumerate(titled(schemes), 1):
        with named(title):
            members = to_train(subject, fold, scheme.groups, seed, folder)
        for member in members:
            file = member.file(folder)
            if file not in files:  # two ways to deal may come to the same fold, which is trained once
                files.add(file)
                found.append(Job(number, member.name, passes(member) * seconds_per_image[member.name]))
    return found


def passes(member: Member) -> int:
    """Returns how many images pass through the network at most, until it has answered; 0 where the backbone stays frozen."""
    stage, part = member.subject.models[member.name].fine_tuning, member.part
    if stage is None:
        return 0
    return stage.epochs * (TRAINING_STEP * len(part.train) + len(part.stop)) + len(part.rest) + len(part.test)


def announced(subject: Subject, left: Sequence[Job], folds: int) -> str:
    """Returns what will be trained and what that costs, for people; empty where no whole network is."""
    names = subject.networks
    networks = [job for job in left if job.name in names]
    if not networks:
        return ""
    stages = "; ".join(f"{name}: {_epochs(subject, name)}" for name in names)
    return (
        f"{how_many(len(networks), 'whole network')} to train ({how_many(folds, 'fold')} × {how_many(len(names), 'model')} "
        f"minus those that are already trained; {stages}). "
        f"About {about(sum(job.seconds for job in networks))} at most: without early stopping, by the speed of the frozen backbones "
        f"here, where a training step counts as {TRAINING_STEP} passes. Finished networks are kept: repeat the call after an interruption. "
        "--models trains some of them only, defaults.fine_tuning=null heads only."
    )


class TimeLeft:
    """Says how much time is left: first by estimate, then corrected by what the finished jobs really took."""

    def __init__(self, left: Sequence[Job], clock: Callable[[], float] = time.monotonic) -> None:
        """Args: what is left, and what tells seconds."""
        self._left, self._clock, self._began = list(left), clock, clock()

    def at(self, fold: int, name: str) -> str:
        """Returns ", about … left" when a model of a fold is begun; empty where only heads are left."""
        behind = 0
        while behind < len(self._left) and (self._left[behind].fold, self._left[behind].name) != (fold, name):
            behind += 1
        if behind == len(self._left):
            return ""
        done, ahead = (sum(job.seconds for job in part) for part in (self._left[:behind], self._left[behind:]))
        if not ahead:
            return ""
        return f", about {about(ahead * ((self._clock() - self._began) / done if done else 1))} left"


def _epochs(subject: Subject, name: str) -> str:
    model = subject.models[name]
    head = f"up to {how_many(model.head_training.epochs, 'epoch')} of the head, then " if model.head_training else ""
    assert model.fine_tuning is not None
    return f"{head}up to {model.fine_tuning.epochs} of the whole network"
