"""Refuses what Kubeflow Pipelines 2.x would refuse, at submission or hours later, and what would silently do the wrong thing there."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from typing import Any

import yaml

from cxr.core import features
from cxr.core.errors import CxrError, UsageError
from cxr.kubeflow.cluster import Cluster
from cxr.kubeflow.ir_pass import pushers
from cxr.kubeflow.pipeline_spec import Spec, executors, tasks
from cxr.kubeflow.pushing import DESTINATION
from cxr.pipeline.beam_config import Direct
from cxr.pipeline.model_checks import check_backbones
from cxr.pipeline.pipeline_config import Config

SCHEMA_VERSION = "2.1.0"
MAX_BYTES = 1_000_000  # Argo keeps the whole workflow in one Kubernetes object, 1.5 MB at most

_NAME = re.compile(r"[a-zA-Z0-9]([-a-zA-Z0-9]*[a-zA-Z0-9])?")  # Argo's names of tasks and templates
_PIPELINE = re.compile(r"[a-z0-9]([-a-z0-9]{0,126}[a-z0-9])?")
_DIGEST = re.compile(r".+@sha256:[0-9a-f]{64}")
_DIGEST_RULE = "name it by digest (…@sha256: and 64 hexadecimal digits), else a cached result may be another image's"
_TYPES: dict[str, Callable[[Any], bool]] = {
    "STRING": lambda value: isinstance(value, str),
    "NUMBER_INTEGER": lambda value: isinstance(value, (int, float)) and not isinstance(value, bool) and float(value).is_integer(),
    "NUMBER_DOUBLE": lambda value: isinstance(value, (int, float)) and not isinstance(value, bool),
    "BOOLEAN": lambda value: isinstance(value, bool),
    "LIST": lambda value: isinstance(value, list),
    "STRUCT": lambda value: isinstance(value, dict),
}


def check_settings(config: Config, cluster: Cluster, image: str) -> None:
    """Raises what can be told without compiling, hence without importing TFX, which takes many seconds.

    Raises:
      UsageError: All problems, one a line.
    """
    check_backbones(config.models)
    _raise(_settings(config, cluster, image), "cxr kubeflow compile:", UsageError)


def _settings(config: Config, cluster: Cluster, image: str) -> Iterator[str]:
    images = {"--image": image}
    images |= {f"nodes.{key}.image": node.image for key, node in cluster.nodes.items() if node.image}
    if not isinstance(cluster.beam, Direct):
        images["beam.worker_image"] = cluster.beam.worker_image
    for path, name in images.items():
        if not _DIGEST.fullmatch(name):
            yield f"{path} {name!r}: {_DIGEST_RULE}"
    if config.beam != Direct():
        yield "beam of the configuration: on Kubeflow the cluster's file says it, for example beam: {runner: direct, workers: 8}"
    if len(set(cluster.splits)) < len(cluster.splits):
        yield f"splits of the cluster's file: {', '.join(cluster.splits)}: one stands there twice"
    try:
        config.check_validation(has_validation=features.VAL in cluster.splits)
    except CxrError as error:
        yield from (f"{line} (splits of the cluster's file: {', '.join(cluster.splits)})" for line in str(error).splitlines())
    for split in dict.fromkeys((features.TRAIN, config.gate.split)):
        if split not in cluster.splits:
            yield f"splits of the cluster's file: {split!r} is missing, which models are trained or judged on"


def check(spec: Spec, platform: dict[str, Any]) -> None:
    """Raises what `problems` finds.

    Raises:
      CxrError: All problems, one a line.
    """
    _raise(problems(spec, platform), "Kubeflow Pipelines would not run this pipeline:")


def _raise(problems: Iterator[str], title: str, kind: type[CxrError] = CxrError) -> None:
    if found := list(problems):
        raise kind("\n".join((title, *(f"  {problem}" for problem in found))))


def problems(spec: Spec, platform: dict[str, Any]) -> Iterator[str]:
    """Yields every problem, each with its path and its remedy.

    Args:
      spec: PipelineSpec, protojson as a dictionary.
      platform: The document with `platforms`.
    """
    if spec.get("schemaVersion") != SCHEMA_VERSION:
        yield f"schemaVersion {spec.get('schemaVersion')}: KFP takes {SCHEMA_VERSION} (use_pipeline_spec_2_1=True)"
    name = spec.get("pipelineInfo", {}).get("name", "")
    if not _PIPELINE.fullmatch(name):
        yield f"pipelineInfo.name {name!r}: lower-case letters, digits and '-' only, 128 characters at most"
    if (size := len(yaml.safe_dump_all([spec, platform]))) > MAX_BYTES:
        yield f"{size} bytes: more than the {MAX_BYTES} that Argo can keep in a workflow; use fewer models"
    yield from _null_values(spec, "spec")
    for image in sorted({executor["container"].get("image", "") for executor in executors(spec).values() if "container" in executor}):
        if not _DIGEST.fullmatch(image):
            yield f"image {image!r}: {_DIGEST_RULE}"
    for label, executor in executors(spec).items():
        yield from _executor(label, executor)
    for key, definition in spec["root"].get("inputDefinitions", {}).get("parameters", {}).items():
        if "defaultValue" in definition and not _TYPES[definition["parameterType"]](definition["defaultValue"]):
            yield f"parameter {key}: default {definition['defaultValue']!r} is not of type {definition['parameterType']}"
    for task_name in tasks(spec):
        yield from _task(spec, task_name)
    yield from _platform(spec, platform)


def _executor(label: str, executor: dict[str, Any]) -> Iterator[str]:
    if "resolver" in executor:
        yield f"{label}: KFP has no resolvers ('resolver not implemented'); pass what it looks for as a parameter"
    if container := executor.get("container"):
        if "lifecycle" in container:
            yield f"{label}: KFP never runs lifecycle hooks"
        if not container.get("command"):
            yield f"{label}: no command; KFP's launcher replaces the image's entry point"


def _task(spec: Spec, name: str) -> Iterator[str]:
    task = tasks(spec)[name]
    if not _NAME.fullmatch(name):
        yield f"task {name!r}: letters, digits and '-' only (Argo's names); give the node another id"
    if name in pushers(spec) and task.get("cachingOptions", {}).get("enableCache"):
        yield f"task {name}: it pushes, and may not come from the cache"
    component = spec["components"].get(task["componentRef"]["name"])
    if component is None:
        yield f"task {name}: no component {task['componentRef']['name']!r}"
        return
    if component.get("executorLabel") not in executors(spec):
        yield f"task {name}: no executor {component.get('executorLabel')!r}"
    for upstream in task.get("dependentTasks", []):
        if upstream not in tasks(spec):
            yield f"task {name}: depends on {upstream!r}, which does not exist"
    definitions = component.get("inputDefinitions", {})
    for key, source in task.get("inputs", {}).get("artifacts", {}).items():
        output = source["taskOutputArtifact"]
        yield from _producer(spec, name, key, output["producerTask"], "artifacts", output["outputArtifactKey"])
    for key, source in task.get("inputs", {}).get("parameters", {}).items():
        kind = definitions.get("parameters", {}).get(key, {}).get("parameterType")
        if kind is None:
            yield f"task {name}: parameter {key!r} is not an input of its component"
        elif "runtimeValue" in source:
            value = source["runtimeValue"].get("constant")
            if not _TYPES[kind](value):
                yield f"task {name}: parameter {key} = {value!r} is not of type {kind}"
            if key in ("module_file", "module_path") and value:
                yield f"task {name}: {key} {value!r} is a file of this machine; name an importable function instead"
        elif "componentInputParameter" in source:
            given = spec["root"].get("inputDefinitions", {}).get("parameters", {}).get(source["componentInputParameter"])
            if given is None:
                yield f"task {name}: the pipeline has no parameter {source['componentInputParameter']!r}"
            elif given["parameterType"] != kind:
                yield f"task {name}: parameter {key} is {kind}, the pipeline's {source['componentInputParameter']} {given['parameterType']}"
        elif "taskOutputParameter" in source:
            output = source["taskOutputParameter"]
            yield from _producer(spec, name, key, output["producerTask"], "parameters", output["outputParameterKey"])


def _producer(spec: Spec, name: str, key: str, producer: str, kind: str, output: str) -> Iterator[str]:
    if producer not in tasks(spec):
        hint = " (TFX appends '_task' to producers of future()[0].value)" if producer.endswith("_task") else ""
        yield f"task {name}: input {key} comes from {producer!r}, which does not exist{hint}"
        return
    component = spec["components"].get(tasks(spec)[producer]["componentRef"]["name"], {})
    if output not in component.get("outputDefinitions", {}).get(kind, {}):
        yield f"task {name}: input {key} is {output!r} of {producer}, which has no such output"
    if producer not in tasks(spec)[name].get("dependentTasks", []):
        yield f"task {name}: uses {producer} without depending on it"


def _null_values(value: Any, path: str) -> Iterator[str]:
    if isinstance(value, dict):
        for key, item in value.items():
            yield from _null_values(item, f"{path}.{key}")
    elif isinstance(value, list):
        for number, item in enumerate(value):
            yield from _null_values(item, f"{path}[{number}]")
    elif value is None:
        yield f"{path}: null"


def _platform(spec: Spec, platform: dict[str, Any]) -> Iterator[str]:
    configs = platform.get("platforms", {}).get("kubernetes", {}).get("deploymentSpec", {}).get("executors", {})
    for label in configs:
        if label not in executors(spec):
            yield f"platforms.kubernetes: no executor {label!r}"
    for task_name, task in tasks(spec).items():
        destination = task.get("inputs", {}).get("parameters", {}).get(DESTINATION, {}).get("runtimeValue", {}).get("constant")
        if destination:
            filesystem = json.loads(destination).get("filesystem", {})
            folder = filesystem.get("base_directory") or filesystem.get("baseDirectory", "")
            label = spec["components"].get(task["componentRef"]["name"], {}).get("executorLabel")
            mounts = [mount["mountPath"].rstrip("/") for mount in configs.get(label, {}).get("pvcMount", [])]
            if not any(folder.startswith(f"{mount}/") for mount in mounts):
                yield f"task {task_name}: pushes to {folder!r}, which is on no volume and would be lost with the pod"
