"""TensorFlow's graph optimiser with other settings, for the graphs that are called while a block runs."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import tensorflow as tf

UNOPTIMISED = "disable_meta_optimizer"  # for what runs once: optimising takes longer than it saves
BFLOAT16 = "auto_mixed_precision_onednn_bfloat16"


@contextlib.contextmanager
def switched_on(option: str) -> Iterator[None]:
    """Switches on one of `tf.config.optimizer`'s experimental options, and puts back what it was."""
    before = tf.config.optimizer.get_experimental_options().get(option, False)
    tf.config.optimizer.set_experimental_options({option: True})
    try:
        yield
    finally:
        tf.config.optimizer.set_experimental_options({option: before})
