"""Dynamic batching over a real socket, with a model that waits until it is released."""

import time
import urllib.request
from concurrent.futures import ThreadPoolExecutor

import grpc
import numpy as np
import pytest

pytestmark = pytest.mark.seconds

HELD = 0.01  # is waited for, see `held`
ONE_AT_A_TIME = {"num_batch_threads": 1, "max_batch_size": 4}


def sizes_run(server):
    """Records (examples, padded) of every batch the server runs."""
    seen = []
    before = server._runner.observer

    def observe(model, size, padded):
        seen.append((size, padded))
        before(model, size, padded)

    server._runner.observer = observe
    return seen


def asked(caller, value, timeout=60):
    request = caller.request("slow", x=np.array([value], np.float32))
    return list(caller.prediction.Predict(request, timeout=timeout).outputs["y"].float_val)


def waiting(server):
    """Requests of each batch in the queues."""
    with server._runner._changed:
        return [len(batch) for queue in server._runner._queues.values() for batch in queue.batches]


def under_way(server):
    """Requests that are being answered."""
    return server.handlers.idle(0)


@pytest.fixture
def pool(held):
    with ThreadPoolExecutor(16) as pool:
        yield pool
        held.release()


@pytest.fixture
def occupied(pool, held, until):
    """Keeps the only batch thread of a server busy until `held` is released; returns the future of that request."""

    def run(caller, seen):
        future = pool.submit(asked, caller, HELD)
        until(lambda: seen, "the first batch")
        return future

    return run


def test_no_deadline_is_no_deadline(start, models, connect):
    """gRPC then says that 9.2e18 seconds are left, more than any clock of the system can count."""
    caller = connect(start(models).address)
    answer = caller.prediction.Predict(caller.request(x=np.array([1.0], np.float32)))
    assert list(answer.outputs["y"].float_val) == [2.5]


def test_requests_that_wait_share_a_batch(start, slow_model, connect, pool, until, held, occupied):
    server = held.hold(start(slow_model, batching=ONE_AT_A_TIME))
    caller, seen = connect(server.address), sizes_run(server)
    first = occupied(caller, seen)
    futures = [pool.submit(asked, caller, x / 100) for x in range(4)]
    until(lambda: sum(waiting(server)) == 4, "four that wait")
    held.release()
    assert [future.result() for future in futures] == [pytest.approx([x / 100]) for x in range(4)]
    first.result()
    assert seen == [(1, 1), (4, 4)]


def test_batches_are_padded_to_allowed_sizes(start, models, connect):
    server = start(models, batching={"max_batch_size": 8, "allowed_batch_sizes": [2, 8]})
    caller, seen = connect(server.address), sizes_run(server)
    assert caller.half([1.0]) == (123, [2.5])
    assert caller.half([1.0, 2.0, 4.0]) == (123, [2.5, 3.0, 4.0])
    assert seen == [(1, 2), (3, 8)]


def test_large_requests_are_split_for_batches_of_the_execution_size(start, models, connect):
    """As TensorFlow Serving: max_batch_size limits the request, max_execution_batch_size what runs at a time, and padding follows it."""
    sizes = {"max_batch_size": 10, "max_execution_batch_size": 4, "allowed_batch_sizes": [2, 4, 10], "enable_large_batch_splitting": True}
    server = start(models, batching={**sizes, "num_batch_threads": 1})
    caller, seen = connect(server.address), sizes_run(server)
    assert caller.half(list(range(9))) == (123, [2.0 + x / 2 for x in range(9)])
    assert seen == [(4, 4), (4, 4), (1, 2)]
    text = "Task size 11 is larger than maximum input batch size 10"
    assert caller.refusal(lambda: caller.half(list(range(11)))) == ("INVALID_ARGUMENT", text)


def test_timeout_collects_a_batch(start, models, connect, pool):
    server = start(models, batching={"max_batch_size": 3, "batch_timeout_micros": 20_000_000, "num_batch_threads": 1})
    caller, seen = connect(server.address), sizes_run(server)
    begin = time.monotonic()
    answers = [future.result() for future in [pool.submit(caller.half, [float(x)]) for x in range(3)]]
    assert answers == [(123, [2.0 + x / 2]) for x in range(3)]
    assert seen == [(3, 3)]
    assert time.monotonic() - begin < 20  # full: it does not wait for its time-out


def test_full_queue_is_unavailable(start, slow_model, connect, pool, until, held, occupied):
    server = held.hold(start(slow_model, batching={**ONE_AT_A_TIME, "max_batch_size": 1, "max_enqueued_batches": 2}))
    caller, seen = connect(server.address), sizes_run(server)
    first = occupied(caller, seen)
    queued = [pool.submit(asked, caller, 0.0) for _ in range(2)]
    until(lambda: waiting(server) == [1, 1], "a full queue")
    code, message = caller.refusal(lambda: asked(caller, 0.0))
    assert code == "UNAVAILABLE"
    text = "The batch scheduling queue to which this task was submitted is full; "
    assert message == text + "currently 2 batches enqueued and max_enqueued_batches is 2"
    held.release()
    assert [future.result() for future in queued] == [[0.0], [0.0]]
    first.result()


