"""Splits of tiny pictures, TFRecords of them, and a backbone small enough to train in a test."""

import io
from types import SimpleNamespace

import numpy as np
import pytest

from cxr.core import features
from cxr.trainer.model_config import Model

CLASSES = ("covid19", "pneumonia", "normal")
SIZE = 32


def example(number: int, label: str | None = None) -> bytes:
    """A raw tf.Example: a noisy grey picture, whose brightness tells its class."""
    import tensorflow as tf
    from PIL import Image

    rng = np.random.default_rng(number)
    pixels = rng.normal(60 + 60 * (number % 3), 15, size=(40, 48)).clip(0, 255).astype(np.uint8)
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "png" if number % 2 else "jpeg")
    values = {
        features.IMAGE: file.getvalue(),
        features.LABEL: (label or CLASSES[number % 3]).encode(),
        features.PATIENT_ID: f"patient{number}".encode(),
        features.CONTENT_HASH: f"{number:064x}".encode(),
    }
    return tf.train.Example(
        features=tf.train.Features(
            feature={key: tf.train.Feature(bytes_list=tf.train.BytesList(value=[value])) for key, value in values.items()}
        )
    ).SerializeToString()


def write_records(file, examples) -> str:
    """Writes a gzip-compressed TFRecord as ImportExampleGen does; returns its pattern."""
    import tensorflow as tf

    file.parent.mkdir(parents=True, exist_ok=True)
    with tf.io.TFRecordWriter(str(file), "GZIP") as writer:
        for one in examples:
            writer.write(one)
    return str(file.parent / "*")


@pytest.fixture(scope="session")
def records(tmp_path_factory):
    """Patterns of a training split of 24 and a validation split of 9 pictures."""
    folder = tmp_path_factory.mktemp("records")
    return SimpleNamespace(
        train=write_records(folder / "Split-train" / "data-00000-of-00001.gz", [example(i) for i in range(24)]),
        val=write_records(folder / "Split-val" / "data-00000-of-00001.gz", [example(i) for i in range(100, 109)]),
    )


@pytest.fixture(scope="session")
def splits(records, transform):
    from cxr.trainer.splits import read_split

    return SimpleNamespace(train=read_split([records.train], transform), val=read_split([records.val], transform), transform=transform)


def decode_and_resize_alone(inputs, custom_config):
    """A preprocessing_fn that decodes and resizes alone: a graph of the whole one takes long to make ready, in each pass over images."""
    import tensorflow as tf

    from cxr.trainer.preprocessing import label_to_index

    size = [custom_config["image_size"]] * 2

    def image(encoded):
        return tf.image.resize(tf.io.decode_image(encoded, channels=1, expand_animations=False), size, antialias=True) / 255

    grey = tf.map_fn(image, inputs[features.IMAGE][:, 0], fn_output_signature=tf.TensorSpec([*size, 1], tf.float32))
    return {
        features.IMAGE_TENSOR: tf.repeat(grey, 3, axis=3),
        features.LABEL_INDEX: label_to_index(inputs[features.LABEL], custom_config["class_names"]),
    }


@pytest.fixture(scope="session")
def quick():
    """That function."""
    return decode_and_resize_alone


@pytest.fixture(scope="session")
def quick_transform_dir(make_transform, raw_examples, quick):
    """`transform_dir` of such a graph, for trainings that are about something else."""
    return make_transform(raw_examples, function=quick)


@pytest.fixture(scope="session")
def quick_splits(records, quick_transform_dir):
    """The same in place of `splits`."""
    from cxr.trainer.splits import read_split
    from cxr.trainer.transform_graph import TransformGraph

    transform = TransformGraph(quick_transform_dir, CLASSES)
    return SimpleNamespace(train=read_split([records.train], transform), val=read_split([records.val], transform), transform=transform)


@pytest.fixture
def small_mobilenet(monkeypatch):
    """A small network under MobileNet's name."""
    from small_networks import shrink_mobilenet

    shrink_mobilenet(monkeypatch.setattr, monkeypatch.setitem)


@pytest.fixture
def small_efficientnet(monkeypatch):
    """The same of EfficientNets."""
    from small_networks import shrink_efficientnet

    shrink_efficientnet(monkeypatch.setitem)


LUNG = 4  # cm of lung in the way of the rays: what stands out dark


def model_config(**more) -> Model:
    """A small training of a head on a random MobileNet."""
    base = {
        "backbone": "MobileNet",
        "weights": "none",
        "bn_recalibration": "per_channel",
        "head": {"normalize": True, "dropout": 0.2},
        "head_training": {"epochs": 4, "batch_size": 5, "optimizer": {"learning_rate": 0.01}},
    }
    return Model.model_validate({**base, **more})


def chest(seed: int, size: int = 96):
    """A drawn radiograph, uint8 [size, size], and where its lungs are, bool [size, size]."""
    from cxr.data.demo import radiograph, thorax
    from cxr.data.demo.person import Person, Pose

    person = Person.draw(np.random.default_rng(seed), female=False, age=50)
    picture = radiograph.render("normal", person, 0.0, radiograph.PA, size, np.random.default_rng(seed + 1)).image
    pose = Pose.draw(np.random.default_rng(seed + 1), radiograph.PA)  # as render draws it
    canvas = radiograph.canvas_around(pose, size)
    return picture, radiograph.placed(thorax.lungs(canvas, person, pose).thickness, canvas, pose, size) > LUNG


@pytest.fixture(scope="session")
def drawn_chest():
    return chest


@pytest.fixture(scope="session")
def chest_examples(raw_examples):
    """Raw examples whose pictures are drawn radiographs, each within a wide grey frame."""
    import tensorflow as tf
    from PIL import Image

    examples = []
    for number, example in enumerate(raw_examples):
        file = io.BytesIO()
        Image.fromarray(np.pad(chest(number)[0], 12, constant_values=90)).save(file, "png")
        changed = tf.train.Example.FromString(example)
        changed.features.feature[features.IMAGE].bytes_list.value[:] = [file.getvalue()]
        examples.append(changed.SerializeToString())
    return examples


@pytest.fixture
def config():
    return model_config


@pytest.fixture
def make_example():
    return example


@pytest.fixture
def write():
    return write_records


@pytest.fixture
def stand_in_imagenet(save_as_keras_does):
    """Returns a function that makes a network with ImageNet's pixel statistics, and the file in which Keras would keep its weights."""

    def make(backbone, folder):
        import keras

        from cxr.trainer.models import backbones

        keras.utils.set_random_seed(0)  # what a test learns from the network must not hang on the tests before it
        network = backbones.build(backbone, 32)
        for layer in network.layers:
            if isinstance(layer, keras.layers.Normalization):
                layer.adapt_mean.assign([0.485, 0.456, 0.406])
                layer.adapt_variance.assign(np.square([0.229, 0.224, 0.225]))
                layer.finalize_state()
        save_as_keras_does(network, folder / backbone.weights_file)
        return network, folder / backbone.weights_file

    return make


@pytest.fixture
def passes(monkeypatch):
    """How many images each batch had that a network saw."""
    from cxr.trainer.cached_features import BatchedModel

    seen: list[int] = []
    real = BatchedModel.batch

    def counting(model, images):
        seen.append(len(images))
        return real(model, images)

    monkeypatch.setattr(BatchedModel, "batch", counting)
    return seen
