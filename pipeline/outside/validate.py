"""New data beside those that a model was trained on: schema, drift, copies. No model is asked."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from pydantic import Field
from rich.table import Table

from cxr.components.baseline.push_record import read_record
from cxr.core import features
from cxr.core.errors import CxrError, UsageError
from cxr.core.strict_model import StrictModel
from cxr.data.ingest.dataset import DATASET, Dataset, read_dataset
from cxr.pipeline.outside.drift import FeatureDrift, Thresholds, anomalies_of, drift
from cxr.pipeline.outside.gathered import Copies, Gathered, copies, gather
from cxr.pipeline.outside.labelled import LabelledImages, open_labelled, reading_config
from cxr.pipeline.outside.versions import find_version
from cxr.pipeline.schema import curated_schema
from cxr.pipeline.workspace import REPORT, Workspace

TRAIN, CHOSEN_BY = "train", "val"
Stage = Callable[[str, int], Callable[[int], None]]


class Compared(StrictModel):
    """What `cxr validate --json` writes."""

    images: int
    patients: int
    training_images: int = Field(description="of the training split, which the distributions are compared with")
    anomalies: tuple[str, ...] = Field(description="ways in which the new data break the schema")
    thresholds: Thresholds
    drift: tuple[FeatureDrift, ...]
    copies: int = Field(description="new images that the training or validation split holds too, equal to the pixel")
    near_copies: int | None = Field(description="further new images that show a radiograph of these splits; null: not looked for")
    other_label: int = Field(description="of all these, how many have another label there")
    known_patients: int = Field(description="new patients with an image in these splits, by pseudonym; 0 also where another key made them")
    rejects: dict[str, int] = Field(description="reason: files that could not be used")
    notes: tuple[str, ...] = ()

    @property
    def findings(self) -> list[str]:
        """Returns a sentence for each reason not to use the data without a second look; none where they are like the training data."""
        found = list(self.anomalies)
        if drifted := [one.feature for one in self.drift if one.drifted]:
            found.append(f"{len(drifted)} features have drifted: {', '.join(drifted)}")
        if self.copies or self.near_copies:
            near = f" and {self.near_copies} near" if self.near_copies else ""
            other = f", {self.other_label} of them under another label" if self.other_label else ""
            found.append(f"{self.copies} exact{near} copies of pictures that were trained on{other}")
        if self.known_patients:
            found.append(f"{self.known_patients} patients have images among those that were trained on")
        return found


@dataclass(frozen=True)
class Training:
    """Records that a model was trained on."""

    folder: Path
    dataset: Dataset


def find_training(against: str, workspace: Workspace) -> Training:
    """Finds the records that new data are compared with.

    Args:
      against: Records of `cxr ingest`, the folder of a run, or a model as `find_version` takes it.
      workspace: Where names are looked up.

    Raises:
      UsageError: None of these, or the records cannot be found from it.
    """
    path = Path(against)
    if (path / DATASET).is_file():
        folder = path
    elif (path / REPORT).is_file():
        folder = Path(json.loads((path / REPORT).read_text())["data"])
    else:
        folder = _of_version(find_version(against, workspace), against)
    if not (folder / DATASET).is_file():
        raise UsageError(f"--against {against}: it was trained on {folder}, which is gone; name its records, wherever they are now")
    dataset = read_dataset(folder)
    if TRAIN not in dataset.splits:
        raise UsageError(f"--against {folder}: has no split {TRAIN!r}; name records that a model was trained on")
    return Training(folder, dataset)


def _of_version(version: Path, against: str) -> Path:
    record = read_record(version)
    if record is not None:
        for report in sorted(version.parents[2].glob(f"runs/*/{REPORT}")):  # <pipeline>/serving_models/<model>/<version>
            found = json.loads(report.read_text())
            if any(model["model_uri"] == record.source for model in found["models"].values()):
                return Path(found["data"])
    raise UsageError(f"--against {against}: no run beside it says what it was trained on; name its records")


def validate(
    data: LabelledImages,
    training: Training,
    thresholds: Thresholds,
    *,
    near: bool = True,
    stage: Stage = lambda name, total: lambda done: None,
) -> Compared:
    """Compares new data with training data.

    Args:
      data: New; read for the training data's classes and `max_side`.
      training: Records.
      thresholds: When a feature counts as drifted.
      near: Look for near copies too, which takes a while among many thousands.
      stage: Is told what begins and how much it is; what it returns is told how much more is done.

    Raises:
      CxrError: The data cannot be read, or hold no image.
    """
    new = _gathered(data, near, "reading the new data", stage)
    if new.table.empty:
        raise CxrError(f"no image can be used: {', '.join(f'{count} {why}' for why, count in data.rejects.items()) or 'there is none'}")
    known = {name: _gathered(_split(training, name), near, f"reading {name}", stage) for name in _splits(training)}
    trained = known[TRAIN] + known[CHOSEN_BY] if CHOSEN_BY in known else known[TRAIN]
    schema = curated_schema(training.dataset.class_names)
    found: Copies = copies(new, trained, stage)
    notes = data.notes
    if data.max_side != training.dataset.config.max_side:
        sides = f"{data.max_side or 'no'} and {training.dataset.config.max_side or 'no'}"
        notes += (f"max_side differs ({sides} pixels, here and in training): larger pictures are other pixels, and sizes drift for it",)
    done = stage("comparing distributions", 1)
    distances = drift(new.table, known[TRAIN].table, schema, thresholds)
    done(1)
    return Compared(
        images=len(new.table),
        patients=new.table[features.PATIENT_ID].nunique(),
        training_images=len(known[TRAIN].table),
        anomalies=tuple(anomalies_of(new.table, schema)),
        thresholds=thresholds,
        drift=tuple(distances),
        copies=found.exact,
        near_copies=found.near,
        other_label=found.other_label,
        known_patients=len(set(new.table[features.PATIENT_ID]) & set(trained.table[features.PATIENT_ID])),
        rejects=dict(data.rejects.most_common()),
        notes=notes,
    )


def table(found: Compared) -> Table:
    """The table that `cxr validate` ends with."""
    limits = found.thresholds
    shown = Table(title=f"{found.images} new images of {found.patients} patients beside {found.training_images} of the training split")
    shown.add_column("feature")
    shown.add_column("stated (in training)")
    shown.add_column(f"Jensen-Shannon (by chance), limit {limits.jensen_shannon:g}")
    shown.add_column(f"L-infinity (by chance), limit {limits.l_infinity:g}")
    shown.add_column("")
    for one in found.drift:
        verdict = "[red]drifted[/red]" if one.drifted else "" if one.judged else "not judged"
        shown.add_row(
            one.feature,
            f"{one.stated:.0%} ({one.stated_in_training:.0%})",
            _with_chance(one.jensen_shannon, one.jensen_shannon_by_chance),
            _with_chance(one.l_infinity, one.l_infinity_by_chance),
            verdict,
        )
    return shown


def remarks(found: Compared) -> Iterator[str]:
    """Yields what must be known beside the table, findings apart."""
    if found.near_copies is None:
        yield "near copies of training pictures were not looked for"
    if found.rejects:
        yield f"{sum(found.rejects.values())} files could not be used: {', '.join(f'{n} {why}' for why, n in found.rejects.items())}"
    yield from found.notes


def _splits(training: Training) -> list[str]:
    return [name for name in (TRAIN, CHOSEN_BY) if name in training.dataset.splits]


def _split(training: Training, name: str) -> LabelledImages:
    config = reading_config(training.dataset.class_names, training.dataset.config.max_side)
    return open_labelled(str(training.folder), name, config, lambda setting, value: f"{setting}={value}")


def _gathered(data: LabelledImages, near: bool, name: str, stage: Stage) -> Gathered:
    done = stage(name, data.total)
    return gather(data, near, lambda: done(1))


def _with_chance(value: float | None, chance: float | None) -> str:
    return "–" if value is None else f"{value:.3f}" + ("" if chance is None else f" ({chance:.3f})")
