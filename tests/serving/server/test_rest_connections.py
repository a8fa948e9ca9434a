"""REST under load and with clients that are slow, silent or gone."""

import contextlib
import http.client
import json
import os
import select
import signal
import socket
import threading

import psutil
import pytest
from processes import another_thread
from served import served

pytestmark = pytest.mark.seconds

PATIENCE = 60
STATUS = "/v1/models/half_plus"


def post(address, model, values):
    connection = http.client.HTTPConnection(address, timeout=PATIENCE)
    try:
        connection.request("POST", f"/v1/models/{model}:predict", json.dumps({"instances": values}))
        response = connection.getresponse()
        return response.status, json.loads(response.read())
    finally:
        connection.close()


def get(address, path=STATUS):
    connection = http.client.HTTPConnection(address, timeout=PATIENCE)
    try:
        connection.request("GET", path)
        response = connection.getresponse()
        return response.status, response.read().decode()
    finally:
        connection.close()


def connect_raw(address, data=b""):
    host, _, port = address.partition(":")
    connection = socket.create_connection((host, int(port)), timeout=PATIENCE)
    connection.sendall(data)
    return connection


def read_to_end(connection):
    try:
        return b"".join(iter(lambda: connection.recv(65536), b""))
    except ConnectionResetError:
        return b""


def test_200_requests_at_once(start, golden_models):
    address = start(golden_models, rest_port=0).rest_address
    barrier, answers = threading.Barrier(200), []

    def ask(k):
        barrier.wait()
        answers.append((k, post(address, "half_plus", [float(k)])))

    threads = [threading.Thread(target=ask, args=(k,)) for k in range(200)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(answers) == [(k, (200, {"predictions": [k / 2 + 3]})) for k in range(200)]


@pytest.mark.slow
def test_slow_posts_hold_few_connections_and_no_threads(start, golden_models):
    address = start(golden_models, rest_port=0, rest={"max_connections": 40, "body_seconds": 5}).rest_address
    assert get(address)[0] == 200
    before = threading.active_count()
    begun = b"POST /v1/models/half_plus:predict HTTP/1.1\r\nHost: x\r\nContent-Length: 20\r\n\r\n{"
    connections = [connect_raw(address) for _ in range(100)]
    for connection in connections:
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):  # one too many
            connection.sendall(begun)
    assert threading.active_count() <= before
    answers = [read_to_end(connection) for connection in connections]
    for connection in connections:
        connection.close()
    late = [text for text in answers if text]
    assert len(late) <= 40
    assert all(text.startswith(b"HTTP/1.1 408") for text in late)
    assert b"did not arrive within 5 s" in late[0]
    assert get(address)[0] == 200


@pytest.mark.parametrize("begun", [b"", b"GET /v1/models/half_plus HTTP/1.1\r\nHo"])
def test_silent_connection_is_closed(start, golden_models, begun):
    address = start(golden_models, rest_port=0, rest={"header_seconds": 0.5}).rest_address
    with connect_raw(address, begun) as connection:
        assert read_to_end(connection) == b""


def test_second_request_of_a_connection_must_be_sent_in_time_too(start, golden_models, until):
    address = start(golden_models, rest_port=0, rest={"header_seconds": 0.5}).rest_address

    def answer():
        with connect_raw(address, b"GET /v1/models/half_plus HTTP/1.1\r\nHost: x\r\n\r\nGET /v1") as connection:
            return read_to_end(connection)

    assert until(answer, "the first one's answer").startswith(b"HTTP/1.1 200")  # a slow machine may send it too late as well


