import pytest

from cxr.kubeflow.cluster import Cluster
from cxr.kubeflow.platform_document import platform_document

SPEC = {
    "root": {"dag": {"tasks": {name: {"componentRef": {"name": name}} for name in ("Trainer-a", "Audit")}}},
    "components": {name: {"executorLabel": f"{name}_executor"} for name in ("Trainer-a", "Audit")},
    "deploymentSpec": {"executors": {f"{name}_executor": {"container": {"image": "i"}} for name in ("Trainer-a", "Audit")}},
}


@pytest.fixture
def executors():
    nodes = {"Trainer": {"shared_memory": "2Gi", "timeout": 3600}}
    volumes = [{"claim": "cxr", "mount_path": "/mnt/cxr"}]
    cluster = Cluster.model_validate({"data": "/mnt/cxr/data", "serving_models": "/mnt/cxr/models", "volumes": volumes, "nodes": nodes})
    return platform_document(SPEC, cluster)["platforms"]["kubernetes"]["deploymentSpec"]["executors"]


def test_shared_memory_stands_where_kfps_driver_looks(executors):
    """`GetEmptyDirMounts` in KFP's driver/k8s.go; `enabledSharedMemory`, which kfp.kubernetes has too, it does not read."""
    mount = {"volumeName": "shm", "mountPath": "/dev/shm", "medium": "Memory", "sizeLimit": "2Gi"}
    assert executors["Trainer-a_executor"]["emptyDirMounts"] == [mount]
    assert "enabledSharedMemory" not in executors["Trainer-a_executor"]
    assert "emptyDirMounts" not in executors["Audit_executor"]


def test_a_time_limit_is_the_pods(executors):
    assert executors["Trainer-a_executor"]["activeDeadlineSeconds"] == "3600"
    assert "activeDeadlineSeconds" not in executors["Audit_executor"]
