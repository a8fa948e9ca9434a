"""Image, requests, limits and retries of every container, from the cluster's file."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from cxr.core import features
from cxr.core.errors import CxrError
from cxr.kubeflow.cluster import DEFAULT, Cluster
from cxr.kubeflow.pipeline_spec import Spec, container_of, tasks
from cxr.pipeline.pipeline_config import Config
from cxr.pipeline.roles import EVALUATOR, TRAINER, role_of


def set_resources(spec: Spec, cluster: Cluster) -> None:
    """Gives every container its image, requests, limits and retries; TFX drops those of file-based ExampleGens.

    Raises:
      CxrError: A request above its limit, or shared memory above the memory.
    """
    for name, task in tasks(spec).items():
        container = container_of(spec, name)
        if container is None:
            continue
        node = cluster.node(name)
        if node.image:
            container["image"] = node.image
        found: dict[str, Any] = {}
        for key, value, kind in (
            ("CpuRequest", node.cpu, "cpu"),
            ("CpuLimit", node.cpu_limit, "cpu"),
            ("MemoryRequest", node.memory, "memory"),
            ("MemoryLimit", node.memory, "memory"),
        ):
            if value:  # both forms: the second one is for installations before KFP 2.4
                found["resource" + key] = value
                found[key[0].lower() + key[1:]] = amount(value, kind)
        if node.gpus:
            kind = node.gpu_type or "nvidia.com/gpu"
            found["accelerator"] = {"resourceType": kind, "resourceCount": str(node.gpus), "type": kind, "count": str(node.gpus)}
        if node.cpu and node.cpu_limit and found["cpuRequest"] > found["cpuLimit"]:
            raise CxrError(f"nodes: {name} asks for cpu {node.cpu}, more than its cpu_limit {node.cpu_limit}; Kubernetes refuses such pods")
        if node.shared_memory and node.memory and amount(node.shared_memory, "memory") > found["memoryLimit"]:
            raise CxrError(
                f"nodes: {name} has shared_memory {node.shared_memory}, more than its memory {node.memory}, of which it is a part; "
                "the kernel would end the task once it is used"
            )
        if found:
            container["resources"] = found
        if node.retries:
            task["retryPolicy"] = {
                "maxRetryCount": node.retries,
                "backoffDuration": "60s",
                "backoffFactor": 2.0,
                "backoffMaxDuration": "3600s",
            }


def check_nodes(spec: Spec, cluster: Cluster, config: Config) -> None:
    """Refuses names in the cluster's file that mean no task: what they state would be passed over.

    Args:
      spec: The specification.
      cluster: Its `nodes` and `secrets`.
      config: Its models; an entry for an ensemble may stand for other configurations.

    Raises:
      CxrError: They are named, with what there is.
    """
    ids = set(tasks(spec))
    kinds = {role_of(name) for name in ids}
    of_models = {role_of(name) for name in ids if "-" in name}
    candidates = {*config.candidates, features.ENSEMBLE}

    def known(name: str) -> bool:
        kind, _, model = name.partition("-")
        return name in ids or (kind in (of_models if model else kinds) and (not model or model in candidates))

    places = {f"nodes.{name}": name for name in cluster.nodes if name != DEFAULT}
    places |= {f"secrets.{number}.nodes": name for number, secret in enumerate(cluster.secrets) for name in secret.nodes}
    if wrong := [f"{place}: {name!r}" for place, name in places.items() if not known(name)]:
        raise CxrError(f"cluster's file: {', '.join(wrong)} is no task; there are {', '.join(sorted(kinds | ids))}")


def share_features(spec: Spec, cluster: Cluster, config: Config) -> None:
    """Tells trainers where features of frozen backbones are kept, and Evaluators answers: in their environment, no part of KFP's cache key.

    Args:
      spec: The specification.
      cluster: Its volumes.
      config: Its `feature_cache` names a folder on one of them; without a folder nothing is kept.

    Raises:
      CxrError: It is on none of them.
    """
    place = config.feature_place(None)
    if place.folder is None:
        return
    if not cluster.on_volume(str(place.folder)):
        raise CxrError(f"feature_cache.folder {place.folder}: on none of the cluster's volumes; it would be lost with the pod")
    for name in tasks(spec):
        container = container_of(spec, name)
        if container is not None and role_of(name) in (TRAINER, EVALUATOR):
            container["env"] = [{"name": variable, "value": value} for variable, value in place.environment().items()]


def amount(quantity: str, kind: str) -> float:
    """Returns a Kubernetes quantity as KFP's older fields want it: cores, or 10^9 bytes."""
    units = {"m": Decimal("0.001"), "": Decimal(1)}
    units |= {letter: Decimal(1000) ** power for power, letter in enumerate("kMGTPE", 1)}
    units |= {f"{letter}i": Decimal(1024) ** power for power, letter in enumerate("KMGTPE", 1)}
    digits = quantity.rstrip("mkKMGTPEi")  # an exponent (16e9) stays with them
    value = Decimal(digits) * units[quantity.removeprefix(digits)]
    return float(value if kind == "cpu" else value / 10**9)
