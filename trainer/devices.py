"""What a training computes on, and in which precision."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator

import keras
import tensorflow as tf

from cxr.core import machine, progress
from cxr.trainer import grappler

FLOAT32, MIXED = "float32", "mixed_float16"  # Keras's names
BFLOAT16 = "bfloat16"  # a frozen backbone's convolutions and products on a CPU; all else in float32
_INSTRUCTIONS = {"avx512_bf16", "amx_bf16"}  # as Linux calls them


def has_gpu() -> bool:
    """Tells whether TensorFlow sees a GPU: precision and what an export may differ by hang on it."""
    return bool(tf.config.list_physical_devices("GPU"))


def precision(mixed: bool) -> str:
    """Returns what to train in: `MIXED` on a GPU, `BFLOAT16` on a CPU with instructions for it, else `FLOAT32`.

    No CPU computes in float16 (100 images take minutes), and bfloat16 is slower than float32 on those without instructions for it.

    Args:
      mixed: Whether the configuration asks for mixed precision.
    """
    found = possible(mixed)
    if mixed and found == BFLOAT16:
        progress.report("mixed_precision: there is no GPU here; frozen backbones compute in bfloat16, all else in float32", 0)
    elif mixed and found == FLOAT32:
        progress.report("mixed_precision: there is no GPU here, nor instructions for bfloat16: training computes in float32", 0)
    return found


def possible(mixed: bool) -> str:
    """Returns the same as `precision`, and says nothing."""
    if not mixed:
        return FLOAT32
    return MIXED if has_gpu() else BFLOAT16 if _has_bfloat16() else FLOAT32


def computed_by(precision: str) -> list[object]:
    """Returns what the last digits of a network's features hang on besides its weights: libraries, precision, GPUs."""
    gpus = tf.config.list_physical_devices("GPU")
    return [
        keras.__version__,
        tf.__version__,
        precision,
        *(tf.config.experimental.get_device_details(gpu).get("device_name") for gpu in gpus),
    ]


def policy(precision: str) -> str:
    """Returns the name of Keras's dtype policy for a precision."""
    return FLOAT32 if precision == BFLOAT16 else precision


@contextlib.contextmanager
def computing_in(precision: str) -> Iterator[None]:
    """Sets Keras's dtype policy while the block runs."""
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(policy(precision))
    try:
        yield
    finally:
        keras.config.set_dtype_policy(before)


def frozen_in(precision: str) -> contextlib.AbstractContextManager[None]:
    """Has graphs that are called while the block runs compute their convolutions and products in bfloat16, if that is the precision.

    Grappler does it, for those of a graph's operations for which oneDNN has kernels; weights, inputs and outputs stay float32. Not for
    training: five steps of a random DenseNet201 lowered the loss by four fifths of what they do in float32, and EfficientNetB7's were no
    faster.
    """
    return grappler.switched_on(grappler.BFLOAT16) if precision == BFLOAT16 else contextlib.nullcontext()


def _has_bfloat16() -> bool:
    """Tells whether TensorFlow computes in bfloat16 here, faster than in float32.

    With AVX-512 alone oneDNN imitates it, slowly, so the processor is looked at; where oneDNN is switched off nothing is rewritten, so it
    is tried. What limits oneDNN to fewer instructions than there are makes TensorFlow abort on the rewritten graph.
    """
    limits = {"ONEDNN_MAX_CPU_ISA", "DNNL_MAX_CPU_ISA"}
    if limits & os.environ.keys() or not _INSTRUCTIONS.intersection(machine.processor().get("flags", "").split()):
        return False
    fine = tf.constant([[1 + 2**-12]])  # bfloat16 has 8 bits
    with frozen_in(BFLOAT16):
        product = tf.function(tf.matmul, autograph=False)(fine, tf.ones([1, 1]))
    return bool(product != fine)


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
