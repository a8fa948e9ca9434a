import copy
import json

import pytest
from simulator.conditions import holds

from cxr.core.errors import CxrError
from cxr.kubeflow import ir_pass
from cxr.kubeflow.cluster import Cluster
from cxr.kubeflow.parameters import Parameter
from cxr.kubeflow.pipeline_spec import container_of, tasks

IMAGE = "registry.example/cxr@sha256:" + "0" * 64
CONFIG = json.dumps({"model": {"head_training": {"epochs": 16}}})
VOLUME = {"serving_models": "/mnt/cxr/models", "volumes": [{"claim": "cxr", "mount_path": "/mnt/cxr"}]}


@pytest.fixture
def spec():
    """An ExampleGen with a lifecycle hook and a trainer, as TFX emits them."""

    def executor(**more):
        return {"container": {"image": IMAGE, "command": ["python", "-m", "cxr.kubeflow.entrypoint"], "args": ["x"], **more}}

    def task(name, **parameters):
        values = {key: {"runtimeValue": {"constant": value}} for key, value in parameters.items()}
        return {
            "componentRef": {"name": name},
            "inputs": {"parameters": values},
            "cachingOptions": {"enableCache": True},
        }

    return {
        "root": {"dag": {"tasks": {"Gen": task("Gen", input_base="/mnt/cxr/data"), "Trainer-a": task("Trainer-a", custom_config=CONFIG)}}},
        "components": {
            "Gen": {"executorLabel": "Gen_executor", "inputDefinitions": {"parameters": {"input_base": {"parameterType": "STRING"}}}},
            "Trainer-a": {
                "executorLabel": "Trainer_executor",
                "inputDefinitions": {"parameters": {"custom_config": {"parameterType": "STRING"}}},
            },
        },
        "deploymentSpec": {"executors": {"Gen_executor": executor(lifecycle={"preCacheCheck": {}}), "Trainer_executor": executor()}},
    }


DATA = Parameter("data", "STRING", "records", "Gen", "input_base")
EPOCHS = Parameter("epochs_a", "NUMBER_INTEGER", "epochs", "Trainer-a", "custom_config", "model/head_training/epochs")


def inputs(spec, task):
    return tasks(spec)[task]["inputs"]["parameters"]


def container(spec, task):
    found = container_of(spec, task)
    assert found is not None
    return found


def test_lifecycle_goes(spec):
    assert ir_pass.drop_lifecycle(spec) == ["Gen"]
    assert "lifecycle" not in container(spec, "Gen")
    assert ir_pass.drop_lifecycle(spec) == []


def test_defaults_of_runtime_parameters_come_back(spec):
    spec["root"]["inputDefinitions"] = {"parameters": {"steps": {"parameterType": "NUMBER_INTEGER"}, "other": {"parameterType": "STRING"}}}
    ir_pass.restore_defaults(spec, {"steps": 5, "other": None})
    found = spec["root"]["inputDefinitions"]["parameters"]
    assert found["steps"]["defaultValue"] == 5
    assert "defaultValue" not in found["other"]


def test_a_parameter_replaces_a_property_and_keeps_its_value_as_default(spec):
    ir_pass.add_parameter(spec, DATA)
    assert spec["root"]["inputDefinitions"]["parameters"]["data"]["defaultValue"] == "/mnt/cxr/data"
    assert inputs(spec, "Gen")["input_base"] == {"componentInputParameter": "data"}


def test_a_parameter_inside_json_is_merged_by_the_entry_point(spec):
    ir_pass.add_parameter(spec, EPOCHS)
    assert spec["root"]["inputDefinitions"]["parameters"]["epochs_a"]["defaultValue"] == 16
    assert inputs(spec, "Trainer-a")["cxr_epochs_a"] == {"componentInputParameter": "epochs_a"}
    assert inputs(spec, "Trainer-a")["custom_config"] == {"runtimeValue": {"constant": CONFIG}}
    assert container(spec, "Trainer-a")["args"][-1] == "--cxr_merge=custom_config/model/head_training/epochs=cxr_epochs_a"


@pytest.mark.parametrize("change", [{"task": "Trainer-b"}, {"property": "other"}, {"pointer": "model/tail"}])
def test_a_place_that_the_graph_does_not_have_is_an_error(spec, change):
    from dataclasses import replace

    with pytest.raises(CxrError, match="parameter epochs_a: the graph has no"):
        ir_pass.add_parameter(spec, replace(EPOCHS, **change))


