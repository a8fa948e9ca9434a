from typing import Any

import pytest

from cxr.core.errors import CxrError
from cxr.kubeflow import resources
from cxr.kubeflow.cluster import Cluster
from cxr.pipeline.pipeline_config import load
from cxr.trainer.feature_cache import setting

VOLUME = {"serving_models": "/mnt/cxr/models", "volumes": [{"claim": "cxr", "mount_path": "/mnt/cxr"}]}


def test_resources_images_and_retries():
    names = ("Gen", "Trainer-a")
    spec: dict[str, Any] = {
        "root": {"dag": {"tasks": {name: {"componentRef": {"name": name}} for name in names}}},
        "components": {name: {"executorLabel": name} for name in names},
        "deploymentSpec": {"executors": {name: {"container": {"image": "cpu"}} for name in names}},
    }
    nodes: dict[str, Any] = {
        "default": {"cpu": "500m", "memory": "4Gi"},
        "Trainer": {"gpus": 2, "image": "gpu@sha256:" + "1" * 64, "retries": 2},
    }
    resources.set_resources(spec, Cluster.model_validate({**VOLUME, "data": "/mnt/cxr/data", "nodes": nodes}))
    gen, trainer = (spec["deploymentSpec"]["executors"][name]["container"] for name in names)
    assert gen["image"] == "cpu"
    assert trainer["image"].startswith("gpu@")
    assert trainer["resources"]["resourceCpuRequest"] == "500m"
    assert trainer["resources"]["cpuRequest"] == 0.5
    assert trainer["resources"]["memoryLimit"] == pytest.approx(4.294967296)
    assert trainer["resources"]["accelerator"]["resourceType"] == "nvidia.com/gpu"
    assert trainer["resources"]["accelerator"]["resourceCount"] == "2"
    assert spec["root"]["dag"]["tasks"]["Trainer-a"]["retryPolicy"]["maxRetryCount"] == 2
    assert "accelerator" not in gen["resources"]


@pytest.mark.parametrize(
    ("quantity", "kind", "value"),
    [("500m", "cpu", 0.5), ("4", "cpu", 4.0), ("16G", "memory", 16.0), ("1Gi", "memory", 1.073741824)]
    + [("4k", "memory", 4e-6), ("4Ki", "memory", 4.096e-6), ("2P", "memory", 2e6), ("1Ei", "memory", 2**60 / 1e9), ("1e9", "memory", 1.0)],
)
def test_amounts(quantity, kind, value):
    assert resources.amount(quantity, kind) == pytest.approx(value)


def test_trainers_and_evaluators_are_told_in_their_environment_where_to_keep_what_they_find():
    spec: dict[str, Any] = {
        "root": {"dag": {"tasks": {name: {"componentRef": {"name": name}} for name in ("Gen", "Trainer-a", "Evaluator-a")}}},
        "components": {name: {"executorLabel": name} for name in ("Gen", "Trainer-a", "Evaluator-a")},
        "deploymentSpec": {"executors": {name: {"container": {"image": "cpu"}} for name in ("Gen", "Trainer-a", "Evaluator-a")}},
    }
    cluster = Cluster.model_validate({**VOLUME, "data": "/mnt/cxr/data"})
    names = ("Gen", "Trainer-a", "Evaluator-a")
    gen, trainer, evaluator = (spec["deploymentSpec"]["executors"][name]["container"] for name in names)
    resources.share_features(spec, cluster, load("demo"))
    assert "env" not in trainer  # nothing is kept unless a folder is named: a pod's disk goes with it
    resources.share_features(spec, cluster, load("demo", ["feature_cache={folder: /mnt/cxr/features, max_gigabytes: 5}"]))
    (told,) = trainer["env"]
    assert evaluator["env"] == [told]
    assert told["name"] == setting.ENVIRONMENT
    assert setting.Place.model_validate_json(told["value"]).max_bytes == 5_000_000_000
    assert "env" not in gen
    with pytest.raises(CxrError, match="feature_cache.folder /tmp/f: on none of the cluster's volumes"):
        resources.share_features(spec, cluster, load("demo", ["feature_cache.folder=/tmp/f"]))


def graph(*names):
    return {"root": {"dag": {"tasks": {name: {"componentRef": {"name": name}} for name in names}}}, "components": {}, "deploymentSpec": {}}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"nodes": {"trainer": {"gpus": 1}}}, "nodes.trainer: 'trainer' is no task; there are Evaluator, .*Trainer, Trainer-mobilenet"),
        ({"nodes": {"Trainer-mobilnet": {"gpus": 1}}}, "'Trainer-mobilnet' is no task"),
        ({"nodes": {"Transform-mobilenet": {"memory": "1Gi"}}}, "'Transform-mobilenet' is no task"),
        ({"secrets": [{"name": "s", "env": {"k": "V"}, "nodes": ["Trainr"]}]}, "secrets.0.nodes: 'Trainr' is no task"),
    ],
)
def test_names_of_no_task_are_refused(change, message):
    cluster = Cluster.model_validate({**VOLUME, "data": "/mnt/cxr/data", **change})
    with pytest.raises(CxrError, match=message):
        resources.check_nodes(graph("Trainer-mobilenet", "Evaluator-mobilenet", "Transform"), cluster, load("cpu"))


def test_names_of_tasks_and_of_other_configurations_are_not():
    nodes: dict[str, Any] = {name: {"retries": 1} for name in ("default", "Trainer", "Trainer-mobilenet", "Trainer-ensemble")}
    cluster = Cluster.model_validate({**VOLUME, "data": "/mnt/cxr/data", "nodes": nodes})
    resources.check_nodes(graph("Trainer-mobilenet"), cluster, load("cpu"))


@pytest.mark.parametrize(
    ("default", "trainer", "said"),
    [
        ({"cpu_limit": "2"}, {"cpu": "2500m"}, "Trainer-a asks for cpu 2500m, more than its cpu_limit 2"),
        ({"memory": "2Gi"}, {"shared_memory": "16Gi"}, "Trainer-a has shared_memory 16Gi, more than its memory 2Gi"),
    ],
)
def test_a_request_above_the_limit_is_refused(default, trainer, said):
    nodes: dict[str, Any] = {"default": default, "Trainer": trainer}
    spec: dict[str, Any] = {**graph("Trainer-a"), "components": {"Trainer-a": {"executorLabel": "a"}}}
    spec["deploymentSpec"] = {"executors": {"a": {"container": {"image": "cpu"}}}}
    with pytest.raises(CxrError, match=said):
        resources.set_resources(spec, Cluster.model_validate({**VOLUME, "data": "/mnt/cxr/data", "nodes": nodes}))
