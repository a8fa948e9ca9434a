"""Asks a SavedModel about many images, through the signature that servers answer from."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice
from typing import TypeVar

import numpy as np
import numpy.typing as npt
import tensorflow as tf
from google.protobuf.message import DecodeError
from tensorflow.core.protobuf import saved_model_pb2

from cxr.core import features
from cxr.core.errors import CxrError
from cxr.core.graph_operations import refusal
from cxr.data.images.reader import check_rules
from cxr.trainer.files import read_bytes
from cxr.trainer.model_info import read_info
from cxr.trainer.training_data import load_training_images

T = TypeVar("T")
Shares = npt.NDArray[np.float32]  # [classes]
Replies = tuple[npt.NDArray[np.float32], list[bool | None]]  # [images, classes], and what the model says of each image

BATCH = 32  # images of one call
CALLS = 2  # under way at once: while one decodes its pictures the other one's network computes


class SavedModel:
    """A pushed version, loaded.

    Attributes:
      name, version: Of the model; the version is the name of its folder.
      class_names: In the order of its probabilities.
      max_side: Pixels that longer images must be scaled down to; None: none is.
      synthetic: Whether it learnt from made-up images; None: it does not say.
      training_images: Keys of the images that it was trained on and chosen by (training_data.py); None: it does not say.
    """

    def __init__(self, folder: str) -> None:
        """Loads it.

        Args:
          folder: Of the SavedModel.

        Raises:
          CxrError: It is none of ours, its graph would do more than compute, or it was trained on images read otherwise than this release
            reads them.
        """
        info = read_info(folder)
        check_rules(info.reading_rules, folder)
        self.name, self.version = info.name, os.path.basename(folder.rstrip("/"))
        self.class_names = info.class_names
        self.max_side = info.max_side or None
        self.synthetic = info.synthetic
        self.training_images = load_training_images(folder, info.data)
        _check(folder)
        try:
            self._loaded = tf.saved_model.load(folder)
            self._answer = self._loaded.signatures[features.SIGNATURE_BYTES]
        except (OSError, KeyError) as error:
            raise CxrError(f"{folder}: no SavedModel with the signature {features.SIGNATURE_BYTES!r} ({error})") from None
        except (IndexError, ValueError, tf.errors.OpError) as error:  # IndexError: what TensorFlow makes of variables that are cut short
            raise CxrError(f"{folder}: cannot be loaded ({error}); files of it are damaged, copy this version again") from None

    def answers(
        self, items: Iterable[T], image_of: Callable[[T], bytes], batch_size: int = BATCH
    ) -> Iterator[tuple[T, Shares, bool | None]]:
        """Asks about the images of items, of which a few batches are held at a time.

        Yields:
          Each item in order, the probabilities of its image, and whether the model finds this unlike anything that it was trained on; None:
          it does not say.

        Args:
          items: Read by this thread, while earlier batches are computed.
          image_of: Encoded JPEG or PNG of an item, as `reader.encode` makes it.
          batch_size: Images of one call.

        Raises:
          CxrError: The model cannot decode an image.
        """
        iterator = iter(items)
        pending: deque[tuple[list[T], Future[Replies]]] = deque()
        pool = ThreadPoolExecutor(CALLS, thread_name_prefix="cxr-score")
        try:
            while batch := list(islice(iterator, batch_size)):
                pending.append((batch, pool.submit(self._ask, [image_of(item) for item in batch])))
                if len(pending) > CALLS:
                    yield from _finished(*pending.popleft())
            while pending:
                yield from _finished(*pending.popleft())
        finally:
            pool.shutdown(wait=False, cancel_futures=True)

    def _ask(self, images: list[bytes]) -> Replies:
        try:
            outputs = self._answer(**{features.SIGNATURE_BYTES: tf.constant(images, tf.string)})
            flags = np.asarray(outputs[features.OUTSIDE]).tolist() if features.OUTSIDE in outputs else [None] * len(images)
            return np.asarray(outputs[features.PROBABILITIES], np.float32), flags
        except tf.errors.InvalidArgumentError as error:
            reason = error.message.partition("\n")[0]  # the graph's place follows
            raise CxrError(f"model {self.name} version {self.version} cannot read an image of these data: {reason}") from None


def _check(folder: str) -> None:
    """Refuses a model of a stranger that would do more than compute: TensorFlow runs its graph, some of it while it loads."""
    try:
        saved = saved_model_pb2.SavedModel.FromString(read_bytes(os.path.join(folder, tf.saved_model.SAVED_MODEL_FILENAME_PB)))
    except (OSError, tf.errors.OpError, DecodeError) as error:
        raise CxrError(f"{folder}: no SavedModel that can be read ({error})") from None
    if reason := refusal(saved.meta_graphs):
        raise CxrError(f"{folder}: {reason}; do not use it (docs/security.md)")


def _finished(batch: list[T], call: Future[Replies]) -> Iterator[tuple[T, Shares, bool | None]]:
    return zip(batch, *call.result(), strict=True)
