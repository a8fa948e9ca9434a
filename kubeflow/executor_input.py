"""Turns the ExecutorInput that KFP's launcher passes into one that TFX's executors can read.

Both are protojson as dictionaries: `{"inputs": {"parameterValues", "artifacts"}, "outputs": {"artifacts", "outputFile", "parameters"}}`.
"""

from __future__ import annotations

import base64
import json
import shutil
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from cxr.core.errors import CxrError
from cxr.kubeflow.uris import is_object_store, local_path

OWN = "cxr_"  # first part of the names of inputs that the compiler adds for the entry point; TFX's executors never see them
ABSENT = "cxr_absent"  # metadata of an input artifact that stands for none: the first run has no baseline model
SPLITS = "split_names"  # metadata of TFX's Examples: JSON list of their splits
EMPTY_FOLDERS = "cxr_empty_folders"  # metadata: JSON list of the folders that an object store could not keep
DATA_URI = "data:;base64,"  # a parameter that holds a file's text instead of its path

_ADDED_BY_KFP = ("display_name", "store_session_info")


def prepare(task: dict[str, Any], inputs_spec: Mapping[str, Any], merges: Sequence[str], scratch: Path) -> dict[str, Any]:
    """Returns an ExecutorInput for TFX.

    Args:
      task: What the launcher passed; not changed.
      inputs_spec: The component's input definitions, whose artifact types replace the empty ones that come with the inputs.
      merges: `<parameter>/<JSON pointer>=<own parameter>`: values that replace one inside a parameter's JSON text.
      scratch: Folder for the files of `data:` parameters.

    Raises:
      CxrError: A merge does not fit its parameter.
    """
    task = json.loads(json.dumps(task))
    inputs, outputs = task.setdefault("inputs", {}), task.setdefault("outputs", {})
    parameters = inputs.setdefault("parameterValues", {})
    for merge in merges:
        _merge(parameters, merge)
    inputs["parameterValues"] = {
        name: _file_or_path(value, scratch / name) for name, value in parameters.items() if not name.startswith(OWN)
    }
    for name in list(inputs.get("artifacts", {})):
        artifacts = inputs["artifacts"][name].get("artifacts", [])
        if name.startswith(OWN) or any(artifact.get("metadata", {}).get(ABSENT) for artifact in artifacts):
            del inputs["artifacts"][name]
            continue
        for artifact in artifacts:
            if spec := inputs_spec.get("artifacts", {}).get(name):
                artifact["type"] = spec["artifactType"]  # KFP's metadata store returns instanceSchema ""
            metadata = artifact.get("metadata", {})
            artifact["metadata"] = {key: _unwrapped(value) for key, value in metadata.items() if key not in _ADDED_BY_KFP}
    # KFP's driver adds `executor-logs` of a type that TFX cannot import
    known = {name: value for name, value in outputs.get("artifacts", {}).items() if not _is_system(value)}
    outputs["artifacts"] = known
    # of the others each would have to be the value of an artifact
    outputs["parameters"] = {name: value for name, value in outputs.get("parameters", {}).items() if not name.startswith(OWN)}
    for artifact in artifacts_of(task):
        artifact["uri"] = local_path(artifact.get("uri", ""))
    return task


def check_splits(task: Mapping[str, Any]) -> None:
    """Refuses examples without names of splits, which TFX's executors fail at with errors that name neither the input nor a remedy.

    Args:
      task: Of `prepare`.

    Raises:
      CxrError: There are such among the inputs.
    """
    for name, entry in task["inputs"].get("artifacts", {}).items():
        for artifact in entry["artifacts"]:
            if _is_of(artifact, "Examples"):
                _check_splits(name, artifact["metadata"].get(SPLITS))


