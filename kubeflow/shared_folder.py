"""Runs a Beam-based executor on files that the workers of a distributed runner can reach.

KFP's launcher puts inputs and outputs on a volume of the pod alone. With Dataflow, Flink or Spark they go through a folder that pod and
workers share: `gs://...`, or a volume that is mounted at the same place everywhere.
"""

from __future__ import annotations

import copy
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from cxr.kubeflow.executor_input import artifacts_of


def stage(task: dict[str, Any], shared: str) -> dict[str, Any]:
    """Copies the inputs into the shared folder.

    Args:
      task: Prepared ExecutorInput.
      shared: A folder of this task alone; any filesystem that TensorFlow knows.

    Returns: the task with all artifacts' URIs in the shared folder.
    """
    from tfx.dsl.io import fileio

    staged = copy.deepcopy(task)
    for number, (before, after) in enumerate(zip(artifacts_of(task), artifacts_of(staged), strict=True)):
        after["uri"] = f"{shared}/{number}"
        if os.path.exists(before["uri"]):  # of the outputs the empty folders
            copy_tree(before["uri"], after["uri"])
    fileio.makedirs(shared)
    return staged


def collect(task: dict[str, Any], staged: dict[str, Any], report: dict[str, Any]) -> dict[str, Any]:
    """Copies the outputs back; returns the report with the pod's paths in it."""
    from tfx.dsl.io import fileio

    back: dict[str, str] = {}
    outputs = {id(artifact) for entry in staged["outputs"]["artifacts"].values() for artifact in entry["artifacts"]}
    for before, after in zip(artifacts_of(task), artifacts_of(staged), strict=True):
        back[after["uri"]] = before["uri"]
        if id(after) in outputs and fileio.exists(after["uri"]):
            copy_tree(after["uri"], before["uri"])
    return _replaced(report, back)


def copy_tree(source: str, target: str) -> None:
    """Copies a file or a folder, its empty folders included, between any two filesystems that TensorFlow knows."""
    from tfx.dsl.io import fileio

    if not fileio.isdir(source):
        fileio.makedirs(os.path.dirname(target))
        fileio.copy(source, target, overwrite=True)
        return
    for folder, _, files in fileio.walk(source):
        here = str(folder).rstrip("/")
        there = target.rstrip("/") + here.removeprefix(source.rstrip("/"))
        fileio.makedirs(there)
        for name in files:
            fileio.copy(f"{here}/{name}", f"{there}/{name}", overwrite=True)


@contextmanager
def task_folder(shared: str, task: dict[str, Any]) -> Iterator[str]:
    """Names a folder below the shared one for this attempt at a task; what is in it goes with the block, however that ends.

    What earlier attempts left that were killed goes first.

    Args:
      shared: The folder of all tasks.
      task: Prepared ExecutorInput with at least one output.
    """
    from tfx.dsl.io import fileio

    root = shared.rstrip("/")
    first = next(artifact["uri"] for entry in task["outputs"]["artifacts"].values() for artifact in entry["artifacts"])
    prefix = f"{Path(first).parent.name}-"  # the launcher's unique id of the task, the same in each attempt
    for name in fileio.listdir(root) if fileio.exists(root) else ():
        if name.startswith(prefix):
            fileio.rmtree(f"{root}/{name.rstrip('/')}")
    folder = f"{root}/{prefix}{os.urandom(4).hex()}"
    try:
        yield folder
    finally:
        if fileio.exists(folder):
            fileio.rmtree(folder)


def _replaced(value: Any, names: dict[str, str]) -> Any:
    if isinstance(value, dict):
        return {key: _replaced(item, names) for key, item in value.items()}
    if isinstance(value, list):
        return [_replaced(item, names) for item in value]
    return names.get(value, value) if isinstance(value, str) else value