def test_client_that_does_not_read_is_dropped(start, golden_models, until):
    address = start(golden_models, rest_port=0, rest={"body_seconds": 1}, batching={"enabled": False}).rest_address
    body = json.dumps({"instances": [0.125] * 600_000}).encode()
    host, _, port = address.partition(":")
    with socket.socket() as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        connection.connect((host, int(port)))
        client = connection.getsockname()

        def connected():
            return [c for c in psutil.Process().net_connections("tcp") if c.raddr == client and c.status == psutil.CONN_ESTABLISHED]

        until(connected, "the connection")
        connection.sendall(f"POST /v1/models/half_plus:predict HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body)
        until(lambda: not connected(), "the end of the connection")


def test_client_that_went_away_is_not_computed_for(start, slow_model, held, until):
    """One batch thread is busy; the request that waits for it is dropped when its client leaves."""
    server = held.hold(start(slow_model, rest_port=0, batching={"num_batch_threads": 1, "max_batch_size": 1}))
    address = server.rest_address
    busy = threading.Thread(target=post, args=(address, "slow", [0.01]))
    busy.start()
    batches = 'cxr_serving_batch_size_count{model_name="slow"} '
    until(lambda: batches + "1.0" in get(address, "/monitoring/prometheus/metrics")[1], "the first batch")
    body = b'{"instances": [4.0]}'
    request = f"POST /v1/models/slow:predict HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body
    with connect_raw(address, request):
        until(lambda: server._runner._queues, "the queue")
    until(lambda: server.handlers.idle(0) == 1, "the end of what nobody waits for any more")
    held.release()
    busy.join()
    assert post(address, "slow", [0.0]) == (200, {"predictions": [0.0]})
    assert batches + "2.0" in get(address, "/monitoring/prometheus/metrics")[1]


def test_inference_has_a_time_limit(start, slow_model):
    address = start(slow_model, rest_port=0, rest={"timeout_seconds": 0.5}).rest_address
    status, document = post(address, "slow", [2.0])
    assert status == 504
    assert document["error"].startswith("Deadline exceeded")


@pytest.mark.slow
def test_two_large_bodies_take_little_memory(golden_models):
    """14 MB of `[0],` would be 350 MB of Python objects, each."""
    from cxr.serving.server.process import start_server

    body = b'{"instances": [' + b"[0]," * 3_500_000 + b"[0]]}"
    limits = {"max_message_bytes": 16 * 2**20}
    with start_server({"half_plus": golden_models / "half_plus"}, 120, rest_port=0, limits=limits) as server:
        assert post(server.rest_address, "half_plus", [1.0])[0] == 200
        process, peak, end = psutil.Process(server.pid), [], threading.Event()
        begin = process.memory_info().rss

        def watch():
            while not end.wait(0.01):
                peak.append(process.memory_info().rss)

        codes = []

        address = server.rest_address
        assert address is not None

        def send():
            connection = http.client.HTTPConnection(address, timeout=PATIENCE)
            connection.request("POST", "/v1/models/half_plus:predict", body)
            codes.append(connection.getresponse().status)
            connection.close()

        threads = [threading.Thread(target=send) for _ in range(2)]
        watcher = threading.Thread(target=watch)
        for thread in (watcher, *threads):
            thread.start()
        for thread in threads:
            thread.join()
        end.set()
        watcher.join()
    assert codes == [413, 413]
    assert max(peak) - begin < 150 * 2**20


@pytest.mark.slow
def test_sigterm_closes_the_port_and_drains(slow_model, connect, until):
    """Of gRPC and of REST; the signal comes to another thread than the main one."""
    import numpy as np

    with served(slow_model, rest_port=0) as (process, listening):
        address, caller = listening["rest_address"], connect(listening["address"])
        by_grpc = caller.prediction.Predict.future(caller.request("slow", x=np.array([4.0], np.float32)), timeout=PATIENCE)
        body = b'{"instances": [4.0]}'
        request = f"POST /v1/models/slow:predict HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body
        with connect_raw(address, request) as running, connect_raw(address) as idle:
            under_way = 'cxr_serving_batch_size_sum{model_name="slow"} 2.0'
            until(lambda: under_way in get(address, "/monitoring/prometheus/metrics")[1], "both requests")
            os.kill(another_thread(process.pid), signal.SIGTERM)
            assert read_to_end(idle) == b""  # closed

            def refused():
                try:
                    connect_raw(address).close()
                except ConnectionRefusedError:
                    return True
                return False

            until(refused, "the closed port")
            assert not select.select([running], [], [], 0)[0]  # still at work
            assert not by_grpc.done()
            answer = read_to_end(running)
        assert answer.startswith(b"HTTP/1.1 200")
        assert json.loads(answer.partition(b"\r\n\r\n")[2]) == {"predictions": [4.0]}
        assert list(by_grpc.result().outputs["y"].float_val) == [4.0]
        assert process.wait(PATIENCE) == 0
        assert process.stderr is not None
        assert "Traceback" not in process.stderr.read()


def test_a_request_that_cannot_be_finished_is_told_that_the_server_is_going(slow_model, start, held, until, capsys):
    server = held.hold(start(slow_model, rest_port=0))
    body = b'{"instances": [0.01]}'
    request = f"POST /v1/models/slow:predict HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body
    with connect_raw(server.rest_address, request) as running:
        count = 'cxr_serving_batch_size_count{model_name="slow"} 1.0'
        until(lambda: count in get(server.rest_address, "/monitoring/prometheus/metrics")[1], "the batch")
        stopping = threading.Thread(target=server.stop, kwargs={"drain_seconds": 0.2})
        stopping.start()
        answer = read_to_end(running)
    held.release()  # the model ends what it has begun
    stopping.join()
    assert answer.startswith(b"HTTP/1.1 503")
    assert json.loads(answer.partition(b"\r\n\r\n")[2]) == {"error": "The server is shutting down"}
    assert "Traceback" not in capsys.readouterr().err
