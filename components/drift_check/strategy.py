"""The resolver strategy behind the comparison with the run before on a local run."""

from __future__ import annotations

from pathlib import Path

import ml_metadata as mlmd
from ml_metadata.proto import metadata_store_pb2
from tfx import types
from tfx import v1 as tfx
from tfx.types import artifact_utils

PREVIOUS = "previous"  # what it yields
STATISTICS = "statistics"  # the input of AnomalyCheck that tells which data passed
_PASSED = (metadata_store_pb2.Execution.COMPLETE, metadata_store_pb2.Execution.CACHED)


class PreviousStatistics(tfx.dsl.experimental.ResolverStrategy):
    """Yields the statistics of the last run whose data passed and were others than this run's.

    Others, so that a second, identical run is compared with what the first one was: the cache then serves it, and drift that stops a run
    stops it again. Inputs: `previous`, the run's own statistics, in whose place the earlier ones come out.
    """

    def __init__(self, passed_by: str = "") -> None:
        """Takes the name of the type of the node that data pass or not."""
        self._passed_by = passed_by

    def resolve_artifacts(
        self, store: mlmd.MetadataStore, input_dict: dict[str, list[types.Artifact]]
    ) -> dict[str, list[types.Artifact]] | None:
        """Returns one artifact, or none."""
        own = {artifact.id for artifact in input_dict[PREVIOUS]}
        executions = [one for one in store.get_executions_by_type(self._passed_by) if one.last_known_state in _PASSED]
        for execution in sorted(executions, key=lambda one: -one.id):
            for found in store.get_artifacts_by_id(_read_by(store, execution.id) - own):
                if found.state == metadata_store_pb2.Artifact.LIVE and Path(found.uri).is_dir():
                    kind = store.get_artifact_types_by_id([found.type_id])[0]
                    return {PREVIOUS: [artifact_utils.deserialize_artifact(kind, found)]}
        return {PREVIOUS: []}


def _read_by(store: mlmd.MetadataStore, execution: int) -> set[int]:
    return {
        event.artifact_id
        for event in store.get_events_by_execution_ids([execution])
        if [s.key for s in event.path.steps][:1] == [STATISTICS]
    }
