"""KFP's driver and Argo: runs a compiled pipeline task by task."""

from __future__ import annotations

import hashlib
import json
import time
import uuid
from collections.abc import Mapping
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path
from typing import Any

import yaml

from simulator.conditions import holds
from simulator.launcher import EXECUTOR_LOGS, Launcher, Outputs, Rule, Start, check_parameter, start_afresh
from simulator.store import SCHEMES, Artifact, MetadataStore, ObjectStore, SimulationError

DEFAULT_ROOT = "minio://mlpipeline/v2/artifacts"


class State(Enum):
    """How a task ended."""

    SUCCEEDED = "succeeded"
    CACHED = "cached"
    SKIPPED = "skipped"
    FAILED = "failed"
    NOT_STARTED = "not started"


@dataclass
class TaskResult:
    """One task of a run."""

    state: State = State.NOT_STARTED
    outputs: Outputs | None = None
    error: str = ""
    seconds: float = 0.0


@dataclass
class RunResult:
    """A finished run."""

    tasks: dict[str, TaskResult]
    metadata: MetadataStore

    @property
    def succeeded(self) -> bool:
        """Whether no task failed, and none was left out because another did."""
        return all(task.state in (State.SUCCEEDED, State.CACHED, State.SKIPPED) for task in self.tasks.values())

    def in_state(self, state: State) -> set[str]:
        """Returns the names of the tasks that ended so."""
        return {name for name, task in self.tasks.items() if task.state is state}

    def artifact(self, task: str, key: str) -> Artifact:
        """Returns an output artifact."""
        outputs = self.tasks[task].outputs
        assert outputs is not None, f"{task} has no outputs: {self.tasks[task]}"
        return self.metadata.artifacts[outputs.artifacts[key]]


@dataclass
class SimulatedCluster:
    """A cluster: object store, metadata and cache live on between runs; containers share nothing else.

    Attributes:
      killed: Task to the output in which the first file ends its next attempt (SIGKILL), once.
    """

    home: Path
    environment: Mapping[str, str] = field(default_factory=dict)  # of every container
    parallel: int = 2
    lifted: frozenset[Rule] = frozenset()
    killed: dict[str, str] = field(default_factory=dict)
    start: Start = start_afresh  # runs a container's command

    def __post_init__(self) -> None:
        self.objects = ObjectStore(self.home / "objects")
        self.metadata = MetadataStore()

    def run(self, pipeline: str, parameters: Mapping[str, Any] | None = None, *, pipeline_root: str | None = None) -> RunResult:
        """Runs a compiled pipeline.

        Args:
          pipeline: Text of the YAML.
          parameters: Values of its parameters.
          pipeline_root: As given when a run is created.

        Raises:
          SimulationError: The API server would not accept it.
        """
        spec, *_ = yaml.safe_load_all(pipeline)
        root = pipeline_root or spec.get("defaultPipelineRoot") or DEFAULT_ROOT
        if not root.startswith(tuple(SCHEMES)):
            raise SimulationError(f"pipeline root {root}: unknown scheme")
        if spec.get("schemaVersion") != "2.1.0":
            raise SimulationError(f"schemaVersion {spec.get('schemaVersion')} is not supported")
        name, run_id = spec["pipelineInfo"]["name"], str(uuid.uuid4())
        scratch = self.home / "scratch" / run_id
        scratch.mkdir(parents=True)
        launcher = Launcher(
            self.objects, self.metadata, f"{root}/{name}/{run_id}", scratch, self.environment, self.lifted, self.killed, self.start
        )
        return _Run(spec, launcher, _values(spec, parameters or {})).execute(self.parallel)


def _values(spec: Mapping[str, Any], given: Mapping[str, Any]) -> dict[str, Any]:
    definitions = spec["root"].get("inputDefinitions", {}).get("parameters", {})
    if unknown := set(given) - set(definitions):
        raise SimulationError(f"unknown parameters {sorted(unknown)}")
    values = {}
    for key, definition in definitions.items():
        if key not in given and "defaultValue" not in definition:
            raise SimulationError(f"parameter {key!r} has no value and no default")
        values[key] = given.get(key, definition.get("defaultValue"))
        check_parameter(key, values[key], definition["parameterType"])
    return values


