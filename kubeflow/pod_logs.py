"""Logs of a run's containers, from Kubernetes itself: KFP's API has none."""

from __future__ import annotations

import json
from collections.abc import Iterator
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from cxr.core.errors import CxrError
from cxr.kubeflow.kubeconfig import load_kubeconfig

if TYPE_CHECKING:
    from kubernetes.client import ApiException

_EXECUTOR = "system-container-impl"  # in the name of a pod that runs a task's command; the others are KFP's drivers
_NO_LOG = (HTTPStatus.BAD_REQUEST, HTTPStatus.NOT_FOUND)  # the container waits to start; the pod went meanwhile


def pod_logs(run_id: str, namespace: str, task: str | None = None) -> Iterator[tuple[str, str]]:
    """Yields pod name and log of a run's executors, the oldest first; of a pod that has no log, why.

    Args:
      run_id: As KFP has it.
      namespace: Of the run.
      task: A part of the task's name, in any case; None: all tasks.

    Raises:
      CxrError: No access to the cluster, or nothing there of this run or task.
    """
    import kubernetes
    import urllib3

    try:
        try:
            kubernetes.config.load_incluster_config()
        except kubernetes.config.ConfigException:
            load_kubeconfig()
        core = kubernetes.client.CoreV1Api()
        found = core.list_namespaced_pod(namespace, label_selector=f"pipeline/runid={run_id}").items
        pods = sorted((pod for pod in found if _EXECUTOR in pod.metadata.name), key=lambda pod: pod.metadata.creation_timestamp)
        if not pods:
            raise CxrError(
                f"run {run_id}: namespace {namespace} has no pods of its tasks. Is the id right (`cxr kubeflow status`)? Pods appear when "
                "tasks start, and tasks from the cache have none; clusters remove the pods of old runs"
            )
        wanted = [pod for pod in pods if task is None or task.lower() in _names(pod)]
        if not wanted:
            raise CxrError(f"--task {task}: none of the run's pods is of such a task; there are {', '.join(p.metadata.name for p in pods)}")
        for pod in wanted:
            yield pod.metadata.name, _log(core, pod.metadata.name, namespace)
    except kubernetes.config.ConfigException as error:
        raise CxrError(f"logs come from Kubernetes itself: {error}; set KUBECONFIG") from error
    except kubernetes.client.ApiException as error:
        raise CxrError(f"namespace {namespace}: {error.status} {error.reason}; may you read pods and their logs there?") from error
    except urllib3.exceptions.HTTPError as error:
        raise CxrError(f"Kubernetes: not reachable ({error}); set KUBECONFIG to the cluster of the run, or reach it first") from error


def _names(pod: Any) -> str:
    return " ".join([pod.metadata.name, *(pod.metadata.annotations or {}).values()]).lower()


def _log(core: Any, pod: str, namespace: str) -> str:
    import kubernetes

    try:
        return str(core.read_namespaced_pod_log(pod, namespace, container="main"))
    except kubernetes.client.ApiException as error:
        if error.status not in _NO_LOG:
            raise
        return f"(no log: {_said(error)})"


def _said(error: ApiException) -> str:
    """Returns the message of Kubernetes' answer, a Status object."""
    try:
        return str(json.loads(error.body)["message"])
    except (ValueError, KeyError, TypeError):
        return str(error.reason)
