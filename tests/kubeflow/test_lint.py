import copy

import pytest

from cxr.core.errors import CxrError, UsageError
from cxr.kubeflow.cluster import Cluster
from cxr.kubeflow.lint import check, check_settings, problems
from cxr.pipeline.pipeline_config import load

IMAGE = "registry.example/cxr@sha256:" + "0" * 64
MODEL = {"artifactType": {"instanceSchema": "title: tfx.Model\n"}}
DESTINATION = '{"filesystem": {"base_directory": "/mnt/cxr/models/mobilenet"}}'
PLATFORM = {"platforms": {"kubernetes": {"deploymentSpec": {"executors": {"Push_executor": {"pvcMount": [{"mountPath": "/mnt/cxr"}]}}}}}}


def spec():
    container = {"image": IMAGE, "command": ["python"], "args": []}
    return {
        "schemaVersion": "2.1.0",
        "pipelineInfo": {"name": "small"},
        "root": {
            "inputDefinitions": {"parameters": {"epochs": {"parameterType": "NUMBER_INTEGER", "defaultValue": 3}}},
            "dag": {
                "tasks": {
                    "Train": {
                        "componentRef": {"name": "Train"},
                        "inputs": {"parameters": {"epochs": {"componentInputParameter": "epochs"}}},
                    },
                    "Push": {
                        "componentRef": {"name": "Push"},
                        "dependentTasks": ["Train"],
                        "inputs": {
                            "artifacts": {"model": {"taskOutputArtifact": {"producerTask": "Train", "outputArtifactKey": "model"}}},
                            "parameters": {"push_destination": {"runtimeValue": {"constant": DESTINATION}}},
                        },
                    },
                }
            },
        },
        "components": {
            "Train": {
                "executorLabel": "Train_executor",
                "inputDefinitions": {"parameters": {"epochs": {"parameterType": "NUMBER_INTEGER"}}},
                "outputDefinitions": {"artifacts": {"model": MODEL}},
            },
            "Push": {
                "executorLabel": "Push_executor",
                "inputDefinitions": {"parameters": {"push_destination": {"parameterType": "STRING"}}, "artifacts": {"model": MODEL}},
            },
        },
        "deploymentSpec": {
            "executors": {"Train_executor": {"container": container}, "Push_executor": {"container": copy.deepcopy(container)}}
        },
    }


def test_a_sound_pipeline_passes():
    check(spec(), PLATFORM)


def change(path, value):
    def apply(tree):
        *parents, last = path.split("/")
        for part in parents:
            tree = tree[part]
        tree[last] = value

    return apply


TRAIN, PUSH = "deploymentSpec/executors/Train_executor", "root/dag/tasks/Push"


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        ("schemaVersion", "2.0.0", "KFP takes 2.1.0"),
        ("pipelineInfo/name", "Small_one", "lower-case"),
        (TRAIN, {"resolver": {}}, "no resolvers"),
        (f"{TRAIN}/container/image", "registry.example/cxr:latest", "by digest"),
        (f"{TRAIN}/container/lifecycle", {}, "lifecycle"),
        (f"{TRAIN}/container/command", [], "no command"),
        ("root/dag/tasks/Train_a.b", {"componentRef": {"name": "Train"}}, "Argo's names"),
        ("root/dag/tasks/Train/componentRef/name", "Nobody", "no component"),
        ("components/Train/executorLabel", "Nobody", "no executor"),
        (f"{PUSH}/dependentTasks", ["Train", "Nobody"], "does not exist"),
        (f"{PUSH}/dependentTasks", [], "without depending"),
        (f"{PUSH}/inputs/artifacts/model/taskOutputArtifact/outputArtifactKey", "other", "no such output"),
        (
            f"{PUSH}/inputs/parameters/push_destination",
            {"taskOutputParameter": {"producerTask": "Train_task", "outputParameterKey": "x"}},
            "appends '_task'",
        ),
        (f"{PUSH}/inputs/parameters/push_destination/runtimeValue/constant", DESTINATION.replace("/mnt", "/tmp"), "lost with the pod"),
        (f"{PUSH}/cachingOptions", {"enableCache": True}, "may not come from the cache"),
        (f"{PUSH}/inputs/parameters/module_path", {"runtimeValue": {"constant": "run@/tmp/x.whl"}}, "not an input"),
        ("root/dag/tasks/Train/inputs/parameters/epochs/componentInputParameter", "other", "no parameter"),
        ("root/dag/tasks/Train/inputs/parameters/epochs", {"runtimeValue": {"constant": "3"}}, "not of type NUMBER_INTEGER"),
        ("root/inputDefinitions/parameters/epochs/defaultValue", 3.5, "not of type NUMBER_INTEGER"),
        ("root/inputDefinitions/parameters/epochs/parameterType", "NUMBER_DOUBLE", "pipeline's epochs NUMBER_DOUBLE"),
        ("components/Train/outputDefinitions/artifacts/model/metadata", {"span": None}, "null"),
        ("pipelineInfo/description", "x" * 1_100_000, "Argo can keep"),
    ],
)
def test_what_kfp_refuses(path, value, message):
    broken = spec()
    change(path, value)(broken)
    assert any(message in problem for problem in problems(broken, PLATFORM))
    with pytest.raises(CxrError, match="Kubeflow Pipelines would not run"):
        check(broken, PLATFORM)