def artifacts_of(task: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """Yields every artifact of an ExecutorInput, inputs first."""
    for side in ("inputs", "outputs"):
        for entry in task.get(side, {}).get("artifacts", {}).values():
            yield from entry.get("artifacts", [])


def make_folders(task: Mapping[str, Any]) -> None:
    """Makes the folders that TFX expects and the launcher does not give: inputs' empty ones, and the outputs'.

    What an earlier attempt at the same task left in its outputs goes: a killed trainer's learning curve would be there twice.
    """
    for entry in task["inputs"].get("artifacts", {}).values():
        for artifact in entry["artifacts"]:
            for folder in json.loads(artifact.get("metadata", {}).pop(EMPTY_FOLDERS, "[]")):
                (Path(artifact["uri"]) / folder).mkdir(parents=True, exist_ok=True)
    for entry in task["outputs"]["artifacts"].values():
        for artifact in entry["artifacts"]:
            output = Path(artifact["uri"])
            clear(output)
            (output.parent if is_value(artifact) else output).mkdir(parents=True, exist_ok=True)


def clear(output: Path) -> None:
    """Removes what an earlier attempt at the same task left of an output."""
    if output.is_dir():
        shutil.rmtree(output)
    output.unlink(missing_ok=True)


def is_value(artifact: Mapping[str, Any]) -> bool:
    """Tells whether an output's URI is that of one file (TFX's value artifacts) instead of a folder."""
    return _is_of(artifact, "String", "Integer", "Float", "Boolean", "JsonValue")


def _is_of(artifact: Mapping[str, Any], *names: str) -> bool:
    """Tells whether an artifact is of one of TFX's types."""
    schema = artifact.get("type", {}).get("instanceSchema", "")
    return any(f"title: tfx.{name}\n" in f"{schema}\n" for name in names)


def _check_splits(name: str, stated: object) -> None:
    try:
        splits = json.loads(stated) if isinstance(stated, str) else None
    except ValueError:
        splits = None
    if not splits or not isinstance(splits, list) or not all(isinstance(split, str) for split in splits):
        raise CxrError(
            f'input {name}: its metadata lack {SPLITS}, a JSON list such as ["train", "test"]: without it no split is found; run the '
            "pipeline again without the cache, and where an importer gives the examples, state it among its properties"
        )


def _is_system(entry: Mapping[str, Any]) -> bool:
    return any(artifact.get("type", {}).get("schemaTitle", "").startswith("system.") for artifact in entry.get("artifacts", []))


def _unwrapped(value: Any) -> Any:
    """Undoes KFP's wrapping of lists and structs; numbers and strings come as they are."""
    if isinstance(value, dict):
        if set(value) in ({"list"}, {"struct"}):
            return _unwrapped(next(iter(value.values())))
        return {key: _unwrapped(item) for key, item in value.items()}
    return [_unwrapped(item) for item in value] if isinstance(value, list) else value


def _merge(parameters: dict[str, Any], merge: str) -> None:
    """Replaces one value inside the JSON text of a parameter."""
    target, _, source = merge.partition("=")
    name, *path = target.split("/")
    try:
        tree = json.loads(parameters[name])
        *parents, last = path
        node = tree
        for part in parents:
            node = node[int(part) if isinstance(node, list) else part]
        old = node[last]
        node[last] = type(old)(parameters[source])  # KFP passes every number as a double
    except (KeyError, IndexError, TypeError, ValueError) as error:
        raise CxrError(
            f"--cxr_merge {merge}: {type(error).__name__}: {error}; compile the pipeline again with this image's version"
        ) from error
    parameters[name] = json.dumps(tree)


def _file_or_path(value: Any, file: Path) -> Any:
    if not isinstance(value, str):
        return value
    if value.startswith(DATA_URI):
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(base64.b64decode(value.removeprefix(DATA_URI)))
        return str(file)
    return local_path(value) if is_object_store(value) else value


def data_uri(text: str) -> str:
    """Returns a parameter value that reaches the executor as the path of a file with this text."""
    return DATA_URI + base64.b64encode(text.encode()).decode()
