"""Shows report.html on Kubeflow Pipelines' page.

TFX's type for the report (a string) is one that KFP's page does not open. The compiler therefore gives the node an output of KFP's own type
for HTML (`outputs`), and the entry point copies the report there after TFX's executor has run (`publish`).
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from cxr.kubeflow.uris import local_path

EXECUTOR = "cxr.components.report.executor.Executor"
PAGE, SHOWN = "page", "report"  # outputs: the component's, KFP's


def outputs() -> dict[str, Any]:
    """Returns the definition of the further output."""
    return {SHOWN: {"artifactType": {"schemaTitle": "system.HTML", "schemaVersion": "0.0.1"}}}


def publish(given: Mapping[str, Any], task: Mapping[str, Any]) -> dict[str, Any]:
    """Fills it.

    Args:
      given: The launcher's ExecutorInput.
      task: The same as TFX's executor got it, local paths in it.

    Returns: entries for the `artifacts` of an ExecutorOutput.
    """
    (page,) = task["outputs"]["artifacts"][PAGE]["artifacts"]
    found = {}
    for artifact in given["outputs"]["artifacts"].get(SHOWN, {}).get("artifacts", []):
        file = Path(local_path(artifact["uri"]))
        file.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(page["uri"], file)
        found[SHOWN] = {"artifacts": [{"name": artifact.get("name", SHOWN), "uri": artifact["uri"], "metadata": {}}]}
    return found
