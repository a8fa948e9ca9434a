"""Fixtures that several packages' tests share: raw examples and what Transform makes of them; and how the tests are dealt out."""

import gc
import io
import json
import os
import sys

import pytest

CLASSES = ("covid19", "pneumonia", "normal")
SIZE = 32  # pixels, of the transformed images
os.environ["CUDA_VISIBLE_DEVICES"] = ""  # a GPU rounds otherwise than these tests expect; benchmarks/gpu_steps.py is for it
WORKER_MEMORY = 7 * 2**30  # bytes: pytest with TensorFlow and TFX, and a whole pipeline's processes beside it


def pytest_configure():
    """TFX's executors look for absl's options on the command line: `-v` would be their verbosity, and want a number."""
    del sys.argv[1:]


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers(config):
    """As many processes as cores, and as the memory holds; `make test` asks for it."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return max(1, min(len(os.sched_getaffinity(0)), memory // WORKER_MEMORY))


@pytest.hookimpl(wrapper=True)
def pytest_collection():
    """What is imported stays: Python need not look through it for garbage, now and again and again while graphs are built."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.collect()
        gc.freeze()
        gc.set_threshold(10_000, 20, 20)
        gc.enable()


def pytest_collection_modifyitems(items):
    """Files with whole pipelines first, then the trainer's and all others with slow tests: begun last, one process would run them alone."""
    whole, slow = ({item.path for item in items if item.get_closest_marker(marker)} for marker in ("e2e", "slow"))
    items.sort(key=lambda item: (item.path not in whole, "trainer" not in item.path.parts, item.path not in slow))


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
def write_metrics():
    """Returns a function that writes an Evaluator's metrics: the folder, and for which class a model took the first `raw_examples`."""
    import numpy as np
    import tensorflow as tf
    from tensorflow_model_analysis.writers.metrics_plots_and_validations_writer import convert_slice_metrics_to_proto

    from cxr.components.metrics import names
    from cxr.components.metrics.answers import AnswersCombiner, image_number
    from cxr.components.metrics.classification import ClassificationCombiner

    def write(folder, taken):
        classification = ClassificationCombiner(CLASSES, 5, None, "", "")
        tally = classification.create_accumulator()
        answers = AnswersCombiner(len(CLASSES), None, "", "")
        answered = answers.create_accumulator()
        for number, predicted in enumerate(taken):
            label = number % len(CLASSES)
            probabilities = np.eye(len(CLASSES))[predicted] * 0.7 + 0.1
            tally.add(label, probabilities, b"patient%d" % (number // 2))
            answered.images.append(image_number(f"{number:064x}"))
            answered.labels.append(label)
            answered.probabilities.extend(probabilities.tolist())
        metrics = classification.extract_output(tally) | answers.extract_output(answered)
        folder.mkdir(parents=True)
        with tf.io.TFRecordWriter(str(folder / "metrics-00000-of-00001.tfrecord")) as writer:
            writer.write(convert_slice_metrics_to_proto(((), metrics), []).SerializeToString())
        metric = {"config": json.dumps({names.CLASS_NAMES: CLASSES})}
        (folder / "eval_config.json").write_text(json.dumps({"evalConfig": {"metricsSpecs": [{"metrics": [metric]}]}}))

    return write


@pytest.fixture(scope="session")
def make_transform(tmp_path_factory):
    """Returns a function that has Transform analyse examples: the folder of the TransformGraph artifact."""
    import tensorflow as tf

    from cxr.pipeline import analysis
    from cxr.trainer.preprocessing import preprocessing_fn

    def make(examples, size=SIZE, function=preprocessing_fn, **preprocessing) -> str:
        folder = tmp_path_factory.mktemp("transform")
        with tf.io.TFRecordWriter(str(folder / "examples.gz"), "GZIP") as writer:
            for example in examples:
                writer.write(example)
        config = {"class_names": list(CLASSES), "image_size": size, "preprocessing": preprocessing}
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(analysis, "preprocessing_fn", function)
            analysis.write_transform_graph([str(folder / "examples.gz")], str(folder / "artifact"), config)
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


@pytest.fixture(scope="session")
def save_as_keras_does():
    """Returns a function that writes a network's weights in the format of Keras's own files."""

    def save(network, file):
        import h5py
        from keras.src.legacy.saving import legacy_h5_format

        with h5py.File(file, "w") as stream:
            legacy_h5_format.save_weights_to_hdf5_group(stream, network)

    return save


@pytest.fixture
def weights_folder(tmp_path, save_as_keras_does):
    """Returns a function that makes a folder of weights files, named and written as Keras's own are, of networks of chance."""

    def make(*names):
        import keras

        from cxr.trainer.models import backbones

        for name in names:
            backbone = backbones.find(name)
            keras.utils.set_random_seed(1)
            network = backbones.build(backbone, 32)
            for layer in network.layers:
                glorot = isinstance(getattr(layer, "depthwise_initializer", None), keras.initializers.GlorotUniform)
                if glorot:  # drawn as if each kernel saw all channels: signals would die
                    layer.kernel.assign(layer.kernel * layer.kernel.shape[2] ** 0.5)
            save_as_keras_does(network, tmp_path / backbone.weights_file)
        return tmp_path

    return make


@pytest.fixture
def make_run(tmp_path):
    """Returns a function that makes a run's folder in the workspace `tmp_path`, as `cxr run` leaves it, without artifacts.

    `record` and `report` change what run.json and report.json say by default; None: there is none.
    """
    from cxr.pipeline.pipeline_config import load

    model = {"name": "ensemble", "outcome": "pushed", "version": "17", "model_uri": "/gone/tfx/Trainer-ensemble/model/9", "baseline": "16"}
    evaluation = {"examples": 12, "patients": 6, "accuracy": 0.75, "accuracy_interval": {"low": 0.5, "high": 0.9}, "log_loss": None}
    nodes = {
        "Trainer-ensemble": {"state": "done", "seconds": 60.5, "error": "", "peak_memory": 2_500_000_000},
        "Pusher-ensemble": {"state": "done", "seconds": 1.5, "error": ""},
    }
    began = {"pipeline": "cpu", "shipped": "cpu", "changed": [], "data": "/data/xrays", "began": "2026-11-26T01:00:00+00:00"}
    found = {"pipeline": "cpu", "data": "/data/records", "models": {"ensemble": {**model, "evaluation": evaluation}}, "nodes": nodes}

    def make(name, pipeline="cpu", *, record=None, report=None, overrides=()):
        folder = tmp_path / pipeline / "runs" / name
        folder.mkdir(parents=True)
        (folder / "config.yaml").write_text(load("cpu", overrides).to_yaml())
        for file, known, changed in (("run.json", began, record), ("report.json", found, report)):
            if changed is not None:
                (folder / file).write_text(json.dumps({**known, **changed}))
        return folder

    return make
