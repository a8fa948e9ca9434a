"""Training beside Keras's own ways, with a MobileNet of random weights: the head on a frozen backbone, and a step of fine-tuning."""

from __future__ import annotations

from contextlib import ExitStack

import keras
import numpy as np
import tensorflow as tf
from gpu_steps import step_seconds

from bench.data import SIZE, SPLIT, Data, mobilenet
from bench.row import FLOOR, Done, Round, Row, Side, timed
from cxr.core import features
from cxr.trainer import decoded_images, splits
from cxr.trainer.fine_tuning import set_trainable
from cxr.trainer.losses import make_loss, make_optimizer
from cxr.trainer.model_config import FineTuning
from cxr.trainer.models.assembly import assemble
from cxr.trainer.models.backbones import LAYER
from cxr.trainer.models.heads import build_head
from cxr.trainer.training import Training
from cxr.trainer.transform_graph import TransformGraph

EPOCHS, BATCH = 8, 16  # of the head
STEPS, STEP_BATCH = 6, 8  # of fine-tuning
CLASSES = len(features.CLASS_NAMES)


def head_on_features(data: Data, stack: ExitStack) -> Round:
    """As a run trains: each image through the backbone once, the head on what that yields; the check of the backbone included."""
    transform, split = _split(data)
    return lambda: timed(Training(mobilenet(EPOCHS), transform, split, None).run, EPOCHS * len(split))


def head_by_passes(data: Data, stack: ExitStack) -> Round:
    """As the tutorials train: `fit` of the whole network with a frozen backbone; the images are decoded once."""
    transform, split = _split(data)
    decoded = _decoded(split, transform).batch(BATCH).prefetch(tf.data.AUTOTUNE)

    def train() -> None:
        network = _network()
        network.get_layer(LAYER).trainable = False
        network.compile(keras.optimizers.Adam(1e-4), "categorical_crossentropy", metrics=["accuracy"], jit_compile=False)
        network.fit(decoded, epochs=EPOCHS, verbose=0)

    return lambda: timed(train, EPOCHS * len(split))


def one_pass(data: Data, stack: ExitStack) -> Round:
    """What no training of a head can do without: building the backbone, and `predict` of each image once."""
    transform, split = _split(data)
    decoded = _decoded(split, transform).batch(2 * BATCH).prefetch(tf.data.AUTOTUNE)
    return lambda: timed(lambda: assemble(mobilenet(1), SIZE).extractor.predict(decoded, verbose=0), EPOCHS * len(split))


def fine_tuning(data: Data, stack: ExitStack) -> Round:
    """As a run fine-tunes: `run_stage`; epochs after the one that traces."""
    network, batch = _learner(data)
    again = tf.data.Dataset.from_tensors(batch).repeat().prefetch(2)
    stage = FineTuning(epochs=2, batch_size=STEP_BATCH)
    return lambda: Done(STEPS, STEPS * step_seconds(mobilenet(1), network, stage, again, STEPS)[0])


def on_batches(data: Data, stack: ExitStack) -> Round:
    """Keras's train_on_batch."""
    network, (images, labels) = _learner(data)
    model, stage = mobilenet(1), FineTuning()
    network.compile(make_optimizer(stage.optimizer), make_loss(model.loss), metrics=["accuracy"], jit_compile=False)
    return lambda: timed(lambda: [network.train_on_batch(images, labels) for _ in range(STEPS)], STEPS)


def bare(data: Data, stack: ExitStack) -> Round:
    """A tf.function with a gradient tape: loss, gradients, update, and nothing else."""
    network, (images, labels) = _learner(data)
    loss, optimizer = make_loss(mobilenet(1).loss), make_optimizer(FineTuning().optimizer)
    optimizer.build(network.trainable_variables)

    @tf.function(autograph=False)
    def step() -> tf.Tensor:
        with tf.GradientTape() as tape:
            value = loss(labels, network(images, training=True))
        optimizer.apply(tape.gradient(value, network.trainable_variables), network.trainable_variables)
        return value

    return lambda: timed(lambda: [step().numpy() for _ in range(STEPS)], STEPS)


def _split(data: Data) -> tuple[TransformGraph, splits.Split]:
    transform = TransformGraph(str(data.transform()), features.CLASS_NAMES)
    return transform, splits.read_split([f"{data.records()}/{SPLIT}/*"], transform)


def _decoded(split: splits.Split, transform: TransformGraph) -> tf.data.Dataset:
    images = decoded_images.in_order(split.images, transform.image, augmentation=mobilenet(1).augmentation)
    return tf.data.Dataset.zip((images, tf.data.Dataset.from_tensor_slices(tf.one_hot(split.labels, CLASSES)))).cache()


def _network() -> keras.Model:
    model = mobilenet(1)
    assembly = assemble(model, SIZE)
    return assembly.with_head(build_head(model.head, assembly.width, CLASSES))


def _learner(data: Data) -> tuple[keras.Model, tuple[tf.Tensor, tf.Tensor]]:
    """Returns a network all of which learns, and a batch for it."""
    transform, split = _split(data)
    network = _network()
    set_trainable(network.get_layer(LAYER), None, from_scratch=False)
    return network, next(iter(_decoded(split.take(np.arange(STEP_BATCH)), transform).batch(STEP_BATCH)))


HEAD_ROW = Row(
    "head",
    f"a head on a frozen MobileNet, {EPOCHS} epochs, from building to trained",
    "images/s in each epoch",
    Data.transform,
    Side("cached features", head_on_features),
    (Side("a pass in each epoch (Keras fit)", head_by_passes, EPOCHS / 4), Side("one pass alone", one_pass, FLOOR)),
    warm_up=False,
)
STEP_ROW = Row(
    "fine-tuning",
    f"a step of MobileNet, {STEP_BATCH} decoded images",
    "steps/s",
    Data.transform,
    Side("run_stage", fine_tuning),
    (Side("train_on_batch", on_batches, 0.9), Side("bare tf.function", bare, 0.9)),
)