def test_the_fingerprint_is_an_input_of_the_example_gen_and_never_cached(spec):
    ir_pass.add_parameter(spec, DATA)
    ir_pass.add_fingerprint(spec, "Gen", "data", IMAGE)
    assert inputs(spec, "Gen")["cxr_fingerprint"] == {
        "taskOutputParameter": {"producerTask": "DataFingerprint", "outputParameterKey": "fingerprint"}
    }
    assert tasks(spec)["Gen"]["dependentTasks"] == ["DataFingerprint"]
    assert "cachingOptions" not in tasks(spec)["DataFingerprint"]


def test_data_of_an_object_store_are_downloaded_by_the_launcher(spec):
    ir_pass.add_parameter(spec, DATA)
    ir_pass.add_data_importer(spec, ["Gen"], "data")
    artifact = tasks(spec)["Gen"]["inputs"]["artifacts"]["cxr_data"]
    assert artifact == {"taskOutputArtifact": {"producerTask": "Data", "outputArtifactKey": "artifact"}}
    assert "importer" in spec["deploymentSpec"]["executors"]["Data_executor"]


@pytest.mark.parametrize(
    ("data", "beam", "downloads"),
    [
        ("/mnt/cxr/data", {"runner": "direct"}, False),
        ("minio://b/data", {"runner": "direct"}, True),
        ("gs://b/data", {"runner": "direct"}, True),
        ("gs://b/data", {"runner": "dataflow", "project": "p", "region": "r", "shared": "gs://b/s", "worker_image": "i"}, False),
    ],
)
def test_where_the_launcher_has_to_download(data, beam, downloads):
    cluster = Cluster.model_validate({**VOLUME, "data": data, "beam": beam, "environment_credentials": True})
    assert ir_pass.downloads_data(cluster) is downloads


def test_the_shared_folder_reaches_our_entry_point_only(spec):
    before = copy.deepcopy(spec)
    container(spec, "Gen")["command"] = ["python", "-m", "cxr.kubeflow.baseline"]
    ir_pass.share_with_workers(spec, "gs://b/shared")
    assert container(spec, "Gen")["args"] == container(before, "Gen")["args"]
    assert container(spec, "Trainer-a")["args"][-1] == "--cxr_shared=gs://b/shared"


def test_the_pusher_learns_which_champion_the_candidate_was_compared_with(spec):
    ir_pass.compare_and_swap(spec, "Gen", "Trainer-a")
    for key in ("champion", "baseline"):
        source = {"taskOutputParameter": {"producerTask": "Gen", "outputParameterKey": key}}
        assert inputs(spec, "Trainer-a")[f"cxr_{key}"] == source
    assert tasks(spec)["Trainer-a"]["dependentTasks"] == ["Gen"]
    assert spec["components"]["Gen"]["outputDefinitions"]["parameters"] == dict.fromkeys(
        ("champion", "baseline"), {"parameterType": "STRING"}
    )


def test_what_pushes_is_found_by_its_destination(spec):
    assert ir_pass.pushers(spec) == []
    inputs(spec, "Trainer-a")["push_destination"] = {"runtimeValue": {"constant": "{}"}}
    assert ir_pass.pushers(spec) == ["Trainer-a"]


@pytest.mark.parametrize(("gate", "infra", "pushes"), [(1.0, 1.0, True), (0.0, 1.0, False), (1.0, 0.0, False), (0.0, 0.0, False)])
def test_either_gate_keeps_kfp_from_running_the_pusher(spec, gate, infra, pushes):
    tasks(spec)["Pusher-a"] = {"inputs": {"artifacts": {"model": {}, "model_blessing": {}, "infra_blessing": {}}}}
    ir_pass.push_blessed_only(spec)
    blessings = {"model_blessing": gate, "infra_blessing": infra}
    given = {key: {"artifacts": [{"metadata": {"blessed": blessed}}]} for key, blessed in blessings.items()}
    assert holds(tasks(spec)["Pusher-a"]["triggerPolicy"]["condition"], {"inputs": {"artifacts": given}}) is pushes
    assert "triggerPolicy" not in tasks(spec)["Trainer-a"]