class _Run:
    def __init__(self, spec: dict[str, Any], launcher: Launcher, values: dict[str, Any]) -> None:
        self.spec, self.launcher, self.values = spec, launcher, values
        self.tasks: dict[str, Any] = spec["root"]["dag"]["tasks"]
        self.results = {name: TaskResult() for name in self.tasks}

    def execute(self, parallel: int) -> RunResult:
        """Starts tasks as their dependencies succeed; after a failure nothing new starts."""
        waiting, running = dict(self.tasks), dict[Future[TaskResult], str]()
        with ThreadPoolExecutor(parallel) as pool:
            while True:
                failed = any(result.state is State.FAILED for result in self.results.values())
                for name in [] if failed else [name for name in waiting if self._ready(name)]:
                    if any(self.results[upstream].state is State.SKIPPED for upstream in self._upstream(name)):
                        self.results[name] = TaskResult(State.SKIPPED)
                    else:
                        running[pool.submit(self._run_task, name)] = name
                    del waiting[name]
                if not running:
                    if failed or not any(self._ready(name) for name in waiting):
                        break
                    continue
                done, _ = wait(running, return_when=FIRST_COMPLETED)
                for future in done:
                    self.results[running.pop(future)] = future.result()
        return RunResult(self.results, self.launcher.metadata)

    def _upstream(self, name: str) -> set[str]:
        return set(self.tasks[name].get("dependentTasks", []))

    def _ready(self, name: str) -> bool:
        done = (State.SUCCEEDED, State.CACHED, State.SKIPPED)
        return all(self.results[upstream].state in done for upstream in self._upstream(name))

    def _run_task(self, name: str) -> TaskResult:
        start = time.monotonic()
        try:
            result = self._drive(name)
        except SimulationError as error:
            result = TaskResult(State.FAILED, error=str(error))
        result.seconds = time.monotonic() - start
        return result

    def _drive(self, name: str) -> TaskResult:
        """The driver's part: inputs, condition, cache; then importer or launcher."""
        task = self.tasks[name]
        component = self.spec["components"][task["componentRef"]["name"]]
        executor = self.spec["deploymentSpec"]["executors"][component["executorLabel"]]
        parameters = {key: self._parameter(source) for key, source in task.get("inputs", {}).get("parameters", {}).items()}
        for key, value in parameters.items():
            check_parameter(key, value, component["inputDefinitions"]["parameters"][key]["parameterType"])
        artifacts = {}
        for key, source in task.get("inputs", {}).get("artifacts", {}).items():
            output = source["taskOutputArtifact"]
            outputs = self.results[output["producerTask"]].outputs
            if outputs is None or output["outputArtifactKey"] not in outputs.artifacts:
                raise SimulationError(f"{name}: no output {output} yet")
            artifacts[key] = self.launcher.metadata.artifacts[outputs.artifacts[output["outputArtifactKey"]]]
        if condition := task.get("triggerPolicy", {}).get("condition"):
            given = {key: {"artifacts": [artifact.as_input()]} for key, artifact in artifacts.items()}
            if not holds(condition, {"inputs": {"parameterValues": parameters, "artifacts": given}}):
                return TaskResult(State.SKIPPED)
        if "resolver" in executor:
            raise SimulationError(f"{name}: resolver not implemented")
        if "importer" in executor:
            return TaskResult(State.SUCCEEDED, self._import(executor["importer"], component, parameters))
        key = cache_key(executor["container"], component, parameters, artifacts)
        cached = task.get("cachingOptions", {}).get("enableCache")
        if cached and key in self.launcher.metadata.cache:
            return TaskResult(State.CACHED, Outputs(*self.launcher.metadata.cache[key]))
        retries = task.get("retryPolicy", {}).get("maxRetryCount", 0)
        outputs = self.launcher.run(name, executor["container"], component, parameters, artifacts, retries)
        if cached:
            self.launcher.metadata.cache[key] = (outputs.artifacts, outputs.parameters)
        return TaskResult(State.SUCCEEDED, outputs)

    def _parameter(self, source: Mapping[str, Any]) -> Any:
        if "runtimeValue" in source:
            value = source["runtimeValue"]["constant"]
            return Path(self.launcher.run_root).name if value == "{{$.pipeline_job_uuid}}" else value
        if "componentInputParameter" in source:
            return self.values[source["componentInputParameter"]]
        output = source["taskOutputParameter"]
        outputs = self.results[output["producerTask"]].outputs if output["producerTask"] in self.results else None
        if outputs is None:
            raise SimulationError(f"no task {output['producerTask']!r} has run")
        return outputs.parameters[output["outputParameterKey"]]

    def _import(self, importer: Mapping[str, Any], component: Mapping[str, Any], parameters: Mapping[str, Any]) -> Outputs:
        source = importer["artifactUri"]
        uri = parameters[source["runtimeParameter"]] if "runtimeParameter" in source else source["constant"]
        if not uri.startswith(tuple(SCHEMES)):
            raise SimulationError(f"no provider scheme found in artifact URI: {uri}")
        (key,) = component["outputDefinitions"]["artifacts"]
        schema, metadata = importer["typeSchema"], dict(importer.get("metadata", {}))
        known = None if importer.get("reimport") else self.launcher.metadata.find(uri, schema, metadata)
        artifact = known or self.launcher.metadata.register(uri, schema, metadata)
        return Outputs({key: artifact.id}, {})


def cache_key(
    container: Mapping[str, Any], component: Mapping[str, Any], parameters: Mapping[str, Any], artifacts: Mapping[str, Artifact]
) -> str:
    """KFP's key: image and command, parameters' values, input artifacts' names, declared outputs. Not the content of any data."""
    parts = {
        "container": {key: container.get(key) for key in ("image", "command", "args")},
        "parameters": dict(parameters),
        "artifacts": {key: artifact.id for key, artifact in artifacts.items() if key != EXECUTOR_LOGS},
        "outputs": component.get("outputDefinitions", {}),
    }
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()
