"""What remedies against shortcuts are worth: options of `preprocessing`, of `augmentation` and of the training, beside none of them.

Frozen backbones of the configuration `cpu`; for each remedy its head, trained as in a run, and logistic regression on the same features.
Nothing is measured on pictures of a patient, or of a source, that was learnt from:

  by patient       folds by patient; the same with the frame of the pictures black, and with the lungs black (data/audit/regions.py)
  without SOURCE   learnt from all other sources
  elsewhere        learnt from all images, asked about another hospital's without near copies of them

Figures are balanced accuracies, with 95 % intervals by bootstrap over patients; the change against "none" is paired. The test split is not
read. Features and answers are kept below --cache, and taken from there by the next call: remove it after a change of the code.

usage: python benchmarks/remedies.py RECORDS [--elsewhere RECORDS] [--models mobilenet,densenet201] [--only 'none; clahe'] [--cache DIR]
         [--json FILE]

RECORDS are folders that `cxr ingest` wrote (--elsewhere: with --split test). On 2 cores: TIME.
"""

from __future__ import annotations

import argparse
import json
import os
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np
from remedy_features import Array, Backbone, with_part_black
from rich.console import Console
from rich.table import Table

from cxr.core.folds import Fold, deal, most_folds
from cxr.core.intervals import Figure
from cxr.core.measurement import Measurement
from cxr.data.duplicates.find import near_duplicates
from cxr.data.duplicates.thumbnails import READ_SIDE, thumbnail
from cxr.data.images.reader import read_image
from cxr.pipeline.crossval import read_material
from cxr.pipeline.examples import prepare_data
from cxr.pipeline.pipeline_config import load
from cxr.pipeline.workspace import Workspace
from cxr.trainer.cached_features import cached
from cxr.trainer.crossval.experiment import BY_IMAGE, Scheme, deal_schemes
from cxr.trainer.crossval.fold_run import STOPPING_PARTS
from cxr.trainer.crossval.logistic import logistic_answers
from cxr.trainer.crossval.results import measurement_of
from cxr.trainer.head_stage import LabelledFeatures, answers_of, train_head
from cxr.trainer.inputs import Split, read_split
from cxr.trainer.losses import image_weights
from cxr.trainer.model_config import Model
from cxr.trainer.training_state import fingerprint

NONE, ELSEWHERE, PLAIN, SEED = "none", "elsewhere", "plain", 0
PARTS = ("border", "centre")  # that are blacked out
SPLITS = ("train", "val")


def _augmented(**changes: float) -> str:
    return "defaults.augmentation=" + json.dumps({"zoom": 0, "rotation": 0, "variants": 1, **changes})


CROP, SOURCES = "preprocessing.crop=thorax", "defaults.source_weights=true"
MOVED = {"zoom": 0.1, "rotation": 7}
CHANGED = {"exposure": 0.25, "gamma": 0.6, "blur": 2, "noise": 0.08, "border": 0.12, "marker": 0.5}
REMEDIES: dict[str, tuple[str, ...]] = {
    NONE: (),
    "border=0.08": ("preprocessing.border=0.08",),
    "crop=thorax": (CROP,),
    "percentiles": ("preprocessing.contrast=percentiles",),
    "equalize": ("preprocessing.contrast=equalize",),
    "clahe": ("preprocessing.contrast=clahe",),
    "per_image": ("preprocessing.normalization=per_image",),
    "zoom, rotation": (_augmented(**MOVED),),
    **{f"{name}={most}": (_augmented(**{name: most}),) for name, most in CHANGED.items()},
    "all augmentation": (_augmented(**MOVED, **CHANGED),),
    "source_weights": (SOURCES,),
    "thorax, percentiles": (CROP, "preprocessing.contrast=percentiles"),
    "thorax, all augmentation": (CROP, _augmented(**MOVED, **CHANGED)),
    "thorax, all augmentation, source_weights": (CROP, _augmented(**MOVED, **CHANGED), SOURCES),
}


