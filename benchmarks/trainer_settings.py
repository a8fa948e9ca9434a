"""What the graph tells a trainer, for one that runs by itself: in benchmarks and in tests."""

from __future__ import annotations

from typing import Any

from cxr.core.features import CLASS_NAMES
from cxr.data.images.reader import MAX_SIDE
from cxr.trainer.model_config import Model


def trainer_settings(model: Model, **more: Any) -> dict[str, Any]:
    """Returns a custom_config: with a validation split, and nothing kept, unless `more` says otherwise."""
    known = {
        "name": "mobilenet",
        "model": model.model_dump(mode="json"),
        "class_names": list(CLASS_NAMES),
        "preprocessing": {},
        "max_side": MAX_SIDE,
        "validation_split": True,
        "state_dir": None,
        "folds": 0,
        "code_version": "",
        "weights_version": "",
        "feature_cache": None,
        "features_code": "",
    }
    return known | more
