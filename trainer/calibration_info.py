"""What model.json says about calibration; typed, so that a reader of pushed models need not guess."""

from __future__ import annotations

import pydantic


class _Description(pydantic.BaseModel):
    model_config = pydantic.ConfigDict(frozen=True)


class Bin(_Description):
    """Images whose top probability lies in (low, high]."""

    low: float
    high: float
    images: int
    confidence: float  # mean top probability
    accuracy: float


class Reliability(_Description):
    """How far probabilities can be believed on one split."""

    calibration_error: float  # expected calibration error
    log_loss: float  # mean negative log likelihood, nats
    bins: tuple[Bin, ...]  # those that hold an image


class Calibration(_Description):
    """The temperature of a model and what it changed on the split that it was fitted on (the Evaluator measures on another one)."""

    temperature: float  # probabilities are softmax(log p / temperature) of what the network yielded; 1: as they were
    note: str = ""  # why it is not the best one in the data, or that there were none
    split: str | None = None  # that it was fitted on
    images: int = 0
    before: Reliability | None = None
    after: Reliability | None = None


class Outside(_Description):
    """The border between like and unlike the training images."""

    share: float  # of the validation images, that may be flagged, as configured
    flagged: float | None = None  # of them, that are; None: there is no such output
    split: str | None = None
    images: int = 0
    directions: int | None = None  # of the features' space that are looked at one by one
    shift: float | None = None  # ensemble only, see calibration/outside.py
    note: str = ""


class Conformal(_Description):
    """From which probability on a class is in the conformal set."""

    coverage: float  # share of images whose class shall be in it, as configured
    least_probability: float
    split: str
    images: int
    covered: float  # share of the split's images whose class is in it; by construction
    mean_size: float  # classes
    note: str = ""


class OperatingPoint(_Description):
    """A threshold of one class's probability, chosen on the validation split, with the rates there."""

    at_least: str  # "specificity" or "sensitivity": which of them is held
    demanded: float
    threshold: float  # a probability that reaches it calls the class; above 1: none does, see `shown`
    sensitivity: float
    specificity: float

    @property
    def shown(self) -> float | None:
        """The threshold; None where no probability reaches it: rounded, it would look like one that a sure answer does."""
        return self.threshold if self.threshold <= 1 else None
