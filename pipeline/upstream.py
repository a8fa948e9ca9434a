"""What a model was made by, node by node, as ML Metadata has it."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from pathlib import Path

from ml_metadata.errors import StatusError
from ml_metadata.metadata_store import metadata_store
from ml_metadata.proto import metadata_store_pb2 as proto
from pydantic import Field

from cxr.core.strict_model import StrictModel

_OUTPUTS = (proto.Event.OUTPUT, proto.Event.DECLARED_OUTPUT)
_NODE = "node"  # type of the context that names a node, as TFX registers it
CODE_VERSION, CUSTOM_CONFIG = "code_version", "custom_config"  # parameter of our nodes; where TFX's own nodes have theirs


class Execution(StrictModel):
    """One run of one node."""

    node: str
    number: int = Field(description="of the execution in ML Metadata")
    ended: str = Field(description="ISO 8601, UTC")
    code_version: str = Field("", description="of the code that the node ran; empty: TFX's own node")


def upstream(metadata: Path, uri: str) -> tuple[Execution, ...]:
    """Returns the executions that an artifact came from, the first first; none where ML Metadata does not know it.

    Args:
      metadata: ML Metadata's SQLite file, which is only read.
      uri: Of the artifact, as it was when it was made.
    """
    if not metadata.is_file():
        return ()
    config = proto.ConnectionConfig()
    config.sqlite.filename_uri = str(metadata)
    config.sqlite.connection_mode = proto.SqliteMetadataSourceConfig.READONLY
    try:
        store = metadata_store.MetadataStore(config)
        found = _executions(store, [artifact.id for artifact in store.get_artifacts_by_uri(uri)])
        return tuple(_described(store, execution) for execution in sorted(found, key=lambda one: one.last_update_time_since_epoch))
    except (StatusError, RuntimeError):  # damaged, or of a later version: what the model's own files say stands without it
        return ()


def _executions(store: metadata_store.MetadataStore, artifacts: Sequence[int]) -> Iterable[proto.Execution]:
    """Returns what made the artifacts, what made their inputs, and so on."""
    known: dict[int, proto.Execution] = {}
    seen = set[int]()
    while artifacts := [number for number in dict.fromkeys(artifacts) if number not in seen]:
        seen |= set(artifacts)
        events = store.get_events_by_artifact_ids(artifacts)
        makers = {event.execution_id for event in events if event.type in _OUTPUTS} - known.keys()
        if not makers:
            break
        complete = [one for one in store.get_executions_by_id(sorted(makers)) if one.last_known_state == proto.Execution.COMPLETE]
        known |= {one.id: one for one in complete}
        inputs = store.get_events_by_execution_ids([one.id for one in complete]) if complete else []
        artifacts = [event.artifact_id for event in inputs if event.type not in _OUTPUTS]
    return known.values()


def _described(store: metadata_store.MetadataStore, execution: proto.Execution) -> Execution:
    contexts = store.get_contexts_by_execution(execution.id)
    kinds = {kind.id: kind.name for kind in store.get_context_types()}
    node = next((context.name for context in contexts if kinds.get(context.type_id) == _NODE), execution.type)
    return Execution(
        node=node.rpartition(".")[2],
        number=execution.id,
        ended=datetime.fromtimestamp(execution.last_update_time_since_epoch / 1000, UTC).isoformat(timespec="seconds"),
        code_version=_code_version(execution),
    )


def _code_version(execution: proto.Execution) -> str:
    parameters = {name: value.string_value for name, value in execution.custom_properties.items()}
    if CODE_VERSION in parameters:
        return parameters[CODE_VERSION]
    try:
        return str(json.loads(parameters.get(CUSTOM_CONFIG, "{}")).get(CODE_VERSION, ""))
    except (ValueError, AttributeError):
        return ""
