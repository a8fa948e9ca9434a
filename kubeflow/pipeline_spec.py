"""The PipelineSpec that TFX emits, as a dictionary (protojson): where its parts are, and how more are added, in place."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

Spec = dict[str, Any]


def executors(spec: Spec) -> dict[str, Any]:
    """Returns the specification's executors by label."""
    return spec["deploymentSpec"]["executors"]


def tasks(spec: Spec) -> dict[str, Any]:
    """Returns the root's tasks by name."""
    return spec["root"]["dag"]["tasks"]


def component_of(spec: Spec, task: str) -> dict[str, Any]:
    """Returns what a task runs: its inputs, outputs and the label of its executor."""
    return spec["components"][tasks(spec)[task]["componentRef"]["name"]]


def container_of(spec: Spec, task: str) -> dict[str, Any] | None:
    """Returns a task's container, None for an importer."""
    return executors(spec)[component_of(spec, task)["executorLabel"]].get("container")


def add_input(spec: Spec, task: str, name: str, kind: str, source: dict[str, Any]) -> None:
    """Gives a task one more input parameter.

    Args:
      spec: The specification.
      task: The task.
      name: Of the parameter.
      kind: ParameterType, for example STRING.
      source: InputParameterSpec: a constant, a parameter of the run, or another task's output.
    """
    definitions = component_of(spec, task).setdefault("inputDefinitions", {}).setdefault("parameters", {})
    definitions[name] = {"parameterType": kind}
    tasks(spec)[task].setdefault("inputs", {}).setdefault("parameters", {})[name] = source


def add_task(spec: Spec, name: str, *, inputs: Mapping[str, tuple[str, str]], outputs: dict[str, Any], executor: dict[str, Any]) -> None:
    """Adds a task.

    Args:
      spec: The specification.
      name: Of the task.
      inputs: By name, the ParameterType and the parameter of the run that it comes from.
      outputs: ComponentOutputsSpec.
      executor: ExecutorSpec: a container or an importer.
    """
    label = f"{name}_executor"
    spec["components"][name] = {
        "executorLabel": label,
        "inputDefinitions": {"parameters": {key: {"parameterType": kind} for key, (kind, _) in inputs.items()}},
        "outputDefinitions": outputs,
    }
    executors(spec)[label] = executor
    tasks(spec)[name] = {
        "taskInfo": {"name": name},
        "componentRef": {"name": name},
        "inputs": {"parameters": {key: {"componentInputParameter": source} for key, (_, source) in inputs.items()}},
    }


def add_dependency(spec: Spec, task: str, upstream: str) -> None:
    """Lets a task wait for another."""
    needed = tasks(spec)[task].setdefault("dependentTasks", [])
    if upstream not in needed:
        needed.append(upstream)


def producers(spec: Spec, task: str) -> set[str]:
    """Returns the tasks whose outputs a task gets, directly or through others."""

    def direct(name: str) -> set[str]:
        given = tasks(spec)[name].get("inputs", {})
        sources = [*given.get("artifacts", {}).values(), *given.get("parameters", {}).values()]
        return {output["producerTask"] for source in sources for output in source.values() if "producerTask" in output}

    return _reached(direct, task)


def upstream(spec: Spec, task: str) -> set[str]:
    """Returns the tasks that have ended when a task begins: its producers, and whatever else it or they wait for."""
    return _reached(lambda name: set(tasks(spec)[name].get("dependentTasks", ())), task)


def _reached(direct: Callable[[str], set[str]], task: str) -> set[str]:
    found: set[str] = set()
    waiting = [task]
    while waiting:
        new = direct(waiting.pop()) - found
        waiting += new
        found |= new
    return found
