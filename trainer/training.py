"""The training of one model: head on the frozen backbone's cached features, then fine-tuning; or all from scratch."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import keras
import numpy as np
import numpy.typing as npt
import tensorflow as tf

from cxr.core.errors import CxrError
from cxr.trainer import inputs
from cxr.trainer.cached_features import apply_in_batches, cached
from cxr.trainer.losses import balanced_class_weights
from cxr.trainer.model_config import Augmentation, FineTuning, Model, Stage
from cxr.trainer.models import bn_recalibration
from cxr.trainer.models.assembly import Assembly, assemble
from cxr.trainer.models.heads import build_head
from cxr.trainer.models.weights import copy_weights
from cxr.trainer.stages import StageData, StageHistory, run_stage
from cxr.trainer.training_state import Row, fingerprint

SCRATCH_MOMENTUM = 0.9  # Keras's 0.99 leaves the moving statistics far behind after some hundred steps
_NO_AUGMENTATION = Augmentation()
Array = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Trained:
    """A trained model with its answers."""

    model: keras.Model  # computes in float32: float32 [batch, size, size, 3] in [0, 1] -> probabilities [batch, classes]
    stages: list[StageHistory]
    weights_note: str
    probabilities: dict[str, Array]  # split: [images, classes], of the images without augmentation
    state_dir: Path | None  # no longer needed once the model is written


class Training:
    """Trains one model; `run` does it all."""

    def __init__(
        self,
        config: Model,
        class_names: Sequence[str],
        image_size: int,
        train: inputs.Split,
        val: inputs.Split | None,
        *,
        state_root: Path | None = None,
        identity: Sequence[str] = (),
        on_epoch: Callable[[str, int, Row], None] = lambda *_: None,
    ) -> None:
        """Checks what can be checked before anything is built.

        Args:
          config: What to train and how.
          class_names: In the order of the indices.
          image_size: Height and width of the model's input, pixels.
          train: Training split.
          val: Validation split, if there is one.
          state_root: Folder for the state of interrupted trainings; None: they start again.
          identity: What else tells this training from others (version of the code).
          on_epoch: See `run_stage`.

        Raises:
          CxrError: A class without training images, or an empty validation split.
        """
        counts = np.bincount(train.labels, minlength=len(class_names))
        if missing := [name for name, count in zip(class_names, counts, strict=True) if not count]:
            raise CxrError(f"training split: no image of class {', '.join(missing)} among {len(train)}; add some or change class_names")
        if val is not None and not len(val):
            raise CxrError("validation split: it holds no images; add some, or leave the split out")
        self._config, self._classes, self._size, self._train, self._val = config, len(class_names), image_size, train, val
        self._state_root, self._on_epoch = state_root, on_epoch
        self._identity = [config.model_dump(mode="json"), list(class_names), image_size, *identity, keras.__version__, tf.__version__]
        self._class_weights = balanced_class_weights(train.labels, self._classes) if config.class_weights else None

    def run(self) -> Trained:
        """Trains.

        Raises:
          CxrError: Weights that cannot be had, sizes that do not fit, a monitor without its split, a loss that is no number.
        """
        keras.utils.set_random_seed(self._config.seed)
        with _precision(self._config.mixed_precision), _strategy(self._config.all_gpus).scope():
            return self._run()

    def _run(self) -> Trained:
        config = self._config
        assembly = assemble(config, self._size)
        state = self._state_dir(assembly)
        from_scratch = config.head_training is None and assembly.backbone.random
        # Before any training: statistics from scratch come from training itself.
        if config.bn_recalibration != "none" and not from_scratch:
            self._recalibrate(assembly, state / "bn_recalibration.npy" if state else None)

        stages: list[StageHistory] = []
        probabilities: dict[str, Array] = {}
        if config.head_training:
            head, history, probabilities = self._head_stage(assembly, config.head_training, state)
            stages.append(history)
        else:
            head = build_head(config.head, assembly.width, self._classes)
        model = assembly.with_head(head)
        if config.fine_tuning:
            stages.append(self._fine_tune(model, assembly, config.fine_tuning, from_scratch, state))
            if config.bn_recalibration == "per_channel" and from_scratch:
                self._recalibrate(assembly, None)
            probabilities = {
                split: apply_in_batches(model, self._in_order(images), len(images), f"answers for the {split} split")
                for split, images in self._splits().items()
            }
        return Trained(self._in_float32(model), stages, assembly.backbone.note, probabilities, state)

    def _head_stage(self, assembly: Assembly, stage: Stage, state: Path | None) -> tuple[keras.Model, StageHistory, dict[str, Array]]:
        config, train = self._config, self._train
        assembly.backbone.network.trainable = False
        copies = 1 + config.augmentation.variants
        pooled = {
            split: cached(
                state / f"features_{split}.npy" if state else None,
                lambda images=images, passes=copies if images is train else 1, split=split: apply_in_batches(  # type: ignore[misc]
                    assembly.extractor, self._in_order(images, passes - 1), passes * len(images), f"{config.backbone}, {split} images"
                ),
            )
            for split, images in self._splits().items()
        }
        features = pooled["train"].reshape(copies, len(train), assembly.width)
        head = build_head(config.head, assembly.width, self._classes, features[0])
        val = self._val and tf.data.Dataset.from_tensor_slices((pooled["val"], self._one_hot(self._val))).batch(256)
        data = StageData(
            lambda first: inputs.feature_epochs(features, train.labels, self._classes, self._order(stage, first)),
            inputs.steps_per_epoch(len(train), stage.batch_size),
            val,
            self._class_weights,
        )
        history = run_stage("head", head, stage, config.loss, data, state_dir=state and state / "head", on_epoch=self._on_epoch)
        answers = {"train": features[0], **({"val": pooled["val"]} if self._val else {})}
        return head, history, {split: head.predict(x, batch_size=256, verbose=0) for split, x in answers.items()}

    def _fine_tune(self, model: keras.Model, assembly: Assembly, stage: FineTuning, from_scratch: bool, state: Path | None) -> StageHistory:
        network = assembly.backbone.network
        _set_trainable(network, stage.last_layers, from_scratch)
        config = self._config
        val = self._val and tf.data.Dataset.zip(
            (self._in_order(self._val), tf.data.Dataset.from_tensor_slices(self._one_hot(self._val)))
        ).batch(stage.batch_size).prefetch(2)
        data = StageData(
            lambda first: inputs.image_epochs(self._train, self._classes, self._size, config.augmentation, self._order(stage, first)),
            inputs.steps_per_epoch(len(self._train), stage.batch_size),
            val,
            self._class_weights,
        )
        name = "from scratch" if from_scratch else "fine-tuning"
        return run_stage(name, model, stage, config.loss, data, state_dir=state and state / "fine_tuning", on_epoch=self._on_epoch)

    def _recalibrate(self, assembly: Assembly, file: Path | None) -> None:
        network = assembly.backbone.network
        layers = bn_recalibration.batch_norm_layers(network)

        def statistics() -> Array:
            chosen = np.random.default_rng(self._config.seed).permutation(len(self._train))[: bn_recalibration.MAX_IMAGES]
            size = min(bn_recalibration.BATCH, len(chosen))
            batches = len(chosen) // size  # all of one size: the rest is left out
            images = inputs.in_order(self._train.images[chosen], self._size, augmentation=_NO_AUGMENTATION).batch(size, drop_remainder=True)
            if self._config.bn_recalibration == "per_layer":
                bn_recalibration.recalibrate_layers(assembly.extractor, network, next(iter(images)))
            else:
                bn_recalibration.recalibrate_channels(assembly.extractor, network, images, batches)
            return np.concatenate([np.ravel(v) for layer in layers for v in (layer.moving_mean, layer.moving_variance)])

        flat, begin = cached(file, statistics), 0
        for layer in layers:
            for variable in (layer.moving_mean, layer.moving_variance):
                end = begin + variable.shape[0]
                variable.assign(flat[begin:end])
                begin = end

    def _state_dir(self, assembly: Assembly) -> Path | None:
        if self._state_root is None:
            return None
        data = [array for split in self._splits().values() for array in (split.content_hash, split.labels)]
        weights = [] if assembly.backbone.random else assembly.backbone.network.get_weights()
        return self._state_root / fingerprint([*self._identity, assembly.backbone.note, *data, *weights])

    def _in_float32(self, model: keras.Model) -> keras.Model:
        if not self._config.mixed_precision:
            return model
        with _precision(False):
            bare = self._config.model_copy(update={"weights": "none"})
            assembly = assemble(bare, self._size)
            copy = assembly.with_head(build_head(bare.head, assembly.width, self._classes))
            copy_weights(model, copy)
        return copy

    def _in_order(self, split: inputs.Split, variants: int = 0) -> tf.data.Dataset:
        return inputs.in_order(split.images, self._size, augmentation=self._config.augmentation, variants=variants, seed=self._config.seed)

    def _order(self, stage: Stage, first: int) -> inputs.Order:
        return inputs.Order(first, stage.epochs, stage.batch_size, self._config.seed)

    def _splits(self) -> dict[str, inputs.Split]:
        return {"train": self._train, **({"val": self._val} if self._val else {})}

    def _one_hot(self, split: inputs.Split) -> Array:
        return np.eye(self._classes, dtype=np.float32)[split.labels]


def _set_trainable(network: keras.Model, last_layers: int | None, from_scratch: bool) -> None:
    """Chooses what learns.

    Batch normalisation of a trained backbone stays as it is, in inference mode: batches of 16 of another kind of picture would overwrite
    statistics (and scales that fit them) that come from a million images. From scratch it has to learn.
    """
    network.trainable = True
    for number, layer in enumerate(network.layers):
        is_batch_norm = isinstance(layer, keras.layers.BatchNormalization)
        if from_scratch:
            if is_batch_norm:
                layer.momentum = SCRATCH_MOMENTUM
        else:
            layer.trainable = not is_batch_norm and (last_layers is None or number >= len(network.layers) - last_layers)


@contextlib.contextmanager
def _precision(mixed: bool) -> Iterator[None]:
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy("mixed_float16" if mixed else "float32")
    try:
        yield
    finally:
        keras.config.set_dtype_policy(before)


def _strategy(all_gpus: bool) -> tf.distribute.Strategy:
    if all_gpus and len(tf.config.list_logical_devices("GPU")) > 1:
        return tf.distribute.MirroredStrategy()
    return tf.distribute.get_strategy()
