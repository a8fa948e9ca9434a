"""What became of a run, and of each model in it, by what KFP's API server reports."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from cxr.core import exit_codes
from cxr.pipeline.roles import PUSHER, node_id

SUCCEEDED, SKIPPED = "SUCCEEDED", "SKIPPED"
FINAL = frozenset({SUCCEEDED, SKIPPED, "FAILED", "CANCELED"})
_PUSHER = node_id(PUSHER, "")


@dataclass(frozen=True)
class Task:
    """One task of a run as the API server reports it."""

    name: str
    state: str
    error: str = ""


@dataclass(frozen=True)
class Run:
    """A run as the API server reports it."""

    id: str
    name: str
    state: str
    error: str
    tasks: tuple[Task, ...]
    models: tuple[str, ...] = ()  # those with a Pusher, by the run's specification where KFP returns it, else by its tasks

    @property
    def finished(self) -> bool:
        """Whether its state is final."""
        return self.state in FINAL

    @property
    def refused(self) -> tuple[str, ...]:
        """Models that a gate refused: the condition of their Pusher (ir_pass.push_blessed_only) did not hold, and KFP skipped it."""
        return tuple(model for model in self.models if SKIPPED in self._pushes(model) and SUCCEEDED not in self._pushes(model))

    @property
    def unreported(self) -> tuple[str, ...]:
        """Models of a successful run of which KFP says neither that they were pushed nor that the push was skipped."""
        if self.state != SUCCEEDED:
            return ()
        return tuple(model for model in self.models if not self._pushes(model) & {SUCCEEDED, SKIPPED})

    @property
    def exit_code(self) -> int:
        """One of core.exit_codes; OK when every model was blessed and pushed, or as long as the run goes on."""
        if not self.finished:
            return exit_codes.OK
        if self.state != SUCCEEDED or self.unreported:
            return exit_codes.FAILED
        return exit_codes.REFUSED if self.refused else exit_codes.OK

    @property
    def verdict(self) -> str:
        """Which models were not pushed, why, and what to do; empty where there is nothing to say beyond the states."""
        if self.state != SUCCEEDED:
            return ""
        lines = [
            f"{model}: refused by the gate, not pushed. Evaluator-{model}, InfraCheck-{model} or ShortcutCheck-{model} has `blessed: 0` "
            f"on its output `blessing`; look at the metrics in Evaluator-{model}'s `evaluation` and at reasons.txt in the others'. "
            f"Then train it better, or submit with other bounds (min_accuracy_{model}=…, min_change_{model}=…, "
            f"shortcut_margin_{model}=…)"
            for model in self.refused
        ]
        lines += [
            f"{model}: KFP does not say whether it was pushed; look at {_PUSHER}{model} in its UI, "
            "and into the pipeline's folder of pushed models"
            for model in self.unreported
        ]
        return "\n".join(lines)

    def _pushes(self, model: str) -> set[str]:
        """States of a model's Pusher; several where the run was retried."""
        return {task.state for task in self.tasks if task.name == _PUSHER + model}


def run_state(run: Any) -> Run:
    """Reads a kfp_server_api.V2beta1Run."""
    details = run.run_details.task_details if run.run_details and run.run_details.task_details else []
    tasks = [Task(task.display_name or "", task.state or "PENDING", _message(task.error)) for task in details]
    shown = tuple(task for task in tasks if _is_task(task.name))
    return Run(run.run_id, run.display_name or "", run.state or "PENDING", _message(run.error), shown, _models(run, shown))


def _is_task(name: str) -> bool:
    """Tells the pipeline's tasks from the other nodes of Argo's workflow.

    KFP lists them all. Those named `executor` (`executor(0)` where retried) are the containers inside the tasks; they are SKIPPED when a
    task is served from the cache, while the task itself is SUCCEEDED.
    """
    return bool(name) and not name.endswith("-driver") and name != "root" and name.split("(")[0] != "executor"


def _models(run: Any, tasks: tuple[Task, ...]) -> tuple[str, ...]:
    """Returns the models that a run has a Pusher for.

    Args:
      run: kfp_server_api.V2beta1Run; its specification is an inline one, with or without the platform's beside it, or missing (the run
        was started from an uploaded version).
      tasks: What KFP reports of its tasks.
    """
    spec = run.pipeline_spec or {}
    spec = spec.get("pipeline_spec", spec)
    names = [*spec.get("root", {}).get("dag", {}).get("tasks", {}), *(task.name for task in tasks)]
    return tuple(dict.fromkeys(name.removeprefix(_PUSHER) for name in names if name.startswith(_PUSHER)))


def _message(error: Any) -> str:
    return (error.message or "") if error is not None else ""
