"""Features of frozen backbones for remedies.py: of pictures as they are, with a part blacked out, and augmented; each computed once."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf

from cxr.components.shortcut_check.masked_models import masked
from cxr.core import fingerprints
from cxr.core.stored_rows import Array
from cxr.data.audit.regions import Masked
from cxr.trainer import decoded_images, splits
from cxr.trainer.batch_statistics import recalibrate
from cxr.trainer.cached_features import BatchedModel
from cxr.trainer.encoded_images import EncodedImages
from cxr.trainer.model_config import Augmentation, Model
from cxr.trainer.models.assembly import assemble
from cxr.trainer.transform_graph import TransformGraph


def with_part_black(images: splits.Split, part: Masked) -> splits.Split:
    """Returns the same images with a part black."""
    return replace(images, images=EncodedImages.of(masked(encoded, part) for encoded in images.images))


class Backbone:
    """One frozen backbone behind one Transform graph; it is built when the first features are missing."""

    def __init__(self, name: str, config: Model, transform: TransformGraph, statistics: splits.Split, cache: Path) -> None:
        """Builds nothing yet.

        Args:
          name: Of the model, for progress.
          config: Backbone, weights, pooling, recalibration and seed.
          transform: Decodes the images.
          statistics: Whose pictures the batch statistics come from, where they are recalibrated.
          cache: Folder of all features.
        """
        self._name, self._config, self._transform, self._statistics, self._cache = name, config, transform, statistics, cache
        made_by = config.model_dump(mode="json", include={"backbone", "weights", "bn_recalibration", "image_size", "head", "seed"})
        self._key = [made_by, transform.fingerprint, statistics.content_hash]
        self._extractor: BatchedModel | None = None

    def features(self, images: Callable[[], splits.Split], key: Sequence[object], augmentation: Augmentation = Augmentation()) -> Array:  # noqa: B008
        """Returns features, float32 [passes, images, width]: one pass, or one for each variant of the augmentation, without the plain one.

        Args:
          images: Makes the images; called where the features are not there yet.
          key: What tells these images from others.
          augmentation: Of the variants.
        """
        kind = augmentation.model_dump(mode="json", exclude_defaults=True)
        file = self._cache / f"{self._name}-{fingerprints.of_parts([*self._key, *key, kind])}.npy"
        if not file.exists():
            split, variants = images(), augmentation.variants
            skipped = len(split) if variants else 0

            def every(first: int) -> tf.data.Dataset:
                return decoded_images.in_order(
                    split.images,
                    self._transform.image,
                    augmentation=augmentation,
                    variants=variants,
                    seed=self._config.seed,
                    numbers=np.arange(first + skipped, (1 + variants) * len(split)),
                )

            passes = variants or 1
            rows = self._built().all(every, passes * len(split), f"{self._name}, {key[0]} {kind or ''}")
            file.parent.mkdir(parents=True, exist_ok=True)
            draft = file.with_suffix(".unfinished")
            with open(draft, "wb") as stream:
                np.save(stream, rows.reshape(passes, len(split), -1))
            draft.rename(file)
        return np.load(file)

    def _built(self) -> BatchedModel:
        if self._extractor is None:
            keras.utils.set_random_seed(self._config.seed)
            assembly = assemble(self._config, self._transform.image_size)
            if self._config.bn_recalibration != "none":
                recalibrate(assembly, self._config, self._statistics.images, self._transform.image)
            self._extractor = BatchedModel(assembly.extractor)
        return self._extractor
