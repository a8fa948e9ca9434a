"""Measures a model on labelled images that no run had: another hospital's."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, TypeVar

import numpy as np
from pydantic import Field

from cxr.components.metrics.evaluation import Evaluation
from cxr.core import features
from cxr.core.counts import how_many
from cxr.core.errors import CxrError
from cxr.core.strict_model import StrictModel
from cxr.core.support import large_share
from cxr.pipeline.outside.answers import Answer, measure
from cxr.pipeline.outside.gathered import Gathered, Stage, copies
from cxr.pipeline.outside.images import Labelled, LabelledImages, scaling

if TYPE_CHECKING:
    from cxr.trainer.training_data import Keys

T = TypeVar("T")


class Model(Protocol):
    """What answers: a SavedModel of this machine (trainer/scoring.py) or one behind a server (serving/client/scoring.py)."""

    @property
    def name(self) -> str:
        """Of the model."""
        ...

    @property
    def version(self) -> str:
        """Which one answers."""
        ...

    @property
    def class_names(self) -> tuple[str, ...]:
        """In the order of the probabilities."""
        ...

    @property
    def max_side(self) -> int | None:
        """Pixels that longer images must be scaled down to; None: none is."""
        ...

    @property
    def synthetic(self) -> bool | None:
        """Whether it learnt from made-up images; None: unknown."""
        ...

    @property
    def training_images(self) -> Keys | None:
        """Keys of the images that it was trained on and chosen by; None: unknown."""
        ...

    def answers(self, items: Iterable[T], image_of: Callable[[T], bytes], batch_size: int) -> Iterator[tuple[T, np.ndarray, bool | None]]:
        """Yields each item in order, its image's probabilities, float32 [classes], and whether that is unlike the training data."""
        ...


class ModelFigures(StrictModel):
    """What `cxr evaluate --json` writes."""

    model: str | None = Field(description="null: a table of predictions")
    version: str | None
    images: int = Field(description="that the figures are of")
    absent_classes: tuple[str, ...] = Field(
        description="classes without images: their figures are null, balanced accuracy is over the others"
    )
    seen: int | None = Field(description="images of the data that the model was trained on or chosen by; null: it does not say which")
    seen_included: bool = Field(description="they are among `images`")
    rejects: dict[str, int] = Field({}, description="reason: files that could not be used")
    copies: int | None = Field(
        None, description="left out: they show a radiograph of the training data that were named, to the pixel or not; null: not looked for"
    )
    known_patients: int | None = Field(None, description="images left out: the patient is one of the training data; null: not looked for")
    outside: int | None = Field(
        None, description="of `images`, those that the model finds unlike anything that it was trained on; null: it does not say"
    )
    repeated: int = Field(0, description="images whose pixels stand in the data before; they are measured all the same")
    contradictory: int = Field(0, description="pictures that stand under several labels; they are measured all the same")
    synthetic_data: bool = Field(False, description="made-up images are among them: the figures say nothing about patients")
    synthetic_model: bool | None = Field(None, description="the model learnt from made-up images; null: unknown")
    notes: tuple[str, ...] = ()
    images_per_second: float | None = Field(None, description="read and answered; null: a table of predictions")
    evaluation: Evaluation


@dataclass(frozen=True)
class Known:
    """What training data hold of new images.

    Attributes:
      patients: Pseudonyms; None: of another key than those of the new images, so that they cannot be compared.
      copies: Content hashes of new pictures that show one of its radiographs, to the pixel or not.
    """

    patients: frozenset[str] | None
    copies: frozenset[str]
    notes: tuple[str, ...] = ()


def known_from(new: Gathered, trained: Gathered, patients_differ: str, stage: Stage) -> Known:
    """Looks for the patients and the radiographs of training data among new images.

    Args:
      new: With thumbnails.
      trained: The same.
      patients_differ: Why patients cannot be compared, see `LabelledImages.patients_differ`; empty: they can.
      stage: See `near_duplicates`.
    """
    found = copies(new, trained, stage)
    known = found.exact | (found.near or frozenset())
    return Known(
        None if patients_differ else frozenset(trained.table[features.PATIENT_ID]),
        frozenset(new.table[features.CONTENT_HASH].iloc[sorted(known)]) if known else frozenset(),
        (f"{patients_differ}: images of training patients may be among those measured",) if patients_differ else (),
    )


