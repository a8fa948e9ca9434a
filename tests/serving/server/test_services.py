"""Health, reflection, TLS, warm-up, and the calls on tf.Examples; over a real socket."""

import json
import shutil
import socket
import ssl
import threading
import urllib.request

import grpc
import numpy as np
import pytest
from certificates import certificate


def test_health_follows_the_server(start, models, connect):
    from grpc_health.v1 import health_pb2, health_pb2_grpc

    caller = connect(start(models).address)
    health = health_pb2_grpc.HealthStub(caller.channel)
    for name in ("", "PredictionService", "ModelService", "tensorflow.serving.PredictionService"):
        answer = health.Check(health_pb2.HealthCheckRequest(service=name), timeout=60)
        assert answer.status == health_pb2.HealthCheckResponse.SERVING


@pytest.mark.skipif(not socket.has_ipv6, reason="this machine has no IPv6")
@pytest.mark.parametrize(("host", "asked"), [("::", "127.0.0.1"), ("::", "[::1]"), ("::1", "[::1]")])
def test_ipv6(start, models, connect, host, asked):
    address = start(models, host=host).address
    assert address.startswith(f"[{host}]:")
    assert connect(asked + ":" + address.rpartition(":")[2]).half()[0] == 123


@pytest.mark.seconds
def test_calls_that_are_begun_and_never_sent_do_not_hold_the_threads_for_ever(start, models, connect, until, monkeypatch):
    from cxr.serving.server import app

    monkeypatch.setattr(app, "CONNECTION_GRACE_SECONDS", 1.0)
    server = start(models, max_connection_age_seconds=1.0, limits={"max_concurrent_requests": 1})
    never, caller = threading.Event(), connect(server.address)
    with grpc.insecure_channel(server.address) as channel:
        begin = channel.stream_unary("/tensorflow.serving.PredictionService/Predict")  # sends the headers, and waits for the first message
        silent = [begin.future(iter(never.wait, None)) for _ in range(app.SPARE_THREADS + 1)]  # as many as there are threads
        until(lambda: all(call.done() for call in silent), "the end of the silent calls")
        assert caller.half() == (123, [2.5, 3.0])
        never.set()


@pytest.mark.seconds
def test_connections_without_calls_are_closed(start, models, connect, until, monkeypatch):
    from cxr.serving.server import app

    monkeypatch.setattr(app, "IDLE_SECONDS", 0.5)
    caller = connect(start(models).address)
    seen: list[grpc.ChannelConnectivity] = []
    caller.channel.subscribe(seen.append)
    assert caller.half()[0] == 123
    until(lambda: grpc.ChannelConnectivity.READY in seen and seen[-1] is grpc.ChannelConnectivity.IDLE, "the end of the connection")
    assert caller.half()[0] == 123  # by another


def test_old_connections_are_asked_to_go(start, models, connect, until):
    """The client's channel goes through "idle" or "connecting" and connects again; no request is lost."""
    caller = connect(start(models, max_connection_age_seconds=0.2).address)
    seen: list[grpc.ChannelConnectivity] = []
    caller.channel.subscribe(seen.append)

    def connected_again():
        assert caller.half()[0] == 123
        return seen.count(grpc.ChannelConnectivity.READY) > 2

    until(connected_again, "new connections")


def test_calls_above_all_limits_are_refused(start, models, connect, until):
    """While no call ends (they want the lock that is held here), only so many are taken in."""
    from tensorflow_serving.apis import get_model_status_pb2

    from cxr.serving.server import app

    server = start(models, limits={"max_concurrent_requests": 1})
    caller, limit = connect(server.address), (1 + app.SPARE_THREADS) * app.CALLS_PER_THREAD
    request = get_model_status_pb2.GetModelStatusRequest()
    request.model_spec.name = "half_plus"
    with server.manager._changed:
        calls = [caller.model.GetModelStatus.future(request, timeout=60) for _ in range(limit + 1)]
        until(lambda: any(call.done() for call in calls), "the refusal of one")
    assert sorted(call.code().name for call in calls) == ["OK"] * limit + ["RESOURCE_EXHAUSTED"]


def test_reflection_describes_predict(start, models, connect):
    from google.protobuf.descriptor_pool import DescriptorPool
    from grpc_reflection.v1alpha.proto_reflection_descriptor_database import ProtoReflectionDescriptorDatabase

    database = ProtoReflectionDescriptorDatabase(connect(start(models).address).channel)
    names = {"tensorflow.serving.PredictionService", "tensorflow.serving.ModelService", "grpc.health.v1.Health"}
    assert names <= set(database.get_services())
    predict = DescriptorPool(database).FindServiceByName("tensorflow.serving.PredictionService").methods_by_name["Predict"]
    assert predict.input_type.full_name == "tensorflow.serving.PredictRequest"


def write_warm_up(models, *logs):
    import tensorflow as tf

    folder = models / "half_plus" / "123" / "assets.extra"
    folder.mkdir()
    with tf.io.TFRecordWriter(str(folder / "tf_serving_warmup_requests")) as writer:
        for log in logs:
            writer.write(log.SerializeToString())


def test_warm_up_runs_before_the_model_serves(start, models, connect, caplog):
    from tensorflow_serving.apis import prediction_log_pb2

    log = prediction_log_pb2.PredictionLog()
    log.predict_log.request.CopyFrom(connect("unused:1").request("any name", x=np.array([1.0], np.float32)))
    write_warm_up(models, log, log)
    with caplog.at_level("INFO", "cxr.serving"):
        assert connect(start(models).address).half()[0] == 123
    assert "half_plus version 123: available (2 warm-up records)" in caplog.text


