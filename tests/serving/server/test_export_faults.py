"""SavedModels that work in Python and fail in TensorFlow Serving fail here, too, with its words; over a real socket."""

import numpy as np
import pytest


@pytest.fixture
def predict(start, connect, tmp_path):
    """Serves what was saved as tmp_path/models/m/1 and asks for one signature; returns (code, message) or the answer's values."""

    def run(signature, x):
        import grpc

        caller = connect(start(tmp_path / "models").address)
        request = caller.request("m", signature=signature, x=x)
        try:
            return list(caller.prediction.Predict(request, timeout=60).outputs["y"].float_val)
        except grpc.RpcError as error:
            return error.code().name, error.details()

    return run


@pytest.mark.slow
def test_keras_3_variables_that_are_not_tracked(predict, tmp_path):
    """What TFX's own examples do with a Keras 3 model."""
    import keras
    import tensorflow as tf

    model = keras.Sequential([keras.layers.Input([4]), keras.layers.Dense(3), keras.layers.BatchNormalization()])

    @tf.function(input_signature=[tf.TensorSpec([None, 4], tf.float32, name="x")])
    def serve(x):
        return {"y": model(x)}

    tf.saved_model.save(model, str(tmp_path / "models" / "m" / "1"), signatures={"serving_default": serve})
    code, message = predict("serving_default", np.ones([2, 4], np.float32))
    assert code == "FAILED_PRECONDITION"
    assert "Could not find variable" in message


@pytest.mark.parametrize(
    ("signature", "expected"),
    [("plain", [1.0]), ("direct", ("INTERNAL", "XLA compilation disabled")), ("nested", ("INTERNAL", "XLA compilation disabled"))],
)
def test_functions_built_for_xla(predict, tmp_path, signature, expected):
    import tensorflow as tf

    spec = [tf.TensorSpec([None], tf.float32, name="x")]

    class Compiled(tf.Module):
        @tf.function(input_signature=spec)
        def plain(self, x):
            return {"y": x}

        @tf.function(input_signature=spec, jit_compile=True)
        def direct(self, x):
            return {"y": x}

        @tf.function(input_signature=spec)
        def nested(self, x):
            return {"y": self.direct(x)["y"] + 1.0}

    module = Compiled()
    signatures = {"plain": module.plain, "direct": module.direct, "nested": module.nested}
    tf.saved_model.save(module, str(tmp_path / "models" / "m" / "1"), signatures=signatures)
    assert predict(signature, np.array([1.0], np.float32)) == expected
