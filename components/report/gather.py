"""Reads a run's artifacts into what the page shows."""

from __future__ import annotations

import platform
from collections.abc import Mapping
from dataclasses import replace
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import numpy as np

from cxr.components.anomaly_check.anomalies import describe_anomalies
from cxr.components.answers.image_answers import AnsweredImages, read_image_answers, read_patients
from cxr.components.answers.most_confident import most_confident
from cxr.components.answers.paired import compare
from cxr.components.drift_check.result import DriftResult
from cxr.components.explanation.result import Result, load_maps
from cxr.components.metrics.evaluation import Evaluation
from cxr.components.metrics.evaluator_output import read_evaluation, read_roc
from cxr.components.report.feature_statistics import read_statistics
from cxr.components.report.history import read_training
from cxr.components.report.mistakes import explained
from cxr.components.report.page.content import Before, Content, Data, Model, ModelBefore
from cxr.components.report.pictures import Seen, look_through
from cxr.components.report.redaction import configuration_without_paths, without_paths
from cxr.components.report.sources import ModelSources, RunBefore, Sources
from cxr.components.shortcut_check.verdict import ShortcutVerdict
from cxr.core import features
from cxr.core.curve_bands import Band, Curve, curve_bands
from cxr.core.errors import CxrError
from cxr.core.figures import Answers
from cxr.core.places import SPLITS, by_split
from cxr.data.audit.result import AuditResult
from cxr.trainer.model_info import ModelInfo, read_info

LIBRARIES = (
    "cxr-pipeline",
    "tfx",
    "tensorflow",
    "keras",
    "tensorflow-model-analysis",
    "tensorflow-data-validation",
    "apache-beam",
    "numpy",
)

_CHARACTERS = 12  # of a fingerprint: enough to compare two runs


def gather(sources: Sources) -> Content:
    """Returns everything that the page shows.

    Args:
      sources: What the run made; what it did not come to is not on the page.

    Raises:
      CxrError: An artifact is damaged.
    """
    splits = _splits(sources.examples)
    patients = read_patients(splits[sources.split]) if sources.split in splits else {}
    models = tuple(_model(model, patients) for model in sources.models)
    answers = {model.name: model.answers for model in models if model.answers is not None}
    mistakes = most_confident(answers)
    wanted = mistakes.images if mistakes else ()
    explanation = Result.load(Path(sources.explanation)) if sources.explanation else None
    same = explanation and mistakes and explanation.model == mistakes.model
    maps = load_maps(Path(sources.explanation)) if sources.explanation and same else None
    seen = look_through(splits, sources.class_names, wanted, sources.split, maps, pictures=sources.pictures)
    return Content(
        pipeline=sources.pipeline,
        class_names=sources.class_names,
        split=sources.split,
        synthetic=sources.synthetic or any(source == features.SYNTHETIC for _, _, source in seen.images),
        pictures=sources.pictures,
        models=models,
        run=sources.run,
        began=sources.began,
        made=sources.made,
        data=_data(sources, seen),
        audit=AuditResult.load(Path(sources.audit)) if sources.audit else None,
        explanation=explanation,
        mistakes=explained(mistakes, sources.class_names, seen) if mistakes else None,
        before=_before(sources.before, answers, patients) if sources.before else None,
        steps=tuple(replace(step, error=without_paths(step.error)) for step in sources.steps),
        artifacts=sources.artifacts,
        configuration=configuration_without_paths(sources.configuration) if sources.configuration else "",
        versions=_versions(),
    )


def _model(sources: ModelSources, patients: Mapping[int, bytes]) -> Model:
    verdict = replace(
        sources.verdict,
        failures=tuple(map(without_paths, sources.verdict.failures)),
        refusals=tuple(refusal.model_copy(update={"text": without_paths(refusal.text)}) for refusal in sources.verdict.refusals),
        notes=tuple(map(without_paths, sources.verdict.notes)),
    )
    info = read_info(sources.model) if sources.model else None
    model = Model(
        sources.name,
        verdict,
        training=read_training(sources.model_run) if sources.model_run else None,
        shortcuts=ShortcutVerdict.load(Path(sources.shortcut_check)) if sources.shortcut_check else None,
        info=info,
        facts=_facts(info) if info else {},
    )
    if not sources.evaluation:
        return model
    evaluation, answers = read_evaluation(sources.evaluation), read_image_answers(sources.evaluation, patients)
    return replace(
        model,
        evaluation=evaluation,
        roc=read_roc(sources.evaluation),
        bands=_bands(answers, evaluation) if answers else {},
        answers=answers,
    )


def _facts(info: ModelInfo) -> dict[str, str]:
    """What a model was made of."""
    facts = {"image size": f"{info.image_size} pixels", "weights": info.weights_note, "code": info.code_version}
    if info.ensemble_method:
        facts["method"] = info.ensemble_method
    if info.data:
        images = "; ".join(f"{split} {sum(classes.values())}" for split, classes in info.data.images.items())
        facts |= {"trained on": f"{images} images", "their fingerprint": info.data.fingerprint[:_CHARACTERS]}
    if info.preprocessing:
        facts["preprocessing"] = ", ".join(f"{key} {value}" for key, value in info.preprocessing.items())
    return {key: without_paths(text) for key, text in facts.items()}


def _bands(answers: AnsweredImages, evaluation: Evaluation) -> Mapping[str, Mapping[Curve, Band]]:
    """No bands where some of the images cannot be told apart: the curves are of all of them."""
    if answers.patients is None or len(answers.images) != evaluation.examples:
        return {}
    found = curve_bands(Answers(answers.patients, answers.labels, answers.probabilities.astype(np.float64)))
    return dict(zip(evaluation.class_names, found, strict=True))


def _before(before: RunBefore, answers: Mapping[str, AnsweredImages], patients: Mapping[int, bytes]) -> Before:
    models = {}
    for name, (accuracy, evaluation) in before.models.items():
        try:
            then = read_image_answers(evaluation, patients) if evaluation else None
        except CxrError:  # the other run's: what is left of it decides nothing here
            then = None
        found = compare(then, answers.get(name))
        models[name] = ModelBefore(accuracy, found.differences, found.why_not)
    changed = None
    if before.configuration is not None:
        changed = tuple((key, without_paths(then), without_paths(now)) for key, then, now in before.configuration)
    return Before(before.run, changed, tuple(map(without_paths, before.data)), models)


def _data(sources: Sources, seen: Seen) -> Data | None:
    if not (sources.examples or sources.statistics or sources.ingested):
        return None
    numbers, values = read_statistics(sources.statistics) if sources.statistics else ((), ())
    anomalies = tuple(map(without_paths, describe_anomalies(sources.anomalies))) if sources.anomalies else None
    drift = DriftResult.load(Path(sources.drift)) if sources.drift else None
    return Data(
        dict(seen.images),
        {split: len(patients) for split, patients in seen.patients.items()},
        len(set().union(*seen.patients.values())),
        seen.samples,
        numbers,
        values,
        anomalies,
        sources.ingested,
        drift,
    )


def _splits(examples: str | None) -> Mapping[str, str]:
    """Name to folder of an Examples artifact's splits, in the order of features.SPLITS."""
    if not examples:
        return {}
    found = {split: str(folder) for split, folder in by_split(examples, SPLITS).items()}
    known = [split for split in features.SPLITS if split in found]
    return {split: found[split] for split in (*known, *(name for name in found if name not in known))}


def _versions() -> dict[str, str]:
    found = {"python": platform.python_version()}
    for library in LIBRARIES:
        try:
            found[library] = version(library)
        except PackageNotFoundError:
            continue
    return found
