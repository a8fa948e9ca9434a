"""Logs of a run's containers, from Kubernetes itself: KFP's API has none."""

from __future__ import annotations

from collections.abc import Iterator

from cxr.core.errors import CxrError


def pod_logs(run_id: str, namespace: str, task: str | None = None) -> Iterator[tuple[str, str]]:
    """Yields pod name and log of a run's executors.

    Raises:
      CxrError: No access to the cluster.
    """
    import kubernetes

    try:
        try:
            kubernetes.config.load_incluster_config()
        except kubernetes.config.ConfigException:
            kubernetes.config.load_kube_config()
        core = kubernetes.client.CoreV1Api()
        pods = core.list_namespaced_pod(namespace, label_selector=f"pipeline/runid={run_id}").items
        for pod in sorted(pods, key=lambda pod: pod.metadata.creation_timestamp):
            names = " ".join([pod.metadata.name, *(pod.metadata.annotations or {}).values()])
            if "system-container-impl" in pod.metadata.name and (task is None or task.lower() in names.lower()):
                yield pod.metadata.name, core.read_namespaced_pod_log(pod.metadata.name, namespace, container="main")
    except kubernetes.config.ConfigException as error:
        raise CxrError(f"logs come from Kubernetes itself: {error}; set KUBECONFIG") from error
    except kubernetes.client.ApiException as error:
        raise CxrError(f"namespace {namespace}: {error.status} {error.reason}; may you read pods and their logs there?") from error
