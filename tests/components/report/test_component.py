from __future__ import annotations

import json
from pathlib import Path

import pytest
from tfx import types
from tfx.types import standard_artifacts

from cxr.components.report.component import Candidate, Report
from cxr.components.report.executor import MOST_MODELS, Executor
from cxr.components.report.sources import Sources


def artifact(kind: type[types.Artifact], uri: str | Path | None) -> list[types.Artifact]:
    made = kind()
    made.uri = str(uri)
    return [made]


def channel(kind: type[types.Artifact]) -> types.Channel:
    return types.Channel(type=kind)


def report(models: int) -> Report:
    candidate = Candidate(
        channel(standard_artifacts.ModelRun), channel(standard_artifacts.ModelEvaluation), channel(standard_artifacts.InfraBlessing)
    )
    return Report(
        "demo",
        channel(standard_artifacts.Examples),
        channel(standard_artifacts.ExampleStatistics),
        channel(standard_artifacts.ExampleAnomalies),
        {f"model{number}": candidate for number in range(models)},
        split="test",
        class_names=("covid19", "pneumonia", "normal"),
        configuration="name: demo\n",
        pictures=False,
    )


def test_too_few_and_too_many_models() -> None:
    for number in (0, MOST_MODELS + 1):
        with pytest.raises(ValueError, match=f"{number} were given"):
            report(number)
    assert len(report(MOST_MODELS).inputs) == 3 + 3 * MOST_MODELS


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
    }
    output = artifact(standard_artifacts.String, tmp_path / "page")
    properties = {**report(1).exec_properties}
    Executor().Do(inputs, {"page": output}, properties)
    page = (tmp_path / "page").read_text()
    assert json.loads(properties["settings"])["models"] == ["model0"]
    for words in ("model0", "accuracy 0.833 is below 0.900", "another answer than the recorded one", "refused"):
        assert words in page
    assert "Jane" not in page
    assert "InfraCheck-model0/blessing/5" in page
    assert "Confusion matrix, model0" in page
    assert "data:image/jpeg" not in page  # pictures=False