def test_wheels_of_module_files():
    broken = spec()
    broken["components"]["Push"]["inputDefinitions"]["parameters"]["module_path"] = {"parameterType": "STRING"}
    broken["root"]["dag"]["tasks"]["Push"]["inputs"]["parameters"]["module_path"] = {
        "runtimeValue": {"constant": "run@/pipelines/_wheels/x.whl"}
    }
    assert any("importable function" in problem for problem in problems(broken, PLATFORM))


def test_settings_for_unknown_executors():
    platform = copy.deepcopy(PLATFORM)
    platform["platforms"]["kubernetes"]["deploymentSpec"]["executors"]["Nobody"] = {}
    assert any("no executor 'Nobody'" in problem for problem in problems(spec(), platform))


CLUSTER = {"data": "/mnt/cxr/data", "serving_models": "/mnt/cxr/models", "volumes": [{"claim": "cxr", "mount_path": "/mnt/cxr"}]}
DATAFLOW = {"runner": "dataflow", "project": "p", "region": "r", "shared": "gs://b/s", "worker_image": "worker:1"}


def test_sound_settings_pass():
    check_settings(load("demo"), Cluster.model_validate(CLUSTER), IMAGE)


@pytest.mark.parametrize(
    ("change", "image", "message"),
    [
        ({}, "registry.example/cxr:latest", "--image 'registry.example/cxr:latest': name it by digest"),
        ({"nodes": {"Trainer": {"image": "gpu:1"}}}, IMAGE, "nodes.Trainer.image 'gpu:1': name it by digest"),
        ({"data": "gs://b/d", "beam": DATAFLOW}, IMAGE, "beam.worker_image 'worker:1': name it by digest"),
        ({"splits": ["train", "val"]}, IMAGE, "'test' is missing"),
        ({"splits": ["train", "train", "val", "test"]}, IMAGE, "one stands there twice"),
    ],
)
def test_settings_that_need_no_graph_to_be_refused(change, image, message):
    with pytest.raises(CxrError, match=message):
        check_settings(load("demo"), Cluster.model_validate({**CLUSTER, **change}), image)


@pytest.mark.parametrize(
    ("config", "change", "message"),
    [
        (["beam.workers=8"], {}, "beam of the configuration: on Kubeflow the cluster's file says it"),
        (
            ["models.mobilenet.head_training.early_stopping={monitor: val_loss}"],
            {"splits": ["train", "test"]},
            "models.mobilenet.*val_loss",
        ),
        (
            ["defaults.head_training.early_stopping=null", "defaults.head_training.reduce_on_plateau=null"],
            {"splits": ["train", "test"]},
            r"ensemble.method: 'auto' needs a validation split.* \(splits of the cluster's file: train, test\)",
        ),
        (["models.mobilenet.backbone=MobileNit"], {}, "models.mobilenet.backbone: .*no such model; it has"),
    ],
)
def test_what_a_task_would_find_out_after_hours(config, change, message):
    with pytest.raises(UsageError, match=message):
        check_settings(load("demo", config), Cluster.model_validate({**CLUSTER, **change}), IMAGE)
