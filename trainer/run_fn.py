"""What TFX's Trainer calls: from its arguments to a Model artifact and a model-run artifact."""

from __future__ import annotations

import shutil
import time
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import pydantic

from cxr.core.counts import how_many
from cxr.core.errors import CxrError
from cxr.core.features import TRAIN, VAL
from cxr.core.strict_model import StrictModel
from cxr.core.validation_errors import said_lines
from cxr.trainer import artifact, files, predictions
from cxr.trainer.calibration import outside
from cxr.trainer.calibration.settling import Settled, settle
from cxr.trainer.calibration.temperature import scale_logits
from cxr.trainer.curves import TensorBoardLog, write_picture
from cxr.trainer.devices import FLOAT32
from cxr.trainer.export.network import single_network
from cxr.trainer.export.saved_model import export_model
from cxr.trainer.export.trained_answers import COMPARED_IMAGES, MIXED_TOLERANCE, TrainedAnswers
from cxr.trainer.feature_cache.setting import told
from cxr.trainer.feature_cache.store import Store
from cxr.trainer.frozen_backbone import FeatureCache
from cxr.trainer.history import History
from cxr.trainer.model_config import Model
from cxr.trainer.preprocessing_config import Preprocessing
from cxr.trainer.splits import Split, read_split
from cxr.trainer.state_folder import States
from cxr.trainer.training import Trained, Training
from cxr.trainer.training_data import keys_of, save_training_images, training_data
from cxr.trainer.transform_graph import TransformGraph


class Settings(StrictModel):
    """The Trainer's custom_config. No field has a default: model.json would say what is not so where pipeline/graph.py misnamed one."""

    name: str
    model: Model
    class_names: tuple[str, ...]
    preprocessing: Preprocessing
    max_side: int | None
    validation_split: bool
    state_dir: str | None  # None: an interrupted training starts again
    folds: int  # see `Training`
    code_version: str
    weights_version: str  # not read: other weights at the same path must not be served from the cache
    feature_cache: str | None  # file that says where features are kept, see feature_cache/setting.py
    features_code: str  # version of the code that makes them


def run_fn(fn_args: Any) -> None:
    """Trains and exports one model.

    Args:
      fn_args: TFX's FnArgs: train_files, eval_files, transform_output, serving_model_dir, model_run_dir, custom_config (see `Settings`).

    Raises:
      CxrError: Data, weights or a configuration that cannot be trained with; names the field and the remedy.
    """
    begin = time.monotonic()
    settings = _settings(fn_args.custom_config)
    transform = TransformGraph(fn_args.transform_output, settings.class_names)
    train = read_split(fn_args.train_files, transform)
    if len(train) < len(settings.class_names):
        raise CxrError(
            f"training split: {how_many(len(train), 'image')}; at least one for each of {len(settings.class_names)} classes is needed"
        )
    val = read_split(fn_args.eval_files, transform) if settings.validation_split else None

    place = told(settings.feature_cache)
    store = Store(place.folder, place.max_bytes) if place.folder else None
    # Held until the model is written: another process would train on in the folder while it is removed.
    with States(Path(settings.state_dir) / settings.name) if settings.state_dir else nullcontext() as states:
        log = TensorBoardLog(fn_args.model_run_dir)
        try:
            training = Training(
                settings.model,
                transform,
                train,
                val,
                name=settings.name,
                states=states,
                cache=FeatureCache(store, settings.features_code) if store else None,
                folds=settings.folds,
                identity=[settings.code_version],
                on_epoch=log,
            )
            trained = training.run()
        finally:
            log.close()

        history = History(
            name=settings.name,
            backbone=settings.model.backbone,
            weights=settings.model.weights,
            weights_note=trained.weights_note,
            random_weights=trained.random_weights,
            precision=trained.precision,
            kept_stage=trained.kept_stage,
            model=settings.model.model_dump(mode="json"),
            images={TRAIN: len(train), VAL: len(val) if val else 0},
            features_from_cache=trained.from_cache,
            notes=tuple(store.notes) if store else (),
            seconds=round(time.monotonic() - begin, 1),
            stages=tuple(trained.stages),
        )
        history.write(fn_args.model_run_dir)
        write_picture(fn_args.model_run_dir, trained.stages, settings.name)
        _write_model(fn_args, settings, transform, trained, {TRAIN: train, **({VAL: val} if val else {})})
        if trained.state_dir:
            shutil.rmtree(trained.state_dir, ignore_errors=True)


def _settings(custom_config: dict[str, Any]) -> Settings:
    try:
        return Settings.model_validate(custom_config)
    except pydantic.ValidationError as error:
        raise CxrError(f"custom_config of the Trainer:\n{said_lines(error, 'custom_config')}") from None


def _write_model(fn_args: Any, settings: Settings, transform: TransformGraph, trained: Trained, splits: dict[str, Split]) -> None:
    uri = fn_args.serving_model_dir.rstrip("/").rpartition("/")[0]
    labels = {split: images.labels for split, images in splits.items()}
    settled = settle(settings.model, settings.class_names, trained.probabilities, labels)
    scale_logits(trained.model, settled.calibration.temperature)
    detector, border = None, None
    if settings.model.outside_share is not None:
        detector, border = outside.fit(trained.features, settings.model.outside_share, settings.model.seed)
    path = artifact.keras_path(uri)
    files.make_parent(path)
    trained.model.save(path)
    files.copy_folder(fn_args.transform_output, artifact.transform_path(uri))
    for split, answers in settled.probabilities.items():
        images = splits[TRAIN if split == artifact.TRAIN_OOF else split]
        scores = detector.scores(trained.features[split]) if detector and split in trained.features else None
        predictions.save(uri, split, images.content_hash, images.labels, answers, images.patients, scores)
    if detector:
        outside.save(uri, detector)
    data = training_data(splits, settings.class_names)
    export_model(
        single_network(trained.model, detector),
        name=settings.name,
        transform=transform,
        info={
            "weights": settings.model.weights,
            "weights_note": trained.weights_note,
            "backbone": settings.model.backbone,
            "network_size": trained.network_size,
            "synthetic": data.synthetic > 0,
            "data": data.model_dump(mode="json"),
            "data_used": {"weights": "the training split", "choice": "the validation split" if VAL in splits else "nothing"},
            "training": settings.model.model_dump(mode="json"),
            "preprocessing": settings.preprocessing.model_dump(mode="json"),
            "code_version": settings.code_version,
            **settled.info(),
            "outside": border.model_dump(mode="json") if border else None,
        },
        directory=fn_args.serving_model_dir,
        max_side=settings.max_side or 0,
        trained=_answers(trained, settled, splits),
    )
    save_training_images(fn_args.serving_model_dir, keys_of(splits.values()))


def _answers(trained: Trained, settled: Settled, splits: dict[str, Split]) -> TrainedAnswers:
    """What the network answered to some images while it was being trained, then calibrated: no copy that is exported has a part in that."""
    name = VAL if VAL in splits else TRAIN
    split, probabilities = splits[name], settled.probabilities[name]
    some = np.linspace(0, len(split) - 1, min(COMPARED_IMAGES, len(split))).astype(int)
    tolerance = None if trained.precision == FLOAT32 else MIXED_TOLERANCE
    return TrainedAnswers([split.images[i] for i in some], probabilities[some], tolerance)
