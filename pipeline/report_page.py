"""report.html of a local run, made at its end: also of one that failed half-way, from what there is."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from pathlib import Path

from cxr.components.report.gather import gather
from cxr.components.report.page.content import Artifact, Step, Verdict
from cxr.components.report.page.render import render
from cxr.components.report.redaction import place
from cxr.components.report.sources import ModelSources, RunBefore, Sources
from cxr.core.durable import replace_text
from cxr.core.figure_table import ACCURACY
from cxr.data.ingest.dataset import Dataset
from cxr.pipeline import roles
from cxr.pipeline.compare import configuration_differences, data_differences, previous_of
from cxr.pipeline.kept_runs import KeptRun, report_of
from cxr.pipeline.local_runner import NodeResult
from cxr.pipeline.pipeline_config import Config
from cxr.pipeline.report import Candidate, Report
from cxr.pipeline.roles import node_id


def write_page(sources: Sources, file: Path) -> None:
    """Makes the page; the file appears whole or not at all.

    Raises:
      CxrError: An artifact is damaged.
      OSError: The file cannot be written.
    """
    replace_text(file, render(gather(sources)))


def page_sources(
    config: Config,
    results: Mapping[str, NodeResult],
    report: Report,
    dataset: Dataset,
    *,
    run: str,
    began: datetime | None = None,
    before: RunBefore | None = None,
) -> Sources:
    """Returns where the page's content is to be read.

    Args:
      config: Of the run.
      results: Node to what became of it.
      report: What the run came to.
      dataset: What it ran on.
      run: The run's name.
      began: When it began, with the time zone; None: not known.
      before: The run before, see `run_before`.
    """
    return Sources(
        pipeline=config.name,
        class_names=config.class_names,
        split=config.gate.split,
        models=tuple(_model(report.models[name], results) for name in config.candidates),
        run=run,
        began=began,
        made=datetime.now().astimezone(),
        synthetic=report.synthetic,
        pictures=config.report.pictures,
        examples=_uri(results, roles.EXAMPLE_GEN, "examples"),
        statistics=_uri(results, roles.STATISTICS_GEN, "statistics"),
        anomalies=_uri(results, roles.EXAMPLE_VALIDATOR, "anomalies"),
        drift=_uri(results, roles.DRIFT_CHECK, "drift"),
        audit=_uri(results, roles.AUDIT, "audit"),
        explanation=_uri(results, node_id(roles.EXPLANATION, config.candidates[-1]), "explanation"),
        ingested=dataset,
        configuration=config.to_yaml(),
        before=before,
        steps=tuple(Step(node, result.state, result.seconds, result.error, result.peak_memory) for node, result in results.items()),
        artifacts=tuple(_artifacts(results)),
    )


def run_before(folder: Path) -> RunBefore | None:
    """Returns the newest earlier run that judged a model, and in what this one differs from it; None where there is none.

    Args:
      folder: Of this run; its configuration and report are there.
    """
    now = KeptRun(folder)
    then = previous_of(now)
    if then is None:
        return None
    report = report_of(then)
    models = {}
    for name, model in report.models.items():
        evaluation = then.place_of(model.evaluation_uri)
        models[name] = (model.evaluation.figure(ACCURACY) if model.evaluation else None, str(evaluation) if evaluation else None)
    differing = configuration_differences(then, now)
    changed = None if differing is None else tuple(one.cells for one in differing)
    return RunBefore(then.name, changed, tuple(data_differences(report, report_of(now))), models)


def _model(candidate: Candidate, results: Mapping[str, NodeResult]) -> ModelSources:
    return ModelSources(
        name=candidate.name,
        evaluation=candidate.evaluation_uri,
        model_run=_uri(results, node_id(roles.TRAINER, candidate.name), "model_run"),
        model=candidate.model_uri,
        shortcut_check=_uri(results, node_id(roles.SHORTCUT_CHECK, candidate.name), "blessing") if candidate.shortcut_check else None,
        verdict=Verdict(
            outcome=candidate.outcome,
            blessed=candidate.blessed,
            servable=candidate.servable,
            version=candidate.version,
            baseline=candidate.baseline,
            failures=candidate.failures,
            refusals=candidate.refusals,
            notes=candidate.notes,
            demands=candidate.demands,
        ),
    )


def _uri(results: Mapping[str, NodeResult], node: str, output: str) -> str | None:
    result = results.get(node)
    return result.outputs[output][0].uri if result and result.outputs.get(output) else None


def _artifacts(results: Mapping[str, NodeResult]) -> list[Artifact]:
    return [
        Artifact(node, output, artifact.type_name, artifact.id, place(artifact.uri))
        for node, result in results.items()
        for output, artifacts in result.outputs.items()
        for artifact in artifacts
    ]
