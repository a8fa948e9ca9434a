"""What a run came to: one record per candidate, kept as JSON (report.json)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from pydantic import Field, computed_field
from tfx.types import Artifact

from cxr.components.baseline.rule import Choice
from cxr.components.checks.read import Checked, read_checks
from cxr.components.drift_check.result import DriftResult
from cxr.components.explanation.result import Result as Explained
from cxr.components.metrics.evaluation import Evaluation
from cxr.components.metrics.evaluator_output import read_evaluation
from cxr.components.metrics.verdicts import Judgement, not_judged
from cxr.components.shortcut_check.verdict import ShortcutVerdict
from cxr.core.errors import CxrError
from cxr.core.places import SAVED_MODEL
from cxr.core.refusal import Refusal
from cxr.core.strict_model import StrictModel
from cxr.data.audit.result import AuditResult
from cxr.data.ingest.dataset import Dataset
from cxr.pipeline import roles
from cxr.pipeline.baselines import change_of_data, remarks
from cxr.pipeline.kept_report import exit_code
from cxr.pipeline.local_runner import NodeResult
from cxr.pipeline.pipeline_config import Config
from cxr.pipeline.roles import node_id
from cxr.trainer.curves import PICTURE
from cxr.trainer.history import History
from cxr.trainer.model_info import read_info

Outcome = Literal["pushed", "refused", "failed"]


class Candidate(StrictModel):
    """One model of a run."""

    name: str
    outcome: Outcome
    failures: tuple[str, ...] = Field((), description="what broke")
    refusals: tuple[Refusal, ...] = Field((), description="what the checks held against it")
    model_uri: str | None = Field(None, description="the Model artifact")
    learning_curves: str | None = Field(None, description="picture of loss and accuracy per epoch")
    features_from_cache: dict[str, tuple[int, int]] = Field(
        {}, description="split: features of the frozen backbone that its trainer found in the feature cache, and all; empty: it did not run"
    )
    weights: str = Field("", description="where the backbone's weights came from, a fall-back included")
    data_used: dict[str, str] = Field({}, description="which data fitted its weights, chose (method, end of training) and evaluated it")
    evaluation: Evaluation | None = None
    evaluation_uri: str | None = Field(None, description="the ModelEvaluation artifact; null: not reached, or damaged")
    champion: str | None = Field(None, description="the version that was pushed last when the run began; null: none")
    baseline: str | None = Field(None, description="the pushed version that it was compared with; null: the bounds decided alone")
    notes: tuple[str, ...] = Field((), description="why the best pushed version is not the baseline; a change of data")
    demands: tuple[Judgement, ...] = Field((), description="what the gate asked for, what was measured, and the verdict")
    blessed: bool | None = Field(None, description="by the gate; null: it was not reached")
    servable: bool | None = Field(None, description="by the infrastructure check; null: it was not reached")
    shortcut_check: ShortcutVerdict | None = Field(None, description="beside what can be told without the lungs; null: it was not reached")
    version: str | None = None
    serving_path: str | None = None

    @computed_field(description="why it was refused or failed, for people and for readers of other versions")  # type: ignore[prop-decorator]
    @property
    def reasons(self) -> tuple[str, ...]:
        """Why it was refused or failed, for people."""
        return (*self.failures, *map(str, self.refusals))


class Node(StrictModel):
    """One node of the graph."""

    state: str
    seconds: float
    error: str = ""
    peak_memory: int | None = Field(None, description="of its largest process, bytes; null: it did no work")
    cpu_seconds: float | None = Field(None, description="processor time of its processes; null: as above")


class Report(StrictModel):
    """What `report.json` holds."""

    pipeline: str
    synthetic: bool = Field(description="the data are synthetic: the numbers say nothing about patients")
    data: str
    data_fingerprint: str = Field("", description="of what the records were ingested from, and how")
    images: dict[str, dict[str, int]] = Field({}, description="split: class: images")
    patients: dict[str, int] = Field({}, description="split: patients")
    split: str = Field("", description="that the models are judged on")
    examples_uri: str | None = Field(None, description="the Examples artifact; null: not reached")
    drift: DriftResult | None = Field(None, description="the data beside those of the run before; null: not reached")
    audit: AuditResult | None = Field(None, description="how well the class can be told from what should not matter; null: not reached")
    explanation: Explained | None = Field(None, description="heat maps of the ensemble, or of the last model; null: not reached")
    models: dict[str, Candidate]
    nodes: dict[str, Node]

    @property
    def exit_code(self) -> int:
        """OK only when every configured model was blessed and pushed."""
        return exit_code([*(model.outcome for model in self.models.values()), *(node.state for node in self.nodes.values())])


def make_report(config: Config, results: Mapping[str, NodeResult], choices: Mapping[str, Choice], *, data: str, dataset: Dataset) -> Report:
    """Reads the outputs of a run's nodes into a report.

    Args:
      config: Its candidates.
      results: Node to what became of it.
      choices: Candidate to what it was to be compared with.
      data: Folder of the records.
      dataset: What that folder says of itself.
    """
    explains = node_id(roles.EXPLANATION, config.candidates[-1])
    return Report(
        pipeline=config.name,
        synthetic=dataset.synthetic,
        data=data,
        data_fingerprint=dataset.fingerprint,
        images=dataset.counts,
        patients=dataset.patients,
        split=config.gate.split,
        examples_uri=examples.uri if (examples := _output(results.get(roles.EXAMPLE_GEN), "examples")) else None,
        drift=DriftResult.load(Path(drift.uri)) if (drift := _output(results.get(roles.DRIFT_CHECK), "drift")) else None,
        audit=AuditResult.load(Path(audit.uri)) if (audit := _output(results.get(roles.AUDIT), "audit")) else None,
        explanation=Explained.load(Path(maps.uri)) if (maps := _output(results.get(explains), "explanation")) else None,
        models={name: _candidate(name, results, choices.get(name, Choice()), config.gate.split) for name in config.candidates},
        nodes={
            key: Node(
                state=result.state,
                seconds=round(result.seconds, 1),
                error=result.error,
                peak_memory=result.peak_memory,
                cpu_seconds=None if result.cpu_seconds is None else round(result.cpu_seconds, 1),
            )
            for key, result in results.items()
        },
    )


def _candidate(name: str, results: Mapping[str, NodeResult], choice: Choice, evaluated_on: str) -> Candidate:
    trainer, evaluator, infra_check, shortcut_check, pusher = (
        results.get(node_id(role, name)) for role in (roles.TRAINER, roles.EVALUATOR, roles.INFRA_CHECK, roles.SHORTCUT_CHECK, roles.PUSHER)
    )
    notes = list(remarks(choice))
    model, model_run, evaluation = _output(trainer, "model"), _output(trainer, "model_run"), _output(evaluator, "evaluation")
    info = read_info(model.uri) if model else None
    if info:
        notes += filter(None, [change_of_data(choice, info)])
    features_from_cache: dict[str, tuple[int, int]] = {}
    if model_run and trainer and trainer.state == "done":
        try:
            history = History.read(model_run.uri)
        except CxrError as error:  # a run that has ended is not lost for a remark
            notes.append(str(error))
        else:
            features_from_cache = dict(history.features_from_cache)
            notes += history.notes
    unreadable: tuple[str, ...] = ()
    try:
        checked = read_checks(
            evaluation=_uri(evaluation),
            infra_check=_uri(_output(infra_check, "blessing")),
            shortcut_check=_uri(_output(shortcut_check, "blessing")),
        )
        numbers = read_evaluation(evaluation.uri) if evaluation else None
    except CxrError as error:  # what the run's other models came to is not lost for that
        unreadable, checked, numbers, evaluation = (str(error),), Checked(), None, None
    baseline = None
    if numbers:
        notes += not_judged(checked.demands)
        if model and numbers.baseline_accuracy is not None:
            is_champion = choice.champion is not None and choice.champion.source == model.uri
            compared = choice.previous if is_champion else choice.baseline  # as PushedBaseline resolves it
            baseline = compared.name if compared else None
    ended = _end_of((trainer, evaluator, infra_check, shortcut_check, pusher))
    return Candidate(
        name=name,
        outcome="failed" if unreadable else ended.outcome,
        failures=(*ended.failures, *unreadable),
        refusals=checked.refusals,
        model_uri=_uri(model),
        learning_curves=f"{model_run.uri}/{PICTURE}" if model_run else None,
        features_from_cache=features_from_cache,
        weights=info.weights_note if info else "",
        data_used={**info.data_used, "evaluation": f"the {evaluated_on} split"} if info else {},
        evaluation=numbers,
        evaluation_uri=_uri(evaluation),
        champion=choice.champion.version if choice.champion else None,
        baseline=baseline,
        notes=tuple(notes),
        demands=checked.demands,
        blessed=checked.blessed,
        servable=checked.servable,
        shortcut_check=checked.shortcuts,
        version=ended.version,
        serving_path=ended.serving_path,
    )


@dataclass(frozen=True)
class _End:
    """What became of a candidate, and where it was pushed."""

    outcome: Outcome
    failures: tuple[str, ...] = ()
    version: str | None = None
    serving_path: str | None = None


def _end_of(nodes: Sequence[NodeResult | None]) -> _End:
    """Returns how a candidate ended: by its nodes, of which the Pusher is the last."""
    pusher = nodes[-1]
    failures = [_failure(result) for result in nodes if result and result.state == "failed"]
    if not failures and pusher and pusher.state == "skipped":
        failures = [f"not reached, because {', '.join(pusher.roots)} failed"]
    if failures:
        return _End("failed", tuple(failures))
    push = _output(pusher, "pushed_model")
    if push is None or not push.get_int_custom_property("pushed"):
        return _End("refused")
    path = push.get_string_custom_property("pushed_destination")
    gone = () if (Path(path) / SAVED_MODEL).is_file() else (f"{path}: was pushed earlier and is missing now; run again with --no-cache",)
    return _End("failed" if gone else "pushed", gone, push.get_string_custom_property("pushed_version"), path)


def _output(result: NodeResult | None, key: str) -> Artifact | None:
    return result.outputs[key][0] if result and result.outputs.get(key) else None


def _uri(artifact: Artifact | None) -> str | None:
    return artifact.uri if artifact else None


def _failure(result: NodeResult) -> str:
    return f"{result.node_id} failed: {result.error.splitlines()[0]}"
