"""Records, a small TFX pipeline and the project's own one, for the simulation."""

import shutil

import pytest
import yaml

from cxr.core import beam_options

IMAGE = "registry.example/cxr@sha256:" + "0" * 64
BEAM = beam_options.local(1)


@pytest.fixture(scope="session")
def image():
    return IMAGE


@pytest.fixture(scope="session")
def write_split():
    """Writes examples as one split of what `cxr ingest` makes."""

    def write(folder, split, examples):
        import tensorflow as tf

        shutil.rmtree(folder / split, ignore_errors=True)
        (folder / split).mkdir(parents=True)
        with tf.io.TFRecordWriter(str(folder / split / "examples-00000.tfrecord.gz"), "GZIP") as writer:
            for example in examples:
                writer.write(example)

    return write


@pytest.fixture(scope="session")
def small_pipeline():
    """Makes a pipeline of ImportExampleGen and StatisticsGen."""

    def make(data, beam=BEAM):
        from tfx import v1 as tfx
        from tfx.proto import example_gen_pb2

        splits = [example_gen_pb2.Input.Split(name=name, pattern=f"{name}/*") for name in ("train", "test")]
        gen = tfx.components.ImportExampleGen(input_base=str(data), input_config=example_gen_pb2.Input(splits=splits))
        statistics = tfx.components.StatisticsGen(examples=gen.outputs["examples"])
        return tfx.dsl.Pipeline("small", "minio://unused", components=[gen, statistics], enable_cache=True, beam_pipeline_args=list(beam))

    return make


@pytest.fixture
def records(tmp_path, raw_examples, write_split):
    """Folder with the splits train and test."""
    folder = tmp_path / "records"
    write_split(folder, "train", raw_examples[:6])
    write_split(folder, "test", raw_examples[6:])
    return folder


@pytest.fixture
def package(tmp_path):
    """A small compiled pipeline."""
    spec = {
        "schemaVersion": "2.1.0",
        "sdkVersion": "tfx-1.21.0",
        "pipelineInfo": {"name": "tiny"},
        "root": {
            "inputDefinitions": {
                "parameters": {
                    "epochs_mobilenet": {"parameterType": "NUMBER_INTEGER", "defaultValue": 3, "isOptional": True},
                    "fine_tuning_epochs_mobilenet": {"parameterType": "NUMBER_INTEGER", "defaultValue": 3, "isOptional": True},
                    "min_accuracy_mobilenet": {"parameterType": "NUMBER_DOUBLE", "defaultValue": 0.6, "isOptional": True},
                    "min_change_mobilenet": {"parameterType": "NUMBER_DOUBLE", "defaultValue": 0.0, "isOptional": True},
                    "shortcut_margin_mobilenet": {"parameterType": "STRING", "defaultValue": "null", "isOptional": True},
                    "data": {"parameterType": "STRING", "defaultValue": "/mnt/cxr/data", "isOptional": True},
                    "baseline_mobilenet": {"parameterType": "STRING", "defaultValue": "/x/champion.json", "isOptional": True},
                }
            },
            "dag": {"tasks": {"a": {"componentRef": {"name": "a"}, "taskInfo": {"name": "a"}}}},
        },
        "components": {"a": {"executorLabel": "a"}},
        "deploymentSpec": {"executors": {"a": {"container": {"image": "i", "command": ["true"]}}}},
    }
    file = tmp_path / "pipeline.yaml"
    file.write_text(yaml.safe_dump_all([spec, {"platforms": {"kubernetes": {"deploymentSpec": {"executors": {}}}}}]))
    return file
