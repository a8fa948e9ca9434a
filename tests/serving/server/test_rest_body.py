"""Bodies of REST requests over a real socket: chunked, compressed, too large, too slow, contradictory."""

import gzip
import http.client
import json
import select
import socket

import pytest

PREDICT = "/v1/models/half_plus:predict"
LIMIT = 1_000_000  # bytes of a body
PATIENCE = 60


@pytest.fixture(scope="module")
def server(golden_models):
    from cxr.serving.server import Server

    with Server.start(golden_models, port=0, rest_port=0, limits={"max_message_bytes": LIMIT}, batching={"enabled": False}) as server:
        yield server


@pytest.fixture
def connection(server):
    connection = http.client.HTTPConnection(server.rest_address, timeout=PATIENCE)
    yield connection
    connection.close()


@pytest.fixture
def raw(server):
    """Opens sockets to the server and sends bytes."""
    sockets = []

    def run(data):
        host, _, port = server.rest_address.partition(":")
        sockets.append(socket.create_connection((host, int(port)), timeout=PATIENCE))
        sockets[-1].sendall(data)
        return sockets[-1]

    yield run
    for each in sockets:
        each.close()


def answer(connection):
    response = connection.getresponse()
    return response.status, json.loads(response.read())


def responses(connection, count):
    """Reads so many responses of one raw connection; returns [(status, JSON)]."""
    found = []
    for _ in range(count):
        response = http.client.HTTPResponse(connection)
        response.fp = connection.makefile("rb", buffering=1)  # a larger buffer would take the next response along
        response.begin()
        found.append((response.status, json.loads(response.read())))
    return found


def test_chunked_body(connection):
    connection.request("POST", PREDICT, iter([b'{"instances": [1', b".0, 2]}"]), encode_chunked=True)
    assert answer(connection) == (200, {"predictions": [3.5, 4.0]})


@pytest.mark.parametrize("chunked", [False, True])
def test_gzip_body(connection, chunked):
    body = gzip.compress(json.dumps({"instances": [1.0] * 5000}).encode())
    pieces = iter([body[:50], body[50:]]) if chunked else body
    connection.request("POST", PREDICT, pieces, {"Content-Encoding": "gzip"}, encode_chunked=chunked)
    assert answer(connection) == (200, {"predictions": [3.5] * 5000})


@pytest.mark.parametrize(
    ("body", "encoding", "text"),
    [
        (gzip.compress(b'{"instances": [1.0]}', mtime=0)[:-9], "gzip", "end early"),
        (gzip.compress(b'{"instances": [1.0]}', mtime=0) + b"more", "gzip", "goes on"),
        (b'{"instances": [1.0]}', "gzip", "not gzip data"),
        (b'{"instances": [1.0]}', "br", "br is not supported"),
    ],
)
def test_bad_encoding(connection, body, encoding, text):
    connection.request("POST", PREDICT, body, {"Content-Encoding": encoding})
    status, document = answer(connection)
    assert status == 400
    assert text in document["error"]


def test_gzip_bomb_is_refused_at_the_limit(connection):
    bomb = gzip.compress(bytes(200 * LIMIT))
    assert len(bomb) < LIMIT
    connection.request("POST", PREDICT, bomb, {"Content-Encoding": "gzip"})
    assert answer(connection) == (413, {"error": f"The body has more than {LIMIT} bytes"})


@pytest.mark.parametrize("chunked", [False, True])
def test_body_above_the_limit(connection, chunked):
    """The rest is dropped, and the connection goes on."""
    body = b" " * (2 * LIMIT)
    connection.request("POST", PREDICT, iter([body]) if chunked else body, encode_chunked=chunked)
    assert answer(connection) == (413, {"error": f"The body has more than {LIMIT} bytes"})
    connection.request("GET", "/v1/models/half_plus/versions/124")
    assert answer(connection)[0] == 200


@pytest.mark.parametrize("chunked", [False, True])
def test_client_that_ends_its_connection_sees_why_its_body_was_refused(connection, chunked):
    """Closed with bytes unread, a connection is reset: the client would find that in place of the answer."""
    body = b" " * (30 * LIMIT)
    connection.request("POST", PREDICT, iter([body]) if chunked else body, {"Connection": "close"}, encode_chunked=chunked)
    assert answer(connection) == (413, {"error": f"The body has more than {LIMIT} bytes"})


def test_body_that_nothing_asked_for_is_taken_before_the_connection_ends(connection):
    connection.request("POST", "/v1/models/half_plus", b" " * (30 * LIMIT), {"Connection": "close"})
    assert answer(connection)[0] == 400


