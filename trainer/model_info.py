"""model.json: what travels with every SavedModel, and how it is written and read.

A URI may be of any filesystem that `tf.io.gfile` knows.
"""

from __future__ import annotations

import json
from typing import Any

import pydantic
import tensorflow as tf

from cxr.core.errors import CxrError, MissingFileError
from cxr.core.places import EXTRA, SERVING
from cxr.core.validation_errors import all_said
from cxr.data.images.reader import MAX_SIDE
from cxr.trainer import files
from cxr.trainer.artifact import serving_dir
from cxr.trainer.calibration_info import Calibration, Conformal, OperatingPoint, Outside

INFO = f"{EXTRA}/model.json"  # below the SavedModel


class TrainingData(pydantic.BaseModel):
    """What a model was trained on and chosen by."""

    model_config = pydantic.ConfigDict(frozen=True)

    fingerprint: str  # SHA-256 of each split's images and labels
    images: dict[str, dict[str, int]]  # split: class: images
    synthetic: int  # how many of them were made up
    sources: dict[str, dict[str, int]] = {}  # collection: license: images; empty: an older version did not say
    keys_hash: str = ""  # of the images' keys beside model.json (training_data.py); empty: an older version did not say


class ModelInfo(pydantic.BaseModel):
    """What travels with every SavedModel. Further keys are kept as they are."""

    model_config = pydantic.ConfigDict(frozen=True, extra="allow")

    name: str
    class_names: tuple[str, ...]
    image_size: int  # height and width of the images that come in, pixels
    network_size: int | None = None  # the same of those that the backbone gets; None: an ensemble, or an older version did not say
    max_side: int = MAX_SIDE  # pixels that longer images were scaled down to before training; 0: none was
    reading_rules: int = 1  # of data/images/reader.py; models of version 0.1 do not say it
    weights: str = ""  # as configured: "imagenet", "none" or a folder
    weights_note: str = ""  # what the backbone really started from
    backbone: str | None = None  # None for an ensemble
    members: dict[str, ModelInfo] = {}  # ensemble only
    ensemble_method: str | None = None
    synthetic: bool | None = None  # learnt from at least one made-up image; None: an older version did not say
    data: TrainingData | None = None
    data_used: dict[str, str] = {}  # "weights": what they were fitted to; "choice": what chose among methods and ended the training
    training: dict[str, Any] = {}  # settings of the trainer, as configured; empty for an ensemble
    preprocessing: dict[str, Any] | None = None  # what Transform did besides decoding and resizing; None: an older version did nothing
    code_version: str = ""
    # The next four: None, or empty, where an older version was exported, or the configuration or the data had no place for them.
    calibration: Calibration | None = None
    outside: Outside | None = None
    conformal: Conformal | None = None
    operating_points: dict[str, tuple[OperatingPoint, ...]] = {}  # by class


def read_info(uri: str) -> ModelInfo:
    """Reads model.json.

    Args:
      uri: Model artifact, or the folder of a SavedModel (a pushed version).

    Raises:
      MissingFileError: It holds no model of ours.
      CxrError: Its model.json is damaged, or cannot be read.
    """
    for folder in (serving_dir(uri), uri.rstrip("/")):
        path = f"{folder}/{INFO}"
        if tf.io.gfile.exists(path):
            try:
                return ModelInfo.model_validate_json(files.read_bytes(path))
            except pydantic.ValidationError as error:
                raise CxrError(
                    f"{path}: not a description of a model: {all_said(error)}; put a copy back, or use another version"
                ) from None
            except tf.errors.OpError as error:
                raise CxrError(f"{path}: cannot be read ({error.message}); check its permissions") from None
    raise MissingFileError(f"{uri}: holds no {SERVING}/{INFO}; give the URI of a model that this pipeline trained")


def write_info(saved_model: str, info: dict[str, Any]) -> None:
    """Writes model.json into the folder of a SavedModel, after checking it against `ModelInfo`."""
    checked = ModelInfo.model_validate(info)
    text = json.dumps(checked.model_dump(mode="json", exclude_none=True), indent=2, ensure_ascii=False)
    files.write_bytes(f"{saved_model.rstrip('/')}/{INFO}", (text + "\n").encode())
