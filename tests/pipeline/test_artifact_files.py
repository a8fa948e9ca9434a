"""Artifacts in ML Metadata's own file, whose folders are then harmed, moved, copied."""

import os
import shutil
from pathlib import Path

import pytest
from ml_metadata.proto import metadata_store_pb2 as proto
from tfx.orchestration import metadata

from cxr.pipeline.artifact_files import note, pass_over
from cxr.pipeline.workspace import Workspace

pytestmark = pytest.mark.seconds
LIVE = proto.Artifact.LIVE


@pytest.fixture
def workspace(tmp_path):
    return Workspace(tmp_path / "first", "small")


def opened(workspace):
    workspace.home.mkdir(parents=True, exist_ok=True)
    return metadata.Metadata(metadata.sqlite_metadata_connection_config(str(workspace.metadata)))


def publish(workspace, number, noted=True, value=False):
    """Writes an artifact of two files, or a value, as the node Maker would, and has ML Metadata know it."""
    place = workspace.pipeline_root / "Maker" / "made" / str(number)
    for name in ("value",) if value else ("Split-train/a", "Split-train/b"):
        (place / name).parent.mkdir(parents=True, exist_ok=True)
        (place / name).write_text("an image")
    artifact = proto.Artifact(uri=str(place / "value" if value else place), state=LIVE)
    if noted:
        note([artifact])
    with opened(workspace) as handle:
        artifact.type_id = handle.store.put_artifact_type(proto.ArtifactType(name="Made"))
        handle.store.put_artifacts([artifact])
    return place


def live(workspace):
    with opened(workspace) as handle:
        return [one.uri for one in handle.store.get_artifacts() if one.state == LIVE]


@pytest.mark.parametrize(
    ("harm", "what"),
    [
        (lambda place: (place / "Split-train" / "b").unlink(), "Split-train/b is missing"),
        (lambda place: os.truncate(place / "Split-train" / "b", 3), "Split-train/b has 3 bytes in place of the 8 that were written"),
        (lambda place: os.truncate(place / "Split-train" / "a", 0), "Split-train/a has 0 bytes in place of the 8 that were written"),
        (lambda place: shutil.rmtree(place / "Split-train"), "Split-train/a is missing"),
    ],
    ids=["missing", "cut", "empty", "emptied"],
)
def test_an_artifact_that_lost_files_is_passed_over_and_told_once(workspace, harm, what):
    place, other = publish(workspace, 1), publish(workspace, 2)
    assert pass_over(workspace) == []
    harm(place)
    said = f"{place}: {what}; it is not taken from the cache: Maker makes it anew where this run needs it, and so does what follows"
    assert pass_over(workspace) == [said]
    assert live(workspace) == [str(other)]
    assert pass_over(workspace) == []


def test_a_value_is_a_file_itself(workspace):
    place = publish(workspace, 1, value=True)
    assert pass_over(workspace) == []
    os.truncate(place / "value", 1)
    assert pass_over(workspace)[0].startswith(f"{place / 'value'}: value has 1 byte in place of the 8 that were written; it is not")


def test_what_nobody_noted_what_was_added_and_a_folder_that_is_gone_are_left_to_tfx(workspace):
    before, added, gone = publish(workspace, 1, noted=False), publish(workspace, 2), publish(workspace, 3)
    (before / "Split-train" / "a").unlink()
    (added / "notes").touch()
    shutil.rmtree(gone)  # a disk that is not mounted now
    assert pass_over(workspace) == []
    assert live(workspace) == [str(before), str(added), str(gone)]


def test_many_are_counted(workspace):
    for number in range(8):
        (publish(workspace, number) / "Split-train" / "a").unlink()
    said = pass_over(workspace)
    assert len(said) == 6
    assert said[-1] == "3 more artifacts have lost files, and are not taken from the cache either"


def test_a_copy_leaves_the_first_one_s_artifacts_alone(workspace, tmp_path):
    place = publish(workspace, 1)
    shutil.copytree(workspace.root, tmp_path / "second")
    copy = Workspace(tmp_path / "second", "small")
    (said,) = pass_over(copy)
    assert said.startswith(f"{copy.home}: is a copy of {workspace.home}, which it leaves alone")
    assert live(copy) == []
    own = publish(copy, 2)
    assert pass_over(copy) == []
    assert live(copy) == [str(own)]
    assert pass_over(workspace) == []
    assert live(workspace) == [str(place)]


def test_a_moved_workspace_is_told_until_it_has_results_of_its_own(workspace, tmp_path):
    place = publish(workspace, 1)
    workspace.root.rename(tmp_path / "second")
    moved = Workspace(tmp_path / "second", "small")
    (said,) = pass_over(moved)
    assert said.startswith(f"{moved.home}: lay at {workspace.home} before")
    publish(moved, 2)
    assert pass_over(moved) == []

    place.mkdir(parents=True)  # another workspace, where this one lay
    assert "is a copy of" in pass_over(moved)[0]
    assert str(place) not in live(moved)


def test_another_name_of_the_same_workspace_changes_nothing(workspace, tmp_path):
    place = publish(workspace, 1)
    (tmp_path / "link").symlink_to(workspace.root)
    linked = Workspace(tmp_path / "link", "small")
    assert pass_over(linked) == []
    (Path(place) / "Split-train" / "a").unlink()
    assert pass_over(linked)[0].startswith(f"{place}: Split-train/a is missing; it is not taken from the cache: Maker makes")
