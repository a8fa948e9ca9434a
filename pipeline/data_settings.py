"""Settings of the section `data` that cannot take effect, because the records exist already."""

from __future__ import annotations

import json
from typing import Any

from cxr.data.ingest.fingerprint import WITHOUT_EFFECT
from cxr.data.ingest.ingest_config import Ingest


def without_effect(wanted: Ingest, made_with: Ingest) -> dict[str, tuple[Any, Any]]:
    """Returns the keys that somebody stated and that the records contradict.

    Args:
      wanted: Of the configuration; keys left at their defaults are nobody's wish.
      made_with: What the records were ingested with.

    Returns: key to what was stated and what the records were made with, both as JSON values.
    """
    stated = wanted.model_dump(mode="json", include=wanted.model_fields_set - WITHOUT_EFFECT)
    real = made_with.model_dump(mode="json")
    return {key: (value, real.get(key)) for key, value in stated.items() if key in real and value != real[key]}


def complaint(data: str, keys: dict[str, tuple[Any, Any]]) -> str:
    """Returns the text about keys without effect, with both remedies.

    Args:
      data: The folder of records.
      keys: What `without_effect` found, at least one.
    """
    lines = [f"  data.{key} is {json.dumps(wanted)}, the records were made with {json.dumps(real)}" for key, (wanted, real) in keys.items()]
    overrides = " ".join(f"'data.{key}={json.dumps(real)}'" for key, (_, real) in keys.items())
    return "\n".join(
        [
            f"--data {data}: these records exist already, and settings of their making have no effect on them:",
            *lines,
            "give the images themselves (--data IMAGES), which are then ingested with these settings, "
            f"or say what the records are: {overrides}",
        ]
    )
