import json

import pytest

from cxr.core.errors import CxrError
from cxr.kubeflow import executor_input

EXAMPLES = {"instanceSchema": "title: tfx.Examples\ntype: object\n"}
STRING = {"instanceSchema": "title: tfx.String\ntype: object\n"}


@pytest.fixture
def task(monkeypatch, tmp_path):
    monkeypatch.setenv("CXR_KUBEFLOW_ROOT", str(tmp_path))
    metadata = {
        "split_names": '["train"]',
        "span": 0.0,
        "names": {"list": ["a", {"struct": {"b": 1.0}}]},
        "display_name": "x",
        "store_session_info": "{}",
        "cxr_empty_folders": '["Split-val"]',
    }
    return {
        "inputs": {
            "parameterValues": {
                "custom_config": json.dumps({"model": {"head_training": {"epochs": 16}}}),
                "cxr_epochs": 3.0,
                "input_base": "s3://b/data",
            },
            "artifacts": {
                "examples": {
                    "artifacts": [{"name": "7", "type": {"instanceSchema": ""}, "uri": "minio://b/run/examples", "metadata": metadata}]
                },
                "baseline_model": {"artifacts": [{"name": "8", "uri": "minio://b/none", "metadata": {"cxr_absent": 1.0}}]},
                "cxr_data": {"artifacts": [{"name": "9", "type": {"schemaTitle": "system.Dataset"}, "uri": "s3://b/data"}]},
            },
        },
        "outputs": {
            "artifacts": {
                "model": {"artifacts": [{"name": "model", "type": EXAMPLES, "uri": "gs://b/run/model"}]},
                "verdict": {"artifacts": [{"name": "verdict", "type": STRING, "uri": "gs://b/run/verdict"}]},
                "executor-logs": {"artifacts": [{"type": {"schemaTitle": "system.Artifact"}, "uri": "gs://b/run/executor-logs"}]},
            },
            "parameters": {"cxr_usage": {"outputFile": "/tmp/kfp/outputs/cxr_usage"}, "span": {"outputFile": "/tmp/kfp/outputs/span"}},
            "outputFile": "/tmp/out.json",
        },
    }


def prepare(task, tmp_path, merges=()):
    spec = {"artifacts": {"examples": {"artifactType": EXAMPLES}}}
    return executor_input.prepare(task, spec, merges, tmp_path / "scratch")


def test_types_come_from_the_inputs_spec(task, tmp_path):
    (examples,) = prepare(task, tmp_path)["inputs"]["artifacts"]["examples"]["artifacts"]
    assert examples["type"] == EXAMPLES


@pytest.mark.parametrize("stated", [None, "", "[]", "train", "{}", "[1]", 3.0])
def test_examples_that_state_no_splits_are_refused(task, tmp_path, stated):
    """TFX's StatisticsGen raises a ValueError that prints the whole artifact; the JSON decoder's says still less."""
    metadata = task["inputs"]["artifacts"]["examples"]["artifacts"][0]["metadata"]
    metadata["split_names"] = stated
    if stated is None:
        del metadata["split_names"]
    with pytest.raises(CxrError, match="input examples: its metadata lack split_names"):
        executor_input.check_splits(prepare(task, tmp_path))


def test_examples_that_state_their_splits_are_not(task, tmp_path):
    executor_input.check_splits(prepare(task, tmp_path))


def test_metadata_is_unwrapped_and_free_of_what_kfp_added(task, tmp_path):
    (examples,) = prepare(task, tmp_path)["inputs"]["artifacts"]["examples"]["artifacts"]
    assert examples["metadata"]["names"] == ["a", {"b": 1.0}]
    assert not {"display_name", "store_session_info"} & set(examples["metadata"])


def test_what_tfx_does_not_know_is_dropped(task, tmp_path):
    prepared = prepare(task, tmp_path)
    assert set(prepared["inputs"]["artifacts"]) == {"examples"}  # no baseline, no data folder
    assert set(prepared["outputs"]["artifacts"]) == {"model", "verdict"}
    assert set(prepared["inputs"]["parameterValues"]) == {"custom_config", "input_base"}
    assert set(prepared["outputs"]["parameters"]) == {"span"}  # TFX wants an output artifact for each


def test_uris_become_the_launchers_folders(task, tmp_path):
    prepared = prepare(task, tmp_path)
    assert [artifact["uri"] for artifact in executor_input.artifacts_of(prepared)] == [
        f"{tmp_path}/minio/b/run/examples",
        f"{tmp_path}/gcs/b/run/model",
        f"{tmp_path}/gcs/b/run/verdict",
    ]
    assert prepared["inputs"]["parameterValues"]["input_base"] == f"{tmp_path}/s3/b/data"


def test_a_parameter_of_the_run_goes_into_the_json_with_the_type_that_stands_there(task, tmp_path):
    prepared = prepare(task, tmp_path, ["custom_config/model/head_training/epochs=cxr_epochs"])
    epochs = json.loads(prepared["inputs"]["parameterValues"]["custom_config"])["model"]["head_training"]["epochs"]
    assert epochs == 3
    assert isinstance(epochs, int)


@pytest.mark.parametrize(
    "merge", ["custom_config/model/tail/epochs=cxr_epochs", "custom_config/model/head_training/epochs=cxr_other", "nothing/a=cxr_epochs"]
)
def test_a_merge_that_does_not_fit_is_an_error(task, tmp_path, merge):
    with pytest.raises(CxrError, match="--cxr_merge"):
        prepare(task, tmp_path, [merge])


def test_folders_that_the_launcher_does_not_make(task, tmp_path):
    executor_input.make_folders(prepare(task, tmp_path))
    assert (tmp_path / "minio/b/run/examples/Split-val").is_dir()
    assert (tmp_path / "gcs/b/run/model").is_dir()
    assert not (tmp_path / "gcs/b/run/verdict").exists()  # a value: one file, not a folder


def test_outputs_of_an_attempt_before_go_and_inputs_stay(task, tmp_path):
    prepared = prepare(task, tmp_path)
    outputs = [tmp_path / "gcs/b/run/model/Format-Serving/variables", tmp_path / "gcs/b/run/verdict"]
    given = tmp_path / "minio/b/run/examples/Split-train/shard.gz"
    for file in (*outputs, given):
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text("half")
    executor_input.make_folders(prepared)
    assert list((tmp_path / "gcs/b/run/model").iterdir()) == []
    assert not outputs[1].exists()
    assert given.read_text() == "half"


def test_a_files_text_may_travel_as_a_parameter(task, tmp_path):
    task["inputs"]["parameterValues"]["schema_file"] = executor_input.data_uri("feature {}\n")
    path = prepare(task, tmp_path)["inputs"]["parameterValues"]["schema_file"]
    with open(path) as file:
        assert file.read() == "feature {}\n"