def test_bad_warm_up_record_fails_the_load(start, models, connect):
    from tensorflow_serving.apis import prediction_log_pb2

    from cxr.core.errors import CxrError

    log = prediction_log_pb2.PredictionLog()
    log.predict_log.request.CopyFrom(connect("unused:1").request("any name", signature="none", x=np.array([1.0], np.float32)))
    write_warm_up(models, log)
    with pytest.raises(CxrError, match='warm-up record 0 .*Serving signature key "none" not found'):
        start(models)
    start(models, warm_up=False)


def test_classify_regress_and_both(start, slow_model, connect):
    import tensorflow as tf
    from tensorflow_serving.apis import classification_pb2, inference_pb2, regression_pb2

    caller = connect(start(slow_model).address)
    feature = tf.train.Feature(float_list=tf.train.FloatList(value=[2.0]))
    example = tf.train.Example(features=tf.train.Features(feature={"v": feature}))

    classify = classification_pb2.ClassificationRequest()
    classify.model_spec.name, classify.model_spec.signature_name = "slow", "lengths"
    assert caller.refusal(lambda: caller.prediction.Classify(classify, timeout=60)) == ("INVALID_ARGUMENT", "Input is empty.")
    classify.input.example_list.examples.append(example)
    answer = caller.prediction.Classify(classify, timeout=60)
    assert [(c.label, c.score) for c in answer.result.classifications[0].classes] == [("plus", 2.0), ("minus", -2.0)]
    assert (answer.model_spec.version.value, answer.model_spec.signature_name) == (1, "lengths")

    regress = regression_pb2.RegressionRequest(model_spec=classify.model_spec, input=classify.input)
    assert [r.value for r in caller.prediction.Regress(regress, timeout=60).result.regressions] == [2.0]

    both = inference_pb2.MultiInferenceRequest(input=classify.input)
    both.tasks.add(model_spec=classify.model_spec, method_name="tensorflow/serving/regress")
    answer = caller.prediction.MultiInference(both, timeout=60)
    assert answer.results[0].regression_result.regressions[0].value == 2.0
    both.tasks[0].method_name = "tensorflow/serving/other"
    assert caller.refusal(lambda: caller.prediction.MultiInference(both, timeout=60))[0] == "UNIMPLEMENTED"


def test_tls_with_client_certificates(start, models, tmp_path):
    from tensorflow_serving.apis import predict_pb2, prediction_service_pb2_grpc

    from cxr.serving.server.textprotos import read_tls

    ca_key, ca, _, ca_pem = certificate("authority")
    _, _, server_key, server_pem = certificate("localhost", ca, ca_key)
    _, _, client_key, client_pem = certificate("client", ca, ca_key)
    path = tmp_path / "ssl.config"
    pems = {"server_key": server_key, "server_cert": server_pem, "custom_ca": ca_pem}
    path.write_text("".join(f"{name}: {json.dumps(pem.decode())}\n" for name, pem in pems.items()) + "client_verify: true\n")
    server = start(models, tls=read_tls(path))
    target = f"localhost:{server.address.rpartition(':')[2]}"

    def code(credentials):
        with grpc.secure_channel(target, credentials) as channel, pytest.raises(grpc.RpcError) as caught:
            prediction_service_pb2_grpc.PredictionServiceStub(channel).Predict(predict_pb2.PredictRequest(), timeout=10)
        return caught.value.code().name

    assert code(grpc.ssl_channel_credentials(ca_pem, client_key, client_pem)) == "INVALID_ARGUMENT"  # answered: Missing ModelSpec
    assert code(grpc.ssl_channel_credentials(ca_pem)) == "UNAVAILABLE"


@pytest.mark.parametrize("verify", [True, False])
def test_rest_has_the_same_tls(start, models, tmp_path, verify):
    ca_key, ca, _, ca_pem = certificate("authority")
    _, _, server_key, server_pem = certificate("localhost", ca, ca_key)
    _, _, client_key, client_pem = certificate("client", ca, ca_key)
    (tmp_path / "client.pem").write_bytes(client_key + client_pem)
    tls = {"key": server_key.decode(), "certificate": server_pem.decode(), "client_ca": ca_pem.decode(), "client_verify": verify}
    address = start(models, rest_port=0, tls=tls).rest_address.replace("127.0.0.1", "localhost")

    def status(scheme, context=None):
        with urllib.request.urlopen(f"{scheme}://{address}/v1/models/half_plus", timeout=10, context=context) as answer:
            return answer.status

    stranger = ssl.create_default_context(cadata=ca_pem.decode())
    known = ssl.create_default_context(cadata=ca_pem.decode())
    known.load_cert_chain(tmp_path / "client.pem")
    assert status("https", known) == 200
    with pytest.raises(OSError):  # noqa: PT011 # closed or reset, as it comes
        status("http")
    if verify:
        with pytest.raises(OSError):  # noqa: PT011
            status("https", stranger)
    else:
        assert status("https", stranger) == 200


def test_unchanged_copy_of_the_models_is_enough(start, models, tmp_path, connect):
    """A folder that is moved serves as before: nothing in a SavedModel points outside."""
    shutil.copytree(models, tmp_path / "elsewhere")
    assert connect(start(tmp_path / "elsewhere").address).half()[0] == 123