def without_copies(images: Split, learnt: Split) -> np.ndarray:
    """Returns which images show no radiograph of those that are learnt from, and are no copies of each other, [images] bool."""
    both = np.stack([thumbnail(read_image(data, max_side=READ_SIDE).array) for split in (learnt, images) for data in split.images])
    copies = {pair.second - len(learnt) for pair in near_duplicates(both, os.cpu_count() or 1) if pair.second >= len(learnt)}
    return np.array([number not in copies for number in range(len(images))])


def answers(model: Model, train: LabelledFeatures, stop: LabelledFeatures, asked: list[Array], classes: int) -> list[Array]:
    """Returns the head's answers to each table of features, then those of logistic regression, [images, classes]."""
    known = np.unique(train.labels)
    learnt, stopped = (LabelledFeatures(d.features, np.searchsorted(known, d.labels), d.sources) for d in (train, stop))
    keras.utils.set_random_seed(model.seed)
    head, _ = train_head(model, model.head_training, len(known), learnt, stopped)
    by_head = [answers_of(head, table) for table in asked]
    keras.backend.clear_session()
    # Every variant of an image is a row of its own, which counts as its part of the image; the images that stop the head count too.
    rows = np.concatenate([learnt.features, stopped.features], axis=1)
    labels, sources = (np.concatenate([getattr(learnt, name), getattr(stopped, name)]) for name in ("labels", "sources"))
    weights = image_weights(model, labels, sources, len(known))
    weights = np.tile(np.ones(len(labels)) if weights is None else weights, len(rows)) / len(rows)
    told = logistic_answers(rows.reshape(-1, rows.shape[2]), np.tile(labels, len(rows)), np.concatenate(asked), weights)
    by_regression = np.split(told, np.cumsum([len(table) for table in asked])[:-1])
    spread = [np.zeros((len(table), classes), np.float32) for table in by_head + by_regression]
    for whole, part in zip(spread, by_head + by_regression, strict=True):
        whole[:, known] = part
    return spread


def fold_answers(model: Model, images: Split, tables: dict[str, Array], fold: Fold, classes: int) -> list[Array]:
    """Learns from a fold's training part as a run does, and asks about its test part: plain, then with each part black."""
    rest = fold.train
    parts = min(STOPPING_PARTS, most_folds(images.labels[rest], images.patients[rest]))
    first = deal(images.labels[rest], images.patients[rest], parts, SEED)[0]
    data = LabelledFeatures(tables["learnt"], images.labels, images.sources)
    asked = [tables[ELSEWHERE][0]] if fold.name == ELSEWHERE else [tables[part][0, fold.test] for part in (PLAIN, *PARTS)]
    return answers(model, data.take(rest[first.train]), data.take(rest[first.test]), asked, classes)


