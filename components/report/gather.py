"""Reads a run's artifacts into what the page shows."""

from __future__ import annotations

import platform
from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from cxr.components.anomaly_check.anomalies import describe_anomalies
from cxr.components.explanation.result import Result, load_maps
from cxr.components.metrics.evaluation import read_evaluation, read_roc, read_validation
from cxr.components.report.feature_statistics import read_statistics
from cxr.components.report.history import read_training
from cxr.components.report.mistakes import explained, image_answers, most_confident
from cxr.components.report.page.content import Content, Data, Model, Verdict
from cxr.components.report.pictures import Seen, look_through
from cxr.components.report.redaction import configuration_without_paths, without_paths
from cxr.components.report.sources import ModelSources, Sources
from cxr.components.shortcut_check.verdict import Verdict as ShortcutVerdict
from cxr.core import features
from cxr.data.audit.result import AuditResult
from cxr.trainer.artifact import read_info

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


def gather(sources: Sources) -> Content:
    """Returns everything that the page shows.

    Args:
      sources: What the run made; what it did not come to is not on the page.

    Raises:
      CxrError: An artifact is damaged.
    """
    models = tuple(_model(model) for model in sources.models)
    answers = {model.name: model.answers for model in models if model.answers is not None}
    mistakes = most_confident(answers)
    splits = _splits(sources.examples)
    wanted = mistakes.images if mistakes else ()
    explanation = Result.load(Path(sources.explanation)) if sources.explanation else None
    same = explanation and mistakes and explanation.model == mistakes.model
    maps = load_maps(Path(sources.explanation)) if sources.explanation and same else None
    looked = partial(look_through, splits, sources.class_names, wanted, sources.split, maps, pictures=sources.pictures)
    seen = looked() if splits else Seen()
    return Content(
        pipeline=sources.pipeline,
        class_names=sources.class_names,
        split=sources.split,
        synthetic=sources.synthetic or any(source == features.SYNTHETIC for _, _, source in seen.images),
        pictures=sources.pictures,
        models=models,
        run=sources.run,
        data=_data(sources, seen),
        audit=AuditResult.load(Path(sources.audit)) if sources.audit else None,
        explanation=explanation,
        mistakes=explained(mistakes, sources.class_names, seen) if mistakes else None,
        steps=tuple(replace(step, error=without_paths(step.error)) for step in sources.steps),
        artifacts=sources.artifacts,
        configuration=configuration_without_paths(sources.configuration) if sources.configuration else "",
        versions=_versions(),
    )


def _model(sources: ModelSources) -> Model:
    verdict = replace(
        sources.verdict,
        reasons=tuple(map(without_paths, sources.verdict.reasons)),
        notes=tuple(map(without_paths, sources.verdict.notes)),
    )
    model = Model(
        sources.name,
        verdict,
        training=read_training(sources.model_run) if sources.model_run else None,
        shortcuts=ShortcutVerdict.load(Path(sources.shortcut_check)) if sources.shortcut_check else None,
        info=read_info(sources.model) if sources.model else None,
        facts={key: without_paths(text) for key, text in sources.facts.items()},
    )
    if not sources.evaluation:
        return model
    return replace(
        model,
        verdict=_with_gate(verdict, sources.evaluation),
        evaluation=read_evaluation(sources.evaluation),
        roc=read_roc(sources.evaluation),
        answers=image_answers(sources.evaluation),
    )


def _with_gate(verdict: Verdict, evaluation: str) -> Verdict:
    """Adds the gate's answer, unless the verdict has it."""
    if verdict.blessed is not None:
        return verdict
    gate = read_validation(evaluation)
    return replace(verdict, blessed=gate.blessed, reasons=(*(f"gate: {reason}" for reason in gate.reasons), *verdict.reasons))


def _data(sources: Sources, seen: Seen) -> Data | None:
    if not (sources.examples or sources.statistics or sources.ingested):
        return None
    numbers, values = read_statistics(sources.statistics) if sources.statistics else ((), ())
    anomalies = tuple(map(without_paths, describe_anomalies(sources.anomalies))) if sources.anomalies else None
    return Data(dict(seen.images), seen.patients, seen.samples, numbers, values, anomalies, sources.ingested)


def _splits(examples: str | None) -> Mapping[str, str]:
    """Name to folder of an Examples artifact's splits, in the order of features.SPLITS."""
    if not examples:
        return {}
    found = {folder.name.removeprefix("Split-"): str(folder) for folder in sorted(Path(examples).glob("Split-*"))}
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
