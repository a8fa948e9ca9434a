"""What a frozen backbone makes of images: batch statistics, the check of its stability, features; from the feature cache where it has them.

The names under which they are kept hold all that they hang on: the backbone's weights by their bytes, what images go through before, the
code, and the image by its encoded bytes. So a changed head, loss or split finds them again, and a changed backbone or picture does not.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import numpy.typing as npt
import tensorflow as tf
from sklearn.utils import gen_batches

from cxr.core import fingerprints, progress
from cxr.core.stored_rows import ROWS_IN_MEMORY, Array, StoredRows
from cxr.trainer import devices
from cxr.trainer.batch_statistics import recalibrate
from cxr.trainer.cached_features import BatchedModel
from cxr.trainer.encoded_images import EncodedImages
from cxr.trainer.feature_cache.shards import key
from cxr.trainer.feature_cache.store import FEATURES, STABILITY, STATISTICS, Group, GroupInfo, Store
from cxr.trainer.model_config import Model
from cxr.trainer.models.assembly import Assembly
from cxr.trainer.models.stability import check_stability
from cxr.trainer.transform_graph import TransformGraph


@dataclass(frozen=True)
class FeatureCache:
    """What a training needs to know of the cache.

    Attributes:
      store: Where rows are kept.
      code: Version of the code that makes them.
    """

    store: Store
    code: str


@dataclass
class FrozenBackbone:
    """A backbone that does not learn, for now.

    Attributes:
      assembly: Adapter, backbone and pooling.
      config: Of the model.
      transform: What images go through before.
      cache: None: everything is computed.
      precision: Of `devices.precision`; features are computed in it, statistics and the check of stability in float32 on a CPU.
      from_cache: What for: rows that were found, and all.
      statistics: What `recalibrate` gave it: each layer's moving mean and variance; nothing before.
    """

    assembly: Assembly
    config: Model
    transform: TransformGraph
    cache: FeatureCache | None = None
    precision: str = devices.FLOAT32
    from_cache: dict[str, tuple[int, int]] = field(default_factory=dict)
    statistics: list[Array] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._extractor = BatchedModel(self.assembly.extractor)
        self._made_by = self._fingerprint() if self.cache else ""

    def recalibrate(self, images: EncodedImages, file: Path | None) -> None:
        """Gives it the batch statistics that its configuration asks for; see `batch_statistics.recalibrate`."""
        self.statistics = recalibrate(self.assembly, self.config, images, self.transform.image, file, self._group(STATISTICS))
        if self.cache:
            self._made_by = fingerprints.of_parts([self._made_by, self.config.bn_recalibration, *self.statistics])

    def check(self, images: Sequence[bytes], remedy: str) -> None:
        """Makes sure that it does not multiply rounding errors; see `check_stability`. What passed once passes again.

        Args:
          images: Encoded.
          remedy: See there.

        Raises:
          CxrError: See there.
        """
        group = self._group(STABILITY)
        name = [key(*images)]
        if group and group.read(name, 1)[1].all():
            return
        share = check_stability(self._extractor, np.stack([self.transform.image(tf.constant(image)) for image in images]), remedy)
        if group:
            group.add(name, np.array([[share]], np.float32))

    def name_of(self, images: EncodedImages, variants: int = 0) -> str:
        """Returns a name for what `features` would return: equal for equal features. There must be a cache."""
        assert self.cache is not None
        return fingerprints.of_parts([self._made_by, *(one.hex() for one in self._keys(images, variants))])

    def features(self, images: EncodedImages, split: str, file: Path | None, variants: int = 0) -> StoredRows:
        """Returns the features of images, float32 [1 + variants, images, width]: as they are, then of each augmented variant.

        Args:
          images: Encoded.
          split: Theirs, for progress and counts.
          file: Where the rows of an interrupted run are; None: nowhere.
          variants: Augmented passes over the images.

        Raises:
          CxrError: Features that are not finite.
        """
        what, shape = f"{self.config.backbone}, {split} images", (1 + variants, len(images))
        group = self._group(FEATURES)
        if group is None:
            return self._made(images, what, file, variants, None).reshape(*shape)
        keys = self._keys(images, variants)
        rows, found = group.read(keys, self._extractor.width)
        missing = np.flatnonzero(~found)
        known = len(keys) - len(missing)
        self.from_cache[split] = (known, len(keys))
        progress.report(f"{what}: {known} of {len(keys)} features from the cache", known, len(keys))
        if missing.size:
            if file and known:  # the rows of an interrupted run are those of the same images, or none
                file = file.with_stem(f"{file.stem}-{fingerprints.of_parts([missing])}")
            made = self._made(images, what, file, variants, missing)
            group.add([keys[i] for i in missing], made)
            if not known:  # all are new, and lie in a file already
                return made.reshape(*shape)
            for part in gen_batches(len(missing), ROWS_IN_MEMORY):
                rows[missing[part]] = np.asarray(made[part])
        return rows.reshape(*shape)

    def _made(
        self, images: EncodedImages, what: str, file: Path | None, variants: int, numbers: npt.NDArray[np.int64] | None
    ) -> StoredRows:
        with devices.frozen_in(self.precision):
            return self._extractor.of(images, self.transform.image, self.config, what, file, variants, numbers)

    def _keys(self, images: EncodedImages, variants: int) -> list[bytes]:
        """The names of images as they are, then of their variants, which hang on an image's place in the split too."""
        keys = [key(image) for image in images]
        changes = json.dumps([self.config.augmentation.model_dump(mode="json", exclude={"variants"}), self.config.seed]).encode()
        count = len(images)
        return keys + [key(keys[number % count], changes, str(number).encode()) for number in range(count, (1 + variants) * count)]

    def _group(self, kind: str) -> Group | None:
        if self.cache is None:
            return None
        about = GroupInfo(kind=kind, backbone=self.config.backbone, image_size=self.transform.image_size)
        return self.cache.store.group(self._made_by, about)

    def _fingerprint(self) -> str:
        assert self.cache is not None
        config, extractor = self.config, self.assembly.extractor
        parts: Sequence[object] = [
            self.cache.code,
            devices.computed_by(self.precision),
            [config.backbone, config.input_adapter, config.image_size, config.head.pooling, config.head.pool_size],
            [list(extractor.input.shape[1:]), list(extractor.output.shape[1:])],
            self.transform.image_fingerprint,
        ]
        return fingerprints.of_parts([*parts, *extractor.get_weights()])
