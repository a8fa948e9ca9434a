"""What a Pusher learns on Kubeflow only after the compilation: what the run's Baseline task chose, the run's id, the model's URI."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

from cxr.components.pusher.known import Known
from cxr.kubeflow.executor_input import OWN

EXECUTOR = "cxr.components.pusher.executor.Executor"
BLESSINGS = ("model_blessing", "infra_blessing", "shortcut_blessing")  # inputs of the Pusher, each with the property `blessed`
DESTINATION, KNOWN = "push_destination", "custom_config"  # its parameters
CHAMPION, BASELINE = "champion", "baseline"  # output parameters of the Baseline task; the Pusher has them as OWN + name
NO_BASELINE = "none"  # value of BASELINE without one, and of the run's parameters `baseline_<model>`
RUN = f"{OWN}run"  # the run's id, which KFP's driver fills in


def complete(task: Mapping[str, Any], given: Mapping[str, Any]) -> dict[str, Any]:
    """Returns a Pusher's ExecutorInput with all that it must know.

    Args:
      task: As prepared for TFX.
      given: What the launcher passed. Without an output of a Baseline task nothing was compared, and the last push counts.
    """
    parameters = given["inputs"].get("parameterValues", {})
    (model,) = given["inputs"]["artifacts"]["model"]["artifacts"]
    baseline = parameters.get(OWN + BASELINE, NO_BASELINE)
    known = Known.model_validate_json(task["inputs"]["parameterValues"][KNOWN]).model_copy(
        update={
            "champion": parameters.get(OWN + CHAMPION),
            "baseline": None if baseline == NO_BASELINE else baseline,
            "run": parameters[RUN],
            "source": model["uri"],
        }
    )
    completed = copy.deepcopy(dict(task))
    completed["inputs"]["parameterValues"][KNOWN] = known.model_dump_json()
    return completed
