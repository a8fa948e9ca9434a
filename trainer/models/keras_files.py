"""Reads the Keras models that trainers keep beside their SavedModels."""

from __future__ import annotations

import importlib

import keras
import tensorflow as tf

from cxr.core.errors import CxrError
from cxr.trainer import artifact

# Modules whose layers register themselves with Keras when they are imported; a model that has them cannot be read before.
LAYERS = ("cxr.trainer.models.adapters", "cxr.trainer.ensemble.voting", "cxr.trainer.calibration.layers")


def load_model(source: str) -> keras.Model:
    """Loads a model without its optimizer.

    Args:
      source: URI of a Model artifact, or a .keras file.

    Raises:
      CxrError: There is none, or it cannot be read, or it holds code (a Lambda layer) that would run.
    """
    path = source if source.endswith(".keras") else artifact.keras_path(source)
    if not tf.io.gfile.exists(path):
        raise CxrError(f"{path}: no such Keras model; give the URI of a model that this pipeline trained, or model.keras in it")
    for module in LAYERS:
        importlib.import_module(module)
    try:
        return keras.saving.load_model(path, compile=False, safe_mode=True)  # named: a global switch of Keras's could turn it off
    except (OSError, ValueError, TypeError, KeyError, AttributeError, ImportError, RuntimeError) as error:
        raise CxrError(f"{path}: not a Keras model that can be read: {error}") from error
