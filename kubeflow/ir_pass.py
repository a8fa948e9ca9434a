"""Repairs and completes the PipelineSpec that TFX emits, in place."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from cxr.core.errors import CxrError
from cxr.kubeflow import entrypoint, evaluation_page, node_usage, pushing, report_page, uris
from cxr.kubeflow.artifact_files import CACHE
from cxr.kubeflow.cluster import Cluster
from cxr.kubeflow.executor_input import OWN
from cxr.kubeflow.parameters import INTEGER, STRING, Parameter
from cxr.kubeflow.pipeline_spec import Spec, add_dependency, add_input, add_task, component_of, container_of, producers, tasks, upstream

FINGERPRINT_TASK, FINGERPRINT = "DataFingerprint", "fingerprint"
DATA_TASK, DATA_OUTPUT = "Data", "artifact"
_RUN_ID = "{{$.pipeline_job_uuid}}"  # KFP's driver puts the run's id in its place


def drop_lifecycle(spec: Spec) -> list[str]:
    """Removes the driver hooks that KFP never runs (the entry point runs the driver); returns the file-based ExampleGens' task names."""
    found = []
    for name in tasks(spec):
        container = container_of(spec, name)
        if container and container.pop("lifecycle", None):
            found.append(name)
    return found


def restore_defaults(spec: Spec, defaults: Mapping[str, Any]) -> None:
    """Puts back the defaults of TFX's RuntimeParameters, which its compiler drops."""
    for name, definition in spec["root"].get("inputDefinitions", {}).get("parameters", {}).items():
        if defaults.get(name) is not None:
            definition |= {"defaultValue": defaults[name], "isOptional": True}


def add_parameter(spec: Spec, parameter: Parameter) -> None:
    """Lets a parameter of the run replace a property, or a value inside its JSON.

    Raises:
      CxrError: The graph has no such location.
    """
    try:
        given = tasks(spec)[parameter.task]["inputs"]["parameters"]
        default = given[parameter.property]["runtimeValue"]["constant"]
        if parameter.pointer:
            default = json.loads(default)
            for part in parameter.pointer.split("/"):
                default = default[int(part) if isinstance(default, list) else part]
    except (KeyError, IndexError, TypeError, ValueError) as error:
        location = "/".join(filter(None, (parameter.task, parameter.property, parameter.pointer)))
        raise CxrError(f"parameter {parameter.name}: the graph has no {location} ({type(error).__name__}: {error})") from error
    _define(spec, parameter.name, parameter.type, parameter.description, default)
    name = parameter.property
    if parameter.pointer:
        name = OWN + parameter.name
        container = container_of(spec, parameter.task)
        assert container is not None
        container["args"].append(f"{entrypoint.MERGE}={parameter.property}/{parameter.pointer}={name}")
    add_input(spec, parameter.task, name, parameter.type, {"componentInputParameter": parameter.name})


def add_fingerprint(spec: Spec, task: str, data: str, image: str) -> None:
    """Makes the key of a task in KFP's cache depend on the data's content, through a first task that is never cached.

    Args:
      spec: The specification.
      task: The ExampleGen.
      data: Name of the run's parameter with the data's URI.
      image: The container image.
    """
    add_task(
        spec,
        FINGERPRINT_TASK,
        inputs={"data": ("STRING", data)},
        outputs={"parameters": {FINGERPRINT: {"parameterType": STRING}}},
        executor={
            "container": {
                "image": image,
                "command": ["python", "-m", "cxr.kubeflow.fingerprint"],
                "args": ["{{$.inputs.parameters['data']}}", "{{$.outputs.parameters['" + FINGERPRINT + "'].output_file}}"],
            }
        },
    )
    source = {"taskOutputParameter": {"producerTask": FINGERPRINT_TASK, "outputParameterKey": FINGERPRINT}}
    add_input(spec, task, OWN + FINGERPRINT, STRING, source)
    add_dependency(spec, task, FINGERPRINT_TASK)


def add_data_importer(spec: Spec, consumers: Iterable[str], data: str) -> None:
    """Lets KFP's launcher download the data for tasks whose container knows no such filesystem (`minio://`, `s3://`, `gs://`).

    The importer takes the artifact of an earlier import where there is one: its id is part of the consumers' cache key, and the
    fingerprint tells whether the content is still the same.
    """
    schema = {"schemaTitle": "system.Dataset", "schemaVersion": "0.0.1"}
    add_task(
        spec,
        DATA_TASK,
        inputs={"uri": (STRING, data)},
        outputs={"artifacts": {DATA_OUTPUT: {"artifactType": schema}}},
        executor={"importer": {"artifactUri": {"runtimeParameter": "uri"}, "typeSchema": schema, "reimport": False}},
    )
    for task in consumers:
        component = component_of(spec, task)
        component.setdefault("inputDefinitions", {}).setdefault("artifacts", {})[f"{OWN}data"] = {"artifactType": schema}
        tasks(spec)[task].setdefault("inputs", {}).setdefault("artifacts", {})[f"{OWN}data"] = {
            "taskOutputArtifact": {"producerTask": DATA_TASK, "outputArtifactKey": DATA_OUTPUT}
        }
        add_dependency(spec, task, DATA_TASK)


