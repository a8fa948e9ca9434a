from __future__ import annotations

from pathlib import Path

import pytest
from ml_metadata.metadata_store import metadata_store
from ml_metadata.proto import metadata_store_pb2 as proto

from cxr.pipeline.upstream import upstream

OUTPUT, INPUT = proto.Event.OUTPUT, proto.Event.INPUT


@pytest.fixture
def metadata(tmp_path: Path) -> Path:
    """Examples, a trainer of them and an ensemble; a pusher that uses it, and a trainer that failed."""
    config = proto.ConnectionConfig()
    config.sqlite.filename_uri = str(tmp_path / "metadata.db")
    store = metadata_store.MetadataStore(config)
    artifact_kind = store.put_artifact_type(proto.ArtifactType(name="Any"))
    execution_kind = store.put_execution_type(proto.ExecutionType(name="Node"))
    node_kind = store.put_context_type(proto.ContextType(name="node"))
    names = ("examples", "member", "ensemble")
    numbers = store.put_artifacts([proto.Artifact(type_id=artifact_kind, uri=f"/old/{name}") for name in names])
    artifacts = dict(zip(names, numbers, strict=True))

    def run(node: str, inputs: list[str], outputs: list[str], state: int = proto.Execution.COMPLETE, **parameters: str) -> None:
        execution = proto.Execution(type_id=execution_kind, last_known_state=state)
        for name, value in parameters.items():
            execution.custom_properties[name].string_value = value
        context = proto.Context(type_id=node_kind, name=f"cpu.{node}")
        pairs = [(name, INPUT) for name in inputs] + [(name, OUTPUT) for name in outputs]
        events = [(store.get_artifacts_by_id([artifacts[name]])[0], proto.Event(type=kind)) for name, kind in pairs]
        store.put_execution(execution, events, [context], reuse_context_if_already_exist=True)

    run("ImportExampleGen", [], ["examples"])
    run("Trainer-member", ["examples"], ["member"], proto.Execution.FAILED)
    run("Trainer-member", ["examples"], ["member"], custom_config='{"code_version": "aaa"}')
    run("Trainer-ensemble", ["member", "examples"], ["ensemble"], code_version="bbb")
    run("Pusher", ["ensemble"], [])
    return tmp_path / "metadata.db"


def test_the_nodes_that_an_artifact_came_from_in_their_order(metadata: Path) -> None:
    found = upstream(metadata, "/old/ensemble")
    assert [one.node for one in found] == ["ImportExampleGen", "Trainer-member", "Trainer-ensemble"]
    assert [one.code_version for one in found] == ["", "aaa", "bbb"]
    assert [one.number for one in upstream(metadata, "/old/member")] == [1, 3]


def test_what_ml_metadata_does_not_know(metadata: Path, tmp_path: Path) -> None:
    assert upstream(metadata, "/new/ensemble") == ()
    assert upstream(tmp_path / "nowhere.db", "/old/ensemble") == ()
    assert not (tmp_path / "nowhere.db").exists()
    (tmp_path / "damaged.db").write_text("no database")
    assert upstream(tmp_path / "damaged.db", "/old/ensemble") == ()
