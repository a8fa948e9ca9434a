"""What a cross-validation came to: a summary, and one file per fold."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import Field

from cxr.core import features, fingerprints
from cxr.core.figure_table import ACCURACY
from cxr.core.file_names import file_name_of
from cxr.core.folds import Fold
from cxr.core.intervals import Figure
from cxr.core.measurement import Measurement
from cxr.core.stored_rows import Array
from cxr.core.strict_model import StrictModel
from cxr.trainer.crossval.experiment import BY_IMAGE, BY_PATIENT, Scheme
from cxr.trainer.crossval.fold_run import LOGISTIC, FoldAnswers
from cxr.trainer.crossval.results import FoldFigures, measured, measurement_of, rounded
from cxr.trainer.ensemble.fitting_data import FITTED
from cxr.trainer.model_config import Ensemble, Model
from cxr.trainer.splits import Split

SUMMARY, FOLDS = "crossval.json", "folds"


def data_used(models: Mapping[str, Model], ensemble: Ensemble | None) -> dict[str, str]:
    """Returns which data did what."""
    if ensemble is None:
        weights = "there is no ensemble"
    elif ensemble.method not in FITTED:
        weights = "nothing: the method has none"
    elif ensemble.fitted_on == "training":
        weights = "fitted to the members' predictions for the images that they were trained on, which flatter"
    elif any(model.fine_tuning for model in models.values()):
        weights = "fitted to the predictions for one half of that sixth's patients (backbones are trained too); the other half chooses"
    else:
        weights = "fitted to out-of-fold predictions of the members within the training part"
    return {
        "labels": "of the folds' training parts; a sixth of each stops training early, calibrates, and chooses the ensemble's method",
        "ensemble weights": weights,
        "evaluation": "the folds' test parts, which took no part in the above",
        "batch statistics": "where a backbone is recalibrated: from images of all folds, without their labels",
    }


class Report(StrictModel):
    """What `crossval.json` holds."""

    configuration: dict[str, Any]
    splits: tuple[str, ...] = Field(description="whose images took part")
    records: str = Field("", description="hash of these splits' records; empty: an older version did not keep it")
    images: int
    patients: int
    folds: int
    seed: int
    synthetic: bool = Field(description="images are made up: the numbers say nothing about patients")
    weights: dict[str, str] = Field(description="model: where its backbone's weights came from")
    data_used: dict[str, str] = Field(description="which data did what")
    results: dict[str, dict[str, FoldFigures]] = Field(description="way to deal: model: figures of all its folds together")
    leakage: dict[str, Figure] = Field(description="model: accuracy by image minus by patient, paired")
    best_backbone: str = Field(description="by logistic regression's accuracy on its features, by patient")
    sources_not_left_out: dict[str, str] = Field(description="source: why")


class Collector:
    """Takes the answers of fold after fold; writes a file for each."""

    def __init__(self, images: Split, class_names: Sequence[str], folder: Path) -> None:
        """Starts with nothing.

        Args:
          images: All that take part.
          class_names: In the order of the labels.
          folder: For the folds' files; it is there, and holds nothing.
        """
        self._images, self._class_names, self._folder = images, tuple(class_names), folder
        self._answers: dict[str, dict[str, Array]] = {}
        self._files = 0
        self._asked: dict[str, np.ndarray] = {}

    def add(self, scheme: Scheme, fold: Fold, answers: FoldAnswers) -> None:
        """Takes one fold."""
        self._asked[scheme.name] = scheme.asked
        kept = self._answers.setdefault(scheme.name, {})
        for name, shares in answers.probabilities.items():
            table = kept.setdefault(name, np.full([len(self._images), len(self._class_names)], np.nan, np.float32))
            table[fold.test] = shares
        self._files += 1  # two sources may clean to one name
        file = self._folder / f"{self._files:03d}-{file_name_of(f'{scheme.name}-{fold.name}')}.json"
        file.write_text(json.dumps(self._of_fold(scheme, fold, answers)) + "\n", encoding="utf-8")

    def results(self) -> dict[str, dict[str, FoldFigures]]:
        """Returns the figures of each way to deal and model, over all folds together."""
        return {
            scheme: {name: measured(self._measurement(scheme, name), self._class_names) for name in models}
            for scheme, models in self._answers.items()
        }

    def leakage(self) -> dict[str, Figure]:
        """Returns by how much each model is more often right where images are dealt, not patients."""
        names = self._answers[BY_PATIENT]
        return {name: self._measurement(BY_IMAGE, name).above(self._measurement(BY_PATIENT, name), ACCURACY) for name in names}

    def _measurement(self, scheme: str, name: str) -> Measurement:
        asked = self._asked[scheme]
        return measurement_of(self._images.labels[asked], self._images.patients[asked], self._answers[scheme][name][asked])

    def _of_fold(self, scheme: Scheme, fold: Fold, answers: FoldAnswers) -> dict[str, Any]:
        images = self._images.take(fold.test)
        learnt = np.unique(self._images.labels[fold.train])
        return {
            "dealt": scheme.name,
            "fold": fold.name,
            "training_images": len(fold.train),
            "classes_learnt": [self._class_names[i] for i in learnt],
            "ensemble": answers.about,
            "temperatures": answers.temperatures,
            "figures": {
                name: measured(measurement_of(images.labels, images.patients, shares), self._class_names).model_dump(mode="json")
                for name, shares in answers.probabilities.items()
            },
            "predictions": {
                "image": [fingerprints.of_image(value).hex() for value in images.content_hash],
                "label": [self._class_names[i] for i in images.labels],
                "probabilities": {name: rounded(shares) for name, shares in answers.probabilities.items()},
            },
        }


def best_backbone(results: dict[str, dict[str, FoldFigures]], models: Sequence[str]) -> str:
    """Returns the model on whose features logistic regression is most often right, by patient; the first where several are."""
    return max(models, key=lambda name: results[BY_PATIENT][LOGISTIC.format(model=name)].figure(ACCURACY).value or 0.0)


def rows_of(results: dict[str, dict[str, FoldFigures]]) -> list[str]:
    """Returns the names of all models in the order of a table: the ensemble first, then members, then the rest."""
    names = list(results[BY_PATIENT])
    return sorted(names, key=lambda name: name != features.ENSEMBLE)
