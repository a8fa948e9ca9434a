"""New data beside those that a model was trained on: schema, drift, copies, and what a model says of each image, if one is asked."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING

from pydantic import Field
from rich.table import Table
from rich.text import Text

from cxr.core import features
from cxr.core.counts import how_many
from cxr.core.errors import CxrError
from cxr.core.intervals import NONE, Figure, proportion_interval
from cxr.core.strict_model import StrictModel
from cxr.pipeline.outside.chance import most_flagged
from cxr.pipeline.outside.drift import FeatureDrift, Thresholds, anomalies_of, drift, schema_without
from cxr.pipeline.outside.gathered import SPLIT, Stage, copies, gather
from cxr.pipeline.outside.images import LabelledImages, scaling
from cxr.pipeline.outside.training import Training
from cxr.pipeline.schema import curated_schema
from cxr.trainer.model_config import Model as ModelConfig

if TYPE_CHECKING:
    import pandas as pd

    from cxr.pipeline.outside.evaluate import Model
    from cxr.trainer.calibration_info import Outside

BATCH = 32  # images that a model is asked about at once
BLIND = 0.5  # a distance, of at most 1: where chance takes every feature so far, next to nothing can be found
MISTAKEN = float(ModelConfig.model_fields["outside_share"].default)


class Unlike(StrictModel):
    """How many new images a model finds unlike anything that it was trained on."""

    model: str | None = Field(description="null: those that answered the logged requests")
    version: str | None
    images: int = Field(description="of which one says so or not")
    outside: int
    share: Figure = Field(description="of a patient's images, in the mean over the patients")
    of_training: float = Field(description="share of images like the training's that are flagged by mistake")
    by_chance: float = Field(description="share of so many of those that is flagged at most, see `chance.most_flagged`; 1: nobody knows")

    @property
    def finding(self) -> bool:
        """Whether more are flagged than by mistake, and more than chance does."""
        return self.share.value is not None and self.share.value > self.by_chance


class Compared(StrictModel):
    """What `cxr validate --json` writes."""

    images: int
    patients: int = Field(description="images without a patient id count as one each")
    patients_stated: bool = Field(description="whether the new data say of any image whose it is")
    training_images: int = Field(description="of the training split, which the distributions are compared with")
    anomalies: tuple[str, ...] = Field(description="ways in which the new data break the schema")
    thresholds: Thresholds
    drift: tuple[FeatureDrift, ...]
    copies: int = Field(description="new images that the training or validation split holds too, equal to the pixel")
    near_copies: int | None = Field(description="further new images that show a radiograph of these splits; null: not looked for")
    other_label: int | None = Field(description="of all these, how many have another label there; null: the new data have no labels")
    known_patients: int | None = Field(
        description="new patients with an image in these splits, by pseudonym; null: none are stated, or another key made those"
    )
    unlike: Unlike | None = Field(description="what a model says of each image; null: none was asked, or it does not say")
    rejects: dict[str, int] = Field(description="reason: files that could not be used")
    notes: tuple[str, ...] = ()

    @property
    def findings(self) -> list[str]:
        """Returns a sentence for each reason not to use the data without a second look; none where they are like the training data."""
        found = list(self.anomalies)
        if drifted := [one.feature for one in self.drift if one.drifted]:
            found.append(f"{how_many(len(drifted), 'feature has', 'features have')} drifted: {', '.join(drifted)}")
        if self.copies or self.near_copies:
            kinds = {"exact": self.copies, "near": self.near_copies or 0}
            copies = " and ".join(how_many(count, f"{kind} copy", f"{kind} copies") for kind, count in kinds.items() if count)
            other = f", {self.other_label} of them under another label" if self.other_label else ""
            found.append(f"{copies} of training pictures{other}")
        if self.known_patients:
            known = how_many(self.known_patients, "patient has", "patients have")
            found.append(f"{known} images in the training data")
        if self.unlike and self.unlike.finding:
            found.append(f"more images than by chance are unlike the training images: {self.unlike.share} of {self.whose}")
        return found

    @property
    def whose(self) -> str:
        """Returns what a share is of, for sentences."""
        return "each patient's images, on average" if self.patients_stated else "all images"


def validate(
    data: LabelledImages,
    training: Training,
    thresholds: Thresholds,
    *,
    model: Model | None = None,
    border: Outside | None = None,
    near: bool = True,
    stage: Stage = lambda name, total: lambda done: None,
) -> Compared:
    """Compares new data with training data.

    Args:
      data: New; read for the training data's classes and `max_side`.
      training: Records.
      thresholds: When a feature counts as drifted.
      model: Is asked about each image whether that is unlike its training images; None: logs may say what was answered.
      border: Between like and unlike, as it describes it; None: the default `outside_share`, of the validation images of `training`.
      near: Look for near copies too, which takes a while among many thousands.
      stage: Is told what begins and how much it is; what it returns is told how much more is done.

    Raises:
      CxrError: The data cannot be read, or hold no image.
    """
    notes = data.notes
    if model is not None and model.max_side != data.max_side:
        notes += (f"the model was not asked: longer images were {scaling(data.max_side)} here, {scaling(model.max_side)} for its training",)
        model = None
    if model is not None:
        asked = model.answers(data.images, lambda item: item.image, BATCH)
        data.images = (replace(item, outside=outside) for item, _, outside in asked)
    new = gather(data, near, "reading the new data", stage)
    if new.table.empty:
        raise CxrError(f"no image can be used: {', '.join(f'{count} {why}' for why, count in data.rejects.items()) or 'there is none'}")
    trained = training.gather(near, stage)
    if differ := data.patients_differ(training.dataset.key_id):
        notes += (differ,)
    of_training = trained.table[trained.table[SPLIT] == features.TRAIN]
    schema = schema_without(curated_schema(training.dataset.class_names), data.unstated)
    found = copies(new, trained, stage)
    if data.max_side != training.dataset.config.max_side:
        now, then = scaling(data.max_side), scaling(training.dataset.config.max_side)
        notes += (f"longer images were {now} here, {then} in training: the pixels differ, and therefore the sizes drift",)
    done = stage("comparing distributions", 1)
    distances = drift(new.table, of_training, thresholds)
    done(1)
    return Compared(
        images=len(new.table),
        patients=new.table[features.PATIENT_ID].nunique(),
        patients_stated=data.patients_stated,
        training_images=len(of_training),
        anomalies=tuple(anomalies_of(new.table, schema)),
        thresholds=thresholds,
        drift=tuple(distances),
        copies=len(found.exact),
        near_copies=None if found.near is None else len(found.near),
        other_label=found.other_label,
        known_patients=None
        if differ or not data.patients_stated
        else len(set(new.table[features.PATIENT_ID]) & set(trained.table[features.PATIENT_ID])),
        unlike=_unlike(new.table, trained.table, model, border),
        rejects=dict(data.rejects.most_common()),
        notes=notes,
    )


def _unlike(new: pd.DataFrame, trained: pd.DataFrame, model: Model | None, border: Outside | None) -> Unlike | None:
    said = new[new[features.OUTSIDE].notna()] if features.OUTSIDE in new.columns else new.iloc[:0]
    if said.empty:
        return None
    flags = said[features.OUTSIDE].astype(bool)
    by_patient = flags.groupby(said[features.PATIENT_ID]).mean()
    share, patients = float(by_patient.mean()), len(by_patient)
    mistaken = border.share if border else MISTAKEN
    # Images of one patient resemble each other: patients are counted, of both sets. A model says only how many images its border is of.
    validation = trained[trained[SPLIT] == features.VAL]
    other = border is not None and border.images not in (0, len(validation))  # it was trained on other data than `trained`
    found_on = border.images if border and other else validation[features.PATIENT_ID].nunique()
    return Unlike(
        model=model.name if model else None,
        version=model.version if model else None,
        images=len(said),
        outside=int(flags.sum()),
        share=Figure.of(share, proportion_interval(share, patients)),
        of_training=mistaken,
        by_chance=most_flagged(mistaken, found_on, patients) / patients if found_on else 1.0,
    )


def table(found: Compared) -> Table:
    """The table that `cxr validate` ends with."""
    limits = found.thresholds
    new = how_many(found.images, "new image") + (f" of {how_many(found.patients, 'patient')}" if found.patients_stated else "")
    shown = Table(title=f"{new} compared with {found.training_images} of the training split")
    shown.add_column("feature")
    shown.add_column("stated (in training)")
    shown.add_column(f"Jensen-Shannon (by chance), limit {limits.jensen_shannon:g}")
    shown.add_column(f"L-infinity (by chance), limit {limits.l_infinity:g}")
    shown.add_column("")
    for one in found.drift:
        verdict = Text("drifted", style="red") if one.drifted else Text("" if one.judged else "not judged")
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
    if found.unlike:
        who = f"model {found.unlike.model} version {found.unlike.version}" if found.unlike.model else "the models that answered"
        outside = f"{found.unlike.outside} of {how_many(found.unlike.images, 'image')}"
        flagged = f"{outside} unlike the training images: {found.unlike.share} of {found.whose}"
        chance = f"by chance up to {found.unlike.by_chance:.3f} of this many"
        yield f"{who} found {flagged}; of images like the training images {found.unlike.of_training:g} are flagged by mistake, {chance}"
    else:
        yield "no model says which images are unlike its training images; --model names one to ask"
    if found.near_copies is None:
        yield "near copies of training pictures were not looked for"
    if found.rejects:
        unusable = how_many(sum(found.rejects.values()), "file")
        yield f"{unusable} could not be used: {', '.join(f'{n} {why}' for why, n in found.rejects.items())}"
    yield from found.notes


def conclusion(found: Compared) -> str:
    """Returns the last line where there is no finding: what that is worth."""
    judged = [one for one in found.drift if one.judged]
    # What has one value everywhere is 0 by chance.
    by_chance = [value for one in judged for value in (one.jensen_shannon_by_chance, one.l_infinity_by_chance) if value]
    if (least := min(by_chance, default=0.0)) > BLIND:
        few = how_many(found.patients, "patient") if found.patients_stated else how_many(found.images, "image")
        return f"nothing found, but this says little: with {few} distances reach {least:.2f} or more by chance; give more"
    return "nothing found: the new data look like the training data"


def _with_chance(value: float | None, chance: float | None) -> str:
    return NONE if value is None else f"{value:.3f}" + ("" if chance is None else f" ({chance:.3f})")
