"""Real SavedModels (the three of golden.json) and real servers on free ports."""

import runpy
import shutil
import threading
from pathlib import Path
from typing import Any

import pytest

DATA = Path(__file__).parent.parent / "data"
PATIENCE = 60  # seconds; the bound of every wait, far above what is needed


@pytest.fixture(scope="session")
def golden_models(tmp_path_factory) -> Path:
    """half_plus (versions 123 and 124) and image (version 1), as recorded; do not change them."""
    out = tmp_path_factory.mktemp("golden")
    runpy.run_path(str(DATA / "make_models.py"))["main"](str(out))
    return out


@pytest.fixture
def models(golden_models, tmp_path) -> Path:
    """A folder of models that a test may change: half_plus/123 and image/1."""
    out = tmp_path / "models"
    shutil.copytree(golden_models / "half_plus" / "123", out / "half_plus" / "123")
    shutil.copytree(golden_models / "image" / "1", out / "image" / "1")
    return out


@pytest.fixture(scope="session")
def slow_model(tmp_path_factory) -> Path:
    """Folder of a model `slow`, version 1: y = x after as many seconds as the largest x; `classify` and `regress` signatures too."""
    import tensorflow as tf
    from tensorflow.python.data.experimental.ops.testing import sleep

    class Slow(tf.Module):
        @tf.function(input_signature=[tf.TensorSpec([None], tf.float32, name="x")])
        def predict(self, x):
            seconds = tf.maximum(tf.reduce_max(x), 0)
            waited = tf.data.Dataset.range(1).apply(sleep(tf.cast(1e6 * seconds, tf.int64))).reduce(tf.constant(0, tf.int64), tf.add)
            return {"y": x + 0 * tf.cast(waited, tf.float32)}  # a loop until then would keep a core busy

        @tf.function(input_signature=[tf.TensorSpec([None], tf.string, name="inputs")])
        def lengths(self, inputs):
            value = tf.io.parse_example(inputs, {"v": tf.io.FixedLenFeature([], tf.float32)})["v"]
            names = tf.tile([[b"plus", b"minus"]], [tf.size(value), 1])
            return {"scores": tf.stack([value, -value], 1), "classes": names, "outputs": value}

    out = tmp_path_factory.mktemp("slow")
    module, path = Slow(), str(out / "slow" / "1")
    tf.saved_model.save(module, path, signatures={"serving_default": module.predict, "lengths": module.lengths})
    return out


class Held:
    """Requests to `slow` on a server of this process: they wait until they are released, however long a slow machine takes until then."""

    def __init__(self) -> None:
        """Holds none yet."""
        self._released = threading.Event()

    def hold(self, server: Any) -> Any:
        """Has the model wait from now on where the largest x is above 0; returns the server."""
        loaded = server.manager.states("slow")[1].loaded
        run = loaded.run

        def wait(feeds: Any, arrays: Any, fetches: Any) -> Any:
            if arrays[0].max() > 0:
                assert self._released.wait(PATIENCE)
            return run(feeds, arrays, fetches)

        loaded.run = wait
        return server

    def release(self) -> None:
        """Lets them end."""
        self._released.set()


@pytest.fixture
def held():
    """Holds requests until the test, or its end, releases them."""
    held = Held()
    yield held
    held.release()


@pytest.fixture
def start():
    """Starts servers in this process (ports 0, quick polling) and stops them after the test."""
    from cxr.serving.server import Server

    servers = []

    def run(models_dir=None, **options):
        defaults = {"port": 0, "rest_port": None, "poll_seconds": 0.05, "load_retries": 0, "start_seconds": PATIENCE, "drain_seconds": 5}
        server = Server.start(models_dir, **{**defaults, **options})
        servers.append(server)
        return server

    yield run
    for server in servers:
        server.stop(drain_seconds=0)


class Caller:
    """A client in the protocol's own terms."""

    def __init__(self, address: str):
        import grpc
        from tensorflow_serving.apis import model_service_pb2_grpc, prediction_service_pb2_grpc

        options = [("grpc.max_send_message_length", -1), ("grpc.max_receive_message_length", -1)]
        self.channel = grpc.insecure_channel(address, options=options)
        self.prediction = prediction_service_pb2_grpc.PredictionServiceStub(self.channel)
        self.model = model_service_pb2_grpc.ModelServiceStub(self.channel)

    def method(self, rpc: str):
        return getattr(self.prediction, rpc, None) or getattr(self.model, rpc)

    @staticmethod
    def request(name="half_plus", version=None, label=None, signature="", **inputs):
        import tensorflow as tf
        from tensorflow_serving.apis import predict_pb2

        request = predict_pb2.PredictRequest()
        request.model_spec.name, request.model_spec.signature_name = name, signature
        if version is not None:
            request.model_spec.version.value = version
        if label is not None:
            request.model_spec.version_label = label
        for key, value in inputs.items():
            request.inputs[key].CopyFrom(tf.make_tensor_proto(value, shape=None if len(value) else [0]))
        return request

    def half(self, values=(1.0, 2.0), **spec):
        """Predicts with half_plus; returns (version, values)."""
        import numpy as np

        answer = self.prediction.Predict(self.request(x=np.float32(values), **spec), timeout=PATIENCE)
        return answer.model_spec.version.value, list(answer.outputs["y"].float_val)

    def image(self, *images, timeout=PATIENCE):
        """Predicts with the image model's `image_bytes`; returns the outputs."""
        import numpy as np

        values = np.array(images, dtype=object)
        return self.prediction.Predict(self.request("image", signature="image_bytes", image_bytes=values), timeout=timeout).outputs

    def states(self, name="half_plus"):
        """Returns {version: (state's name, error message)}."""
        from tensorflow_serving.apis import get_model_status_pb2 as pb2

        request = pb2.GetModelStatusRequest()
        request.model_spec.name = name
        answer = self.model.GetModelStatus(request, timeout=PATIENCE)
        names = pb2.ModelVersionStatus.State
        return {v.version: (names.Name(v.state), v.status.error_message) for v in answer.model_version_status}

    def refusal(self, function):
        """Runs a call that must fail; returns (name of the code, message)."""
        import grpc

        with pytest.raises(grpc.RpcError) as caught:
            function()
        return caught.value.code().name, caught.value.details()


@pytest.fixture
def connect():
    """Makes Callers and closes their channels."""
    callers = []

    def run(address):
        callers.append(Caller(address))
        return callers[-1]

    yield run
    for caller in callers:
        caller.channel.close()


@pytest.fixture
def until():
    """Waits until a condition holds, and fails after PATIENCE."""
    import time

    def run(condition, what="the condition"):
        end = time.monotonic() + PATIENCE
        while time.monotonic() < end:
            if result := condition():
                return result
            time.sleep(0.02)
        raise AssertionError(f"{what} did not hold within {PATIENCE} s")

    return run
