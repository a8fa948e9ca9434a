"""KFP's launcher: what happens around one container command."""

from __future__ import annotations

import copy
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path
from typing import Any

from google.protobuf import json_format
from kfp.pipeline_spec import pipeline_spec_pb2

from simulator.store import Artifact, MetadataStore, ObjectStore, SimulationError, check_metadata, local_path

EXECUTOR_LOGS = "executor-logs"
_PLACEHOLDER = re.compile(r"\{\{\$(.*?)\}\}")
_NUMBERS = ("NUMBER_INTEGER", "NUMBER_DOUBLE")


class Rule(Enum):
    """Properties of KFP that TFX's own entry point does not survive. A test may lift one to see the next."""

    EXECUTOR_LOGS = "the driver adds an output of type system.Artifact"
    TYPES = "inputs come without their type"
    URIS = "URIs of the object store stand in the ExecutorInput"
    NULLS = "a null in metadata is fatal"


@dataclass(frozen=True)
class Outputs:
    """What a task registered."""

    artifacts: dict[str, int]  # key: artifact id
    parameters: dict[str, Any]
    log: str = ""
    attempts: int = 1


Start = Callable[..., subprocess.CompletedProcess[str]]  # subprocess.run, of a command with `cwd` and `env`


def start_afresh(command: list[str], *, cwd: Path, env: Mapping[str, str]) -> subprocess.CompletedProcess[str]:
    """Runs a container's command as an operating system does."""
    return subprocess.run(command, cwd=cwd, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace")


@dataclass(frozen=True)
class Launcher:
    """Runs container tasks of one pipeline run."""

    objects: ObjectStore
    metadata: MetadataStore
    run_root: str  # <pipeline root>/<pipeline>/<run id>
    scratch: Path
    environment: Mapping[str, str]
    lifted: frozenset[Rule] = frozenset()
    killed: dict[str, str] = field(default_factory=dict)  # see SimulatedCluster
    start: Start = start_afresh

    def run(
        self,
        name: str,
        container: Mapping[str, Any],
        component: Mapping[str, Any],
        parameters: Mapping[str, Any],
        artifacts: Mapping[str, Artifact],
        retries: int = 0,
    ) -> Outputs:
        """Runs a container command in a fresh folder that stands for the container's `/`.

        A retry gets the same ExecutorInput. In KFP its pod is a new one; here it also finds what the attempt before it left.

        Raises:
          SimulationError: The command failed, however often it was retried, or the launcher refuses what it left.
        """
        task_root = f"{self.run_root}/{name}/{uuid.uuid4()}"
        root = Path(tempfile.mkdtemp(prefix=f"{name}-", dir=self.scratch))
        executor_input = self._executor_input(component, parameters, artifacts, task_root, root)
        for artifact in artifacts.values():
            if (path := local_path(artifact.uri, root)) is not None:  # else the launcher warns and goes on
                self.objects.download(artifact.uri, path)
        for output in _single(executor_input["outputs"]["artifacts"]):
            path = local_path(output["uri"], root)
            assert path is not None
            path.parent.mkdir(parents=True, exist_ok=True)
        for output in executor_input["outputs"]["parameters"].values():
            Path(output["outputFile"]).parent.mkdir(parents=True, exist_ok=True)

        command = [*container.get("command", []), *container.get("args", [])]
        shown = self._shown(executor_input, artifacts, root)
        resolved = [resolve(part, shown, root) for part in command]
        for attempt in range(1, retries + 2):
            try:
                log = self._execute(name, resolved, root, self._fatal(name, executor_input, root) if attempt == 1 else None)
                break
            except SimulationError:
                if attempt > retries:
                    raise
        merged, found = self._merged(executor_input)
        for output in merged.values():
            if (path := local_path(output["uri"], root)) is not None:
                self.objects.upload(path, output["uri"])
        registered = {
            key: self.metadata.register(output["uri"], output["type"], output.get("metadata", {})).id for key, output in merged.items()
        }
        result = Outputs(registered, self._parameters(component, executor_input, found), log, attempt)
        shutil.rmtree(root, ignore_errors=True)  # of a failed task everything stays, to look at
        return result

    def _executor_input(
        self,
        component: Mapping[str, Any],
        parameters: Mapping[str, Any],
        artifacts: Mapping[str, Artifact],
        task_root: str,
        root: Path,
    ) -> dict[str, Any]:
        definitions = component.get("outputDefinitions", {})
        outputs = {
            key: {
                "name": key,
                "type": definition["artifactType"],
                "uri": f"{task_root}/{key}",
                "metadata": dict(definition.get("metadata", {})),
            }
            for key, definition in definitions.get("artifacts", {}).items()
        }
        if Rule.EXECUTOR_LOGS not in self.lifted:
            logs = {"schemaTitle": "system.Artifact", "schemaVersion": "0.0.1"}
            outputs[EXECUTOR_LOGS] = {"name": EXECUTOR_LOGS, "type": logs, "uri": f"{task_root}/{EXECUTOR_LOGS}", "metadata": {}}
        return {
            "inputs": {
                "parameterValues": dict(parameters),
                "artifacts": {key: {"artifacts": [artifact.as_input()]} for key, artifact in artifacts.items()},
            },
            "outputs": {
                "artifacts": {key: {"artifacts": [value]} for key, value in outputs.items()},
                "parameters": {key: {"outputFile": str(root / "tmp/kfp/outputs" / key)} for key in definitions.get("parameters", {})},
                "outputFile": str(root / "tmp/kfp_outputs/output_metadata.json"),
            },
        }

    def _shown(self, executor_input: dict[str, Any], artifacts: Mapping[str, Artifact], root: Path) -> dict[str, Any]:
        """The ExecutorInput as the command sees it: the true one, less the rules that are lifted."""
        shown = copy.deepcopy(executor_input)
        if Rule.TYPES in self.lifted:
            for key, artifact in artifacts.items():
                shown["inputs"]["artifacts"][key]["artifacts"][0]["type"] = artifact.schema
        if Rule.URIS in self.lifted:
            for side in ("inputs", "outputs"):
                for entry in _single(shown[side]["artifacts"]):
                    entry["uri"] = str(local_path(entry["uri"], root))
        return shown

    def _fatal(self, name: str, executor_input: dict[str, Any], root: Path) -> Path | None:
        """The output folder in which the first file ends the first attempt; None: nothing does."""
        if (output := self.killed.pop(name, None)) is None:
            return None
        return local_path(executor_input["outputs"]["artifacts"][output]["artifacts"][0]["uri"], root)

    def _execute(self, name: str, command: list[str], root: Path, fatal: Path | None) -> str:
        (root / "tmp").mkdir(exist_ok=True)
        environment = {
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', os.defpath)}",
            "HOME": str(root / "tmp"),
            "TMPDIR": str(root / "tmp"),
            "CXR_KUBEFLOW_ROOT": str(root),  # the one thing that a real container does not have
            **self.environment,
        }
        if fatal:
            status, said = self._execute_killed(command, root, environment, fatal)
        else:
            done = self.start(command, cwd=root, env=environment)
            status, said = done.returncode, done.stdout + (done.stderr or "")
        (root / "log.txt").write_text(said)
        if status:
            raise SimulationError(f"{name}: exit status {status} ({root}/log.txt)\n{said[-6000:]}")
        return said

    def _execute_killed(self, command: list[str], root: Path, environment: Mapping[str, str], fatal: Path) -> tuple[int, str]:
        with open(root / "log.txt", "w") as log:
            process = subprocess.Popen(command, cwd=root, env=environment, stdout=log, stderr=subprocess.STDOUT, start_new_session=True)
            while process.poll() is None:
                if any(path.is_file() for path in fatal.rglob("*")):
                    os.killpg(process.pid, signal.SIGKILL)  # all of the container, as the kernel does
                    break
                time.sleep(0.002)
            status = process.wait()
        return status, (root / "log.txt").read_text(errors="replace")

    def _merged(self, executor_input: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
        """Outputs as declared, with the URIs and metadata that the executor's output file states; and its parameters."""
        outputs = {key: entry["artifacts"][0] for key, entry in executor_input["outputs"]["artifacts"].items()}
        file = Path(executor_input["outputs"]["outputFile"])
        if not file.is_file():
            return outputs, {}
        try:
            message = json_format.Parse(file.read_text(), pipeline_spec_pb2.ExecutorOutput())  # strict: unknown fields are errors
        except json_format.ParseError as error:
            raise SimulationError(f"{file.name}: {error}") from error
        report = json_format.MessageToDict(message)
        for key, entry in report.get("artifacts", {}).items():
            for artifact in entry.get("artifacts", []):
                if key not in outputs:
                    raise SimulationError(f"{file.name}: {key!r} is not an output of the component")
                metadata = artifact.get("metadata", {})
                if Rule.NULLS in self.lifted:
                    metadata = {name: value for name, value in metadata.items() if value is not None}
                check_metadata(metadata)
                if Rule.URIS not in self.lifted:
                    outputs[key]["uri"] = artifact.get("uri") or outputs[key]["uri"]
                outputs[key]["metadata"] |= metadata
        return outputs, report.get("parameterValues", {})

    def _parameters(self, component: Mapping[str, Any], executor_input: dict[str, Any], found: Mapping[str, Any]) -> dict[str, Any]:
        result = dict(found)
        for key, definition in component.get("outputDefinitions", {}).get("parameters", {}).items():
            file = Path(executor_input["outputs"]["parameters"][key]["outputFile"])
            if key not in result:
                if not file.is_file():
                    raise SimulationError(f"output parameter {key!r}: {file} was not written")
                text = file.read_text()
                result[key] = text if definition["parameterType"] == "STRING" else json.loads(text)
            check_parameter(key, result[key], definition["parameterType"])
        return result


def check_parameter(key: str, value: Any, kind: str) -> None:
    """Raises what the driver would where a value is not of the declared type."""
    number = isinstance(value, (int, float)) and not isinstance(value, bool)
    fits = {
        "STRING": isinstance(value, str),
        "NUMBER_INTEGER": number and float(value).is_integer() if number else False,
        "NUMBER_DOUBLE": number,
        "BOOLEAN": isinstance(value, bool),
        "LIST": isinstance(value, list),
        "STRUCT": isinstance(value, dict),
    }
    if not fits[kind]:
        raise SimulationError(f"parameter {key!r}: {value!r} is not of type {kind}")


def resolve(text: str, executor_input: Mapping[str, Any], root: Path) -> str:
    """Fills in the launcher's placeholders.

    Raises:
      SimulationError: A placeholder that it does not know.
    """

    def fill(match: re.Match[str]) -> str:
        path = match[1]
        if not path:
            return json.dumps(executor_input)
        if path == ".outputs.output_file":
            return executor_input["outputs"]["outputFile"]
        if found := re.fullmatch(r"\.inputs\.parameters\['(.+)'\]", path):
            value = executor_input["inputs"]["parameterValues"][found[1]]
            return value if isinstance(value, str) else json.dumps(value)
        if found := re.fullmatch(r"\.outputs\.parameters\['(.+)'\]\.output_file", path):
            return executor_input["outputs"]["parameters"][found[1]]["outputFile"]
        if found := re.fullmatch(r"\.(inputs|outputs)\.artifacts\['(.+)'\]\.(uri|path)", path):
            uri = executor_input[found[1]]["artifacts"][found[2]]["artifacts"][0]["uri"]
            return uri if found[3] == "uri" else str(local_path(uri, root))
        raise SimulationError(f"placeholder {match[0]}")

    return _PLACEHOLDER.sub(fill, text)


def _single(artifacts: Mapping[str, Any]) -> list[dict[str, Any]]:
    return [entry["artifacts"][0] for entry in artifacts.values()]
