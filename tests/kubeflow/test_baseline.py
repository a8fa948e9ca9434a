import json

import pytest

from cxr.components.baseline import champion
from cxr.core.errors import CxrError
from cxr.kubeflow import baseline


@pytest.fixture
def models(tmp_path):
    folder = tmp_path / "serving_models/mobilenet"
    (folder / "17/variables").mkdir(parents=True)
    (folder / "17/saved_model.pb").write_text("graph")
    (folder / "17/variables/v").write_text("1")
    return folder


def update_champion(models):
    with champion.locked(models) as pointer:
        pointer.write("17", champion.fingerprint(models / "17"), "minio://b/run/model", expected=None)


def test_fetch_copies_the_champion(models, tmp_path):
    update_champion(models)
    assert baseline.fetch(str(models / "champion.json"), tmp_path / "model")
    assert (tmp_path / "model/Format-Serving/variables/v").read_text() == "1"


@pytest.mark.parametrize("given", ["17", "../.."])
def test_fetch_takes_a_version_and_refuses_other_folders(models, tmp_path, given):
    if given == "17":
        assert baseline.fetch(str(models / given), tmp_path / "model")
    else:
        with pytest.raises(CxrError, match="no champion pointer"):
            baseline.fetch(str(models / given), tmp_path / "model")


@pytest.mark.parametrize("given", ["", "none", "serving_models/mobilenet/champion.json"])
def test_no_baseline_leaves_a_file_to_upload(models, tmp_path, given):
    assert not baseline.fetch(str(tmp_path / given) if "/" in given else given, tmp_path / "model")
    assert [file.name for file in (tmp_path / "model").iterdir()] == ["NO_BASELINE"]


@pytest.fixture
def task(models, tmp_path, monkeypatch):
    monkeypatch.setenv("CXR_KUBEFLOW_ROOT", str(tmp_path))
    return {
        "inputs": {"parameterValues": {"baseline": "none", "pointer": str(models / "champion.json")}},
        "outputs": {
            "artifacts": {"model": {"artifacts": [{"name": "model", "uri": "minio://b/model"}]}},
            "outputFile": str(tmp_path / "out/o.json"),
        },
    }


def test_the_command_reports_to_the_launcher(task, tmp_path, capsys):
    assert baseline.main([json.dumps(task)]) == 0
    report = json.loads((tmp_path / "out/o.json").read_text())
    (found,) = report["artifacts"]["model"]["artifacts"]
    assert found == {"name": "model", "uri": "minio://b/model", "metadata": {"cxr_absent": 1}}
    assert report["parameterValues"] == {"champion": "none"}

    task["inputs"]["parameterValues"]["baseline"] = "/nowhere"
    assert baseline.main([json.dumps(task)]) == 1
    assert "/nowhere" in capsys.readouterr().err


def test_the_champion_of_the_moment_is_told_without_comparison_too(task, models, tmp_path):
    update_champion(models)
    assert baseline.main([json.dumps(task)]) == 0
    assert json.loads((tmp_path / "out/o.json").read_text())["parameterValues"] == {"champion": "17"}
