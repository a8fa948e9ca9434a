"""Replays the requests recorded with a SavedModel in a TF1 session, where faults show that `tf.saved_model.load` hides."""

from collections.abc import Sequence

import tensorflow as tf

from cxr.core import features
from cxr.core.errors import CxrError
from cxr.trainer.export.recorded_requests import differences, read_recorded
from cxr.trainer.export.session import opened
from cxr.trainer.export.trained_answers import TOLERANCE

PREDICTING = (features.SIGNATURE_EXAMPLES, features.SIGNATURE_BYTES, features.SIGNATURE_TENSOR)
SIGNATURES = {*PREDICTING, features.SIGNATURE_GRADCAM, features.SIGNATURE_LABELS}


def check_export(directory: str, asked: Sequence[str] = PREDICTING) -> int:
    """Returns how many of the recorded requests of some signatures were answered; raises CxrError at the first wrong answer."""
    logs = [log.predict_log for log in read_recorded(directory) if log.predict_log.request.model_spec.signature_name in asked]
    assert logs
    with opened(directory) as (session, signatures):
        assert set(signatures) >= SIGNATURES
        for number, log in enumerate(logs, 1):
            signature = signatures[log.request.model_spec.signature_name]
            feed = {signature.inputs[key].name: tf.make_ndarray(value) for key, value in log.request.inputs.items()}
            what = f"recorded request {number} ({log.request.model_spec.signature_name})"
            try:
                answered = session.run({key: value.name for key, value in signature.outputs.items()}, feed)
            except tf.errors.OpError as error:
                raise CxrError(f"{what} fails in a TF1 session, as it would in TensorFlow Serving: {error.message}") from error
            expected = {key: tf.make_ndarray(value) for key, value in log.response.outputs.items()}
            for difference in differences(expected, answered, TOLERANCE):
                raise CxrError(f"{what}: {difference}")
    return len(logs)
