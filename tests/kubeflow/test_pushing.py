import json

import pytest

from cxr.kubeflow import champion, pushing


@pytest.fixture
def task(tmp_path, monkeypatch):
    monkeypatch.setenv("CXR_KUBEFLOW_ROOT", str(tmp_path))
    candidate = tmp_path / "minio/b/run/model/Format-Serving"
    candidate.mkdir(parents=True)
    (candidate / "saved_model.pb").write_text("graph")
    version = tmp_path / "models/mobilenet/17"
    version.mkdir(parents=True)
    (version / "saved_model.pb").write_text("graph")

    def blessing(blessed):
        return {"artifacts": [{"uri": "x", "metadata": {"blessed": blessed}}]}

    return {
        "inputs": {
            "parameterValues": {"push_destination": json.dumps({"filesystem": {"base_directory": str(version.parent)}})},
            "artifacts": {
                "model": {"artifacts": [{"uri": str(candidate.parent)}]},
                "model_blessing": blessing(1.0),
                "infra_blessing": blessing(1.0),
            },
        },
        "outputs": {"artifacts": {"pushed_model": {"artifacts": [{"name": "pushed_model", "uri": str(tmp_path / "pushed")}]}}},
    }


def push(task, pushed):
    facts = {"pushed": pushed, "pushed_version": "17"}
    return pushing.update_champion(task, {"artifacts": {"pushed_model": {"artifacts": [{"metadata": facts}]}}})


def test_a_push_makes_the_champion(task, tmp_path):
    assert push(task, 1.0) == "17"
    pointer = champion.read_pointer(tmp_path / "models/mobilenet/champion.json")
    assert pointer["version"] == "17"
    assert pointer["source"] == "minio://b/run/model"


def test_no_push_changes_nothing(task, tmp_path):
    assert push(task, 0.0) is None
    assert not (tmp_path / "models/mobilenet/champion.json").exists()


def test_the_champion_is_not_pushed_again(task, tmp_path):
    push(task, 1.0)
    (found,) = pushing.already_pushed(task)["artifacts"]["pushed_model"]["artifacts"]
    assert found["metadata"]["pushed_version"] == "17"
    assert (tmp_path / "pushed/saved_model.pb").is_file()


@pytest.mark.parametrize("key", ["model_blessing", "infra_blessing"])
def test_without_blessing_tfx_decides(task, key):
    push(task, 1.0)
    task["inputs"]["artifacts"][key]["artifacts"][0]["metadata"]["blessed"] = 0.0
    assert pushing.already_pushed(task) is None


def test_another_model_is_pushed(task, tmp_path):
    push(task, 1.0)
    (tmp_path / "minio/b/run/model/Format-Serving/saved_model.pb").write_text("another graph")
    assert pushing.already_pushed(task) is None
