import json
import shutil
from pathlib import Path

import pytest

from cxr.components.baseline import champion
from cxr.kubeflow import pushing
from cxr.kubeflow.baseline import NO_CHAMPION

CLOCK = 100  # TFX's Pusher names a version by the clock


@pytest.fixture
def models(tmp_path):
    return tmp_path / "models/mobilenet"


@pytest.fixture
def candidate(tmp_path):
    folder = tmp_path / "minio/b/run/model/Format-Serving"
    folder.mkdir(parents=True)
    (folder / "saved_model.pb").write_text("graph")
    return folder


@pytest.fixture
def task(tmp_path, monkeypatch, models, candidate):
    monkeypatch.setenv("CXR_KUBEFLOW_ROOT", str(tmp_path))

    def blessing(blessed):
        return {"artifacts": [{"uri": "x", "metadata": {"blessed": blessed}}]}

    return {
        "inputs": {
            "parameterValues": {"push_destination": json.dumps({"filesystem": {"base_directory": str(models)}})},
            "artifacts": {
                "model": {"artifacts": [{"uri": str(candidate.parent)}]},
                "model_blessing": blessing(1.0),
                "infra_blessing": blessing(1.0),
            },
        },
        "outputs": {"artifacts": {"pushed_model": {"artifacts": [{"name": "pushed_model", "uri": str(tmp_path / "pushed")}]}}},
    }


class Pusher:
    """Does to a task's folders what TFX's Pusher does, which test_whole_pipeline.py runs itself."""

    def __init__(self):
        self.runs = 0

    def __call__(self, task):
        self.runs += 1
        inputs = task["inputs"]["artifacts"]
        facts = {"pushed": 0}
        if all(inputs[key]["artifacts"][0]["metadata"]["blessed"] == 1 for key in pushing.BLESSINGS):
            folder = Path(json.loads(task["inputs"]["parameterValues"]["push_destination"])["filesystem"]["base_directory"])
            shutil.copytree(Path(inputs["model"]["artifacts"][0]["uri"]) / "Format-Serving", folder / str(CLOCK))
            facts = {"pushed": 1, "pushed_version": str(CLOCK), "pushed_destination": str(folder / str(CLOCK))}
        return {"artifacts": {"pushed_model": {"artifacts": [{"metadata": facts}]}}}


@pytest.fixture
def pusher():
    return Pusher()


def facts(report):
    return report["artifacts"]["pushed_model"]["artifacts"][0]["metadata"]


def versions(models):
    return sorted(int(folder.name) for folder in models.iterdir() if folder.name.isdecimal())


def test_a_push_makes_the_champion(task, models, pusher):
    report = pushing.push(task, NO_CHAMPION, pusher)
    found = champion.read(models / "champion.json")
    assert found.version == facts(report)["pushed_version"] == str(CLOCK)
    assert facts(report)["pushed_destination"] == str(models / str(CLOCK))
    assert found.source == "minio://b/run/model"
    assert (found.folder / "saved_model.pb").read_text() == "graph"


@pytest.mark.parametrize("key", ["model_blessing", "infra_blessing"])
def test_a_refused_model_changes_nothing(task, models, pusher, key):
    task["inputs"]["artifacts"][key]["artifacts"][0]["metadata"]["blessed"] = 0.0
    assert facts(pushing.push(task, NO_CHAMPION, pusher)) == {"pushed": 0}
    assert not models.exists()


def test_the_champion_is_not_pushed_again(task, models, pusher, tmp_path):
    pushing.push(task, NO_CHAMPION, pusher)
    report = pushing.push(task, str(CLOCK), pusher)
    assert facts(report)["pushed_version"] == str(CLOCK)
    assert (tmp_path / "pushed/saved_model.pb").is_file()
    assert (pusher.runs, versions(models)) == (1, [CLOCK])


def test_another_model_gets_a_higher_number_whatever_the_clock_says(task, models, pusher, candidate):
    pushing.push(task, NO_CHAMPION, pusher)
    candidate.joinpath("saved_model.pb").write_text("another graph")
    report = pushing.push(task, str(CLOCK), pusher)
    assert facts(report)["pushed_version"] == str(CLOCK + 1) == champion.read(models / "champion.json").version


@pytest.mark.parametrize("compared_with", ["99", NO_CHAMPION])
def test_a_candidate_that_was_compared_with_another_champion_is_not_pushed(task, models, pusher, candidate, compared_with):
    pushing.push(task, NO_CHAMPION, pusher)
    candidate.joinpath("saved_model.pb").write_text("another graph")
    with pytest.raises(champion.ChampionChangedError):
        pushing.push(task, compared_with, pusher)
    assert (pusher.runs, versions(models)) == (1, [CLOCK])


def test_without_comparison_the_last_push_counts(task, models, pusher, candidate):
    pushing.push(task, None, pusher)
    candidate.joinpath("saved_model.pb").write_text("another graph")
    pushing.push(task, None, pusher)
    assert champion.read(models / "champion.json").version == str(CLOCK + 1)


def test_a_crash_between_push_and_crowning_pushes_once(task, models, pusher, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(champion.LockedPointer, "write", _killed)
        with pytest.raises(KeyboardInterrupt):
            pushing.push(task, NO_CHAMPION, pusher)
    assert versions(models) == [CLOCK]
    assert champion.read(models / "champion.json") is None
    report = pushing.push(task, NO_CHAMPION, pusher)  # KFP's retry
    assert facts(report)["pushed_version"] == str(CLOCK) == champion.read(models / "champion.json").version
    assert (pusher.runs, versions(models)) == (1, [CLOCK])


def test_a_crash_while_copying_leaves_nothing_for_a_server(task, models, pusher):
    def dies_halfway(redirected):
        pusher(redirected)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        pushing.push(task, NO_CHAMPION, dies_halfway)
    (models / ".incoming-of-a-killed-pod").mkdir()
    assert versions(models) == []
    pushing.push(task, NO_CHAMPION, pusher)
    assert versions(models) == [CLOCK]
    assert {file.name for file in models.iterdir()} == {str(CLOCK), champion.POINTER, champion.LOCK}


def _killed(*args, **kwargs):
    raise KeyboardInterrupt
