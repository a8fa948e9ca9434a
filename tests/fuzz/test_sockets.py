"""Bytes that are no request, over real sockets: each is answered or hung up on, and the server goes on."""

from __future__ import annotations

import contextlib
import http.client
import socket
from concurrent.futures import ThreadPoolExecutor
from random import Random

import grpc
import pytest

from .inputs import drawn
from .requests import grpc_target, made_server, rest_target

pytestmark = pytest.mark.seconds

INPUTS = 60  # a connection each
_PROMPT = 60  # seconds; a head that never ends is given up on after header_seconds


@pytest.fixture(scope="module")
def server():
    with made_server(rest_port=0, rest={"header_seconds": 1.0, "body_seconds": 0.2}) as server:
        yield server


def test_http_that_is_none(server):
    host, port = server.rest_address.split(":")
    seeds = [seed.replace(b"\n\n", b" HTTP/1.1\r\nhost: x\r\ncontent-length: 9\r\n\r\n", 1) for seed in rest_target().seeds]

    def hung_up_on(number: int) -> None:
        with socket.create_connection((host, int(port)), timeout=_PROMPT) as connection, contextlib.suppress(ConnectionError):
            connection.sendall(drawn(Random(number), seeds, None))
            while connection.recv(2**16):
                pass

    with ThreadPoolExecutor(INPUTS) as pool:  # at once: each is waited for, until the server gives up on it
        assert len(list(pool.map(hung_up_on, range(INPUTS)))) == INPUTS
    client = http.client.HTTPConnection(host, int(port), timeout=_PROMPT)
    client.request("GET", "/v1/models/half_plus")
    assert client.getresponse().status == 200


def test_messages_that_are_none(server):
    target = grpc_target()
    seeds = [seed[1:] for seed in target.seeds]
    with grpc.insecure_channel(server.address) as channel:
        predict = channel.unary_unary("/tensorflow.serving.PredictionService/Predict")  # bytes as they are
        calls = [predict.future(drawn(Random(number), seeds, None), timeout=_PROMPT) for number in range(INPUTS)]
        assert not {call.code() for call in calls} & {grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED}
        assert predict(seeds[-1], timeout=_PROMPT)
