import json
import os
import shutil

import pytest

from cxr.components.report.executor import MOST_MODELS
from cxr.core.errors import CxrError
from cxr.kubeflow import artifact_files

URI = "minio://b/run/ImportExampleGen/1/examples"


@pytest.fixture
def place(tmp_path, monkeypatch):
    monkeypatch.setenv("CXR_KUBEFLOW_ROOT", str(tmp_path))
    folder = tmp_path / "minio/b/run/ImportExampleGen/1/examples"
    for name in ("Split-train/a", "Split-train/b"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text("an image")
    return folder


def of(metadata, uri=URI):
    return {"examples": {"artifacts": [{"name": "7", "uri": uri, "metadata": metadata}]}}


@pytest.mark.parametrize("uri", [URI, "place"], ids=["of the launcher", "prepared"])
def test_all_that_was_written_passes_and_the_note_goes(place, uri):
    artifacts = of({**artifact_files.noted(place), "span": 0.0}, str(place) if uri == "place" else uri)
    artifact_files.check(artifacts)
    assert artifacts["examples"]["artifacts"][0]["metadata"] == {"span": 0.0}


@pytest.mark.parametrize("long", [False, True], ids=["names", "sums"])
@pytest.mark.parametrize(
    ("harm", "names", "sums"),
    [
        (lambda place: (place / "Split-train/b").unlink(), "Split-train/b is missing", "1 file with 8 bytes"),
        (lambda place: os.truncate(place / "Split-train/a", 3), "Split-train/a has 3 bytes", "2 files with 11 bytes"),
        (shutil.rmtree, "none of its files are there", "none of its files are there"),
    ],
    ids=["missing", "cut", "all"],
)
def test_lost_files_are_told_with_their_node_and_a_remedy(place, monkeypatch, long, harm, names, sums):
    if long:
        monkeypatch.setattr(artifact_files, "MOST_CHARACTERS", 10)
    artifacts = of(artifact_files.noted(place))
    harm(place)
    with pytest.raises(CxrError) as raised:
        artifact_files.check(artifacts)
    said = str(raised.value)
    assert said.startswith(f"input examples: {URI} is no longer what ImportExampleGen wrote: {sums if long else names}")
    assert "cache=2" in said


def test_artifacts_that_nobody_noted_and_empty_ones_are_not_compared(place):
    artifact_files.check(of({}, "minio://b/gone/elsewhere/1/examples"))
    assert artifact_files.noted(place / "nothing") == {}


def test_a_value_is_one_file(place):
    stated = artifact_files.noted(place / "Split-train/a")
    artifact_files.check(of(dict(stated), f"{URI}/Split-train/a"))
    (place / "Split-train/a").write_text("x")
    with pytest.raises(CxrError, match="a has 1 byte "):
        artifact_files.check(of(dict(stated), f"{URI}/Split-train/a"))


def test_the_notes_of_all_that_a_report_reads_fit_into_one_argument(place):
    for number in range(200):
        (place / f"Split-train/examples-{number:05}").write_text('"')
    note = artifact_files.noted(place)
    assert json.loads(note["cxr_files"]) == [202, 216]
    inputs = 6 + 5 * MOST_MODELS
    assert inputs * artifact_files.MOST_CHARACTERS < 128 * 1024 / 2  # the other half is for all else that it is told
