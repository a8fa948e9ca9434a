"""Turns what TFX's executors report into the ExecutorOutput that KFP's launcher accepts."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from cxr.kubeflow.artifact_files import noted
from cxr.kubeflow.executor_input import EMPTY_FOLDERS, is_value
from cxr.kubeflow.uris import artifact_uri


def finish(report: Mapping[str, Any], task: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the ExecutorOutput for the launcher.

    Args:
      report: TFX's ExecutorOutput as protojson, local paths in it.
      task: The prepared ExecutorInput.

    Returns: the same with nulls removed (KFP's converter refuses them), local paths as URIs everywhere, and the empty folders, which
      an object store cannot keep, noted in the metadata, and so is what was written (artifact_files.py).
    """
    result = {key: value for key, value in report.items() if value is not None}
    for name, entry in result.get("artifacts", {}).items():
        given = task["outputs"]["artifacts"][name]["artifacts"]
        for artifact, before in zip(entry.get("artifacts", []), given, strict=True):
            metadata = _without_nulls(artifact.get("metadata", {}))
            if not is_value(before) and (folders := empty_folders(Path(before["uri"]))):
                metadata[EMPTY_FOLDERS] = json.dumps(folders)
            artifact["metadata"] = metadata | noted(Path(before["uri"]))
    return _with_uris(result)


def empty_folders(root: Path) -> list[str]:
    """Returns the folders below `root` that hold nothing at all, relative to it."""
    return sorted(
        str(Path(folder).relative_to(root))
        for folder, folders, files in os.walk(root)
        if not folders and not files and Path(folder) != root
    )


def write(output_file: str, report: Mapping[str, Any]) -> None:
    """Writes the launcher's output file."""
    path = Path(output_file)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(report), encoding="utf-8")


def _without_nulls(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_nulls(item) for key, item in value.items() if item is not None}
    return [_without_nulls(item) for item in value if item is not None] if isinstance(value, list) else value


def _with_uris(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _with_uris(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_with_uris(item) for item in value]
    return artifact_uri(value) if isinstance(value, str) else value
