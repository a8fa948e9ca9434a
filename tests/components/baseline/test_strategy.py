import pytest
from tfx.orchestration import metadata
from tfx.types import standard_artifacts
from tfx.utils import path_utils

from cxr.components.baseline.strategy import MODEL, PushedBaseline, as_artifact


@pytest.fixture
def store(tmp_path):
    with metadata.Metadata(metadata.sqlite_metadata_connection_config(str(tmp_path / "metadata.db"))) as handle:
        yield handle.store


@pytest.fixture
def candidate(store):
    model = standard_artifacts.Model()
    model.uri = "/runs/18"
    store.put_artifact_type(model.artifact_type)
    return model


@pytest.fixture
def version(tmp_path):
    folder = tmp_path / "serving_models" / "mobilenet" / "17"
    folder.mkdir(parents=True)
    (folder / "saved_model.pb").write_text("graph")
    return folder


def resolve(store, candidate, **uris):
    resolved = PushedBaseline(**uris).resolve_artifacts(store, {MODEL: [candidate]})
    assert resolved is not None  # TFX would skip the node
    return resolved[MODEL]


def test_the_pushed_version_has_the_layout_of_a_model_artifact(store, candidate, version, tmp_path):
    (found,) = resolve(store, candidate, baseline=as_artifact(version, tmp_path / "links"))
    assert found.uri == str(tmp_path / "links/mobilenet/17")
    assert not path_utils.is_old_model_artifact(found)
    with open(f"{path_utils.serving_model_path(found.uri)}/saved_model.pb") as file:
        assert file.read() == "graph"


def test_it_is_the_same_artifact_every_time(store, candidate, version, tmp_path):
    """Its id is part of the key under which the Evaluator's result is cached."""
    ids = {resolve(store, candidate, baseline=as_artifact(version, tmp_path / "links"))[0].id for _ in range(2)}
    assert len(ids) == 1


def test_without_a_baseline_there_is_no_model(store, candidate, tmp_path):
    assert as_artifact(None, tmp_path / "links") == ""
    assert resolve(store, candidate) == []


@pytest.mark.parametrize("previous", ["", "/links/mobilenet/16"])
def test_the_champion_itself_is_compared_with_what_it_was_compared_with(store, candidate, previous):
    found = resolve(store, candidate, baseline="/links/mobilenet/17", champion="/runs/18", previous=previous)
    assert [artifact.uri for artifact in found] == [previous] * bool(previous)


def test_a_moved_workspace_gets_new_links(version, tmp_path):
    as_artifact(version, tmp_path / "links")
    moved = version.parent.parent.rename(tmp_path / "elsewhere")
    uri = as_artifact(moved / "mobilenet/17", tmp_path / "links")
    with open(f"{uri}/Format-Serving/saved_model.pb") as file:
        assert file.read() == "graph"
