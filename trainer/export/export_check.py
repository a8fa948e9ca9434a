"""Loads a SavedModel as TensorFlow Serving does and holds it to its recorded requests."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from cxr.core import features
from cxr.core.errors import CxrError
from cxr.trainer import devices
from cxr.trainer.export.recorded_requests import differences, predict_request, read_recorded

PREDICTING = (features.SIGNATURE_EXAMPLES, features.SIGNATURE_BYTES, features.SIGNATURE_TENSOR)
SIGNATURES = (*PREDICTING, features.SIGNATURE_GRADCAM, features.SIGNATURE_LABELS)
TOLERANCE = 1e-4  # graph and eager execution fuse floating-point operations differently
GPU_TOLERANCE = 1e-2  # TensorFloat-32 convolutions keep 10 bits of the mantissa
MIXED_TOLERANCE = 0.05  # float16 keeps 11 bits; a network with a layer missing is off by several times as much
COMPARED_IMAGES = 16


@dataclass(frozen=True)
class TrainedAnswers:
    """Real images with what the network answered where it was trained."""

    images: Sequence[bytes]  # encoded
    probabilities: npt.NDArray[np.float32]  # [images, classes]
    tolerance: float | None = None  # largest mean absolute difference; None: what the devices allow


def check_export(
    directory: str, signatures: Sequence[str] = PREDICTING, tolerance: float | None = None, trained: TrainedAnswers | None = None
) -> int:
    """Replays the recorded requests in a TF1 session, where faults show that `tf.saved_model.load` hides.

    Args:
      directory: Folder of the SavedModel.
      signatures: Whose requests to replay. A session prepares the whole network once per signature, some 10 s for the largest.
      tolerance: Largest absolute difference between a recorded probability and the session's; None: what the devices allow.
      trained: Answers that the model must give besides. The recorded ones come from the Keras model that was exported; where that is a
        faulty copy of the trained one, only these show it.

    Returns:
      The number of requests answered rightly.

    Raises:
      CxrError: A signature is missing, nothing was recorded, a request fails or its answer differs; names folder and request.
    """
    if tolerance is None:
        tolerance = GPU_TOLERANCE if devices.has_gpu() else TOLERANCE
    logs = [log.predict_log for log in read_recorded(directory) if log.predict_log.request.model_spec.signature_name in signatures]
    if not logs:
        raise CxrError(f"{directory}: no recorded requests to check the model with; export it again")
    with tf.Graph().as_default(), tf.compat.v1.Session(config=once()) as session:
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
                key = f"models.{log.request.model_spec.name}"
                raise CxrError(
                    f"{what}: {difference}. Either the SavedModel is not the trained model, or rounding errors grow in the network: "
                    f"with random weights set {key}.bn_recalibration=none, with trained ones a smaller "
                    f"{key}.fine_tuning.optimizer.learning_rate"
                )
        if trained:
            _compare(session, meta_graph, trained, directory, tolerance)
    return len(logs)


def once() -> tf.compat.v1.ConfigProto:
    """Returns what a session is opened with that asks a SavedModel a few hundred images at most: Grappler would take longer than it saves.

    The answers are the same; a server, the infrastructure check's too, has Grappler.
    """
    config = tf.compat.v1.ConfigProto()
    config.graph_options.rewrite_options.disable_meta_optimizer = True
    return config


def _compare(session: tf.compat.v1.Session, meta_graph: Any, trained: TrainedAnswers, directory: str, tolerance: float) -> None:
    request = predict_request("", features.SIGNATURE_BYTES, {features.SIGNATURE_BYTES: np.array(trained.images, dtype=object)})
    answered = run_signature(session, meta_graph, request)[features.PROBABILITIES]
    difference, allowed = float(np.mean(np.abs(answered - trained.probabilities))), trained.tolerance or tolerance
    if not difference <= allowed:  # NaN is none either
        raise CxrError(
            f"{directory}: the SavedModel is not the model that was trained: its probabilities for {len(trained.images)} images "
            f"differ by {difference:.3g} on average, {allowed:g} is allowed. A fault of the trainer: report it with the configuration"
        )


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
