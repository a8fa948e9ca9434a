"""`python -m cxr.kubeflow.previous_statistics`: the task `PreviousStatistics`, which brings into a run what its data are compared with.

A local run resolves them from its metadata store. Here AnomalyCheck keeps the statistics of data that passed in a folder on the volume
(components/drift_check/kept.py), from which this task copies the newest that are of other data.
"""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from cxr.components.drift_check.kept import before
from cxr.components.drift_check.strategy import PREVIOUS, STATISTICS
from cxr.core.errors import CxrError
from cxr.kubeflow import artifact_files, executor_output, node_usage
from cxr.kubeflow.executor_input import ABSENT, clear
from cxr.kubeflow.task_status import status_of
from cxr.kubeflow.uris import local_path

FOLDER = ".statistics"  # beside the pushed models; hidden from servers
_ABSENT_FILE = "NO_RUN_BEFORE"


def run(task: Mapping[str, Any]) -> None:
    """Finds and copies.

    Args:
      task: KFP's ExecutorInput.

    Raises:
      CxrError: The run's own statistics are not there, or not all of them.
    """
    watch = node_usage.Watch()
    artifact_files.check(task["inputs"]["artifacts"])
    (statistics,) = task["inputs"]["artifacts"][STATISTICS]["artifacts"]
    (previous,) = task["outputs"]["artifacts"][PREVIOUS]["artifacts"]
    folder = Path(task["inputs"]["parameterValues"]["folder"])
    given = Path(local_path(statistics["uri"]))
    if not any(path.is_file() for path in given.rglob("*")):
        raise CxrError(f"statistics {statistics['uri']}: no files there; what StatisticsGen wrote is gone, run it again without the cache")
    found = before(given, folder)
    target = Path(local_path(previous["uri"]))
    clear(target)
    if found is None:
        print(f"no earlier run used other data ({folder}): there is nothing to compare with")
        target.mkdir(parents=True)
        # without any file it would not be uploaded
        (target / _ABSENT_FILE).write_text("there is nothing to compare with\n", encoding="utf-8")
    else:
        print(f"compared with {found.name}, the last data that passed and were others")
        shutil.copytree(found, target)
    facts = artifact_files.noted(target) if found else {ABSENT: 1}
    report = {
        "artifacts": {PREVIOUS: {"artifacts": [{"name": previous["name"], "uri": previous["uri"], "metadata": facts}]}},
        "parameterValues": watch.usage(task),
    }
    executor_output.write(task["outputs"]["outputFile"], report)


def main(argv: list[str]) -> int:
    """Runs the task; `argv` holds the ExecutorInput."""
    return status_of("PreviousStatistics", lambda: run(json.loads(argv[0])))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
