"""What the entry point does around TFX's Pusher: no second version of the same model, and the champion pointer."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from importlib import metadata
from pathlib import Path
from typing import Any

from cxr.kubeflow import champion
from cxr.kubeflow.uris import artifact_uri

BLESSINGS = ("model_blessing", "infra_blessing")  # inputs of the Pusher, each with the property `blessed`


def already_pushed(task: Mapping[str, Any]) -> dict[str, Any] | None:
    """Returns the Pusher's report where the blessed candidate is the champion itself, None where TFX's Pusher has to run.

    KFP serves the trainers from its cache when nothing has changed, but not the Evaluator, whose baseline is new; without this
    every such run would push the same model again.
    """
    inputs = task["inputs"].get("artifacts", {})
    blessings = [inputs[key]["artifacts"][0] for key in BLESSINGS if key in inputs]
    if not all(blessing.get("metadata", {}).get("blessed") == 1 for blessing in blessings):
        return None
    models = _models(task)
    pointer = champion.read_pointer(models / champion.POINTER)
    candidate = _candidate(task)
    if pointer is None or pointer["fingerprint"] != champion.fingerprint(candidate):
        return None
    (pushed,) = task["outputs"]["artifacts"]["pushed_model"]["artifacts"]
    shutil.copytree(candidate, pushed["uri"], dirs_exist_ok=True)
    facts = {
        "pushed": 1,
        "pushed_destination": pointer["path"],
        "pushed_version": pointer["version"],
        "tfx_version": metadata.version("tfx"),
    }
    return {"artifacts": {"pushed_model": {"artifacts": [{"name": pushed.get("name", ""), "uri": pushed["uri"], "metadata": facts}]}}}


def update_champion(task: Mapping[str, Any], report: Mapping[str, Any]) -> str | None:
    """Points at what the Pusher pushed; returns the version, None where it pushed nothing."""
    (pushed,) = report["artifacts"]["pushed_model"]["artifacts"]
    facts = pushed.get("metadata", {})
    if facts.get("pushed") != 1:
        return None
    (model,) = task["inputs"]["artifacts"]["model"]["artifacts"]
    champion.write_pointer(_models(task), facts["pushed_version"], champion.fingerprint(_candidate(task)), artifact_uri(model["uri"]))
    return facts["pushed_version"]


def _models(task: Mapping[str, Any]) -> Path:
    destination = json.loads(task["inputs"]["parameterValues"]["push_destination"])
    filesystem = destination["filesystem"]
    return Path(filesystem.get("base_directory") or filesystem["baseDirectory"])


def _candidate(task: Mapping[str, Any]) -> Path:
    (model,) = task["inputs"]["artifacts"]["model"]["artifacts"]
    return Path(model["uri"]) / champion.SERVING
