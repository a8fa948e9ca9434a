"""Fixtures that several packages' tests share: raw examples and what Transform makes of them."""

import io

import pytest

CLASSES = ("covid19", "pneumonia", "normal")
SIZE = 32  # pixels, of the transformed images


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item):
    """Under `--cov`, measures fast tests only: the trace slows TensorFlow's Python down, and CI should take no longer."""
    if not (item.get_closest_marker("slow") and item.config.pluginmanager.hasplugin("_cov")):
        return (yield)
    from coverage import Coverage

    coverage = Coverage.current()
    if coverage is None:  # --no-cov
        return (yield)
    coverage.stop()
    try:
        return (yield)
    finally:
        coverage.start()


def _raw_example(number: int) -> bytes:
    """A small random grey picture; its brightness tells its class."""
    import numpy as np
    import tensorflow as tf
    from PIL import Image

    rng = np.random.default_rng(number)
    label = number % len(CLASSES)
    pixels = rng.normal(60 + 60 * label, 20, size=(40, 48)).clip(0, 255).astype(np.uint8)
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "png" if number % 2 else "jpeg")

    def of_bytes(value):
        return tf.train.Feature(bytes_list=tf.train.BytesList(value=[value]))

    def of_floats(value):
        return tf.train.Feature(float_list=tf.train.FloatList(value=[value]))

    def of_ints(value):
        return tf.train.Feature(int64_list=tf.train.Int64List(value=[value]))

    feature = {
        "image": of_bytes(file.getvalue()),
        "format": of_bytes(b"png" if number % 2 else b"jpeg"),
        "height": of_ints(40),
        "width": of_ints(48),
        "mean": of_floats(float(pixels.mean())),
        "std": of_floats(float(pixels.std())),
        "label": of_bytes(CLASSES[label].encode()),
        "patient_id": of_bytes(f"patient{number // 2}".encode()),
        "source": of_bytes(b"made up"),
        "view": of_bytes(b"PA"),
        "sex": of_bytes(b"F" if number % 2 else b"M"),
        "age_band": of_bytes(b"40-64"),
        "content_hash": of_bytes(f"{number:064x}".encode()),
    }
    if number % 3:
        feature["age"] = of_floats(50.0)
    return tf.train.Example(features=tf.train.Features(feature=feature)).SerializeToString()


@pytest.fixture(scope="session")
def raw_examples() -> list[bytes]:
    """Twelve serialized raw tf.Examples, as `cxr ingest` writes them, four of each class."""
    return [_raw_example(number) for number in range(12)]


@pytest.fixture(scope="session")
def transform_dir(raw_examples, tmp_path_factory) -> str:
    """Folder of what Transform makes of `raw_examples` (a TransformGraph artifact)."""
    import functools
    from importlib import resources

    import tensorflow_transform.beam as tft_beam
    from apache_beam import Create, Pipeline
    from google.protobuf import text_format
    from tensorflow_metadata.proto.v0 import schema_pb2
    from tensorflow_transform.tf_metadata import dataset_metadata
    from tfx_bsl.public import tfxio

    from cxr.trainer.preprocessing import preprocessing_fn

    schema = text_format.Parse((resources.files("cxr.pipeline") / "schema.pbtxt").read_text(), schema_pb2.Schema())
    next(f for f in schema.feature if f.name == "label").string_domain.value.extend(CLASSES)
    folder = str(tmp_path_factory.mktemp("transform"))
    config = {"class_names": list(CLASSES), "image_size": SIZE}
    with Pipeline("DirectRunner", argv=["--direct_running_mode=in_memory"]) as pipeline, tft_beam.Context(temp_dir=f"{folder}/tmp"):
        source = tfxio.TFExampleBeamRecord(physical_format="inmem", schema=schema)
        records = pipeline | Create(raw_examples) | source.BeamSource()
        function = (records, source.TensorAdapterConfig()) | tft_beam.AnalyzeDataset(
            functools.partial(preprocessing_fn, custom_config=config)
        )
        _ = function | tft_beam.WriteTransformFn(folder)
        raw_metadata = dataset_metadata.DatasetMetadata(schema)
        _ = raw_metadata | tft_beam.WriteMetadata(f"{folder}/metadata", pipeline)
    return folder


@pytest.fixture(scope="session")
def transform_output(transform_dir):
    """The same, loaded."""
    import tensorflow_transform as tft

    return tft.TFTransformOutput(transform_dir)
