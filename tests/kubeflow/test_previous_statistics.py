import json
import shutil

import pytest

from cxr.components.drift_check.kept import keep
from cxr.kubeflow import previous_statistics

OWN = "minio/b/run/StatisticsGen/1/statistics"


@pytest.fixture
def run(tmp_path, monkeypatch, capsys):
    """Runs the task's command; returns the output's folder, its metadata, and what was printed."""
    monkeypatch.setenv("CXR_KUBEFLOW_ROOT", str(tmp_path))
    write(tmp_path / OWN, "own")

    def run(metadata=None):
        given = {"name": "s", "uri": "minio://b/run/StatisticsGen/1/statistics", "metadata": metadata or {}}
        task = {
            "inputs": {
                "parameterValues": {"folder": str(tmp_path / "kept")},
                "artifacts": {"statistics": {"artifacts": [given]}},
            },
            "outputs": {
                "artifacts": {"previous": {"artifacts": [{"name": "p", "uri": "minio://b/previous"}]}},
                "outputFile": str(tmp_path / "out.json"),
            },
        }
        assert previous_statistics.main([json.dumps(task)]) == 0
        (reported,) = json.loads((tmp_path / "out.json").read_text())["artifacts"]["previous"]["artifacts"]
        return tmp_path / "minio/b/previous", reported["metadata"], capsys.readouterr().out

    return run


def write(folder, content):
    (folder / "Split-train").mkdir(parents=True)
    (folder / "Split-train" / "FeatureStats.pb").write_text(content)
    return folder


def test_a_first_run_has_nothing_to_compare_with(run, tmp_path):
    keep(tmp_path / OWN, tmp_path / "kept")
    folder, metadata, shown = run()
    assert metadata == {"cxr_absent": 1}
    assert [file.name for file in folder.iterdir()] == ["NO_RUN_BEFORE"]  # an empty folder would not be uploaded
    assert "nothing to compare with" in shown


def test_the_data_before_are_copied_into_the_run(run, tmp_path):
    keep(write(tmp_path / "old", "old"), tmp_path / "kept")
    keep(tmp_path / OWN, tmp_path / "kept")
    folder, metadata, shown = run()
    assert metadata == {"cxr_files": '{"Split-train/FeatureStats.pb":3}'}
    assert (folder / "Split-train" / "FeatureStats.pb").read_text() == "old"
    assert "the last data that passed and were others" in shown


@pytest.mark.parametrize("kept", [True, False])
def test_what_a_killed_attempt_left_is_no_part_of_them(run, tmp_path, kept):
    write(tmp_path / "minio/b/previous/of the first attempt", "others")
    if kept:
        keep(write(tmp_path / "old", "old"), tmp_path / "kept")
    folder, metadata, _ = run()
    assert metadata == ({"cxr_files": '{"Split-train/FeatureStats.pb":3}'} if kept else {"cxr_absent": 1})
    assert [file.name for file in folder.iterdir()] == ["Split-train" if kept else "NO_RUN_BEFORE"]


def test_statistics_that_are_gone_are_not_compared_with_themselves(run, tmp_path, capsys):
    keep(write(tmp_path / "old", "old"), tmp_path / "kept")
    shutil.rmtree(tmp_path / OWN)
    with pytest.raises(AssertionError):
        run()
    assert "statistics minio://b/run/StatisticsGen/1/statistics: no files there" in capsys.readouterr().err


def test_statistics_of_which_a_part_is_gone_are_not_compared(run, tmp_path, capsys):
    keep(write(tmp_path / "old", "old"), tmp_path / "kept")
    with pytest.raises(AssertionError):
        run({"cxr_files": '{"Split-test/FeatureStats.pb":3,"Split-train/FeatureStats.pb":3}'})
    assert "Split-test/FeatureStats.pb is missing" in capsys.readouterr().err
