"""The setting of the feature cache trains nothing anew, and a run says what came from the cache."""

import json
from pathlib import Path

import pytest
from tfx.types import standard_artifacts

from cxr.components.baseline.rule import Choice
from cxr.pipeline.graph import RunPaths, create_pipeline
from cxr.pipeline.local_runner import NodeResult
from cxr.pipeline.pipeline_config import load
from cxr.pipeline.report import Candidate, Report, _candidate
from cxr.pipeline.report_table import feature_lines
from cxr.pipeline.side_by_side import asks_networks
from cxr.pipeline.workspace import Workspace
from cxr.trainer.feature_cache.setting import Setting, told


def keys(setting, tmp_path):
    """What TFX's cache key has of each node besides its inputs."""
    config = load("demo").model_copy(update={"feature_cache": setting})
    workspace = Workspace(tmp_path, "demo")
    config.feature_place(workspace.feature_cache).write(workspace.feature_cache_setting)  # as a run does
    paths = RunPaths(
        data=str(tmp_path),
        splits=("train", "val", "test"),
        schema_file=str(tmp_path / "schema.pbtxt"),
        pipeline_root=str(workspace.pipeline_root),
        serving_models=str(workspace.serving_models),
        feature_cache=str(workspace.feature_cache_setting),
    )
    pipeline = create_pipeline(config, paths)
    return {node.id: {name: str(value) for name, value in node.exec_properties.items()} for node in pipeline.components}, workspace


@pytest.mark.seconds
def test_the_setting_is_no_part_of_a_node_and_reaches_the_trainers(tmp_path):
    from cxr.trainer.run_fn import Settings  # imports Keras

    first, workspace = keys(Setting(), tmp_path)
    settings = Settings.model_validate_json(first["Trainer-mobilenet"]["custom_config"])
    assert told(settings.feature_cache).folder == workspace.feature_cache == tmp_path / ".cache" / "features"
    assert len(settings.features_code) == 12
    second, _ = keys(Setting(folder=Path("/elsewhere"), max_gigabytes=9), tmp_path)
    assert (told(settings.feature_cache).folder, told(settings.feature_cache).max_bytes) == (Path("/elsewhere"), 9_000_000_000)
    third, _ = keys(None, tmp_path)
    assert told(settings.feature_cache).folder is None
    assert first == second == third


def test_nodes_that_may_use_a_gpu_are_those_of_the_graph_that_ask_networks(tmp_path):
    nodes, _ = keys(Setting(), tmp_path)
    found = {node.partition("-")[0] for node in nodes if asks_networks(node)}
    assert found == {"Trainer", "Evaluator", "InfraCheck", "ShortcutCheck", "Explanation"}


@pytest.mark.parametrize("state", ["done", "cached"])
def test_a_run_says_what_came_from_the_cache(tmp_path, state):
    artifact = standard_artifacts.ModelRun()
    artifact.uri = str(tmp_path)
    history = {"stages": [], "features_from_cache": {"train": [8, 10], "val": [3, 3]}, "notes": ["feature cache: full"]}
    (tmp_path / "history.json").write_text(json.dumps(history))
    (tmp_path / "learning_curves.png").touch()
    trainer = NodeResult("Trainer-mobilenet", state, outputs={"model_run": [artifact]})
    found = _candidate("mobilenet", {"Trainer-mobilenet": trainer}, Choice(), "test")
    report = Report(
        pipeline="demo",
        synthetic=True,
        data="",
        models={"mobilenet": found, "ensemble": Candidate(name="ensemble", outcome="failed")},
        nodes={},
    )
    if state == "done":
        assert feature_lines(report) == ["features from the cache: mobilenet 11 of 13"]
        assert "feature cache: full" in found.notes
    else:  # an earlier run's numbers
        assert feature_lines(report) == []
        assert found.notes == ()