@pytest.mark.seconds
def test_rest_of_a_refused_body_is_waited_for_in_bounds(start, golden_models, until):
    """The client goes on for ever, a byte at a time."""
    limits = {"max_message_bytes": LIMIT}
    address = start(golden_models, rest_port=0, limits=limits, rest={"header_seconds": 1.0}).rest_address
    head = f"POST {PREDICT} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: 99999999999\r\n\r\n".encode()
    host, _, port = address.partition(":")
    with socket.create_connection((host, int(port)), timeout=PATIENCE) as connection:
        connection.sendall(head)
        assert responses(connection, 1)[0][0] == 413

        def ended():
            try:
                connection.sendall(b" ")
            except (BrokenPipeError, ConnectionResetError):
                return True
            return False

        until(ended, "the end of the connection")


@pytest.mark.parametrize("more", ["", "Connection: close\r\n"])
def test_damaged_rest_of_a_refused_body_leaves_no_trace(raw, caplog, more):
    connection = raw(f"POST {PREDICT} HTTP/1.1\r\nHost: x\r\n{more}Transfer-Encoding: chunked\r\n\r\n".encode())
    size = 2 * LIMIT
    connection.sendall(f"{size:x}\r\n".encode() + b" " * size + b"\r\n")
    assert responses(connection, 1)[0][0] == 413
    connection.sendall(b"no chunk\r\n")
    assert connection.recv(1) == b""
    assert not caplog.records


def test_body_above_the_limit_is_not_waited_for(raw):
    connection = raw(f"POST {PREDICT} HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999999\r\n\r\n".encode())
    assert responses(connection, 1)[0][0] == 413


@pytest.mark.seconds
def test_refused_body_that_was_announced_ends_the_connection(raw):
    """The client may send it or not: where the next request begins would be a guess."""
    connection = raw(f"POST {PREDICT} HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 99999999999\r\n\r\n".encode())
    assert responses(connection, 1)[0][0] == 413
    assert connection.recv(1) == b""


def test_document_that_takes_much_memory_is_not_read(connection):
    body = json.dumps({"instances": [[]] * 100_000}).encode()
    assert len(body) < LIMIT
    connection.request("POST", PREDICT, body)
    status, document = answer(connection)
    assert status == 413
    assert "Reading this JSON could take" in document["error"]


def test_bodies_together_are_bounded(raw):
    """Three clients send most of a body and pause: two bodies find room, the third does not."""
    head = f"POST {PREDICT} HTTP/1.1\r\nHost: x\r\nContent-Length: {LIMIT}\r\n\r\n".encode()
    text = b'{"instances": [1.0]}'
    connections = [raw(head + text + b" " * (LIMIT - len(text) - 1)) for _ in range(3)]
    refused = select.select(connections, [], [], PATIENCE)[0]
    assert len(refused) == 1
    status, document = responses(refused[0], 1)[0]
    assert status == 503
    assert "fill" in document["error"]
    for connection in connections:
        if connection is not refused[0]:
            connection.sendall(b" ")
            assert responses(connection, 1) == [(200, {"predictions": [3.5]})]
    connection = raw(head + text + b" " * (LIMIT - len(text)))  # all room is free again
    assert responses(connection, 1) == [(200, {"predictions": [3.5]})]


def test_body_of_a_get_is_not_the_next_request(raw):
    hidden = b"GET /hidden HTTP/1.1\r\nHost: x\r\n\r\n"
    get = b"GET /v1/models/half_plus/versions/124 HTTP/1.1\r\nHost: x\r\n"
    connection = raw(get + f"Content-Length: {len(hidden)}\r\n\r\n".encode() + hidden + get + b"Connection: close\r\n\r\n")
    assert [status for status, _ in responses(connection, 2)] == [200, 200]
    assert connection.recv(1) == b""


@pytest.mark.parametrize("line", [f"POST {PREDICT}", "GET /v1/models/half_plus", "GET /monitoring/prometheus/metrics"])
def test_content_length_beside_transfer_encoding(raw, line):
    hidden = b"GET /hidden HTTP/1.1\r\nHost: x\r\n\r\n"
    both = f"{line} HTTP/1.1\r\nHost: x\r\nContent-Length: {5 + len(hidden)}\r\nTransfer-Encoding: chunked\r\n\r\n"
    connection = raw(both.encode() + b"0\r\n\r\n" + hidden)
    status, document = responses(connection, 1)[0]
    assert status == 400
    assert document["error"].startswith("Content-Length beside Transfer-Encoding")
    assert connection.recv(1) == b""


@pytest.mark.parametrize("header", ["Content-Length: 1\r\nContent-Length: 2", "Content-Length: -1", "Transfer-Encoding: gzip, chunked"])
def test_other_unclear_lengths(raw, header):
    connection = raw(f"POST {PREDICT} HTTP/1.1\r\nHost: x\r\n{header}\r\n\r\n".encode())
    assert connection.recv(1000).startswith(b"HTTP/1.1 400")
    assert not connection.recv(1000).startswith(b"HTTP/")
