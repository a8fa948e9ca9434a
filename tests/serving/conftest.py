"""A small model with the signature, the outputs and the error texts of the real ones, on a real embedded server."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from cxr.core import features
from cxr.data.images.reader import MAX_SIDE
from cxr.serving.server.options import Batching
from cxr.serving.server.process import start_server


def save_model(
    folder: Path,
    favourite: int = 0,
    members: tuple[str, ...] = ("densenet201", "mobilenet"),
    max_side: int | None = None,
    synthetic: bool | None = None,
    rules: int = 1,
    coverage: float | None = None,
) -> None:
    """Writes a SavedModel: dark images are of the class `favourite`, bright ones of the next. With `max_side` it says how to read them,
    with `synthetic` what it learnt from, with `coverage` what its conformal sets were made to hold."""
    import tensorflow as tf

    told = {features.MAX_SIDE: max_side or 0, **({features.READING_RULES: rules} if rules > 1 else {})}

    predicted_class = tf.constant([features.PREDICTED_CLASS], tf.int64)

    class Model(tf.Module):
        @tf.function(input_signature=[tf.TensorSpec([None], tf.string, name=features.SIGNATURE_BYTES)])
        def image_bytes(self, image_bytes: tf.Tensor) -> dict[str, tf.Tensor]:
            def brightness(image: tf.Tensor) -> tf.Tensor:
                return tf.reduce_mean(tf.cast(tf.io.decode_image(image, channels=1, expand_animations=False), tf.float32)) / 255.0

            bright = tf.map_fn(brightness, image_bytes, fn_output_signature=tf.float32)
            return self._outputs(bright)

        @tf.function(
            input_signature=[
                tf.TensorSpec([None], tf.string, name=features.SIGNATURE_BYTES),
                tf.TensorSpec([None], tf.int64, name=features.CLASS_INDEX),
            ]
        )
        def gradcam(self, image_bytes: tf.Tensor, class_index: tf.Tensor = predicted_class) -> dict[str, tf.Tensor]:
            outputs = self.image_bytes(image_bytes)
            predicted = tf.argmax(outputs[features.PROBABILITIES], axis=1)
            explained = tf.where(class_index < 0, predicted, class_index)
            # The last class has no evidence anywhere, the others in the upper left quarter.
            some = tf.cast(explained < len(features.CLASS_NAMES) - 1, tf.float32)[:, None, None]
            heat = some * tf.constant([[[1.0, 0.0], [0.0, 0.0]]])
            return {
                **outputs,
                features.HEAT_MAP: heat,
                features.EXPLAINED_CLASS: explained,
                features.HEAT_MAP_EMPTY: some[:, 0, 0] == 0,
                **{features.MEMBER_HEAT_MAP.format(member=member): heat for member in members},
            }

        @tf.function(input_signature=[tf.TensorSpec([None, 8, 8, 3], tf.float32, name=features.SIGNATURE_TENSOR)])
        def image_tensor(self, image_tensor: tf.Tensor) -> dict[str, tf.Tensor]:
            return self._outputs(tf.reduce_mean(image_tensor, [1, 2, 3]))

        @tf.function(input_signature=[tf.TensorSpec([None], tf.string, name=features.SIGNATURE_READING)])
        def image_reading(self, image_reading: tf.Tensor) -> dict[str, tf.Tensor]:
            facts = {name: tf.constant(value, tf.int64) for name, value in told.items()}
            if synthetic is not None:
                facts[features.LEARNT_FROM_SYNTHETIC] = tf.constant(synthetic)
            if coverage is not None:
                facts[features.CONFORMAL_COVERAGE] = tf.constant(coverage, tf.float32)
            return {key: tf.fill(tf.shape(image_reading), value) for key, value in facts.items()}

        def _outputs(self, bright: tf.Tensor) -> dict[str, tf.Tensor]:
            classes = tf.constant(features.CLASS_NAMES)
            shares = tf.stack([1.0 - bright, bright, tf.zeros_like(bright)], axis=1)
            shares = tf.roll(shares, favourite, axis=1)
            outputs = {
                features.PROBABILITIES: shares,
                features.PREDICTED_LABEL: tf.gather(classes, tf.argmax(shares, axis=1)),
                features.OUTPUT_CLASS_NAMES: tf.tile(classes[None, :], [tf.shape(bright)[0], 1]),
            }
            if members:  # as an ensemble of today; a model by itself is as one of version 0.1
                outputs[features.UNLIKE_TRAINING] = bright
                outputs[features.OUTSIDE] = bright > features.UNLIKE_BORDER
                outputs[features.CONFORMAL_SET] = shares >= 0.25
            for member in members:
                outputs[features.MEMBER_PROBABILITIES.format(member=member)] = shares
            return outputs

    model = Model()
    signatures = {features.SIGNATURE_BYTES: model.image_bytes, features.SIGNATURE_TENSOR: model.image_tensor}
    if members:  # the model by itself is as one of an older version
        signatures[features.SIGNATURE_GRADCAM] = model.gradcam
    if max_side is not None:
        signatures[features.SIGNATURE_READING] = model.image_reading
    tf.saved_model.save(model, str(folder), signatures=signatures)


def make_png(level: int, size: int = 8) -> bytes:
    """Returns a grey PNG whose mean is a level in [1, 254]; from 4 to 251 not blank, which the reader of image files refuses."""
    swing = min(4, level, 255 - level)
    pixels = np.full((size, size), level, np.uint8)
    pixels[: size // 2] += swing
    pixels[size // 2 :] -= swing
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    return buffer.getvalue()


@pytest.fixture(scope="session")
def png() -> Callable[..., bytes]:
    return make_png


@pytest.fixture(scope="session")
def write_model() -> Callable[..., None]:
    return save_model


@pytest.fixture(scope="session")
def small_models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of models as the Pusher leaves it: ensemble 1 and 2 (which disagree), mobilenet 7."""
    root = tmp_path_factory.mktemp("models")
    save_model(root / "ensemble" / "1", favourite=0)
    save_model(root / "ensemble" / "2", favourite=1, max_side=MAX_SIDE, coverage=0.8)
    save_model(root / "mobilenet" / "7", members=(), max_side=20, synthetic=True)
    return root


@pytest.fixture(scope="session")
def small_server(small_models: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Address of an embedded server of these models, the latest version of each, and of three more; batches of 8 at most.

    mobilenet learnt from synthetic images, `real` from real ones, ensemble does not say it, `older` says nothing; `future` learnt from
    images read by other rules.
    """
    models = {name: small_models / name for name in ("ensemble", "mobilenet")}
    for name, max_side, synthetic, rules in (("real", 20, False, 1), ("older", None, None, 1), ("future", 20, False, 99)):
        models[name] = tmp_path_factory.mktemp(name)
        save_model(models[name] / "1", max_side=max_side, synthetic=synthetic, rules=rules)
    with start_server(models, batching=Batching(max_batch_size=8)) as running:
        yield running.address
