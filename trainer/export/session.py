"""An exported SavedModel in a TF1 session, which loads as TensorFlow Serving does, for a few hundred images."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import tensorflow as tf
from tensorflow.core.protobuf import meta_graph_pb2


@contextmanager
def opened(saved_model: str) -> Iterator[tuple[tf.compat.v1.Session, Mapping[str, meta_graph_pb2.SignatureDef]]]:
    """Loads a SavedModel; the session is closed when the block ends.

    Without Grappler, which would take longer than it saves. The answers are the same; a server, the infrastructure check's too, has it.

    Args:
      saved_model: Its folder.

    Yields:
      The session, and the signatures by name.
    """
    config = tf.compat.v1.ConfigProto()
    config.graph_options.rewrite_options.disable_meta_optimizer = True
    with tf.Graph().as_default(), tf.compat.v1.Session(config=config) as session:
        yield session, tf.compat.v1.saved_model.loader.load(session, [tf.saved_model.SERVING], saved_model).signature_def
