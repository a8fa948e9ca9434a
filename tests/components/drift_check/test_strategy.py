from pathlib import Path

import pytest
from ml_metadata.proto import metadata_store_pb2 as proto
from tfx.orchestration import metadata

from cxr.components.drift_check.strategy import PREVIOUS, STATISTICS, PreviousStatistics


@pytest.fixture
def store(tmp_path):
    with metadata.Metadata(metadata.sqlite_metadata_connection_config(str(tmp_path / "metadata.db"))) as handle:
        yield handle.store


def passed(store, folder):
    """Data passed once more, with the statistics in a folder; returns their artifact's id."""
    folder.mkdir()
    artifact = proto.Artifact(uri=str(folder), state=proto.Artifact.LIVE)
    artifact.type_id = store.put_artifact_type(proto.ArtifactType(name="ExampleStatistics"))
    execution = proto.Execution(last_known_state=proto.Execution.COMPLETE)
    execution.type_id = store.put_execution_type(proto.ExecutionType(name="Check"))
    event = proto.Event(type=proto.Event.INPUT)
    event.path.steps.add().key = STATISTICS
    _, (artifact_id,), _ = store.put_execution(execution, [(artifact, event)], [])
    return artifact_id


def previous(store):
    resolved = PreviousStatistics("Check").resolve_artifacts(store, {PREVIOUS: []})
    assert resolved is not None
    return [Path(artifact.uri).name for artifact in resolved[PREVIOUS]]


@pytest.mark.seconds
def test_statistics_that_are_gone_or_were_given_up_are_not_compared_with(store, tmp_path):
    assert previous(store) == []
    for name in ("first", "second"):
        passed(store, tmp_path / name)
    given_up = passed(store, tmp_path / "third")
    assert previous(store) == ["third"]
    (artifact,) = store.get_artifacts_by_id([given_up])
    artifact.state = proto.Artifact.ABANDONED  # its files changed, or it is another workspace's (pipeline/artifact_files.py)
    store.put_artifacts([artifact])
    assert previous(store) == ["second"]
    (tmp_path / "second").rmdir()
    assert previous(store) == ["first"]
