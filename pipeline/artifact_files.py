"""Artifacts of earlier runs that the cache must not take: whose files are not what they were, or which belong to another workspace.

TFX takes a result from the cache where ML Metadata says LIVE and the folder exists. Of examples that have lost a shard it would train a
model on what is left, and nobody would hear of it. So each artifact's files are noted when it is published, and looked for when the next
run begins: names and sizes, which costs nothing; what was flipped inside a file is for its reader to find.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from pathlib import Path

from ml_metadata.metadata_store import metadata_store
from ml_metadata.proto import metadata_store_pb2 as proto
from tfx.orchestration import metadata

from cxr.core.counts import how_many
from cxr.core.file_sizes import FILES, sizes_of, what_changed
from cxr.pipeline.workspace import Workspace, made_at

_SHOWN = 5  # artifacts that are named one by one


def note(artifacts: Iterable[proto.Artifact]) -> None:
    """Notes the files of artifacts that are about to be published.

    Args:
      artifacts: All that they hold is written.
    """
    for artifact in artifacts:
        artifact.custom_properties[FILES].string_value = json.dumps(sizes_of(Path(artifact.uri)))


def pass_over(workspace: Workspace) -> list[str]:
    """Has the cache pass over what it must not take; no file is touched, and `cxr prune` finds them as before.

    A folder that is not there at all TFX passes over by itself: a disk that is not mounted now will be there again.

    Args:
      workspace: Its metadata.db is there; no node runs.

    Returns:
      What the user should know, one line each.
    """
    with metadata.Metadata(metadata.sqlite_metadata_connection_config(str(workspace.metadata))) as handle:
        live = [one for one in handle.store.get_artifacts() if one.state == proto.Artifact.LIVE]
        homes = {one.id: home for one in live if (home := _other_home(one.uri, workspace.home))}
        copied = [one for one in live if one.id in homes and Path(one.uri).exists()]
        changed = {one.id: what for one in live if one.id not in homes and (what := _change(one))}
        _mark(handle.store, [one for one in live if one.id in changed or one in copied])
    newest = max(live, key=lambda one: one.id, default=None)
    return [
        *_of_other_homes(workspace.home, [homes[one.id] for one in copied], homes.get(newest.id) if newest else None),
        *_of_changes([(one.uri, changed[one.id]) for one in live if one.id in changed]),
    ]


def _mark(store: metadata_store.MetadataStore, artifacts: list[proto.Artifact]) -> None:
    for artifact in artifacts:
        artifact.state = proto.Artifact.ABANDONED
    if artifacts:
        store.put_artifacts(artifacts)


def _of_other_homes(home: Path, copied: list[Path], newest: Path | None) -> Iterator[str]:
    if copied:
        yield (
            f"{home}: is a copy of {copied[-1]}, which it leaves alone: the results that the cache knows lie there, "
            "so every node runs once more here. Pushed models stay as they are"
        )
    elif newest:
        yield (
            f"{home}: lay at {newest} before, where the cache looks for its results: every node runs once more. "
            "Pushed models stay as they are"
        )


def _of_changes(changes: list[tuple[str, str]]) -> Iterator[str]:
    for uri, what in changes[:_SHOWN]:
        made = made_at(uri)
        node = made[1].parts[1] if made else ""
        yield f"{uri}: {what}; it is not taken from the cache: {node} makes it anew where this run needs it, and so does what follows"
    if (more := len(changes) - _SHOWN) > 0:
        others = how_many(more, "more artifact has lost files, and is", "more artifacts have lost files, and are")
        yield f"{others} not taken from the cache either"


def _change(artifact: proto.Artifact) -> str:
    """What became of an artifact's files; empty: nothing, nobody noted them, or all of it is gone. Files that were added do not count."""
    place = Path(artifact.uri)
    if FILES not in artifact.custom_properties or not place.exists():
        return ""
    return what_changed(json.loads(artifact.custom_properties[FILES].string_value), place)


def _other_home(uri: str, home: Path) -> Path | None:
    """The pipeline's folder that an artifact was made in; None: this one, by whatever name, or nobody knows."""
    made = made_at(uri)
    same = made is None or made[0] == home or (made[0].exists() and home.samefile(made[0]))
    return None if made is None or same else made[0]