def disable_caching(spec: Spec, names: Iterable[str]) -> None:
    """Keeps tasks from being served from KFP's cache."""
    for name in names:
        tasks(spec)[name].pop("cachingOptions", None)


def key_cache(spec: Spec) -> None:
    """Gives the run a parameter that is part of KFP's key of everything that comes from its cache.

    KFP has no way to forget one result, and a run without the cache leaves none in it: without this a result whose files are gone would
    come again and again. Tasks that get what others made have those results' numbers in their keys; so the first ones suffice.
    """
    cached = {name for name, task in tasks(spec).items() if task.get("cachingOptions", {}).get("enableCache")}
    _define(spec, CACHE, STRING, "any word: from KFP's cache come only results of runs with the same one", "1")
    for name in sorted(cached):
        if not cached & producers(spec, name):
            add_input(spec, name, OWN + CACHE, STRING, {"componentInputParameter": CACHE})


def pushers(spec: Spec) -> list[str]:
    """Returns the tasks that push: their effect lies outside the run, so a cached result would be no result."""
    return [name for name, task in tasks(spec).items() if pushing.DESTINATION in task.get("inputs", {}).get("parameters", {})]


def compare_and_swap(spec: Spec, baseline: str, pusher: str) -> None:
    """Tells a Pusher the champion of the moment when the baseline was chosen, which alone it replaces, and the baseline (pushing.py).

    Args:
      spec: The specification.
      baseline: The task that chooses (baseline.py); it gets output parameters.
      pusher: The task that pushes.
    """
    outputs = component_of(spec, baseline).setdefault("outputDefinitions", {})
    for key in (pushing.CHAMPION, pushing.BASELINE):
        outputs.setdefault("parameters", {})[key] = {"parameterType": STRING}
        add_input(spec, pusher, OWN + key, STRING, {"taskOutputParameter": {"producerTask": baseline, "outputParameterKey": key}})
    add_dependency(spec, pusher, baseline)


def name_run(spec: Spec, names: Iterable[str]) -> None:
    """Tells Pushers the run's id, which they keep beside the model."""
    for name in names:
        add_input(spec, name, pushing.RUN, STRING, {"runtimeValue": {"constant": _RUN_ID}})


def publish_evaluation(spec: Spec, evaluator: str, class_names: Sequence[str]) -> None:
    """Gives an Evaluator the outputs that KFP's page can show; the entry point fills them."""
    outputs = component_of(spec, evaluator).setdefault("outputDefinitions", {})
    outputs.setdefault("artifacts", {}).update(evaluation_page.outputs(class_names))


def publish_report(spec: Spec, report: str) -> None:
    """Gives the node that makes report.html an output that KFP's page can show; the entry point fills it."""
    outputs = component_of(spec, report).setdefault("outputDefinitions", {})
    outputs.setdefault("artifacts", {}).update(report_page.outputs())


def tell_usage(spec: Spec, report: str) -> None:
    """Lets the node that makes report.html know what the nodes before it took; it tells of one run, so it never comes from the cache.

    Args:
      spec: The specification.
      report: The node. Those before it that make an artifact leave an output parameter (node_usage.py).
    """
    for number, name in enumerate(sorted(upstream(spec, report))):
        outputs = component_of(spec, name).get("outputDefinitions", {})
        if "artifacts" in outputs and container_of(spec, name):
            outputs.setdefault("parameters", {})[node_usage.USAGE] = {"parameterType": STRING}
            source = {"taskOutputParameter": {"producerTask": name, "outputParameterKey": node_usage.USAGE}}
            add_input(spec, report, f"{node_usage.USAGE}_{number}", STRING, source)
            add_dependency(spec, report, name)
    disable_caching(spec, (report,))


def push_blessed_only(spec: Spec) -> None:
    """Lets KFP skip the Pusher of a model that a gate refused.

    TFX's Pusher would run, push nothing and succeed; `pushed: 0` on its output is out of reach for KFP's client, the state of a task is
    not (run_state.Run). The form of the condition is the one that TFX's own compiler emits.
    """
    for task in tasks(spec).values():
        given = task.get("inputs", {}).get("artifacts", {})
        blessed = [f"inputs.artifacts['{key}'].artifacts[0].metadata['blessed'] == 1.0" for key in pushing.BLESSINGS if key in given]
        if blessed:
            task["triggerPolicy"] = {"condition": " && ".join(f"({condition})" for condition in blessed)}


def share_with_workers(spec: Spec, folder: str) -> None:
    """Tells the entry point the folder that Beam's workers can reach."""
    for name in tasks(spec):
        container = container_of(spec, name)
        if container and entrypoint.MODULE in container.get("command", ()):
            container["args"].append(f"{entrypoint.SHARED}={folder}")


def downloads_data(cluster: Cluster) -> bool:
    """Tells whether the launcher has to download the data: not where they are on a volume, or read by a runner's workers themselves."""
    return uris.is_object_store(cluster.data) and cluster.beam.runner == "direct"


def _define(spec: Spec, name: str, kind: str, description: str, default: Any) -> None:
    definitions = spec["root"].setdefault("inputDefinitions", {}).setdefault("parameters", {})
    definitions[name] = {
        "parameterType": kind,
        "defaultValue": int(default) if kind == INTEGER else default,
        "isOptional": True,
        "description": description,
    }
