import json

import pytest

from cxr.core.errors import CxrError
from cxr.kubeflow import champion


@pytest.fixture
def models(tmp_path):
    folder = tmp_path / "serving_models/mobilenet"
    (folder / "17/variables").mkdir(parents=True)
    (folder / "17/saved_model.pb").write_text("graph")
    (folder / "17/variables/v").write_text("1")
    return folder


def update_champion(models):
    champion.write_pointer(models, "17", champion.fingerprint(models / "17"), "minio://b/run/model")


def test_the_pointer_names_the_version_relative_to_itself(models, tmp_path):
    update_champion(models)
    assert "path" not in json.loads((models / "champion.json").read_text())
    moved = models.rename(tmp_path / "elsewhere")  # the volume may be mounted anywhere
    assert champion.read_pointer(moved / "champion.json")["path"] == str(moved / "17")


def test_before_the_first_push_there_is_no_champion(models):
    assert champion.read_pointer(models / "champion.json") is None


def test_a_damaged_pointer_and_a_missing_version_are_named(models):
    (models / "champion.json").write_text("{}")
    with pytest.raises(CxrError, match="not a champion pointer"):
        champion.read_pointer(models / "champion.json")
    (models / "champion.json").write_text('{"version": "99"}')
    with pytest.raises(CxrError, match="version 99, which is gone"):
        champion.read_pointer(models / "champion.json")


def test_fetch_copies_the_champion(models, tmp_path):
    update_champion(models)
    assert champion.fetch(str(models / "champion.json"), tmp_path / "model")
    assert (tmp_path / "model/Format-Serving/variables/v").read_text() == "1"


@pytest.mark.parametrize("baseline", ["17", "../.."])
def test_fetch_takes_a_version_and_refuses_other_folders(models, tmp_path, baseline):
    if baseline == "17":
        assert champion.fetch(str(models / baseline), tmp_path / "model")
    else:
        with pytest.raises(CxrError, match="no champion pointer"):
            champion.fetch(str(models / baseline), tmp_path / "model")


@pytest.mark.parametrize("baseline", ["", "none", "serving_models/mobilenet/champion.json"])
def test_no_baseline_leaves_a_file_to_upload(models, tmp_path, baseline):
    assert not champion.fetch(str(tmp_path / baseline) if "/" in baseline else baseline, tmp_path / "model")
    assert [file.name for file in (tmp_path / "model").iterdir()] == ["NO_BASELINE"]


def test_the_fingerprint_knows_names_and_contents(models):
    first = champion.fingerprint(models / "17")
    (models / "17/variables/v").write_text("2")
    second = champion.fingerprint(models / "17")
    (models / "17/variables/v").rename(models / "17/variables/w")
    assert len({first, second, champion.fingerprint(models / "17")}) == 3


def test_the_command_reports_to_the_launcher(models, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("CXR_KUBEFLOW_ROOT", str(tmp_path))
    task = {
        "inputs": {"parameterValues": {"baseline": "none"}},
        "outputs": {
            "artifacts": {"model": {"artifacts": [{"name": "model", "uri": "minio://b/model"}]}},
            "outputFile": str(tmp_path / "out/o.json"),
        },
    }
    assert champion.main([json.dumps(task)]) == 0
    (found,) = json.loads((tmp_path / "out/o.json").read_text())["artifacts"]["model"]["artifacts"]
    assert found == {"name": "model", "uri": "minio://b/model", "metadata": {"cxr_absent": 1}}

    task["inputs"]["parameterValues"]["baseline"] = "/nowhere"
    assert champion.main([json.dumps(task)]) == 1
    assert "/nowhere" in capsys.readouterr().err
