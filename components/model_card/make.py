"""From what a push knows to the card of a model."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from cxr.components.baseline.push_record import PushRecord
from cxr.components.metrics.evaluation import Evaluation, Validation
from cxr.components.model_card.card import ModelCard, Section, Table
from cxr.components.model_card.statements import INTENDED, LIMITS, NOT_INTENDED
from cxr.components.shortcut_check.verdict import ShortcutVerdict
from cxr.core import features
from cxr.core.counts import how_many
from cxr.core.disclaimer import DISCLAIMER
from cxr.core.figure_table import CALIBRATION_ERROR, LOG_LOSS, OF_ALL_CLASSES, OF_ONE_CLASS, row_of
from cxr.core.intervals import NONE, with_interval
from cxr.trainer.calibration_info import Reliability
from cxr.trainer.model_info import ModelInfo

NOT_STATED = "not stated"


@dataclass(frozen=True)
class Pushed:
    """What is known when a model is pushed."""

    record: PushRecord
    info: ModelInfo
    evaluation: Evaluation
    validation: Validation
    shortcuts: ShortcutVerdict


def make_card(pushed: Pushed) -> ModelCard:
    """Returns the card; it has no empty field, whatever is not known is said to be so."""
    info = pushed.info
    return ModelCard(
        title=f"{info.name}, version {pushed.record.version}",
        metadata=_metadata(pushed),
        sections=(
            Section("Use", (DISCLAIMER, *_synthetic(info)), (("intended", INTENDED), ("not intended", NOT_INTENDED))),
            Section("Model", facts=tuple(_model(info))),
            _data(info),
            Section("Training", facts=tuple(_training(info))),
            _evaluation(pushed),
            _gate(pushed),
            _shortcuts(pushed.shortcuts),
            _calibration(info),
            Section("Limits", LIMITS),
            Section("Provenance", facts=tuple(_provenance(pushed))),
        ),
    )


def _metadata(pushed: Pushed) -> dict[str, Any]:
    info, found = pushed.info, pushed.evaluation
    measured = [
        {"type": row.name, "name": row.title, "value": round(value, 4)}
        for row in OF_ALL_CLASSES
        if (value := found.figure(row.name).value) is not None
    ]
    result = {
        "task": {"type": "image-classification"},
        "dataset": {"type": "chest-x-ray", "name": f"split {pushed.record.split} of the pipeline {pushed.record.pipeline}"},
        "metrics": measured,
    }
    return {
        "license": "other",
        "license_name": "those of the training data, see Data",
        "library_name": "tensorflow",
        "pipeline_tag": "image-classification",
        "tags": ["chest-x-ray", "tensorflow-serving", "tfx", *(["synthetic-data"] if info.synthetic else [])],
        "metrics": [found["type"] for found in measured],
        "model-index": [{"name": info.name, "results": [result]}],
    }


def _synthetic(info: ModelInfo) -> Iterator[str]:
    if info.synthetic:
        yield "Trained on SYNTHETIC images, at least in part: its numbers say nothing about patients."


def _model(info: ModelInfo) -> Iterator[tuple[str, str]]:
    yield "classes", ", ".join(info.class_names)
    if info.members:
        yield "kind", f"ensemble of {', '.join(info.members)}"
        yield "method", info.ensemble_method or NOT_STATED
    else:
        yield "backbone", info.backbone or NOT_STATED
    yield "weights", info.weights_note or info.weights or NOT_STATED
    sizes = sorted({one.network_size or one.image_size for one in info.members.values() or [info]})
    yield "input", f"radiograph as JPEG or PNG, grey, scaled to {' and '.join(f'{size}×{size}' for size in sizes)} pixels"
    options = ", ".join(f"{key} {value}" for key, value in (info.preprocessing or {}).items())
    yield "preprocessing", options or "only decoding and scaling"
    yield "output", "a probability for each class, from every signature"


def _data(info: ModelInfo) -> Section:
    if info.data is None:
        return Section("Data", ("The model does not say what it was trained on: it comes from an older version.",))
    counts = tuple(
        (split, *(str(images.get(name, 0)) for name in info.class_names), str(sum(images.values())))
        for split, images in info.data.images.items()
    )
    sources = tuple(
        (source, NOT_STATED if terms == features.UNKNOWN else terms, str(images))
        for source, licenses in info.data.sources.items()
        for terms, images in licenses.items()
    ) or ((NOT_STATED, NOT_STATED, str(sum(sum(images.values()) for images in info.data.images.values()))),)
    return Section(
        "Data",
        facts=(("fingerprint", info.data.fingerprint), ("synthetic", how_many(info.data.synthetic, "image"))),
        tables=(
            Table("Images for training and for choosing the model", ("split", *info.class_names, "all"), counts),
            Table("Collections and licenses of these images", ("source", "license", "images"), sources),
        ),
    )


def _training(info: ModelInfo) -> Iterator[tuple[str, str]]:
    yield from ((f"data for {what}", text) for what, text in info.data_used.items())
    settings = dict(_flat(info.training))
    yield "settings", "; ".join(f"{key} {value}" for key, value in settings.items()) or "those of its members, and the method above"


def _flat(settings: dict[str, Any], before: str = "") -> Iterator[tuple[str, str]]:
    for key, value in settings.items():
        if isinstance(value, dict):
            yield from _flat(value, f"{before}{key}.")
        else:
            yield f"{before}{key}", "none" if value is None else str(value)


def _evaluation(pushed: Pushed) -> Section:
    found = pushed.evaluation
    figures = tuple((row.title, str(found.figure(row.name))) for row in OF_ALL_CLASSES)
    classes = tuple((one.name, str(one.examples), *(str(one.figure(row.name)) for row in OF_ONE_CLASS)) for one in found.classes)
    matrix = tuple((name, *map(str, row)) for name, row in zip(found.class_names, found.confusion_matrix, strict=True))
    tables = [
        Table("Figures, with 95 % intervals by patient", ("figure", "value"), figures),
        Table("Each class against the rest", ("class", "images", *(row.title for row in OF_ONE_CLASS)), classes),
        Table("Confusion matrix: true classes in rows", ("class", *found.class_names), matrix),
    ]
    if found.tabled_slices:
        shown = {row.name: row.title for row in OF_ALL_CLASSES if row.by_slice}
        slices = tuple(
            (f"{part.feature} {part.value}", str(part.examples), str(part.patients), *(str(part.figure(name)) for name in shown))
            for part in found.tabled_slices
        )
        tables.append(Table("Slices", ("slice", "images", "patients", *shown.values()), slices))
    judged_on = f"{how_many(found.examples, 'image')} of {how_many(found.patients, 'patient')}"
    sentence = f"On the split {pushed.record.split}: {judged_on}, which took no part in training."
    return Section("Evaluation", (sentence,), tables=tuple(tables))


def _gate(pushed: Pushed) -> Section:
    record, change = pushed.record, pushed.evaluation.change
    if record.baseline and change is not None and pushed.evaluation.baseline_accuracy is not None:
        ours = pushed.evaluation.accuracy - pushed.evaluation.baseline_accuracy
        compared = f"version {record.baseline.version}: accuracy changed by {with_interval(ours, change)}, the same patients drawn for both"
    else:
        compared = "no pushed version; only the gate's bounds decided"
    rows = tuple(
        (one.subject, one.wanted or NOT_STATED, f"{one.measured:.3f}" if math.isfinite(one.measured) else NONE, one.verdict)
        for one in pushed.validation.demands
    )
    tables = (Table("Demands", ("demand", "bound", "measured", "verdict"), rows),) if rows else ()
    return Section("Gate", facts=(("compared with", compared),), tables=tables)


def _shortcuts(verdict: ShortcutVerdict) -> Section:
    above = "better than every shortcut by more than {0}, in balanced accuracy and in the AUC of a class that it predicts clearly"
    asked = "nothing" if verdict.margin is None else above.format(verdict.margin)
    told = (f"In the data {sentence}" for sentence in verdict.clear)
    said = (*told, *(found.verdict for found in verdict.comparisons), *(found.verdict for found in verdict.masked))
    return Section("Shortcuts", tuple(f"{sentence}." for sentence in said), (("demanded", asked),))


def _calibration(info: ModelInfo) -> Section:
    facts: list[tuple[str, str]] = []
    if found := info.calibration:
        facts.append(("temperature", f"{found.temperature:.3f}" + (f" ({found.note})" if found.note else "")))
        if found.before and found.after:
            facts.append(
                (
                    f"on {how_many(found.images, 'image')} of the split {found.split}",
                    f"{_error(found.before)} before, {_error(found.after)} after",
                )
            )
    if info.outside:
        flagged = NONE if info.outside.flagged is None else f"{info.outside.flagged:.3f} of the images of the split {info.outside.split}"
        facts.append(("flagged as unlike the training images", info.outside.note or flagged))
    if info.conformal:
        facts.append(
            ("conformal sets", f"made for {info.conformal.coverage} of the images; {info.conformal.mean_size:.2f} classes on average")
        )
    points = tuple(
        (
            name,
            f"{point.at_least} {point.demanded}",
            NONE if point.shown is None else f"{point.shown:.3f}",
            f"{point.sensitivity:.3f}",
            f"{point.specificity:.3f}",
        )
        for name, found in info.operating_points.items()
        for point in found
    )
    columns = ("class", "chosen for", "threshold", "sensitivity", "specificity")
    tables = (Table("Operating points, chosen and measured on the validation split (which flatters)", columns, points),) if points else ()
    return Section("Calibration", () if facts or points else ("Not calibrated.",), tuple(facts), tables)


def _error(found: Reliability) -> str:
    return ", ".join(f"{row_of(name).title} {getattr(found, name):.3f}" for name in (CALIBRATION_ERROR, LOG_LOSS))


def _provenance(pushed: Pushed) -> Iterator[tuple[str, str]]:
    record = pushed.record
    yield "pushed at", record.pushed_at
    yield "pipeline", record.pipeline
    yield "run", record.run or NOT_STATED
    yield "fingerprint of the SavedModel (BLAKE2b)", record.fingerprint
    yield "code", pushed.info.code_version or NOT_STATED
    yield "best version so far", record.floor
