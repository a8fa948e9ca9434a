import json

import pytest

from cxr.components.baseline import champion
from cxr.components.baseline.push_record import RECORD, PushRecord
from cxr.core.errors import CxrError
from cxr.kubeflow import baseline
from cxr.trainer import model_info
from cxr.trainer.training_data import image_keys, save_training_images

CLASSES = ["covid19", "pneumonia", "normal"]


@pytest.fixture
def models(tmp_path):
    return tmp_path / "serving_models/mobilenet"


@pytest.fixture
def push(models):
    """Makes a version as the Pusher leaves it, and the champion of it."""

    def push(number, *, floor=None, seen="abc", synthetic=False):
        folder = models / str(number)
        (folder / "variables").mkdir(parents=True)
        (folder / "saved_model.pb").write_text("graph")
        (folder / "variables/v").write_text(str(number))
        model_info.write_info(
            str(folder), {"name": "mobilenet", "class_names": CLASSES, "image_size": 32, "synthetic": synthetic, "preprocessing": {}}
        )
        save_training_images(str(folder), image_keys(seen))
        record = PushRecord(
            version=str(number),
            pushed_at="2026-11-25T00:00:00+00:00",
            pipeline="small",
            run="r",
            source="minio://b/run/model",
            fingerprint=f"f{number}",
            split="test",
            metrics={"accuracy": 0.8},
            floor=str(floor or number),
        )
        (folder / RECORD).write_text(record.model_dump_json())
        before = champion.read(models / "champion.json")
        with champion.locked(models) as pointer:
            pointer.write(str(number), f"f{number}", "minio://b/run/model", expected=before.version if before else None)

    return push


@pytest.fixture
def model(tmp_path):
    """Where the task's output is mounted."""
    return tmp_path / "minio/b/model"


@pytest.fixture
def run(models, records, tmp_path, monkeypatch):
    """Runs the task's command; returns its exit status, the artifact's metadata and the output parameters."""
    monkeypatch.setenv("CXR_KUBEFLOW_ROOT", str(tmp_path))
    pointer = str(models / "champion.json")

    def run(**parameters):
        given = {
            "pointer": pointer,
            "baseline": pointer,
            "data": str(records),
            "split": "test",
            "class_names": json.dumps(CLASSES),
            "max_side": 1024.0,
        }
        task = {
            "inputs": {"parameterValues": given | parameters},
            "outputs": {
                "artifacts": {"model": {"artifacts": [{"name": "model", "uri": "minio://b/model"}]}},
                "outputFile": str(tmp_path / "out/o.json"),
            },
        }
        status = baseline.main([json.dumps(task)])
        if status:
            return status, None, None
        report = json.loads((tmp_path / "out/o.json").read_text())
        (found,) = report["artifacts"]["model"]["artifacts"]
        assert (found["name"], found["uri"]) == ("model", "minio://b/model")
        return status, found["metadata"], report["parameterValues"]

    return run


def hashes(*numbers):
    """Content hashes of `raw_examples`; `records` has the last six in its split test, the first six in train."""
    return [f"{number:064x}" for number in numbers]


def test_the_best_pushed_version_is_fetched_not_the_last_one(push, run, model, capsys):
    push(17)
    push(18, floor=17)
    status, facts, parameters = run()
    assert status == 0
    assert "tfx_version" in facts
    assert parameters == {"champion": "18", "baseline": "17"}
    assert (model / "Format-Serving/variables/v").read_text() == "17"
    assert "compared with version 17, the best one pushed" in capsys.readouterr().out


