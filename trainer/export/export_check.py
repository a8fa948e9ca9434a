"""Loads a SavedModel as TensorFlow Serving does and holds it to its recorded requests."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import tensorflow as tf

from cxr.core import features
from cxr.core.errors import CxrError
from cxr.trainer.export.recorded_requests import differences, read_recorded

PREDICTING = (features.SIGNATURE_EXAMPLES, features.SIGNATURE_BYTES, features.SIGNATURE_TENSOR)
SIGNATURES = (*PREDICTING, features.SIGNATURE_TRANSFORM)
TOLERANCE = 1e-4  # graph and eager execution fuse floating-point operations differently
GPU_TOLERANCE = 1e-2  # TensorFloat-32 convolutions keep 10 bits of the mantissa


def check_export(directory: str, signatures: Sequence[str] = PREDICTING, tolerance: float | None = None) -> int:
    """Replays the recorded requests in a TF1 session, where faults show that `tf.saved_model.load` hides.

    Args:
      directory: Folder of the SavedModel.
      signatures: Whose requests to replay. A session prepares the whole network once per signature, some 10 s for the largest.
      tolerance: Largest absolute difference between a recorded probability and the session's; None: what the devices allow.

    Returns:
      The number of requests answered rightly.

    Raises:
      CxrError: A signature is missing, nothing was recorded, a request fails or its answer differs; names folder and request.
    """
    if tolerance is None:
        tolerance = GPU_TOLERANCE if tf.config.list_physical_devices("GPU") else TOLERANCE
    logs = [log.predict_log for log in read_recorded(directory) if log.predict_log.request.model_spec.signature_name in signatures]
    if not logs:
        raise CxrError(f"{directory}: no recorded requests to check the model with; export it again")
    with tf.Graph().as_default(), tf.compat.v1.Session() as session:
        meta_graph = tf.compat.v1.saved_model.loader.load(session, [tf.saved_model.SERVING], directory)
        missing = set(SIGNATURES) - set(meta_graph.signature_def)
        if missing:
            raise CxrError(f"{directory}: signature {min(missing)!r} is missing")
        for number, log in enumerate(logs, 1):
            what = f"{directory}: recorded request {number} ({log.request.model_spec.signature_name})"
            try:
                answered = run_signature(session, meta_graph, log.request)
            except tf.errors.OpError as error:
                raise CxrError(f"{what} fails in a TF1 session, as it would in TensorFlow Serving: {error.message}") from error
            expected = {key: tf.make_ndarray(value) for key, value in log.response.outputs.items()}
            for difference in differences(expected, answered, tolerance):
                raise CxrError(
                    f"{what}: {difference}. Either the SavedModel is not the trained model, or rounding errors grow in the network: "
                    "with random weights use bn_recalibration: per_layer, with trained ones a smaller learning rate"
                )
    return len(logs)


def run_signature(session: tf.compat.v1.Session, meta_graph: Any, request: Any) -> dict[str, Any]:
    """Answers a PredictRequest with a loaded SavedModel.

    Returns:
      Output name to array.

    Raises:
      tf.errors.OpError: TensorFlow's own error.
    """
    signature = meta_graph.signature_def[request.model_spec.signature_name]
    feed = {signature.inputs[key].name: tf.make_ndarray(value) for key, value in request.inputs.items()}
    return session.run({key: value.name for key, value in signature.outputs.items()}, feed)
