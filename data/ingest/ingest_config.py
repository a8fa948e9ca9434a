"""What `cxr ingest` does with a source: classes, splits, limits. The section `data` of a pipeline's configuration."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Literal

from pydantic import Field, model_validator

from cxr.core import features
from cxr.core.strict_model import StrictModel
from cxr.data.images.reader import MAX_SIDE

# How a message names a setting and the value to give it, in the words of the command that was called.
Spelling = Callable[[str, object], str]


def dotted(name: str, value: object) -> str:
    """Spells a setting as a change of a pipeline's configuration."""
    return f"data.{name}={value}"


class SplitShares(StrictModel):
    """Shares of the patients (or images) that go to each split; they sum to 1."""

    train: float = Field(0.70, gt=0, le=1)
    val: float = Field(0.15, ge=0, lt=1)
    test: float = Field(0.15, ge=0, lt=1)

    @model_validator(mode="after")
    def _check_sum(self) -> SplitShares:
        total = self.train + self.val + self.test
        if not math.isclose(total, 1.0, abs_tol=1e-6):
            raise ValueError(f"train, val and test sum to {total:g}, not to 1")
        return self

    def items(self) -> list[tuple[str, float]]:
        """Returns the splits with a share above zero, in the order of features.SPLITS."""
        return [(split, getattr(self, split)) for split in features.SPLITS if getattr(self, split) > 0]


class Ingest(StrictModel):
    """Everything that decides which images are read, where each goes and how it is stored."""

    class_names: tuple[str, ...] = Field(features.CLASS_NAMES, description="labels, two or more, in the order of the models' outputs")
    splits: SplitShares = SplitShares()
    split_by: Literal["patient", "image"] = Field("patient", description="what never stands in two splits; image: the 2021 paper's way")
    per_class: dict[Literal["train", "val", "test"], dict[str, int]] | None = Field(
        None,
        description="exact numbers of usable images per split and class in place of `splits`, as for the paper's 248/90",
    )
    only_split: Literal["train", "val", "test"] | None = Field(
        None,
        description="all images go to this one split, and classes may be missing: data of another hospital, to measure or to compare, "
        "never to train on",
    )
    seed: int = Field(2021, description="decides who goes to which split")
    where: dict[str, str] = Field({}, description="manifest column: value; other rows are left out")
    listed_twice: Literal["refuse", "merge"] = Field(
        "refuse", description="a path that stands twice in the source; merge: read once, and its patients count as one (same label only)"
    )
    near_duplicates: Literal["join", "list", "ignore"] = Field(
        "join",
        description="pictures of the same radiograph (rescaled, cropped, …); join: they stay on one side of the split, and their patients "
        "count as one; list: label conflicts are found, splits stay as they are; ignore: not looked for",
    )
    label_conflicts: Literal["fail", "drop", "keep_by_source"] = Field(
        "fail", description="a radiograph under several labels; drop: none of its images is used; keep_by_source: see source_priority"
    )
    source_priority: tuple[str, ...] = Field(
        (), description="sources, the most trusted first: its label counts where labels contradict each other; of others none is used"
    )
    paths_outside: Literal["refuse", "allow"] = Field(
        "refuse", description="images outside the source's folder: absolute paths, `../`, links that lead out"
    )
    max_reject_share: float = Field(0.05, ge=0, le=1, description="past this share of unusable files nothing is written")
    max_pixels: int = Field(
        features.MAX_PIXELS, ge=1, le=features.MAX_PIXELS, description="larger images are rejected before they are decoded"
    )
    max_side: int | None = Field(MAX_SIDE, ge=32, description="longer images are scaled down to this many pixels; null: as they are")
    images_per_shard: int = Field(128, ge=1, description="upper limit; several shards let several workers share a split")
    workers: int = Field(2, ge=1, description="images read at a time by the local runner")

    @model_validator(mode="after")
    def _check(self) -> Ingest:
        if len(self.class_names) < 2:
            raise ValueError("class_names: there must be two or more, to be told apart")
        if len(set(self.class_names)) != len(self.class_names) or not all(name.strip() for name in self.class_names):
            raise ValueError("class_names: every class needs a name of its own")
        if bool(self.source_priority) != (self.label_conflicts == "keep_by_source"):
            raise ValueError("source_priority: belongs to `label_conflicts: keep_by_source`; set both or neither")
        if self.near_duplicates == "ignore" and self.label_conflicts != "fail":
            raise ValueError("label_conflicts: are found only where `near_duplicates` is `join` or `list`")
        if self.per_class is not None:
            if self.only_split:
                raise ValueError("only_split: `per_class` sets the splits itself; set one of the two")
            if self.split_by != "image":
                raise ValueError("per_class: exact numbers need `split_by: image` (a patient's images cannot be parted)")
            if "train" not in self.per_class:
                raise ValueError("per_class: needs a split `train`")
            for split, counts in self.per_class.items():
                if set(counts) != set(self.class_names):
                    raise ValueError(f"per_class.{split}: needs one number for each of {', '.join(self.class_names)}")
                if min(counts.values()) < 1:
                    raise ValueError(f"per_class.{split}: every class needs at least one image")
        return self

    @property
    def split_names(self) -> tuple[str, ...]:
        """The splits this configuration asks for, in the order of features.SPLITS."""
        if self.only_split:
            return (self.only_split,)
        if self.per_class is not None:
            return tuple(split for split in features.SPLITS if split in self.per_class)
        return tuple(split for split, _ in self.splits.items())