def test_too_many_requests_at_once(start, slow_model, connect, pool, until, held):
    server = held.hold(start(slow_model, batching={"enabled": False}, limits={"max_concurrent_requests": 1}))
    caller = connect(server.address)
    first = pool.submit(asked, caller, HELD)
    until(lambda: under_way(server) == 1, "the first request")
    refused = caller.refusal(lambda: asked(caller, 0.0))
    assert refused == ("UNAVAILABLE", "More than 1 request at once; try again later")  # RESOURCE_EXHAUSTED would mean: too large
    assert caller.states("slow")[1][0] == "AVAILABLE"  # status answers all the same
    held.release()
    first.result()
    assert asked(caller, 0.0) == [0.0]


def test_what_passed_its_deadline_in_the_queue_is_not_run(start, slow_model, connect, pool, held, occupied):
    server = held.hold(start(slow_model, batching=ONE_AT_A_TIME))
    caller, seen = connect(server.address), sizes_run(server)
    first = occupied(caller, seen)
    assert caller.refusal(lambda: asked(caller, 0.0, timeout=0.1))[0] == "DEADLINE_EXCEEDED"
    held.release()
    first.result()
    assert asked(caller, 0.0) == [0.0]
    assert seen == [(1, 1), (1, 1)]


def test_client_that_disappears_frees_its_place(start, slow_model, connect, pool, until, held, occupied):
    server = held.hold(start(slow_model, batching={**ONE_AT_A_TIME, "max_batch_size": 1}))
    caller, seen = connect(server.address), sizes_run(server)
    first = occupied(caller, seen)
    with grpc.insecure_channel(server.address) as leaving:
        from tensorflow_serving.apis import prediction_service_pb2_grpc

        stub = prediction_service_pb2_grpc.PredictionServiceStub(leaving)
        _ = [stub.Predict.future(caller.request("slow", x=np.array([5.0], np.float32))) for _ in range(5)]
        until(lambda: waiting(server) == [1] * 5, "five that wait")
    until(lambda: under_way(server) == 1, "the end of what nobody waits for any more")
    held.release()
    first.result()
    assert asked(caller, 0.0) == [0.0]
    assert len(seen) == 2
    version = server.manager.states("slow")[1]
    until(lambda: version._users == 0, "every handle given back")


def test_shapes_are_not_mixed(start, models, connect, pool):
    """A batch of rank 1 and one of rank 2 arrive together; TensorFlow Serving would fail both."""
    caller = connect(start(models, batching={"batch_timeout_micros": 50_000}).address)
    flat = pool.submit(caller.half, [1.0, 2.0])
    square = pool.submit(caller.half, [[1.0, 2.0], [3.0, 4.0]])
    assert flat.result() == (123, [2.5, 3.0])
    assert square.result() == (123, [2.5, 3.0, 3.5, 4.0])


@pytest.mark.parametrize("value", [3.0, 0.5])
def test_scalar_has_no_batch(start, models, connect, value):
    caller = connect(start(models).address)
    request = caller.request("half_plus")
    request.inputs["x"].dtype = 1
    request.inputs["x"].float_val.append(value)
    assert caller.refusal(lambda: caller.prediction.Predict(request, timeout=60))[0] == "INVALID_ARGUMENT"


def test_many_clients_get_their_own_answers(start, models, connect, pool):
    caller = connect(start(models, batching={"max_batch_size": 16, "allowed_batch_sizes": [4, 16]}).address)
    rng = np.random.default_rng(7)
    requests = [rng.uniform(-9, 9, size=rng.integers(1, 6)).astype(np.float32) for _ in range(300)]
    for values, (_, answer) in zip(requests, pool.map(caller.half, requests), strict=True):
        assert answer == pytest.approx((values / 2 + 2).tolist(), rel=1e-6)


@pytest.mark.parametrize(("drain", "count", "level"), [(0.2, 2, "WARNING"), (30, 0, "INFO")])
def test_the_log_says_how_many_requests_the_drain_left_unfinished(
    start, slow_model, connect, pool, until, caplog, held, drain, count, level
):
    caplog.set_level("INFO")
    server = held.hold(start(slow_model, rest_port=0, batching={"enabled": False}))
    caller = connect(server.address)
    address = f"http://{server.rest_address}/v1/models/slow:predict"
    by_grpc = pool.submit(asked, caller, HELD)
    by_rest = pool.submit(lambda: urllib.request.urlopen(address, b'{"instances": [0.01]}').status)
    until(lambda: under_way(server) == 2, "both requests")
    stopping = pool.submit(server.stop, drain_seconds=drain)
    if count:
        until(lambda: by_grpc.done() and by_rest.done(), "the end of both")
    held.release()  # the model ends what it has begun
    stopping.result()
    assert [future.exception() is None for future in (by_grpc, by_rest)] == [count == 0] * 2
    (record,) = [record for record in caplog.records if "unfinished" in record.message]
    assert (record.levelname, record.message) == (level, f"requests left unfinished after draining: {count}")


def test_stop_answers_what_is_under_way(start, slow_model, connect, pool, until, held):
    server = held.hold(start(slow_model))
    caller = connect(server.address)
    answer = pool.submit(asked, caller, HELD)
    until(lambda: under_way(server) == 1, "the request")
    stopping = pool.submit(server.stop, drain_seconds=30)

    def closed() -> bool:
        try:
            asked(caller, 0.0, timeout=5)
        except grpc.RpcError as error:
            return error.code() == grpc.StatusCode.UNAVAILABLE
        return False  # not yet

    until(closed, "the closed port")
    assert not answer.done()
    held.release()
    stopping.result()
    assert answer.result() == [pytest.approx(HELD)]
    assert caller.refusal(lambda: asked(caller, 0.0, timeout=5))[0] == "UNAVAILABLE"
