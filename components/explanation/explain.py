"""Asks a SavedModel for the heat maps of some images of a split, draws them and measures whether they lie on the lesions."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from cxr.components.explanation.localisation import localise
from cxr.components.explanation.result import OVERLAYS, HeatMaps, Result
from cxr.components.explanation.sample import Sampled, draw
from cxr.core import features, progress
from cxr.core.errors import CxrError
from cxr.data.images.overlays import overlay
from cxr.data.images.small import small
from cxr.trainer.export.session import opened

BATCH = 16
SIDE = 448  # pixels, longest side of an overlay
_QUALITY = 88  # of JPEG
_MEMBER = features.MEMBER_HEAT_MAP.format(member="")


def explain_split(
    name: str,
    saved_model: str,
    patterns: Collection[str],
    class_names: Sequence[str],
    out: Path,
    *,
    split: str,
    samples: int,
    seed: int,
    wanted: Collection[int] = (),
) -> Result:
    """Explains a fixed sample of a split, and writes maps, overlays and figures.

    Args:
      name: Of the model.
      saved_model: Its folder; the signature `gradcam` is asked.
      patterns: File patterns of the split's TFRecords.
      class_names: In the order of the probabilities.
      out: Folder to write.
      split: Its name.
      samples: Images that are drawn.
      seed: Of the draw.
      wanted: Numbers of further images to explain.

    Raises:
      CxrError: No records, or a label that is no class.
    """
    images = draw(patterns, samples, seed, wanted)
    if not images:
        raise CxrError(f"{', '.join(patterns)}: no records; make them with `cxr ingest`")
    if unknown := {one.label for one in images} - set(class_names):
        raise CxrError(f"label {min(unknown)!r} is none of {', '.join(class_names)}; set data.class_names")
    lesions = [one for one in images if one.drawn and one.mask is not None]
    total = len(images) + len(lesions)
    with opened(saved_model) as (session, signatures):
        asked = _Asked(session, signatures[features.SIGNATURE_GRADCAM])
        predicted = asked.about(name, images, [features.PREDICTED_CLASS] * len(images), 0, total)
        # Where the lesion is known the question is whether its own class is seen there, rightly predicted or not.
        true = asked.about(name, lesions, [class_names.index(one.label) for one in lesions], len(images), total) if lesions else {}
    maps = HeatMaps(
        np.array([one.number for one in images], np.int64),
        predicted[features.EXPLAINED_CLASS].astype(np.int64),
        predicted[features.HEAT_MAP].astype(np.float32),
    )
    (out / OVERLAYS).mkdir(parents=True, exist_ok=True)
    for one, index, heat in zip(images, maps.classes, maps.heats, strict=True):
        picture = overlay(np.asarray(small(one.encoded, SIDE)), heat, class_names[index])
        picture.save(out / OVERLAYS / f"{one.number & (2**64 - 1):016x}.jpg", quality=_QUALITY)
    keys = {name: features.HEAT_MAP} | {key.removeprefix(_MEMBER): key for key in sorted(true) if key.startswith(_MEMBER)}
    known = ([one.mask for one in lesions if one.mask is not None], [one.label for one in lesions], [one.patient for one in lesions])
    measured = [localise(model, [*true[key]], *known) for model, key in keys.items()] if lesions else []
    result = Result(
        model=name,
        split=split,
        seed=seed,
        samples=sum(one.drawn for one in images),
        explained=len(images),
        empty=int((~maps.heats.any(axis=(1, 2))).sum()),
        localisation=tuple(found for found in measured if found),
    )
    result.save(out, maps)
    return result


class _Asked:
    """A loaded SavedModel's signature `gradcam`."""

    def __init__(self, session: tf.compat.v1.Session, signature: Any) -> None:
        self._session, self._signature = session, signature

    def about(self, name: str, images: Sequence[Sampled], classes: Sequence[int], done: int, total: int) -> dict[str, np.ndarray]:
        """Returns the outputs for all images."""
        inputs = self._signature.inputs
        fetched = {
            key: tensor.name
            for key, tensor in self._signature.outputs.items()
            if key in (features.HEAT_MAP, features.EXPLAINED_CLASS) or key.startswith(_MEMBER)
        }
        parts = []
        for first in range(0, len(images), BATCH):
            batch = slice(first, first + BATCH)
            fed = {
                inputs[features.SIGNATURE_BYTES].name: np.array([one.encoded for one in images[batch]], object),
                inputs[features.CLASS_INDEX].name: np.array(classes[batch], np.int64),
            }
            parts.append(self._session.run(fetched, fed))
            progress.report(f"explaining {name}", done + min(first + BATCH, len(images)), total)
        return {key: np.concatenate([part[key] for part in parts]) for key in fetched}
