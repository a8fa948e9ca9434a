from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import prepared
import pytest
import yaml
from simulator.cluster import SimulatedCluster
from tfx import types
from tfx import v1 as tfx
from tfx.types import standard_artifacts

from cxr.components.baseline.rule import Choice
from cxr.components.report.component import Candidate, Report
from cxr.components.report.executor import MOST_MODELS, Executor, _model
from cxr.components.report.sources import Sources
from cxr.kubeflow import ir_pass
from cxr.kubeflow.compile import compile_pipeline
from cxr.pipeline.local_runner import NodeResult
from cxr.pipeline.report import _candidate

IMAGE = "registry.example/cxr@sha256:" + "0" * 64


def artifact(kind: type[types.Artifact], uri: str | Path | None) -> list[types.Artifact]:
    made = kind()
    made.uri = str(uri)
    return [made]


def channel(kind: type[types.Artifact]) -> types.Channel:
    return types.Channel(type=kind)


def report(models: int) -> Report:
    candidate = Candidate(
        channel(standard_artifacts.Model),
        channel(standard_artifacts.ModelRun),
        channel(standard_artifacts.ModelEvaluation),
        channel(standard_artifacts.InfraBlessing),
        channel(standard_artifacts.InfraBlessing),
    )
    return Report(
        "demo",
        channel(standard_artifacts.Examples),
        channel(standard_artifacts.ExampleStatistics),
        channel(standard_artifacts.ExampleAnomalies),
        channel(standard_artifacts.ExampleAnomalies),
        channel(standard_artifacts.ExampleAnomalies),
        channel(standard_artifacts.InferenceResult),
        {f"model{number}": candidate for number in range(models)},
        split="test",
        class_names=("covid19", "pneumonia", "normal"),
        configuration="name: demo\n",
        code_version="",
        pictures=False,
    )


def test_too_few_and_too_many_models() -> None:
    for number in (0, MOST_MODELS + 1):
        with pytest.raises(ValueError, match=f"{number} were given"):
            report(number)
    assert len(report(MOST_MODELS).inputs) == 6 + 5 * MOST_MODELS


def test_the_component_writes_the_page_of_what_it_is_given(sources: Sources, tmp_path: Path) -> None:
    (model, _) = sources.models
    blessing = artifact(standard_artifacts.InfraBlessing, tmp_path / "Jane Doe" / "InfraCheck-model0" / "blessing" / "5")
    Path(blessing[0].uri).mkdir(parents=True)
    (Path(blessing[0].uri) / "reasons.txt").write_text("another answer than the recorded one\n")
    blessing[0].set_int_custom_property("blessed", 0)
    inputs = {
        "examples": artifact(standard_artifacts.Examples, sources.examples),
        "statistics": artifact(standard_artifacts.ExampleStatistics, sources.statistics),
        "anomalies": artifact(standard_artifacts.ExampleAnomalies, sources.anomalies),
        "evaluation_1": artifact(standard_artifacts.ModelEvaluation, model.evaluation),
        "model_run_1": artifact(standard_artifacts.ModelRun, model.model_run),
        "infra_blessing_1": blessing,
        "drift": artifact(standard_artifacts.ExampleAnomalies, sources.drift),
        "audit": artifact(standard_artifacts.ExampleAnomalies, sources.audit),
        "explanation": artifact(standard_artifacts.InferenceResult, sources.explanation),
        "model_1": artifact(standard_artifacts.Model, model.model),
        "shortcut_blessing_1": artifact(standard_artifacts.InfraBlessing, model.shortcut_check),
    }
    output = artifact(standard_artifacts.String, tmp_path / "page")
    steps = [{"node": "Trainer-model0", "state": "done", "seconds": 96.0, "peak_memory": 2_600_000_000}]
    properties = {**report(1).exec_properties, "steps": json.dumps(steps)}
    Executor().Do(inputs, {"page": output}, properties)
    page = (tmp_path / "page").read_text()
    assert json.loads(properties["settings"])["models"] == ["model0"]
    for words in (
        "model0",
        "accuracy 0.833 is below 0.900",
        "What the models were made of",
        "c0de",
        "another answer than the recorded one",
        "refused",
        "shortcut check: no better",
        '<th scope="row">Trainer-model0</th><td class="good">done</td>',
        "1 min 36 s</td><td>2.6 GB</td>",
        "The wait for a pod",
        "height has drifted from the previous run&#39;s data, split train: Jensen-Shannon 0.500",
    ):
        assert words in page
    assert re.search(r"page made <time datetime=\"[^\"]+\+00:00\">", page)
    assert "Jane" not in page
    assert "InfraCheck-model0/blessing/5" in page
    assert "Confusion matrix, model0" in page
    assert "data:image/jpeg" not in page  # pictures=False