def test_where_the_best_one_has_seen_the_gates_images_the_champion_is_tried(push, run, capsys):
    push(17, seen=hashes(6, 7))
    push(18, floor=17)
    assert run()[2] == {"champion": "18", "baseline": "18"}
    assert "compared with version 18: version 17 has seen 2 of the 6 images that the gate judges on" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("version", "parameters", "reason"),
    [
        ({"seen": hashes(5, 6)}, {}, "has seen 1 of the 6 images"),
        ({"synthetic": True}, {}, "was trained on synthetic images, but these are real"),
        ({}, {"class_names": json.dumps(CLASSES[::-1])}, "is for the classes covid19, pneumonia, normal, not"),
    ],
)
def test_an_unfair_version_is_no_baseline_but_stays_the_champion(push, run, model, capsys, version, parameters, reason):
    push(17, **version)
    status, facts, outputs = run(**parameters)
    assert (status, facts, outputs) == (0, {"cxr_absent": 1}, {"champion": "17", "baseline": "none"})
    assert [file.name for file in model.iterdir()] == ["NO_BASELINE"]
    assert f"only the gate's bounds decide: version 17 {reason}" in capsys.readouterr().out


def test_the_launchers_copy_of_data_in_a_bucket_is_read(push, run, records, tmp_path):
    push(17)
    (tmp_path / "minio/b").mkdir(parents=True)
    records.rename(tmp_path / "minio/b/records")
    assert run(data="minio://b/records")[2] == {"champion": "17", "baseline": "17"}


@pytest.mark.parametrize("given", ["", "none", "serving_models/mobilenet/champion.json"])
def test_no_baseline_leaves_a_file_to_upload(run, model, models, given):
    parameters = {} if "/" in given else {"baseline": given}
    status, facts, outputs = run(**parameters, data="/nowhere")  # which is not read
    assert (status, facts, outputs) == (0, {"cxr_absent": 1}, {"champion": "none", "baseline": "none"})
    assert [file.name for file in model.iterdir()] == ["NO_BASELINE"]


@pytest.mark.parametrize("given", ["none", "17"])
def test_what_a_killed_attempt_left_is_no_part_of_the_baseline(push, run, model, models, given):
    """That it chose another version, or was ended while it copied."""
    push(17)
    (model / "Format-Serving/variables").mkdir(parents=True)
    (model / "Format-Serving/variables/of_another_version").touch()
    run(baseline="none" if given == "none" else str(models / given))
    assert [file.name for file in model.iterdir()] == ["NO_BASELINE" if given == "none" else "Format-Serving"]
    assert [file.name for file in model.glob("*/variables/*")] == ([] if given == "none" else ["v"])


@pytest.mark.parametrize("given", ["/nowhere/mobilenet/champion.json", "gs://nowhere/mobilenet/champion.json"])
def test_a_mistyped_pointer_does_not_take_the_comparison_away(push, run, given, capsys):
    push(17)
    assert run(baseline=given)[0] == 1
    assert f"baseline {given}: no champion pointer" in capsys.readouterr().err


def test_a_version_that_the_run_asks_for_is_taken(push, run, model, models, tmp_path):
    push(17)
    push(18)
    assert run(baseline=str(models / "17"))[2] == {"champion": "18", "baseline": "17"}
    elsewhere = tmp_path / "run/model/Format-Serving"
    elsewhere.parent.mkdir(parents=True)
    (models / "17").rename(elsewhere)
    # it is compared with, but no version that a record could name
    assert run(baseline=str(elsewhere.parent))[2] == {"champion": "18", "baseline": "none"}
    assert (model / "Format-Serving/variables/v").read_text() == "17"


def test_the_champion_of_the_moment_is_told_without_comparison_too(push, run):
    push(17)
    assert run(baseline="none")[2] == {"champion": "17", "baseline": "none"}


@pytest.mark.parametrize("given", ["/nowhere", "data"])
def test_what_cannot_be_read_fails_the_task(push, run, capsys, given):
    push(17)
    status, *_ = run(data="/nowhere") if given == "data" else run(baseline=given)
    assert status == 1
    assert "/nowhere" in capsys.readouterr().err


def test_other_folders_are_refused(push, models):
    push(17)
    with pytest.raises(CxrError, match="no champion pointer"):
        baseline.find({"baseline": str(models.parent)})
