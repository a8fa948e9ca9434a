"""What heads and logistic regressions of remedies.py learn and answer: in folds by patient, without a source, and elsewhere."""

from __future__ import annotations

from dataclasses import replace
from itertools import product
from pathlib import Path

import keras
import numpy as np
import numpy.typing as npt
from remedy_features import Array, Backbone, with_part_black
from rich.console import Console

from cxr.core import fingerprints
from cxr.core.folds import Fold, Indices
from cxr.core.machine import cores
from cxr.core.measurement import Measurement
from cxr.core.places import records_in
from cxr.data.audit.regions import Masked
from cxr.data.duplicates.find import near_duplicates
from cxr.data.duplicates.thumbnails import READ_SIDE, thumbnail
from cxr.data.images.reader import read_image
from cxr.pipeline.crossval import read_records
from cxr.pipeline.examples import prepare_data
from cxr.pipeline.pipeline_config import load
from cxr.pipeline.workspace import Workspace
from cxr.trainer.cached_features import cached
from cxr.trainer.crossval.experiment import BY_IMAGE, deal_schemes
from cxr.trainer.crossval.logistic import logistic_answers
from cxr.trainer.crossval.results import measurement_of
from cxr.trainer.crossval.subject import part_of
from cxr.trainer.head_stage import LabelledFeatures, answers_of, train_head
from cxr.trainer.losses import image_weights
from cxr.trainer.model_config import Model, Stage
from cxr.trainer.splits import Split, read_split

CONFIG, SPLITS, FOLDS, SEED = "cpu", ("train", "val"), 5, 0
PLAIN, ELSEWHERE = "plain", "elsewhere"
PARTS: tuple[Masked, ...] = ("border", "centre")  # that are blacked out
LEARNERS = ("head", "logistic regression")
Results = dict[str, dict[str, Measurement]]  # by learner and test


class Bench:
    """One model of the configuration: what each remedy comes to."""

    def __init__(self, name: str, records: str, elsewhere: str | None, cache: Path) -> None:
        """Reads nothing yet.

        Args:
          name: Of the model.
          records: What is learnt from.
          elsewhere: Records of another hospital; None: there are none.
          cache: Folder of Transform graphs, features and answers.
        """
        self._name, self._records, self._elsewhere, self._cache = name, records, elsewhere, cache
        self._new: npt.NDArray[np.bool_] | None = None  # which images of another hospital are no copies

    def measure(self, overrides: tuple[str, ...]) -> Results:
        """Measures the configuration with a remedy's settings."""
        config = load(CONFIG, overrides)
        examples = prepare_data(config, self._records, Workspace(self._cache, config.name), Console(stderr=True))
        records = read_records(config, examples, SPLITS, self._cache / "graphs")
        images, transform, model, classes = records.images, records.transform, config.models[self._name], len(config.class_names)
        backbone = Backbone(self._name, model, transform, images, self._cache / "features")
        plain = backbone.features(lambda: images, [PLAIN, images.content_hash])
        black = [
            backbone.features(lambda part=part: with_part_black(images, part), [part, images.content_hash])  # type: ignore[misc]
            for part in PARTS
        ]
        more = []
        if model.augmentation.variants:
            more = [backbone.features(lambda: images, [PLAIN, images.content_hash], model.augmentation)]
        learnt = LabelledFeatures(np.concatenate([plain, *more]), images.labels, images.sources)
        key = [self._name, overrides, model.model_dump(mode="json"), transform.fingerprint, images.content_hash]

        def told(fold: Indices, asked: list[Array]) -> list[Array]:
            file = self._cache / "answers" / f"{fingerprints.of_parts([*key, fold, *(table.sum() for table in asked)])}.npz"
            return cached(file, lambda: _answers(model, learnt, images.patients, fold, asked, classes))

        results: Results = {learner: {} for learner in LEARNERS}

        def add(tests: list[str], whom: Split, answers: list[list[Array]]) -> None:
            for number, (learner, test) in enumerate(product(LEARNERS, tests)):
                results[learner][test] = measurement_of(whom.labels, whom.patients, np.concatenate([fold[number] for fold in answers]))

        for scheme in deal_schemes(images, FOLDS, SEED)[0]:
            if scheme.name != BY_IMAGE:
                tests = [scheme.name, *(f"{scheme.name}, {part} black" for part in PARTS)]
                answers = [told(fold.train, [table[0, fold.test] for table in (plain, *black)]) for fold in scheme.folds]
                add(tests, images.take(np.concatenate([fold.test for fold in scheme.folds])), answers)
        if self._elsewhere:
            others = read_split([records_in(f"{self._elsewhere}/*")], transform)
            if self._new is None:
                self._new = _without_copies(others, images)
            others = others.take(self._new)
            table = backbone.features(lambda: others, [ELSEWHERE, others.content_hash])[0]
            add([ELSEWHERE], others, [told(np.arange(len(images)), [table])])
        keras.backend.clear_session()
        return results


def _answers(
    model: Model, data: LabelledFeatures, patients: npt.NDArray[np.str_], learnt: Indices, asked: list[Array], classes: int
) -> list[Array]:
    """Learns as a run does and answers each table of features: the head's answers, then those of logistic regression, [images, classes]."""
    part = part_of(data.labels, Fold("", learnt, learnt[:0]), patients, SEED)
    data, classes_known = replace(data, labels=part.labels), len(part.known)
    keras.utils.set_random_seed(model.seed)
    head, _ = train_head(model, model.head_training or Stage(), classes_known, data.take(part.train), data.take(part.stop))
    found = [answers_of(head, table) for table in asked]
    keras.backend.clear_session()
    # Every variant of an image is a row of its own, which counts as its part of the image.
    rows = data.take(learnt)
    copies, images, width = rows.features.shape
    weights = image_weights(model, rows.labels, rows.sources, classes_known)
    weights = np.tile(np.ones(images, np.float32) if weights is None else weights, copies) / np.float32(copies)
    table = np.asarray(rows.features).reshape(copies * images, width)
    told = logistic_answers(table, np.tile(rows.labels, copies), np.concatenate(asked), weights)
    found += np.split(told, np.cumsum([len(table) for table in asked])[:-1])
    return [part.spread(shares, classes) for shares in found]


def _without_copies(images: Split, learnt: Split) -> npt.NDArray[np.bool_]:
    """Returns which images show no radiograph of those that are learnt from, nor one that stands before them, [images]."""
    both = np.stack([thumbnail(read_image(data, max_side=READ_SIDE).array) for split in (learnt, images) for data in split.images])
    copies = {pair.second - len(learnt) for pair in near_duplicates(both, cores()) if pair.second >= len(learnt)}
    return np.array([number not in copies for number in range(len(images))])
