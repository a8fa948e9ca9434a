"""TFX's artifacts of runs that go, in ML Metadata and on disk.

TFX takes outputs for a cache hit where ML Metadata says LIVE and the folder exists. An artifact is therefore marked before its folder
goes, and once more when it has gone: whatever happens between, no later run takes it for one that is there, and the next prune ends what
this began.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePath

from ml_metadata.errors import StatusError
from ml_metadata.proto import metadata_store_pb2 as proto

from cxr.core.errors import CxrError
from cxr.pipeline import metadata_file, metadata_store
from cxr.pipeline.pruning.keep import Kept, Version
from cxr.pipeline.pruning.left_over import left_over
from cxr.pipeline.workspace import Workspace, made_at

_RUN = "pipeline_run"  # type of the context that names a run, as TFX registers it
_PUSHED, _DESTINATION = "PushedModel", "pushed_destination"  # type of artifact, and its property: where the version lies
_ENDED_WELL = (proto.Execution.COMPLETE, proto.Execution.CACHED)


@dataclass(frozen=True)
class Doomed:
    """An artifact that goes.

    Attributes:
      number: In ML Metadata.
      folder: Where it is; None: it has gone already, and ML Metadata does not know.
      size: Bytes.
    """

    number: int
    folder: Path | None
    size: int


class Artifacts:
    """The artifacts of a pipeline, and who made and read them."""

    def __init__(self, workspace: Workspace, *, write: bool = True) -> None:
        """Opens ML Metadata's file, which must be there.

        Args:
          workspace: Of the pipeline.
          write: False: nothing will be removed.

        Raises:
          CxrError: It is damaged, locked by another program, or may not be written.
        """
        metadata_file.check(workspace.metadata, write=write)
        modes = proto.SqliteMetadataSourceConfig
        config = proto.ConnectionConfig()
        config.sqlite.filename_uri = str(workspace.metadata)
        config.sqlite.connection_mode = modes.READWRITE if write else modes.READONLY
        self._workspace = workspace
        try:
            self._store = metadata_store.MetadataStore(config)
            self._all = {one.id: one for one in self._store.get_artifacts()}
            self._ended = {one.id for one in self._store.get_executions() if one.last_known_state in _ENDED_WELL}
        except (StatusError, RuntimeError) as error:
            raise CxrError(f"{workspace.metadata}: cannot be read as ML Metadata ({error}); nothing was removed") from None

    def used_by(self, kept: Kept) -> set[int]:
        """Returns the artifacts that runs which stay have made, read or found in the cache."""
        runs = sorted(self._store.get_contexts_by_type(_RUN), key=lambda run: (run.create_time_since_epoch, run.id))
        since = kept.since.timestamp() * 1000 if kept.since else float("inf")
        staying = [run for run in runs if run.name in kept.pushed_by or run.create_time_since_epoch >= since]
        staying += runs[max(0, len(runs) - kept.newest) :]
        found = {one.id for uri in kept.uris if uri for one in self._store.get_artifacts_by_uri(uri)}
        for run in {run.id for run in staying}:
            executions = [one.id for one in self._store.get_executions_by_context(run)]
            found |= {one.id for one in self._store.get_artifacts_by_context(run)}
            found |= {event.artifact_id for event in self._store.get_events_by_execution_ids(executions)} if executions else set()
        return found

    def versions(self, artifacts: set[int]) -> set[Version]:
        """Returns the pushed versions that some artifacts stand for."""
        found = set()
        for number in artifacts:
            destination = self._all[number].custom_properties[_DESTINATION].string_value if self._is_push(number) else ""
            if destination:
                found.add((PurePath(destination).parent.name, PurePath(destination).name))
        return found

    def doomed(self, used: set[int], versions: set[Version]) -> list[Doomed]:
        """Returns the artifacts that no run which stays has used, and those that stand for versions that go.

        Args:
          used: See `used_by`.
          versions: That go.
        """
        found = []
        for number, artifact in self._all.items():
            if (folder := self._place(artifact.uri)) is None:
                continue
            is_link = folder.is_relative_to(self._workspace.baselines)  # a baseline: a link to a version, and in the place of a Model
            goes = (folder.parent.name, folder.name) in versions if is_link else number not in used
            if not goes:
                continue
            if folder.is_dir():
                found.append(Doomed(number, folder, size_of(folder)))
            elif artifact.state == proto.Artifact.LIVE:
                found.append(Doomed(number, None, 0))
        return found

    def left_over(self, kept: Kept) -> list[Path]:
        """Returns folders below the pipeline's root that no artifact and no execution which ended well accounts for.

        What reports that stay name is kept, though a metadata.db that was made anew knows nothing of it.
        """
        uris = [*kept.uris, *(artifact.uri for artifact in self._all.values())]
        known = {place for uri in uris if uri and (place := self._place(uri))}
        return list(left_over(self._workspace.pipeline_root, known, self._ended))

    def remove(self, doomed: Sequence[Doomed]) -> None:
        """Marks artifacts, removes their folders, and marks them as gone.

        Raises:
          OSError: A folder cannot be removed.
        """
        self._mark(doomed, proto.Artifact.MARKED_FOR_DELETION)
        for one in doomed:
            if one.folder:
                shutil.rmtree(one.folder)
        self._mark(doomed, proto.Artifact.DELETED)

    def _mark(self, doomed: Sequence[Doomed], state: proto.Artifact.State) -> None:
        artifacts = [self._all[one.number] for one in doomed]
        for artifact in artifacts:
            artifact.state = state
        if artifacts:
            self._store.put_artifacts(artifacts)

    def _place(self, uri: str) -> Path | None:
        """The folder of an artifact in this workspace, also in one that was moved; None: it lies elsewhere."""
        made = made_at(uri)
        return self._workspace.home / made[1] if made else None

    def _is_push(self, number: int) -> bool:
        return number in self._all and self._all[number].type == _PUSHED


def size_of(folder: Path) -> int:
    """Returns the bytes of all files below a folder; links are not followed."""
    return sum(os.lstat(os.path.join(parent, name)).st_size for parent, _, names in os.walk(folder, followlinks=False) for name in names)