@pytest.mark.parametrize("problems", ["", "another answer than the recorded one\nno answer\n"])
def test_the_node_and_a_local_run_find_the_same_refusals(sources: Sources, tmp_path: Path, problems: str) -> None:
    (model, _) = sources.models
    evaluation = artifact(standard_artifacts.ModelEvaluation, model.evaluation)
    blessing = artifact(standard_artifacts.InfraBlessing, tmp_path)
    (tmp_path / "reasons.txt").write_text(problems)
    shortcuts = artifact(standard_artifacts.InfraBlessing, model.shortcut_check)
    node = _model("m", 1, {"evaluation_1": evaluation, "infra_blessing_1": blessing, "shortcut_blessing_1": shortcuts}).verdict
    outputs = {
        "Evaluator-m": {"evaluation": evaluation},
        "InfraCheck-m": {"blessing": blessing},
        "ShortcutCheck-m": {"blessing": shortcuts},
    }
    local = _candidate("m", {name: NodeResult(name, "done", outputs=found) for name, found in outputs.items()}, Choice(), "test")
    assert local.outcome == "refused"
    assert (node.refusals, node.demands) == (local.refusals, local.demands)
    assert (node.blessed, node.servable) == (local.blessed, local.servable) == (False, not problems)
    assert node.reasons == local.reasons == tuple(json.loads(local.model_dump_json())["reasons"])
    assert len(node.reasons) == 2 + len(problems.splitlines())


@pytest.mark.slow
def test_on_kubeflow_it_makes_the_artifact_that_kfp_shows(sources: Sources, tmp_path: Path) -> None:
    """The compiled node as KFP's launcher runs it; its inputs are imported."""
    cluster = SimulatedCluster(tmp_path, start=prepared.run)
    given: dict[str, tuple[str | None, type[types.Artifact]]] = {
        "Examples": (sources.examples, standard_artifacts.Examples),
        "Statistics": (sources.statistics, standard_artifacts.ExampleStatistics),
        "Anomalies": (sources.anomalies, standard_artifacts.ExampleAnomalies),
        "Drift": (sources.drift, standard_artifacts.ExampleAnomalies),
        "Audit": (sources.audit, standard_artifacts.ExampleAnomalies),
        "Explanation": (sources.explanation, standard_artifacts.InferenceResult),
        "Model": (sources.models[0].model, standard_artifacts.Model),
        "ShortcutCheck": (sources.models[0].shortcut_check, standard_artifacts.InfraBlessing),
        "Trainer": (sources.models[0].model_run, standard_artifacts.ModelRun),
        "Evaluator": (sources.models[0].evaluation, standard_artifacts.ModelEvaluation),
        "InfraCheck": (None, standard_artifacts.InfraBlessing),
    }
    nodes = {}
    for name, (folder, kind) in given.items():
        stored = cluster.objects.root / "minio/bucket" / name
        if folder:
            shutil.copytree(folder, stored)
        else:
            stored.mkdir(parents=True)
            (stored / "reasons.txt").write_text("another answer than the recorded one\n")
        properties = {"blessed": 0} if kind is standard_artifacts.InfraBlessing else None
        nodes[name] = tfx.dsl.Importer(f"minio://bucket/{name}", artifact_type=kind, custom_properties=properties).with_id(name)
    found = {name: node.outputs["result"] for name, node in nodes.items()}
    node = Report(
        "demo",
        found["Examples"],
        found["Statistics"],
        found["Anomalies"],
        found["Drift"],
        found["Audit"],
        found["Explanation"],
        {"mobilenet": Candidate(found["Model"], found["Trainer"], found["Evaluator"], found["InfraCheck"], found["ShortcutCheck"])},
        split="test",
        class_names=("covid19", "pneumonia", "normal"),
        configuration="name: demo\n",
        code_version="",
    ).with_id("Report")
    spec = compile_pipeline(tfx.dsl.Pipeline("demo", "minio://unused", components=[*nodes.values(), node], enable_cache=True), IMAGE)
    ir_pass.publish_report(spec, "Report")
    run = cluster.run(yaml.safe_dump(spec))
    assert run.succeeded, {name: task.error for name, task in run.tasks.items() if task.error}
    shown = run.artifact("Report", "report")
    assert shown.schema["schemaTitle"] == "system.HTML"
    page = (cluster.objects.root / shown.uri.replace("://", "/")).read_text()
    for words in (
        "Confusion matrix, mobilenet",
        "no better than the border",
        "another answer than the recorded one",
        "normal, predicted as covid19",
        "data:image/jpeg",
    ):
        assert words in page
    for secret in ("Jane", "patient0", str(tmp_path)):
        assert secret not in page
