"""ImportExampleGen: shards go through as they are, or not at all."""

import gzip
import os
import shutil

import pytest
import tensorflow as tf
from tfx.proto import example_gen_pb2
from tfx.types import standard_artifacts
from tfx.utils import proto_utils

from cxr.components.example_gen.component import ImportExampleGen
from cxr.components.example_gen.executor import Executor, copy_shard
from cxr.core.errors import CxrError

BEAM = ["--runner=FnApiRunner", "--direct_running_mode=in_memory", "--direct_num_workers=1", "--sdk_container_image=none"]


@pytest.fixture
def shard(tmp_path, raw_examples):
    file = tmp_path / "examples-00000-of-00001.tfrecord.gz"
    with tf.io.TFRecordWriter(str(file), "GZIP") as writer:
        for example in raw_examples:
            writer.write(example)
    return file


def test_examples_are_the_shards_of_each_split(tmp_path, shard):
    splits = {"train": 2, "test": 1}
    for split, shards in splits.items():
        (tmp_path / "records" / split).mkdir(parents=True)
        for number in range(shards):
            (tmp_path / "records" / split / f"{number}.tfrecord.gz").write_bytes(shard.read_bytes())
    config = example_gen_pb2.Input(splits=[example_gen_pb2.Input.Split(name=name, pattern=f"{name}/*.tfrecord.gz") for name in splits])
    node = ImportExampleGen(str(tmp_path / "records"), config)
    artifact = standard_artifacts.Examples()
    artifact.uri = str(tmp_path / "examples")
    context = Executor.Context(beam_pipeline_args=BEAM, tmp_dir=str(tmp_path), unique_id="1")

    Executor(context).Do({}, {"examples": [artifact]}, node.exec_properties)

    assert artifact.split_names == '["train", "test"]'
    assert artifact.get_string_custom_property("payload_format") == "FORMAT_TF_EXAMPLE"
    assert artifact.get_string_custom_property("file_format") == "tfrecords_gzip"
    made = {str(file.relative_to(artifact.uri)): file.read_bytes() for file in (tmp_path / "examples").rglob("*.gz")}
    assert made == {
        "Split-train/data_tfrecord-00000-of-00002.gz": shard.read_bytes(),
        "Split-train/data_tfrecord-00001-of-00002.gz": shard.read_bytes(),
        "Split-test/data_tfrecord-00000-of-00001.gz": shard.read_bytes(),
    }


def test_one_split_stays_one():
    config = example_gen_pb2.Input(splits=[example_gen_pb2.Input.Split(name="train", pattern="train/*")])
    output = example_gen_pb2.Output()
    proto_utils.json_to_proto(ImportExampleGen("records", config).exec_properties["output_config"], output)
    assert not output.split_config.splits


def test_a_split_without_files(tmp_path):
    config = example_gen_pb2.Input(splits=[example_gen_pb2.Input.Split(name="train", pattern="train/*.tfrecord.gz")])
    artifact = standard_artifacts.Examples()
    artifact.uri = str(tmp_path / "examples")
    executor = Executor(Executor.Context(beam_pipeline_args=BEAM, tmp_dir=str(tmp_path), unique_id="1"))
    with pytest.raises(CxrError, match=r"train/\*\.tfrecord\.gz: no records; make them again with `cxr ingest`"):
        executor.Do({}, {"examples": [artifact]}, ImportExampleGen(str(tmp_path), config).exec_properties)


def flipped(content):
    return content[:100] + bytes([content[100] ^ 1]) + content[101:]


def without_the_last_record(content):
    """Cut off between two records: a reader of TFRecords alone sees nothing wrong."""
    whole = gzip.decompress(content)
    length = int.from_bytes(whole[:8], "little")
    return gzip.compress(whole[: length + 16])[:-8]


@pytest.mark.parametrize(
    "damage", [flipped, without_the_last_record, lambda content: content[:-9], lambda content: b"", lambda content: b"no gzip"]
)
def test_a_damaged_shard_is_refused(tmp_path, shard, damage):
    shard.write_bytes(damage(shard.read_bytes()))
    with pytest.raises(CxrError, match=r"examples-00000-of-00001\.tfrecord\.gz: is damaged .*`cxr ingest`"):
        copy_shard(str(shard), str(tmp_path / "copy"))
    assert not (tmp_path / "copy").exists()


def fingerprint(folder):
    """What the cache is told of records: the property that the node's driver fills in."""
    splits = [example_gen_pb2.Input.Split(name=name, pattern=f"{name}/*.gz") for name in ("train", "test")]
    node = ImportExampleGen(str(folder), example_gen_pb2.Input(splits=splits))
    found = node.driver_class(None).resolve_exec_properties(dict(node.exec_properties), None, None)
    assert (found["span"], found["version"]) == (0, None)
    return found["input_fingerprint"]


@pytest.fixture
def records(tmp_path):
    for split in ("train", "test"):
        (tmp_path / "records" / split).mkdir(parents=True)
        for number in range(2):
            (tmp_path / "records" / split / f"{number}.gz").write_text(f"{split} {number}")
    return tmp_path / "records"


def test_records_are_the_same_wherever_and_whenever_they_were_written(tmp_path, records):
    before = fingerprint(records)
    os.utime(records / "train" / "0.gz", (0, 0))
    assert fingerprint(records) == before
    shutil.copytree(records, tmp_path / "copy", copy_function=shutil.copyfile)
    assert fingerprint(tmp_path / "copy") == before


def replaced(records):
    file = records / "test" / "1.gz"
    times = file.stat().st_mtime_ns
    file.write_text("test 9")  # as long as before
    os.utime(file, ns=(times, times))


def swapped(records):
    (records / "train" / "0.gz").rename(records / "x")
    (records / "test" / "0.gz").rename(records / "train" / "0.gz")
    (records / "x").rename(records / "test" / "0.gz")


@pytest.mark.parametrize(
    "change",
    [
        replaced,
        swapped,
        lambda records: (records / "train" / "1.gz").unlink(),
        lambda records: (records / "train" / "2.gz").touch(),
        lambda records: (records / "train" / "1.gz").rename(records / "train" / "2.gz"),
    ],
)
def test_other_records_are_noticed(records, change):
    before = fingerprint(records)
    change(records)
    assert fingerprint(records) != before
