"""A frozen backbone runs once per image and augmented variant; what the head gets from it is cached."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from zipfile import BadZipFile

import keras
import numpy as np
import numpy.typing as npt
import tensorflow as tf

from cxr.core import progress
from cxr.core.errors import CxrError
from cxr.core.stored_rows import Array, StoredRows
from cxr.trainer import decoded_images
from cxr.trainer.encoded_images import EncodedImages
from cxr.trainer.model_config import Model
from cxr.trainer.unfinished_rows import UnfinishedRows

BATCH = 32


class BatchedModel:
    """Answers images in batches of one size, so that a large network is traced once; the last batch is filled up."""

    def __init__(self, model: keras.Model) -> None:
        """Traces nothing yet.

        Args:
          model: float32 [batch, height, width, 3] -> [batch, width].
        """
        self.width: int = model.output.shape[-1]
        self._call = tf.function(
            lambda batch: tf.cast(model(batch, training=False), tf.float32),
            input_signature=[tf.TensorSpec([BATCH, *model.input.shape[1:]])],
            autograph=False,
        )

    def batch(self, images: tf.Tensor) -> Array:
        """Returns the answers, float32 [images, width], for up to `BATCH` images, float32 [images, height, width, 3]."""
        rows = len(images)
        return self._call(tf.pad(images, [[0, BATCH - rows], [0, 0], [0, 0], [0, 0]]))[:rows].numpy()

    def all(self, images: Callable[[int], tf.data.Dataset], count: int, what: str, file: Path | None = None) -> StoredRows:
        """Returns the answers for images, in their order; they are kept on disk.

        Args:
          images: Number of images to leave out at the beginning -> the others, float32 [height, width, 3] each.
          count: How many images there are.
          what: For the progress report.
          file: Where the rows of finished batches are kept as they come, so that a killed run goes on from there (`UnfinishedRows`); None:
            in a file without a name.

        Returns:
          float32 [count, width].

        Raises:
          CxrError: An answer that is no finite number; there is no room for temporary files.
          OSError: There is no room for `file`.
        """
        kept = UnfinishedRows(file, count, self.width) if file else None
        stored = kept.stored() if kept else StoredRows.empty(count, (self.width,), np.float32)
        first = done = kept.done if kept else 0
        begin = time.monotonic()
        for batch in images(done).batch(BATCH).prefetch(2) if done < count else ():
            rows = self.batch(batch)
            if not np.isfinite(rows).all():
                raise CxrError(
                    f"{what}: the backbone yields numbers that are not finite; check its weights, input_adapter and bn_recalibration; "
                    "float16 ends at 65,504: if mixed_precision is on, try without"
                )
            if kept:
                kept.append(rows)
            else:
                stored[done : done + len(rows)] = rows
            done += len(rows)
            rate = (done - first) / (time.monotonic() - begin)
            progress.report(f"{what}: {rate:.1f} images/s, about {(count - done) / rate:.0f} s left", done, count)
        return stored

    def of(
        self,
        images: EncodedImages,
        decode: decoded_images.Decoder,
        config: Model,
        what: str,
        file: Path | None = None,
        variants: int = 0,
        numbers: npt.NDArray[np.int64] | None = None,
    ) -> StoredRows:
        """Returns the answers for images, float32 [elements, width]: as they are, then for each augmented variant.

        Args: `what` and `file` as in `all`, `config` says how variants differ, the others as in `decoded_images.in_order`.
        """
        wanted = np.arange((1 + variants) * len(images)) if numbers is None else numbers
        return self.all(
            lambda first: decoded_images.in_order(
                images, decode, augmentation=config.augmentation, variants=variants, seed=config.seed, numbers=wanted[first:]
            ),
            len(wanted),
            what,
            file,
        )


def cached(file: Path | None, make: Callable[[], list[Array]]) -> list[Array]:
    """Returns the arrays of an earlier, interrupted run, or makes them and keeps them; a damaged file is made anew.

    Args:
      file: .npz file; None: nothing is kept.
      make: Makes the arrays.
    """
    if file is None:
        return make()
    try:
        return _arrays(file)
    except FileNotFoundError:
        pass
    except (ValueError, EOFError, BadZipFile):  # as after a power loss
        progress.report(f"{file.name}: what an interrupted run had kept is damaged; made anew", 0)
    file.parent.mkdir(parents=True, exist_ok=True)
    unfinished = file.with_suffix(".unfinished")
    with open(unfinished, "wb") as stream:
        np.savez(stream, *make())
    unfinished.rename(file)
    return _arrays(file)


def _arrays(file: Path) -> list[Array]:
    with np.load(file, allow_pickle=False) as kept:
        return list(kept.values())  # in the order in which they were written
