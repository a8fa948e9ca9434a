"""The training of one model: head on the frozen backbone's cached features, then fine-tuning; or all from scratch."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf

from cxr.core import progress
from cxr.core.errors import CxrError
from cxr.core.features import TRAIN, VAL
from cxr.core.folds import deal, most_folds
from cxr.core.stored_rows import Array, FloatRows
from cxr.trainer import devices, inputs
from cxr.trainer.artifact import TRAIN_OOF
from cxr.trainer.batch_statistics import recalibrate, set_statistics
from cxr.trainer.cached_features import BatchedModel, cached
from cxr.trainer.frozen_backbone import FeatureCache, FrozenBackbone
from cxr.trainer.frozen_features import FrozenFeatures, check_steadiness
from cxr.trainer.head_stage import LabelledFeatures, answers_of, train_head
from cxr.trainer.history import Row, StageHistory
from cxr.trainer.losses import from_one_source, image_weights, make_loss
from cxr.trainer.model_config import Augmentation, FineTuning, Model, Stage
from cxr.trainer.models.assembly import Assembly, assemble
from cxr.trainer.models.backbones import LAYER, all_layers
from cxr.trainer.models.heads import build_head
from cxr.trainer.models.weights import NONE, copy_weights
from cxr.trainer.out_of_fold import out_of_fold
from cxr.trainer.stages import StageData, run_stage
from cxr.trainer.training_state import fingerprint
from cxr.trainer.transform_graph import TransformGraph

SCRATCH_MOMENTUM = 0.9  # Keras's 0.99 leaves the moving statistics far behind after some hundred steps
_NO_AUGMENTATION = Augmentation()


@dataclass(frozen=True)
class Trained:
    """A trained model with its answers."""

    model: keras.Model  # computes in float32: float32 [batch, size, size, 3] in [0, 1] -> probabilities [batch, classes]
    stages: list[StageHistory]
    kept_stage: str  # whose weights the model has
    precision: str  # that it was trained in, of `devices.precision`
    weights_note: str  # what the backbone really started from, for people
    random_weights: bool  # it started from weights that were never trained
    network_size: int  # height and width of the images that the backbone gets, pixels
    probabilities: dict[str, Array]  # split, or TRAIN_OOF: [images, classes], of the images without augmentation
    features: Mapping[str, FloatRows]  # split: [images, features], what the head answered from
    state_dir: Path | None  # no longer needed once the model is written
    from_cache: dict[str, tuple[int, int]]  # split: features of the head stage that the feature cache had, and all


class Training:
    """Trains one model; `run` does it all."""

    def __init__(
        self,
        config: Model,
        transform: TransformGraph,
        train: inputs.Split,
        val: inputs.Split | None,
        *,
        name: str = "NAME",
        class_names: Sequence[str] | None = None,
        frozen: FrozenFeatures | None = None,
        state_root: Path | None = None,
        cache: FeatureCache | None = None,
        folds: int = 0,
        identity: Sequence[str] = (),
        on_epoch: Callable[[str, int, Row], None] = lambda *_: None,
    ) -> None:
        """Checks what can be checked before anything is built.

        Args:
          config: What to train and how.
          transform: Decodes the images; knows classes and size.
          train: Training split.
          val: Validation split, if there is one.
          name: Of the model in the configuration, for error messages.
          class_names: Of the labels; None: those of `transform`.
          frozen: Features that are there already; None: they are computed.
          state_root: Folder for the state of interrupted trainings; None: they start again.
          cache: Where features of frozen backbones are kept across runs; None: nowhere.
          folds: By patient, for out-of-fold answers to the training split where the backbone is frozen; 0: none.
          identity: What else tells this training from others (version of the code).
          on_epoch: See `run_stage`.

        Raises:
          CxrError: A class without training images, an empty validation split, or a monitor that needs one and there is none.
        """
        class_names = transform.class_names if class_names is None else class_names
        counts = np.bincount(train.labels, minlength=len(class_names))
        if missing := [name for name, count in zip(class_names, counts, strict=True) if not count]:
            raise CxrError(f"training split: no image of class {', '.join(missing)} among {len(train)}; add some or change class_names")
        if val is not None and not len(val):
            raise CxrError("validation split: it holds no images; add some, or leave the split out")
        config.check_monitors(f"models.{name}", has_validation=val is not None)
        self._config, self._classes, self._train, self._val = config, len(class_names), train, val
        self._size, self._decode = transform.image_size, transform.image
        self._transform, self._cache = transform, cache
        self._key, self._frozen = f"models.{name}", frozen
        self._state_root, self._on_epoch, self._folds = state_root, on_epoch, folds
        self._identity = [config.model_dump(mode="json"), list(class_names), transform.fingerprint, folds, *identity]
        self._from_one_source = from_one_source(train.labels, train.sources, class_names) if config.source_weights else {}

    def run(self) -> Trained:
        """Trains.

        Raises:
          CxrError: Weights that cannot be had, sizes that do not fit, a backbone that multiplies rounding errors, a loss that
            is no number.
        """
        for label, source in self._from_one_source.items():
            progress.report(f"{self._key}.source_weights: {label} comes from {source} alone; no weight tells the one from the other", 0)
        keras.utils.set_random_seed(self._config.seed)
        precision = devices.precision(self._config.mixed_precision)
        with devices.computing_in(precision):
            return self._run(precision)

    def _run(self, precision: str) -> Trained:
        config = self._config
        assembly = assemble(config, self._size)
        state = self._state_dir(assembly, precision)
        from_scratch = config.head_training is None and assembly.backbone.random
        cache = self._cache if config.head_training and not self._frozen else None
        frozen = FrozenBackbone(assembly, config, self._transform, cache, precision)
        # Before any training: statistics from scratch come from training itself.
        if config.bn_recalibration != "none" and not from_scratch:
            if self._frozen:
                set_statistics(assembly, self._frozen.statistics)
            else:
                frozen.recalibrate(self._train.images, state / "bn_recalibration.npz" if state else None)

        stages: list[StageHistory] = []
        probabilities: dict[str, Array] = {}
        pooled: Mapping[str, FloatRows] = {}
        if config.head_training:
            head, history, pooled, out = self._head_stage(frozen, config.head_training, state)
            probabilities = {**_answers(head, pooled), **out}
            stages.append(history)
        else:
            head = build_head(config.head, assembly.width, self._classes)
        model = assembly.with_head(head)
        kept_stage = "head"
        if config.fine_tuning:
            before = model.get_weights()
            stages.append(self._fine_tune(model, config.fine_tuning, from_scratch, state))
            if config.bn_recalibration == "per_channel" and from_scratch:
                recalibrate(assembly, config, self._train.images, self._decode)
            extractor = BatchedModel(assembly.extractor)
            tuned_features = {
                split: extractor.of(images.images, self._decode, config, f"answers for the {split} split")
                for split, images in self._splits().items()
            }
            tuned = _answers(head, tuned_features)
            if self._better(tuned, probabilities):
                kept_stage, probabilities, pooled = stages[-1].name, tuned, tuned_features
            else:
                model.set_weights(before)
        whole = self._in_float32(model, precision)
        return Trained(
            model=whole,
            stages=stages,
            kept_stage=kept_stage,
            precision=precision,
            weights_note=assembly.backbone.note,
            random_weights=assembly.backbone.random,
            network_size=assembly.network_size,
            probabilities=probabilities,
            features=pooled,
            state_dir=state,
            from_cache=frozen.from_cache,
        )

    def _better(self, tuned: dict[str, Array], before: dict[str, Array]) -> bool:
        """Tells whether fine-tuning lowered the validation loss; without that split or a head stage there is nothing to compare."""
        if self._val is None or not before:
            return True
        loss = make_loss(self._config.loss)
        after, earlier = (float(loss(self._one_hot(self._val), answers[VAL])) for answers in (tuned, before))
        if after >= earlier:
            progress.report(f"validation loss {after:.4f} after fine-tuning, {earlier:.4f} before: the model is kept as it was before", 0)
        return after < earlier

    def _head_stage(
        self, frozen: FrozenBackbone, stage: Stage, state: Path | None
    ) -> tuple[keras.Model, StageHistory, dict[str, FloatRows], dict[str, Array]]:
        """Returns the head, its training, the features by split, and out-of-fold answers under TRAIN_OOF where there are any."""
        config, train = self._config, self._train
        frozen.assembly.backbone.network.trainable = False
        pooled = self._frozen.features if self._frozen else self._frozen_features(frozen, state)
        features = pooled[TRAIN]
        train_features = LabelledFeatures(features, train.labels, train.sources)
        val_features = LabelledFeatures(pooled[VAL], self._val.labels, self._val.sources) if self._val else None
        head, history = train_head(
            config,
            stage,
            self._classes,
            train_features,
            val_features,
            state_dir=state and state / "head",
            on_epoch=self._on_epoch,
        )
        answered_from = {split: pooled[split][0] for split in self._splits()}
        if self._folds and config.fine_tuning is None:
            # Fewer where a class has fewer patients; of one nothing can be left out.
            folds = min(self._folds, most_folds(train.labels, train.patients))
            if folds > 1:
                dealt = deal(train.labels, train.patients, folds, config.seed)
                file = state / "out_of_fold.npz" if state else None
                (out,) = cached(file, lambda: [out_of_fold(config, stage, self._classes, train_features, val_features, dealt)])
                return head, history, answered_from, {TRAIN_OOF: out}
        return head, history, answered_from, {}

    def _frozen_features(self, frozen: FrozenBackbone, state: Path | None) -> Mapping[str, FloatRows]:
        """Runs the backbone; see `FrozenFeatures.features`."""
        train = self._train
        check_steadiness(frozen, train.images, self._key)
        return {
            split: frozen.features(
                images.images,
                split,
                state / f"features_{split}.float32" if state else None,
                variants=self._config.augmentation.variants if images is train else 0,
            )
            for split, images in self._splits().items()
        }

    def _fine_tune(self, model: keras.Model, stage: FineTuning, from_scratch: bool, state: Path | None) -> StageHistory:
        """Trains backbone and head in place; only this stage runs on several devices."""
        strategy = devices.mirrored(stage.batch_size) if self._config.all_gpus else None
        with strategy.scope() if strategy else contextlib.nullcontext():
            # Variables belong to the strategy under which they were made: the rest of the training wants ordinary ones.
            learner = self._rebuilt(model) if strategy else model
            set_trainable(learner.get_layer(LAYER), stage.last_layers, from_scratch)
            name = "from scratch" if from_scratch else "fine-tuning"
            data = self._image_batches(stage, strategy.num_replicas_in_sync if strategy else 1)
            folder = state and state / "fine_tuning"
            history = run_stage(
                name, learner, stage, self._config.loss, data, setting="fine_tuning", state_dir=folder, on_epoch=self._on_epoch
            )
        if strategy:
            copy_weights(learner, model)
        return history

    def _image_batches(self, stage: Stage, replicas: int) -> StageData:
        """Batches of the whole network.

        Among several devices the batches are full: one that gets nothing of a small last batch would make NaN of every weight. What fills
        them up weighs nothing; only the training loss and accuracy of the history count the last batch as a whole one.
        """
        val = None
        if self._val:
            images = inputs.in_order(*inputs.decoded_once(self._val.images, self._decode), augmentation=_NO_AUGMENTATION)
            val = tf.data.Dataset.zip((images, tf.data.Dataset.from_tensor_slices(self._one_hot(self._val))))
            val = val.batch(devices.validation_batch(len(self._val), stage.batch_size, replicas)).prefetch(2)
        return StageData(
            lambda first: inputs.image_epochs(
                self._train,
                self._classes,
                self._decode,
                self._config.augmentation,
                self._order(stage, first, full=replicas > 1),
                image_weights(self._config, self._train.labels, self._train.sources, self._classes),
            ),
            inputs.steps_per_epoch(len(self._train), stage.batch_size),
            val,
        )

    def _state_dir(self, assembly: Assembly, precision: str) -> Path | None:
        if self._state_root is None:
            return None
        data = [array for split in self._splits().values() for array in (split.content_hash, split.labels, split.patients, split.sources)]
        weights = [] if assembly.backbone.random else assembly.backbone.network.get_weights()
        return self._state_root / fingerprint([*self._identity, devices.computed_by(precision), assembly.backbone.note, *data, *weights])

    def _in_float32(self, model: keras.Model, precision: str) -> keras.Model:
        if devices.policy(precision) == devices.FLOAT32:
            return model
        with devices.computing_in(devices.FLOAT32):
            return self._rebuilt(model)

    def _rebuilt(self, model: keras.Model) -> keras.Model:
        """Returns a model of its own variables with the same weights, in the precision and under the strategy that now hold."""
        assembly = assemble(self._config.model_copy(update={"weights": NONE}), self._size)
        copy = assembly.with_head(build_head(self._config.head, assembly.width, self._classes))
        copy_weights(model, copy)
        return copy

    def _order(self, stage: Stage, first: int, *, full: bool = False) -> inputs.EpochOrder:
        return inputs.EpochOrder(first, stage.epochs, stage.batch_size, self._config.seed, full)

    def _splits(self) -> dict[str, inputs.Split]:
        return {TRAIN: self._train, **({VAL: self._val} if self._val else {})}

    def _one_hot(self, split: inputs.Split) -> Array:
        return np.eye(self._classes, dtype=np.float32)[split.labels]


def _answers(head: keras.Model, pooled: Mapping[str, FloatRows]) -> dict[str, Array]:
    """Returns what the head makes of features, by split."""
    return {split: answers_of(head, x) for split, x in pooled.items()}


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
