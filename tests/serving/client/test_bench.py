import pytest

from cxr.serving.client import payloads
from cxr.serving.client.bench import Load, measure
from cxr.serving.client.bench_table import table
from cxr.serving.client.connection import Connection
from cxr.serving.client.errors import SignatureMismatch
from cxr.serving.client.models import Metadata, Target, metadata
from cxr.serving.client.wire import messages

pytestmark = pytest.mark.seconds


@pytest.mark.parametrize("signature", payloads.PAYLOADS)
def test_every_request_is_counted(small_server, signature):
    target = Target("mobilenet")
    with Connection(small_server) as connection:
        made = payloads.payload(signature, payloads.pictures(None), 3, target, metadata(connection, target, 10))
        result = measure(connection, made, 3, Load(concurrency=3, seconds=30, most_requests=20, warm_up=0))
    assert (result.requests, result.images, result.errors) == (20, 60, {})
    assert 0 < result.p50 <= result.p90 <= result.p99 <= result.longest
    assert result.images_per_second == pytest.approx(60 / result.seconds)
    assert result.bytes_per_image > (8 * 8 * 3 * 4 if signature == "image_tensor" else 1000)
    assert table("t", [result]).row_count == 1


@pytest.mark.parametrize("code", ["INVALID_ARGUMENT", "UNAVAILABLE", "RESOURCE_EXHAUSTED"])
def test_time_ends_a_measurement_and_errors_are_counted(faulty, code):
    import grpc

    seen = []

    def every_other(request, context):
        seen.append(request)
        if len(seen) % 2 == 0:
            context.abort(grpc.StatusCode[code], "no")
        return messages.PredictResponse()

    made = payloads.Payload("image_bytes", (messages.PredictRequest(),), 1.0)
    with Connection(faulty(every_other)) as connection:
        result = measure(connection, made, 1, Load(concurrency=1, seconds=0.5, rate=20, warm_up=0))
    assert 0 < result.errors[code] < result.requests <= 10
    assert result.requests == len(seen) - 1  # the first one only shows that the server answers


def test_a_model_without_the_signature():
    with pytest.raises(SignatureMismatch, match="--payload"):
        payloads.payload("image_tensor", [b""], 1, Target("m"), Metadata("m", 1, {}))
