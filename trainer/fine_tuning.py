"""Fine-tuning: backbone and head learn together, from images; or all of them from scratch."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf

from cxr.trainer import decoded_images, devices, image_epochs, splits
from cxr.trainer.history import Row, StageHistory
from cxr.trainer.losses import image_weights
from cxr.trainer.model_config import Augmentation, FineTuning, Model
from cxr.trainer.models.assembly import copy_of
from cxr.trainer.models.backbones import LAYER, all_layers
from cxr.trainer.models.weights import copy_weights
from cxr.trainer.stages import StageData, run_stage
from cxr.trainer.transform_graph import TransformGraph

SCRATCH_MOMENTUM = 0.9  # Keras's 0.99 leaves the moving statistics far behind after some hundred steps
_NO_AUGMENTATION = Augmentation()


@dataclass(frozen=True)
class Lesson:
    """What a whole network learns, and from what.

    Attributes:
      config: Of the model: its stage of fine-tuning, loss, augmentation, weights of classes and sources, seed, devices.
      transform: Decodes the images; knows their size.
      train: Training split.
      val: Validation split; None: there is none.
      classes: How many.
      from_scratch: The network starts from weights that were never trained, and all layers learn.
    """

    config: Model
    transform: TransformGraph
    train: splits.Split
    val: splits.Split | None
    classes: int
    from_scratch: bool

    @property
    def stage(self) -> FineTuning:
        """How long, how fast, and which layers."""
        assert self.config.fine_tuning is not None
        return self.config.fine_tuning


def fine_tune(
    model: keras.Model, lesson: Lesson, state_dir: Path | None = None, on_epoch: Callable[[str, int, Row], None] = lambda *_: None
) -> StageHistory:
    """Trains backbone and head in place; only this stage runs on several devices.

    Args:
      model: Of `Assembly.with_head`.
      lesson: What it learns.
      state_dir: See `run_stage`.
      on_epoch: See `run_stage`.

    Raises:
      CxrError: See `run_stage`.
    """
    config, stage = lesson.config, lesson.stage
    strategy = devices.mirrored(stage.batch_size) if config.all_gpus else None
    with strategy.scope() if strategy else contextlib.nullcontext():
        # Variables belong to the strategy under which they were made: the rest of the training wants ordinary ones.
        learner = copy_of(model, config, lesson.transform.image_size, lesson.classes) if strategy else model
        set_trainable(learner.get_layer(LAYER), stage.last_layers, lesson.from_scratch)
        name = "from scratch" if lesson.from_scratch else "fine-tuning"
        data = _batches(lesson, strategy.num_replicas_in_sync if strategy else 1)
        history = run_stage(name, learner, stage, config.loss, data, setting="fine_tuning", state_dir=state_dir, on_epoch=on_epoch)
    if strategy:
        copy_weights(learner, model)
    return history


def set_trainable(network: keras.Model, last_layers: int | None, from_scratch: bool) -> None:
    """Chooses what learns.

    Batch normalisation of a trained backbone stays as it is, in inference mode: batches of 16 of another kind of picture would overwrite
    statistics (and scales that fit them) that come from a million images. From scratch it has to learn.

    Args:
      network: The backbone; layers of nested models count as its own.
      last_layers: How many of them learn; None: all.
      from_scratch: It starts from weights that were never trained, and all layers learn.
    """
    network.trainable = True
    layers = list(all_layers(network))
    for number, layer in enumerate(layers):
        is_batch_norm = isinstance(layer, keras.layers.BatchNormalization)
        if from_scratch:
            if is_batch_norm:
                layer.momentum = SCRATCH_MOMENTUM
        else:
            layer.trainable = not is_batch_norm and (last_layers is None or number >= len(layers) - last_layers)


def _batches(lesson: Lesson, replicas: int) -> StageData:
    """Batches of images.

    Among several devices the batches are full: one that gets nothing of a small last batch would make NaN of every weight. What fills
    them up weighs nothing; only the training loss and accuracy of the history count the last batch as a whole one.
    """
    config, stage, train, decode = lesson.config, lesson.stage, lesson.train, lesson.transform.image
    val = None
    if lesson.val:
        images = decoded_images.in_order(*image_epochs.decoded_once(lesson.val.images, decode), augmentation=_NO_AUGMENTATION)
        one_hot = np.eye(lesson.classes, dtype=np.float32)[lesson.val.labels]
        val = tf.data.Dataset.zip((images, tf.data.Dataset.from_tensor_slices(one_hot)))
        val = val.batch(devices.validation_batch(len(lesson.val), stage.batch_size, replicas)).prefetch(2)
    return StageData(
        lambda first: image_epochs.image_epochs(
            train,
            lesson.classes,
            decode,
            config.augmentation,
            image_epochs.EpochOrder(first, stage.epochs, stage.batch_size, config.seed, full=replicas > 1),
            image_weights(config, train.labels, train.sources, lesson.classes),
        ),
        image_epochs.steps_per_epoch(len(train), stage.batch_size),
        val,
    )
