"""The page beside an embedded server."""

import http.client
import json
import socket
import threading
from contextlib import closing, contextmanager
from types import SimpleNamespace

import pytest
from pydantic import ValidationError

from cxr.core.errors import CxrError
from cxr.serving.page.guard import BODY_TYPE
from cxr.serving.page.server import beside
from cxr.serving.server import tfserving
from cxr.serving.server.options import ServerOptions, Tls


@pytest.mark.parametrize("host", ["127.0.0.1", "0.0.0.0"])
def test_it_shows_the_servers_models_to_this_machine_only(start, golden_models, host):
    server = start(golden_models, host=host, page_port=0, open_page=beside)
    assert server.page_address.startswith("127.0.0.1:")
    connection = http.client.HTTPConnection(server.page_address, timeout=60)
    connection.request("GET", "/api/models")
    told = json.loads(connection.getresponse().read())
    connection.close()
    assert [(model["name"], model["version"]) for model in told["models"]] == [("half_plus", 124), ("image", 1)]


def test_there_is_none_unless_asked_for(start, golden_models):
    assert start(golden_models, open_page=beside).page_address is None


def test_its_end_is_part_of_the_time_for_requests(start, golden_models, monkeypatch):
    """A process that takes longer than it was given is killed, and what the log of requests holds is lost."""
    from cxr.serving.server import app

    server = start(golden_models, page_port=0, open_page=beside)
    clock, given = [100.0], []
    stop_page, stop_grpc = server._page.stop, server._grpc.stop

    def slow_page(seconds):
        stop_page(seconds)
        clock.append(104.0)

    def grpc(seconds):
        given.append(seconds)
        return stop_grpc(0)

    monkeypatch.setattr("cxr.serving.server.app.time", SimpleNamespace(monotonic=lambda: clock[-1]))
    monkeypatch.setattr(server, "_page", SimpleNamespace(stop=slow_page))
    monkeypatch.setattr(server, "_grpc", SimpleNamespace(stop=grpc))
    server.stop(drain_seconds=10)
    assert given == [6.0 + app.COUNT_SECONDS]


@contextmanager
def uploading(server, until):
    """A file of 1,000 bytes, of which the page has three; ends with a connection to send the others, and to read the answer."""
    with closing(http.client.HTTPConnection(server.page_address, timeout=60)) as connection:
        connection.putrequest("POST", "/api/picture")
        for name, value in {"Origin": f"http://{server.page_address}", "Content-Type": BODY_TYPE, "Content-Length": "1000"}.items():
            connection.putheader(name, value)
        connection.endheaders(b"abc")
        until(lambda: server._page._server._server.server_state.tasks, "the upload")
        yield connection


def test_rest_does_not_wait_for_a_slow_upload_to_the_page(start, golden_models, until, monkeypatch):
    monkeypatch.setattr("cxr.serving.page.server.STOP_SECONDS", 60.0)
    server = start(golden_models, rest_port=0, page_port=0, open_page=beside)
    host, _, port = server.rest_address.rpartition(":")

    def refused():
        try:
            socket.create_connection((host, int(port))).close()
        except ConnectionRefusedError:
            return True
        return False

    with uploading(server, until) as upload:
        stopping = threading.Thread(target=server.stop, kwargs={"drain_seconds": 60})
        stopping.start()
        until(refused, "the closed port")
        assert stopping.is_alive()  # the page still waits for the rest of the file
        upload.send(bytes(997))
        assert upload.getresponse().status == 422
    stopping.join()


def test_an_upload_that_cannot_be_finished_is_told_that_the_page_is_going(start, golden_models, until):
    server = start(golden_models, page_port=0, open_page=beside)
    with uploading(server, until) as upload:
        server.stop(drain_seconds=0.2)
        answer = upload.getresponse()
        assert (answer.status, json.loads(answer.read())["message"]) == (503, "This page is being shut down.")


def test_a_port_without_a_page_is_refused(start, golden_models):
    with pytest.raises(ValueError, match="gives it no page"):
        start(golden_models, page_port=0)


def test_what_it_cannot_stand_beside(tmp_path):
    with pytest.raises(ValidationError, match="cxr page --server"):
        ServerOptions(models_dir=tmp_path, page_port=0, tls=Tls(key="k", certificate="c"))
    with pytest.raises(CxrError, match="cxr page --server"):
        tfserving.arguments(ServerOptions(models_dir=tmp_path, host="0.0.0.0", page_port=8502), tmp_path)