def evaluate(
    model: Model,
    data: LabelledImages,
    *,
    bins: int,
    batch_size: int,
    include_seen: bool = False,
    known: Known | None = None,
    advance: Callable[[], None] = lambda: None,
) -> ModelFigures:
    """Asks a model about all images and measures its answers.

    Args:
      model: It answers.
      data: Labels must be among the model's classes.
      bins: Of the calibration error.
      batch_size: Images of one call.
      include_seen: Measure also on images that the model was trained on or chosen by (equal pixels); else they are left out.
      known: Images of its patients and copies of its pictures are left out too; None: nobody looked for them.
      advance: Called once per image.

    Raises:
      CxrError: The images were read for another model, or none is left to measure on.
    """
    if data.max_side != model.max_side:
        setting = f"--max-side {model.max_side}" if model.max_side else "`data.max_side: null` in a file for --config"
        raise CxrError(
            f"longer images of the data were {scaling(data.max_side)}, those that the model was trained on were "
            f"{scaling(model.max_side)}; give the images themselves, or ingest them with {setting}"
        )
    labels: dict[str, set[str]] = {}
    counts: Counter[str] = Counter()

    def unseen() -> Iterator[Labelled]:
        for item in data.images:
            seen = model.training_images is not None and _contains(model.training_images, item.content_hash)
            if seen and not include_seen:
                counts["seen"] += 1
                advance()
                continue
            if known and (item.content_hash in known.copies or item.facts[features.PATIENT_ID] in (known.patients or ())):
                counts["copy" if item.content_hash in known.copies else "patient"] += 1
                advance()
                continue
            counts["seen"] += seen
            counts["synthetic"] += item.facts.get(features.SOURCE) == features.SYNTHETIC
            counts["repeated"] += item.content_hash in labels
            labels.setdefault(item.content_hash, set()).add(item.facts[features.LABEL])
            yield item

    answers, flags = [], []
    started = time.monotonic()
    for item, shares, outside in model.answers(unseen(), _image_of, batch_size):
        flags.append(outside)
        answers.append(Answer(item.facts[features.LABEL], shares, item.facts[features.PATIENT_ID], item.facts))
        advance()
    seconds = time.monotonic() - started
    if not answers:
        copied = how_many(counts["copy"], "is a copy", "are copies")
        raise CxrError(
            f"no image is left to measure on: of {data.total} the model was trained on {counts['seen']} (--include-seen measures on them), "
            f"{copied} of training pictures, {counts['patient']} of training patients, "
            f"and {data.rejects.total()} cannot be used"
        )
    return ModelFigures(
        model=model.name,
        version=model.version,
        images=len(answers),
        absent_classes=_absent(answers, model.class_names),
        seen=None if model.training_images is None else counts["seen"],
        seen_included=include_seen,
        rejects=dict(data.rejects.most_common()),
        copies=counts["copy"] if known else None,
        known_patients=counts["patient"] if known and known.patients is not None else None,
        outside=None if None in flags else sum(map(bool, flags)),
        repeated=counts["repeated"],
        contradictory=sum(len(found) > 1 for found in labels.values()),
        synthetic_data=counts["synthetic"] > 0,
        synthetic_model=model.synthetic,
        notes=(*data.notes, *(known.notes if known else ()), *_warnings(answers)),
        images_per_second=round(len(answers) / seconds, 1),
        evaluation=measure(answers, model.class_names, bins),
    )


def measured(answers: Sequence[Answer], class_names: Sequence[str], bins: int, notes: Sequence[str] = ()) -> ModelFigures:
    """Measures a table of predictions, of which nobody knows what made them.

    Args:
      answers: At least one.
      class_names: In the order of the probabilities.
      bins: Of the calibration error.
      notes: What there is to say of them.
    """
    return ModelFigures(
        model=None,
        version=None,
        images=len(answers),
        absent_classes=_absent(answers, class_names),
        seen=None,
        seen_included=True,
        notes=(*notes, *_warnings(answers)),
        evaluation=measure(answers, class_names, bins),
    )


def _absent(answers: Sequence[Answer], class_names: Sequence[str]) -> tuple[str, ...]:
    """Returns the classes of which there is no image."""
    present = {answer.label for answer in answers}
    return tuple(name for name in class_names if name not in present)


def _warnings(answers: Sequence[Answer]) -> tuple[str, ...]:
    """Returns what a reader must know of the figures, if there is anything."""
    return tuple(filter(None, [large_share([answer.patient for answer in answers])]))


def _image_of(item: Labelled) -> bytes:
    return item.image


def _contains(keys: Keys, content_hash: str) -> bool:
    from cxr.trainer.training_data import image_keys  # TensorFlow, which a table of predictions does without

    key = image_keys([content_hash])[0]
    place = int(np.searchsorted(keys, key))
    return place < len(keys) and bool(keys[place] == key)
