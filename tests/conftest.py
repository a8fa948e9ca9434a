"""Fixtures that several packages' tests share: raw examples and what Transform makes of them; and how the tests are dealt out."""

import io
import os

import pytest

CLASSES = ("covid19", "pneumonia", "normal")
SIZE = 32  # pixels, of the transformed images
WORKER_MEMORY = 7 * 2**30  # bytes: pytest with TensorFlow and TFX, and a whole pipeline's processes beside it


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers(config):
    """As many processes as cores, and as the memory holds; `make test` asks for it."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return max(1, min(len(os.sched_getaffinity(0)), memory // WORKER_MEMORY))


def pytest_collection_modifyitems(items):
    """Files with whole pipelines first: begun last, one process would run them while the others wait."""
    whole = {item.path for item in items if item.get_closest_marker("e2e")}
    items.sort(key=lambda item: item.path not in whole)


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
def make_transform(tmp_path_factory):
    """Returns a function that has Transform analyse examples: the folder of the TransformGraph artifact."""
    import tensorflow as tf

    from cxr.pipeline.analysis import write_transform_graph
    from cxr.trainer.preprocessing import preprocessing_fn

    def make(examples, size=SIZE, function=preprocessing_fn, **preprocessing) -> str:
        folder = tmp_path_factory.mktemp("transform")
        with tf.io.TFRecordWriter(str(folder / "examples.gz"), "GZIP") as writer:
            for example in examples:
                writer.write(example)
        config = {"class_names": list(CLASSES), "image_size": size, "preprocessing": preprocessing}
        write_transform_graph([str(folder / "examples.gz")], str(folder / "artifact"), config, function)
        return str(folder / "artifact")

    return make


@pytest.fixture(scope="session")
def transform_dir(raw_examples, make_transform) -> str:
    """Folder of what Transform makes of `raw_examples` (a TransformGraph artifact)."""
    return make_transform(raw_examples)


@pytest.fixture(scope="session")
def transform(transform_dir):
    """The same, loaded."""
    from cxr.trainer.transform_graph import TransformGraph

    return TransformGraph(transform_dir, CLASSES)
