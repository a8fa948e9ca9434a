"""What the nodes of a run took, for the report that a node of the same run makes.

A local run measures its nodes from outside. On Kubeflow only the node's own process knows when it began and how much memory it had; what
KFP keeps of a pod is out of a task's reach. So every node before Report leaves an output parameter, and Report gets them all
(`ir_pass.tell_usage`). KFP's launcher takes output parameters from the executor's output file (`collectOutputParameters` in its
launcher_v2.go) and keeps them in its metadata store; its driver gives them to the tasks that ask (driver/resolve.go), those of results
from the cache too.
"""

from __future__ import annotations

import copy
import json
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from cxr.components.report.parameters import STEPS
from cxr.core.process_usage import peak_memory
from cxr.kubeflow.executor_input import OWN
from cxr.kubeflow.uris import run_and_task

USAGE = f"{OWN}usage"  # output parameter of the nodes; Report's inputs are this and a number


@dataclass(frozen=True)
class Watch:
    """Runs from a node's start to its end."""

    began: float = field(default_factory=time.time)  # seconds since 1970
    _clock: float = field(default_factory=time.monotonic)

    def usage(self, task: Mapping[str, Any]) -> dict[str, str]:
        """Returns the node's output parameter, for the `parameterValues` of an ExecutorOutput; none where it is not asked for.

        Args:
          task: KFP's ExecutorInput.
        """
        if USAGE not in task["outputs"].get("parameters", {}):
            return {}
        run, node = _run_and_node(task)
        seconds = time.monotonic() - self._clock
        used = {"node": node, "run": run, "began": self.began, "seconds": round(seconds, 3), "peak_memory": peak_memory()}
        return {USAGE: json.dumps(used)}


def complete(task: Mapping[str, Any], given: Mapping[str, Any]) -> dict[str, Any]:
    """Returns Report's ExecutorInput with what the nodes before it took, in the order of their starts.

    A result that another run made came from the cache: its node did no work in this one.

    Args:
      task: As prepared for TFX.
      given: What the launcher passed.
    """
    run, _ = _run_and_node(given)
    values = given["inputs"].get("parameterValues", {})
    usages = sorted((json.loads(value) for name, value in values.items() if name.startswith(USAGE)), key=lambda usage: usage["began"])
    steps = [
        {"node": usage["node"], "state": "done", "seconds": usage["seconds"], "peak_memory": usage["peak_memory"]}
        if usage["run"] == run
        else {"node": usage["node"], "state": "cached", "seconds": 0.0}
        for usage in usages
    ]
    completed = copy.deepcopy(dict(task))
    completed["inputs"]["parameterValues"][STEPS] = json.dumps(steps)
    return completed


def _run_and_node(task: Mapping[str, Any]) -> tuple[str, str]:
    first = next(iter(task["outputs"]["artifacts"].values()))["artifacts"][0]
    return run_and_task(first["uri"])
