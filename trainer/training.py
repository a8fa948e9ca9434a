"""The training of one model: head on the frozen backbone's cached features, then fine-tuning; or all from scratch."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import KW_ONLY, dataclass
from pathlib import Path

import keras
import numpy as np

from cxr.core import fingerprints, progress
from cxr.core.errors import CxrError
from cxr.core.features import TRAIN, VAL
from cxr.core.folds import deal, most_folds
from cxr.core.stored_rows import Array, FloatRows
from cxr.trainer import devices, splits
from cxr.trainer.artifact import TRAIN_OOF
from cxr.trainer.batch_statistics import recalibrate, set_statistics
from cxr.trainer.cached_features import BatchedModel, cached
from cxr.trainer.fine_tuning import Lesson, fine_tune
from cxr.trainer.frozen_backbone import FeatureCache, FrozenBackbone
from cxr.trainer.frozen_features import FrozenFeatures, check_steadiness
from cxr.trainer.head_stage import LabelledFeatures, answers_of, train_head
from cxr.trainer.history import Row, StageHistory
from cxr.trainer.losses import from_one_source, make_loss
from cxr.trainer.model_config import Model, Stage
from cxr.trainer.models.assembly import Assembly, assemble, copy_of
from cxr.trainer.models.heads import build_head
from cxr.trainer.out_of_fold import out_of_fold
from cxr.trainer.state_folder import States
from cxr.trainer.transform_graph import TransformGraph


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
    state_dir: Path | None  # no longer needed once the model is written; None: there is none
    from_cache: dict[str, tuple[int, int]]  # split: features of the head stage that the feature cache had, and all


@dataclass(frozen=True)
class Training:
    """Trains one model; `run` does it all. What can be checked before anything is built is checked when it is made.

    Attributes:
      config: What to train and how.
      transform: Decodes the images; knows classes and size.
      train: Training split.
      val: Validation split; None: there is none.
      name: Of the model in the configuration, for error messages.
      class_names: Of the labels; None: those of `transform`.
      frozen: Features that are there already; None: they are computed.
      states: Where the state of an interrupted training is; None: it starts again.
      cache: Where features of frozen backbones are kept across runs; None: nowhere.
      folds: By patient, for out-of-fold answers to the training split where the backbone is frozen; 0: none.
      identity: What else tells this training from others (version of the code).
      on_epoch: See `run_stage`.

    Raises:
      CxrError: A class without training images, an empty validation split, or a monitor that needs one and there is none.
    """

    config: Model
    transform: TransformGraph
    train: splits.Split
    val: splits.Split | None
    _: KW_ONLY
    name: str = "NAME"
    class_names: Sequence[str] | None = None
    frozen: FrozenFeatures | None = None
    states: States | None = None
    cache: FeatureCache | None = None
    folds: int = 0
    identity: Sequence[str] = ()
    on_epoch: Callable[[str, int, Row], None] = lambda *_: None

    def __post_init__(self) -> None:
        counts = np.bincount(self.train.labels, minlength=len(self._classes))
        if missing := [name for name, count in zip(self._classes, counts, strict=True) if not count]:
            raise CxrError(
                f"training split: no image of class {', '.join(missing)} among {len(self.train)}; add some or change class_names"
            )
        if self.val is not None and not len(self.val):
            raise CxrError("validation split: it holds no images; add some, or leave the split out")
        self.config.check_monitors(self._setting, has_validation=self.val is not None)

    def run(self) -> Trained:
        """Trains.

        Raises:
          CxrError: Weights that cannot be had, sizes that do not fit, a backbone that multiplies rounding errors, a loss that
            is no number.
        """
        train = self.train
        one_source = from_one_source(train.labels, train.sources, self._classes) if self.config.source_weights else {}
        for label, source in one_source.items():
            progress.report(f"{self._setting}.source_weights: {label} comes from {source} alone; no weight tells the one from the other", 0)
        keras.utils.set_random_seed(self.config.seed)
        precision = devices.precision(self.config.mixed_precision)
        with devices.computing_in(precision):
            return self._run(precision)

    def _run(self, precision: str) -> Trained:
        config = self.config
        assembly = assemble(config, self.transform.image_size)
        state = self._state_dir(assembly, precision)
        from_scratch = config.head_training is None and assembly.backbone.random
        cache = self.cache if config.head_training and not self.frozen else None
        frozen = FrozenBackbone(assembly, config, self.transform, cache, precision)
        # Before any training: statistics from scratch come from training itself.
        if config.bn_recalibration != "none" and not from_scratch:
            if self.frozen:
                set_statistics(assembly, self.frozen.statistics)
            else:
                frozen.recalibrate(self.train.images, state / "bn_recalibration.npz" if state else None)

        stages: list[StageHistory] = []
        probabilities: dict[str, Array] = {}
        pooled: Mapping[str, FloatRows] = {}
        if config.head_training:
            head, history, pooled, out = self._head_stage(frozen, config.head_training, state)
            probabilities = {**_answers(head, pooled), **out}
            stages.append(history)
        else:
            head = build_head(config.head, assembly.width, len(self._classes))
        model = assembly.with_head(head)
        kept_stage = "head"
        if config.fine_tuning:
            before = model.get_weights()
            lesson = Lesson(config, self.transform, self.train, self.val, len(self._classes), from_scratch)
            stages.append(fine_tune(model, lesson, state and state / "fine_tuning", self.on_epoch))
            if config.bn_recalibration == "per_channel" and from_scratch:
                recalibrate(assembly, config, self.train.images, self.transform.image)
            extractor = BatchedModel(assembly.extractor)
            tuned_features = {
                split: extractor.of(images.images, self.transform.image, config, f"answers for the {split} split")
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
        if self.val is None or not before:
            return True
        loss, one_hot = make_loss(self.config.loss), np.eye(len(self._classes), dtype=np.float32)[self.val.labels]
        after, earlier = (float(loss(one_hot, answers[VAL])) for answers in (tuned, before))
        if after >= earlier:
            progress.report(f"validation loss {after:.4f} after fine-tuning, {earlier:.4f} before: the model is kept as it was before", 0)
        return after < earlier

    def _head_stage(
        self, frozen: FrozenBackbone, stage: Stage, state: Path | None
    ) -> tuple[keras.Model, StageHistory, dict[str, FloatRows], dict[str, Array]]:
        """Returns the head, its training, the features by split, and out-of-fold answers under TRAIN_OOF where there are any."""
        config, train = self.config, self.train
        frozen.assembly.backbone.network.trainable = False
        pooled = self.frozen.features if self.frozen else self._frozen_features(frozen, state)
        features = pooled[TRAIN]
        train_features = LabelledFeatures(features, train.labels, train.sources)
        val_features = LabelledFeatures(pooled[VAL], self.val.labels, self.val.sources) if self.val else None
        head, history = train_head(
            config,
            stage,
            len(self._classes),
            train_features,
            val_features,
            state_dir=state and state / "head",
            on_epoch=self.on_epoch,
        )
        answered_from = {split: pooled[split][0] for split in self._splits()}
        if self.folds and config.fine_tuning is None:
            # Fewer where a class has fewer patients; of one nothing can be left out.
            folds = min(self.folds, most_folds(train.labels, train.patients))
            if folds > 1:
                dealt = deal(train.labels, train.patients, folds, config.seed)
                file = state / "out_of_fold.npz" if state else None
                (out,) = cached(file, lambda: [out_of_fold(config, stage, len(self._classes), train_features, val_features, dealt)])
                return head, history, answered_from, {TRAIN_OOF: out}
        return head, history, answered_from, {}

    def _frozen_features(self, frozen: FrozenBackbone, state: Path | None) -> Mapping[str, FloatRows]:
        """Runs the backbone; see `FrozenFeatures.features`."""
        train = self.train
        check_steadiness(frozen, train.images, self._setting)
        return {
            split: frozen.features(
                images.images,
                split,
                state / f"features_{split}.float32" if state else None,
                variants=self.config.augmentation.variants if images is train else 0,
            )
            for split, images in self._splits().items()
        }

    def _state_dir(self, assembly: Assembly, precision: str) -> Path | None:
        if self.states is None:
            return None
        settings = [self.config.model_dump(mode="json"), list(self._classes), self.transform.fingerprint, self.folds]
        data = [array for split in self._splits().values() for array in (split.content_hash, split.labels, split.patients, split.sources)]
        weights = [] if assembly.backbone.random else assembly.backbone.network.get_weights()
        parts = [*settings, *self.identity, devices.computed_by(precision), assembly.backbone.note, *data, *weights]
        return self.states.take(fingerprints.of_parts(parts))

    def _in_float32(self, model: keras.Model, precision: str) -> keras.Model:
        if devices.policy(precision) == devices.FLOAT32:
            return model
        with devices.computing_in(devices.FLOAT32):
            return copy_of(model, self.config, self.transform.image_size, len(self._classes))

    @property
    def _setting(self) -> str:
        """Where the model stands in the configuration."""
        return f"models.{self.name}"

    @property
    def _classes(self) -> Sequence[str]:
        return self.transform.class_names if self.class_names is None else self.class_names

    def _splits(self) -> dict[str, splits.Split]:
        return {TRAIN: self.train, **({VAL: self.val} if self.val else {})}


def _answers(head: keras.Model, pooled: Mapping[str, FloatRows]) -> dict[str, Array]:
    """Returns what the head makes of features, by split."""
    return {split: answers_of(head, x) for split, x in pooled.items()}
