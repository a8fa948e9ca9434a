"""What a training computes on, and in which precision."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import keras
import tensorflow as tf

from cxr.core import progress

FLOAT32, MIXED = "float32", "mixed_float16"  # Keras's names


def has_gpu() -> bool:
    """Tells whether TensorFlow sees a GPU: precision and what an export may differ by hang on it."""
    return bool(tf.config.list_physical_devices("GPU"))


def precision(mixed: bool) -> str:
    """Returns the name of the dtype policy to train in.

    Without a GPU that is float32, whatever is asked for: no CPU computes in float16 (100 images take minutes), and bfloat16 is slower than
    float32 on those without instructions for it.

    Args:
      mixed: Whether the configuration asks for mixed precision.
    """
    if mixed and not has_gpu():
        progress.report("mixed_precision: there is no GPU here, training computes in float32", 0)
        return FLOAT32
    return MIXED if mixed else FLOAT32


@contextlib.contextmanager
def computing_in(policy: str) -> Iterator[None]:
    """Sets Keras's dtype policy while the block runs."""
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(policy)
    try:
        yield
    finally:
        keras.config.set_dtype_policy(before)


def mirrored(batch_size: int) -> tf.distribute.MirroredStrategy | None:
    """Returns a strategy over as many devices as share a batch evenly; None where that is one.

    Devices are the GPUs, or without any the logical CPUs, of which there is one unless somebody asks TensorFlow for more.

    Args:
      batch_size: Images of a step, on all devices together.
    """
    devices = [device.name for device in tf.config.list_logical_devices("GPU") or tf.config.list_logical_devices("CPU")]
    count = max(n for n in range(1, len(devices) + 1) if batch_size % n == 0)
    if len(devices) > 1:
        progress.report(f"training on {count} of {len(devices)} devices (they share batches of {batch_size} images)", 0)
    return tf.distribute.MirroredStrategy(devices[:count]) if count > 1 else None


def validation_batch(images: int, batch_size: int, replicas: int) -> int:
    """Returns the batch size of a validation split, of which no device gets an empty share where that can be.

    On some CPUs oneDNN's convolution fails on an empty batch. Keras wants equal shares of the first batch, with which it measures shapes.

    Args:
      images: In the split.
      batch_size: Wanted.
      replicas: Devices; a batch is shared out in parts of ceil(size / replicas).

    Returns:
      At most the batch size, and at most the images; more only where there are fewer images than devices.
    """
    most = min(batch_size, images)
    equal = range(most - most % replicas, 0, -replicas)
    fitting = (size for size in equal if _all_get_some(images % size, replicas))
    return next(fitting, next(iter(equal), replicas))


def _all_get_some(images: int, replicas: int) -> bool:
    return images == 0 or -(-images // replicas) * (replicas - 1) < images
