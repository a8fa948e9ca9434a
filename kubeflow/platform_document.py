"""The second document of a compiled pipeline: what is Kubernetes' alone, keyed by executor label."""

from __future__ import annotations

from typing import Any

from google.protobuf import json_format
from kfp.kubernetes import kubernetes_executor_config_pb2 as kubernetes

from cxr.kubeflow.cluster import Cluster
from cxr.kubeflow.pipeline_spec import Spec, container_of, tasks

SHARED_MEMORY = "/dev/shm"


def platform_document(spec: Spec, cluster: Cluster) -> dict[str, Any]:
    """Returns volumes, secrets, node selectors, tolerations, shared memory and time limits of every task, as kfp-kubernetes writes them."""
    found = {}
    for name, task in tasks(spec).items():
        if container_of(spec, name) is not None:
            label = spec["components"][task["componentRef"]["name"]]["executorLabel"]
            found[label] = json_format.MessageToDict(_config(cluster, name))
    return {"platforms": {"kubernetes": {"deploymentSpec": {"executors": {label: value for label, value in found.items() if value}}}}}


def _config(cluster: Cluster, name: str) -> kubernetes.KubernetesExecutorConfig:
    node = cluster.node(name)
    result = kubernetes.KubernetesExecutorConfig()
    for volume in cluster.volumes:
        result.pvc_mount.append(
            kubernetes.PvcMount(
                mount_path=volume.mount_path,
                constant=volume.claim,
                pvc_name_parameter=_constant(volume.claim),
                sub_path=volume.sub_path or None,
            )
        )
    for secret in cluster.secrets:
        if secret.nodes and not {name, name.split("-")[0]} & set(secret.nodes):
            continue
        what = {"secret_name": secret.name, "secret_name_parameter": _constant(secret.name), "optional": secret.optional}
        if secret.env:
            pairs = [kubernetes.SecretAsEnv.SecretKeyToEnvMap(secret_key=key, env_var=variable) for key, variable in secret.env.items()]
            result.secret_as_env.append(kubernetes.SecretAsEnv(key_to_env=pairs, **what))
        else:
            result.secret_as_volume.append(kubernetes.SecretAsVolume(mount_path=secret.mount_path, **what))
    for secret_name in cluster.image_pull_secrets:
        result.image_pull_secret.append(kubernetes.ImagePullSecret(secret_name=secret_name, secret_name_parameter=_constant(secret_name)))
    for toleration in node.tolerations or ():
        result.tolerations.append(
            kubernetes.Toleration(
                key=toleration.key,
                operator=toleration.operator,
                value=toleration.value,
                effect=toleration.effect,
                toleration_seconds=toleration.seconds,
            )
        )
    if node.node_selector:
        result.node_selector.labels.update(node.node_selector)
    if node.shared_memory:
        # kfp's own field for it, enabled_shared_memory, is read by no driver up to KFP 2.17
        result.empty_dir_mounts.append(
            kubernetes.EmptyDirMount(volume_name="shm", mount_path=SHARED_MEMORY, medium="Memory", size_limit=node.shared_memory)
        )
    if node.timeout:
        result.active_deadline_seconds = node.timeout
    if cluster.run_as_user:
        result.security_context.CopyFrom(kubernetes.SecurityContext(run_as_user=cluster.run_as_user, run_as_non_root=True))
    return result


def _constant(value: str) -> Any:
    parameter = kubernetes.PvcMount().pvc_name_parameter
    parameter.runtime_value.constant.string_value = value
    return parameter
