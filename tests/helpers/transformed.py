"""What a network sees of raw examples."""

from collections.abc import Sequence

import tensorflow as tf

from cxr.trainer.export.recorded_requests import image_of
from cxr.trainer.transform_graph import TransformGraph


def images_of(transform: TransformGraph, examples: Sequence[bytes]) -> tf.Tensor:
    """Returns their images, float32 [examples, size, size, 3] in [0, 1]."""
    return transform.images(tf.constant([image_of(example) for example in examples]))