class Bench:
    """One model of the configuration: every remedy's answers, and what they are measured by."""

    def __init__(self, name: str, records: str, elsewhere: str | None, cache: Path) -> None:
        """Reads nothing yet.

        Args:
          name: Of the model in the configuration.
          records: What is learnt from.
          elsewhere: Records of another hospital; None: there are none.
          cache: Folder of Transform graphs, features and answers.
        """
        self._name, self._records, self._elsewhere, self._cache = name, records, elsewhere, cache

    def measure(self, overrides: tuple[str, ...]) -> dict[str, dict[str, Measurement]]:
        """Returns by learner and test what a remedy comes to."""
        config = load("cpu", overrides)
        examples = prepare_data(config, self._records, Workspace(self._cache, config.name), Console(stderr=True))
        material = read_material(config, examples, SPLITS, self._cache / "graphs")
        images, model, classes = material.images, config.models[self._name], len(config.class_names)
        backbone = Backbone(self._name, model, material.transform, images, self._cache / "features")
        tables = {PLAIN: backbone.features(lambda: images, [PLAIN, images.content_hash])}
        for part in PARTS:
            tables[part] = backbone.features(lambda part=part: with_part_black(images, part), [part, images.content_hash])
        variants = model.augmentation.variants
        more = [backbone.features(lambda: images, [PLAIN, images.content_hash], model.augmentation)] if variants else []
        tables["learnt"] = np.concatenate([tables[PLAIN], *more])
        schemes = [scheme for scheme in deal_schemes(images, 5, SEED)[0] if scheme.name != BY_IMAGE]
        other = None
        if self._elsewhere:
            other = read_split([f"{self._elsewhere}/*/*.tfrecord.gz"], material.transform)
            tables[ELSEWHERE] = backbone.features(lambda: other, [ELSEWHERE, other.content_hash])
            everything = np.arange(len(images))
            schemes.append(Scheme(ELSEWHERE, [Fold(ELSEWHERE, everything, everything)], images.patients))
        (new,) = (
            cached(
                self._cache / f"new-{fingerprint([images.content_hash, other.content_hash])}.npz", lambda: [without_copies(other, images)]
            )
            if other
            else (None,)
        )
        keras.backend.clear_session()

        found: dict[str, dict[str, Measurement]] = {"head": {}, "logistic regression": {}}
        for scheme in schemes:
            made_by = [self._name, overrides, model.model_dump(mode="json"), material.transform.fingerprint, images.content_hash]
            told = []
            for fold in scheme.folds:
                file = self._cache / "answers" / f"{fingerprint([*made_by, scheme.name, fold.train, fold.test])}.npz"
                told.append(cached(file, lambda fold=fold: fold_answers(model, images, tables, fold, classes)))
            tests = [ELSEWHERE] if scheme.name == ELSEWHERE else [scheme.name, *(f"{scheme.name}, {part} black" for part in PARTS)]
            whom, which = (
                (other, np.flatnonzero(new)) if scheme.name == ELSEWHERE else (images, np.concatenate([f.test for f in scheme.folds]))
            )
            asked = whom.take(which)
            for number, (learner, test) in enumerate((learner, test) for learner in found for test in tests):
                p = np.concatenate([fold[number] for fold in told])
                found[learner][test] = measurement_of(asked.labels, asked.patients, p[which] if scheme.name == ELSEWHERE else p)
        return found


def main() -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("records")
    parser.add_argument("--elsewhere")
    parser.add_argument("--models", default="mobilenet,densenet201")
    parser.add_argument("--only", help=f"names of remedies with semicolons, of: {'; '.join(REMEDIES)}")
    parser.add_argument("--cache", type=Path, default=Path("workspace/remedies"))
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    names = [NONE, *(name.strip() for name in options.only.split(";") if name.strip() != NONE)] if options.only else list(REMEDIES)
    console, written = Console(), []
    for model in options.models.split(","):
        bench, base = Bench(model, options.records, options.elsewhere, options.cache), {}
        rows, class_names = [], load("cpu").class_names
        for name in names:
            found = bench.measure(REMEDIES[name])
            base = base or found
            for learner, tests in found.items():
                for test, measured in tests.items():
                    figure, change = measured.figure("balanced_accuracy"), measured.above(base[learner][test], "balanced_accuracy")
                    row = {"model": model, "remedy": name, "settings": REMEDIES[name], "learner": learner, "test": test}
                    row |= {"images": measured.images, "patients": measured.patients, "balanced_accuracy": figure.model_dump()}
                    row["recall"] = {label: recall.model_dump() for label, recall in measured.of_classes("recall", class_names).items()}
                    rows.append(row | {"accuracy": measured.figure("accuracy").model_dump(), "change": change.model_dump()})
                    console.print(f"{model}, {name}, {learner}, {test}: {figure}, change {change}", highlight=False, soft_wrap=True)
        written += rows
        if options.json:
            options.json.write_text(json.dumps(written, indent=1) + "\n")
    for model in options.models.split(","):
        for learner in ("head", "logistic regression"):
            console.print(table([row for row in written if (row["model"], row["learner"]) == (model, learner)], f"{model}, {learner}"))


def table(rows: list[dict[str, object]], title: str) -> Table:
    """One line per remedy, one column per test."""
    tests, remedies = (list(dict.fromkeys(row[key] for row in rows)) for key in ("test", "remedy"))
    shown = Table(title=f"{title}: balanced accuracy, change against {NONE}")
    for column in ("remedy", *tests):
        shown.add_column(column, overflow="fold")
    for remedy in remedies:
        own = {row["test"]: row for row in rows if row["remedy"] == remedy}
        cells = [f"{Figure(**own[test]['balanced_accuracy'])}\n{Figure(**own[test]['change'])}" for test in tests]
        shown.add_row(remedy, *cells)
    return shown


if __name__ == "__main__":
    main()
