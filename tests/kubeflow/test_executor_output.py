import json

from cxr.kubeflow import executor_output

MODEL = {"instanceSchema": "title: tfx.Model\ntype: object\n"}


def report_of(monkeypatch, tmp_path, metadata):
    monkeypatch.setenv("CXR_KUBEFLOW_ROOT", str(tmp_path))
    folder = tmp_path / "minio/b/model"
    (folder / "assets").mkdir(parents=True)
    (folder / "variables").mkdir()
    (folder / "variables/v").write_text("1")
    task = {"outputs": {"artifacts": {"model": {"artifacts": [{"uri": str(folder), "type": MODEL}]}}}}
    report = {"artifacts": {"model": {"artifacts": [{"name": "model", "uri": str(folder), "metadata": metadata}]}}}
    (found,) = executor_output.finish(report, task)["artifacts"]["model"]["artifacts"]
    return found


def test_nulls_are_removed_at_every_depth(monkeypatch, tmp_path):
    found = report_of(monkeypatch, tmp_path, {"a": None, "b": [1.0, None], "c": {"d": None, "e": 2.0}})
    assert {key: found["metadata"].get(key) for key in "abc"} == {"a": None, "b": [1.0], "c": {"e": 2.0}}
    assert "a" not in found["metadata"]


def test_local_paths_become_uris_everywhere(monkeypatch, tmp_path):
    found = report_of(monkeypatch, tmp_path, {"current_model": f"{tmp_path}/s3/b/other", "pushed_destination": "/mnt/models/1"})
    assert found["uri"] == "minio://b/model"
    assert found["metadata"]["current_model"] == "s3://b/other"
    assert found["metadata"]["pushed_destination"] == "/mnt/models/1"


def test_empty_folders_are_noted(monkeypatch, tmp_path):
    found = report_of(monkeypatch, tmp_path, {})
    assert json.loads(found["metadata"]["cxr_empty_folders"]) == ["assets"]
