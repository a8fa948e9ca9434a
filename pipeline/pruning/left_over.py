"""What lies below TFX's root and belongs to nobody: the output of nodes that were killed, and of executions that a new metadata.db lost."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from pathlib import Path

from cxr.pipeline.workspace import execution_folders

_SYSTEM = ".system"  # of a node's folder: TFX's own
_EXECUTORS = "executor_execution"  # below it, by execution: where an executor says how it ended, and its scratch folder
_WORKING = "stateful_working_dir"  # below it: of executions under way, each removes its own at the end


def left_over(root: Path, known: Collection[Path], ended: Collection[int]) -> Iterator[Path]:
    """Yields folders that nothing refers to; right only while no node runs.

    TFX makes an execution's folders, `<node>/<output>/<execution>`, before the node begins, and names the artifacts in ML Metadata once it
    has ended well. A node that fails removes them; one that is killed cannot.

    Args:
      root: TFX's pipeline root.
      known: Folders of artifacts, of those to be kept and of those that go otherwise.
      ended: Executions that ended well.
    """
    yield from (folder for folder in sorted(execution_folders(root)) if folder not in known and _real(folder))
    for folder in sorted(root.glob(f"*/{_SYSTEM}/{_EXECUTORS}/*")):
        if folder.name.isdecimal() and int(folder.name) not in ended and _real(folder):
            yield folder
    yield from (folder for folder in sorted(root.glob(f"*/{_SYSTEM}/{_WORKING}/*")) if _real(folder))


def _real(folder: Path) -> bool:
    return folder.is_dir() and not folder.is_symlink()
