"""Input artifacts that are no longer what their node wrote: files deleted from the object store, or cut short.

KFP looks for no files, neither when it takes a result from its cache nor when its launcher downloads one: of a folder without objects it
downloads nothing, and says nothing (`DownloadBlob` in KFP's backend/src/v2/objectstore/object_store.go). So every task notes in the
metadata of its outputs what it wrote, and compares its inputs before it works. KFP keeps these metadata in its metadata store, and
hands them to tasks that read the artifact (`mergeRuntimeArtifacts` in component/launcher_v2.go, `toRuntimeArtifact` in
metadata/converter.go).
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from cxr.core.counts import how_many
from cxr.core.errors import CxrError
from cxr.core.file_sizes import FILES, sizes_of, what_changed
from cxr.kubeflow.uris import artifact_uri, local_path, run_and_task

CACHE = "cache"  # parameter of a run: any word; from KFP's cache come only results of runs with the same one (ir_pass.key_cache)
# Characters of what stands under FILES, quoted in the ExecutorInput: one argument of a command, of which Linux takes 131,072 bytes, and
# Report has some fifty artifacts at most. Where names and bytes were longer [number of files, bytes] stands there.
MOST_CHARACTERS = 1_000


def noted(place: Path) -> dict[str, str]:
    """Returns the metadata that tell what a task wrote.

    Args:
      place: Of an output: a folder or a file, in which all is written.

    Returns: an entry FILES; no entry where nothing was written.
    """
    sizes = sizes_of(place)
    if not sizes:
        return {}
    text = json.dumps(sizes, separators=(",", ":"))
    if len(json.dumps(text)) > MOST_CHARACTERS:
        text = json.dumps([len(sizes), sum(sizes.values())])
    return {FILES: text}


def check(artifacts: Mapping[str, Any]) -> None:
    """Compares what was downloaded with what was written; the notes go from the artifacts' metadata.

    Args:
      artifacts: Inputs of an ExecutorInput, of the launcher or prepared for TFX.

    Raises:
      CxrError: An artifact has lost files; names it, the node that made it, and the way to have it made anew.
    """
    for name, entry in artifacts.items():
        for artifact in entry.get("artifacts", []):
            stated = artifact.get("metadata", {}).pop(FILES, None)
            place = local_path(artifact["uri"])
            if stated and (lost := _lost(json.loads(stated), Path(place))):
                _, node = run_and_task(place)
                raise CxrError(
                    f"input {name}: {artifact_uri(place)} is no longer what {node} wrote: {lost}. KFP's cache would give it to every run: "
                    f"submit the pipeline with another value of its parameter {CACHE}, for example {CACHE}=2, and stay with that value "
                    f"(--no-cache does for one run)"
                )


def _lost(written: dict[str, int] | list[int], place: Path) -> str:
    found = sizes_of(place)
    if not found:
        return "none of its files are there"
    if isinstance(written, dict):
        return what_changed(written, place)
    number, size = written
    if (len(found), sum(found.values())) == (number, size):
        return ""
    return f"{how_many(len(found), 'file')} with {sum(found.values()):,} bytes in place of the {number:,} with {size:,} that were written"
