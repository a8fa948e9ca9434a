"""The function that TFX's Evaluator looks for by name. TFX loads the module anew for that: nothing that has a state may live here."""

from __future__ import annotations

from typing import Any

import tensorflow_model_analysis as tfma

from cxr.components.evaluator.recorded_model import loader_of


def custom_eval_shared_model(eval_saved_model_path: str, **options: Any) -> tfma.types.EvalSharedModel:
    """Returns what TFMA loads: answers on record where they stand for this SavedModel, else the SavedModel itself.

    Args:
      eval_saved_model_path: Its folder.
      **options: Of `tfma.default_eval_shared_model`.
    """
    return tfma.default_eval_shared_model(eval_saved_model_path, **options, custom_model_loader=loader_of(eval_saved_model_path))
