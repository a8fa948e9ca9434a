"""One model in one fold: a head learns from cached features, or the whole network as a run of the pipeline trains it."""

from __future__ import annotations

import dataclasses
import gc
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import keras
import numpy as np

from cxr.core import fingerprints, progress
from cxr.core.features import TEST, TRAIN, VAL
from cxr.core.folds import Fold, Indices
from cxr.core.stored_rows import Array
from cxr.trainer import splits
from cxr.trainer.artifact import TRAIN_OOF
from cxr.trainer.cached_features import BatchedModel, cached
from cxr.trainer.crossval.subject import Part, Subject
from cxr.trainer.frozen_features import FrozenFeatures
from cxr.trainer.head_stage import LabelledFeatures, answers_of, train_head
from cxr.trainer.model_config import Stage
from cxr.trainer.out_of_fold import out_of_fold
from cxr.trainer.state_folder import States
from cxr.trainer.training import Training


@dataclass(frozen=True)
class Member:
    """One model in one fold.

    Attributes:
      subject: What is cross-validated.
      name: Of the model.
      part: Which images do what.
      inner: See `Subject.inner_folds`.
    """

    subject: Subject
    name: str
    part: Part
    inner: Sequence[Fold]

    @property
    def is_network(self) -> bool:
        """Whether the backbone learns too."""
        return self.name in self.subject.networks

    def file(self, folder: Path) -> Path:
        """Returns where its answers are kept once it is trained, named by all that they hang on."""
        subject, part = self.subject, self.part
        settings = subject.models[self.name].model_dump(mode="json")
        inner = [fold.test for fold in self.inner]
        images = [part.known, part.train, part.stop, part.test, part.labels[part.rest], subject.sources[part.rest], *inner]
        return folder / f"{fingerprints.of_parts([settings, subject.keys.get(self.name), subject.code, len(inner), *images])}.npz"

    def answers(self, folder: Path) -> dict[str, Array]:
        """Trains and asks, or reads what an earlier call found; an interrupted training of a whole network goes on after its last epoch.

        Args:
          folder: Where answers, and states of trainings, are kept.

        Returns:
          Probabilities, float32 [images, classes known]: TRAIN, VAL (what stops the training), TEST, and TRAIN_OOF where there are inner
          folds.

        Raises:
          CxrError: See `Training.run` and `run_stage`.
        """
        file = self.file(folder)
        state = file.with_suffix(".state")
        names = [TRAIN, VAL, TEST, *([TRAIN_OOF] if self.inner else [])]

        def make() -> list[Array]:
            progress.report(self.name, 0)
            found = self._of_network(state) if self.is_network else self._of_head()
            return [found[name] for name in names]

        kept = cached(file, make)
        shutil.rmtree(state, ignore_errors=True)
        return dict(zip(names, kept, strict=True))

    def _of_head(self) -> dict[str, Array]:
        subject, part = self.subject, self.part
        model, classes = subject.models[self.name], len(part.known)
        table = LabelledFeatures(subject.tables[self.name], part.labels, subject.sources)
        train, stop, stage = table.take(part.train), table.take(part.stop), model.head_training or Stage()
        keras.utils.set_random_seed(model.seed)
        head, _ = train_head(model, stage, classes, train, stop)
        asked = {TRAIN: train.features[0], VAL: stop.features[0], TEST: table.features[0, part.test]}
        found = {split: answers_of(head, rows) for split, rows in asked.items()}
        if self.inner:
            found[TRAIN_OOF] = out_of_fold(model, stage, classes, train, stop, self.inner)
        keras.backend.clear_session()
        return found

    def _of_network(self, state: Path) -> dict[str, Array]:
        subject, part = self.subject, self.part
        material, table = subject.material, subject.tables[self.name]
        assert material is not None

        def split(which: Indices) -> splits.Split:
            return dataclasses.replace(material.images.take(which), labels=part.labels[which])

        with States(state) as states:
            trained = Training(
                subject.models[self.name],
                material.transform,
                split(part.train),
                split(part.stop),
                name=self.name,
                class_names=[material.transform.class_names[number] for number in part.known],
                frozen=FrozenFeatures({TRAIN: table[:, part.train], VAL: table[:1, part.stop]}, material.statistics[self.name]),
                states=states,
                identity=[subject.keys[self.name], subject.code],
            ).run()
        asked = BatchedModel(trained.model).of(
            material.images.images[part.test],
            material.transform.image,
            subject.models[self.name],
            f"answers of {self.name}",
            state / "asked.float32",
        )
        found = {**trained.probabilities, TEST: np.asarray(asked)}
        del trained
        keras.backend.clear_session()
        gc.collect()  # the next network needs the memory
        return found
