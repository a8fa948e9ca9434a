"""What the entry point does around TFX's Pusher, under the lock of the model's folder: whole versions only, each once, and the champion."""

from __future__ import annotations

import copy
import json
import shutil
import uuid
from collections.abc import Callable, Mapping
from importlib import metadata
from pathlib import Path
from typing import Any

from cxr.components.baseline import champion
from cxr.kubeflow.baseline import NO_CHAMPION, SERVING
from cxr.kubeflow.uris import artifact_uri

BLESSINGS = ("model_blessing", "infra_blessing")  # inputs of the Pusher, each with the property `blessed`
DESTINATION = "push_destination"  # its parameter
_INCOMING = ".incoming-"  # what TFX's Pusher copies to; servers look at numbers only


def push(task: Mapping[str, Any], compared_with: str | None, run_pusher: Callable[[dict[str, Any]], dict[str, Any]]) -> dict[str, Any]:
    """Pushes a blessed candidate and makes it the champion.

    - The champion itself is not pushed again: KFP's cache serves the trainers, but not the Evaluator, whose baseline is new.
    - A candidate that was compared with another champion than the present one is not pushed.
    - TFX's Pusher copies file by file. It copies into a hidden folder, which then becomes the version in one step.
    - A version that an attempt pushed before it was killed is made the champion, not pushed a second time.

    Args:
      task: Prepared ExecutorInput of the Pusher.
      compared_with: Version of the champion when the baseline was fetched, NO_CHAMPION: there was none; None: there was no comparison.
      run_pusher: Runs TFX's Pusher on a task; returns its report.

    Returns: the Pusher's report.

    Raises:
      ChampionChangedError: The champion is another one than `compared_with`.
      CxrError: The volume has no file locks, or the pointer is damaged.
    """
    if not _blessed(task):
        return run_pusher(copy.deepcopy(dict(task)))  # pushes nothing, and says so
    models, candidate = _models(task), _candidate(task)
    fingerprint = champion.fingerprint(candidate)
    with champion.locked(models) as pointer:
        current = pointer.read()
        if current and current.fingerprint == fingerprint:
            return _report(task, current.version)
        present = current.version if current else None
        expected = present if compared_with is None else None if compared_with == NO_CHAMPION else compared_with
        pointer.require(expected)
        version = _newest(models)
        if version is not None and str(version) != present and champion.fingerprint(models / str(version)) == fingerprint:
            report = _report(task, str(version))
        else:
            report = _push(task, models, run_pusher)
        if (pushed := _facts(report)).get("pushed") == 1:
            pointer.write(pushed["pushed_version"], fingerprint, _source(task), expected=expected)
    return report


def _push(task: Mapping[str, Any], models: Path, run_pusher: Callable[[dict[str, Any]], dict[str, Any]]) -> dict[str, Any]:
    for left_over in models.glob(f"{_INCOMING}*"):  # of an attempt that was killed: whoever holds the lock is alone here
        shutil.rmtree(left_over)
    incoming = models / f"{_INCOMING}{uuid.uuid4().hex}"
    filesystem = {**_filesystem(task), "base_directory": str(incoming)}
    redirected = copy.deepcopy(dict(task))
    redirected["inputs"]["parameterValues"][DESTINATION] = json.dumps({"filesystem": filesystem})
    try:
        report = run_pusher(redirected)
        facts = _facts(report)
        if facts.get("pushed") == 1:
            # TFX numbers by the clock; a server takes the highest number for the newest, whatever the clocks of the nodes say
            version = str(max(int(facts["pushed_version"]), (_newest(models) or 0) + 1))
            (incoming / facts["pushed_version"]).rename(models / version)
            champion.sync_folder(models)
            facts |= {"pushed_version": version, "pushed_destination": str(models / version)}
    finally:
        shutil.rmtree(incoming, ignore_errors=True)
    return report


def _report(task: Mapping[str, Any], version: str) -> dict[str, Any]:
    """Returns what TFX's Pusher would report of a version that is there already."""
    (pushed,) = task["outputs"]["artifacts"]["pushed_model"]["artifacts"]
    shutil.copytree(_candidate(task), pushed["uri"], dirs_exist_ok=True)
    facts = {
        "pushed": 1,
        "pushed_destination": str(_models(task) / version),
        "pushed_version": version,
        "tfx_version": metadata.version("tfx"),
    }
    return {"artifacts": {"pushed_model": {"artifacts": [{"name": pushed.get("name", ""), "uri": pushed["uri"], "metadata": facts}]}}}


def _facts(report: Mapping[str, Any]) -> dict[str, Any]:
    (pushed,) = report["artifacts"]["pushed_model"]["artifacts"]
    return pushed.setdefault("metadata", {})


def _newest(models: Path) -> int | None:
    return max((int(folder.name) for folder in models.iterdir() if folder.name.isdecimal()), default=None)


def _blessed(task: Mapping[str, Any]) -> bool:
    inputs = task["inputs"].get("artifacts", {})
    blessings = [inputs[key]["artifacts"][0] for key in BLESSINGS if key in inputs]
    return all(blessing.get("metadata", {}).get("blessed") == 1 for blessing in blessings)


def _models(task: Mapping[str, Any]) -> Path:
    return Path(_filesystem(task)["base_directory"])


def _filesystem(task: Mapping[str, Any]) -> dict[str, Any]:
    filesystem = json.loads(task["inputs"]["parameterValues"][DESTINATION])["filesystem"]
    # protojson takes both spellings
    return {"base_directory" if key == "baseDirectory" else key: value for key, value in filesystem.items()}


def _candidate(task: Mapping[str, Any]) -> Path:
    (model,) = task["inputs"]["artifacts"]["model"]["artifacts"]
    return Path(model["uri"]) / SERVING


def _source(task: Mapping[str, Any]) -> str:
    (model,) = task["inputs"]["artifacts"]["model"]["artifacts"]
    return artifact_uri(model["uri"])
