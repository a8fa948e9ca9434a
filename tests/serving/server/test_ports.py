"""Ports and hosts that cannot be opened are known before a model is loaded."""

import socket
from pathlib import Path

import pytest

from cxr.core.errors import CxrError, UsageError
from cxr.serving.server import ports
from cxr.serving.server.options import ServerOptions


@pytest.fixture
def taken():
    with socket.create_server(("127.0.0.1", 0)) as other:
        yield other.getsockname()[1]


def options(**more) -> ServerOptions:
    return ServerOptions(models_dir=Path("models"), **{"port": 0, "rest_port": 0, **more})


@pytest.mark.parametrize("host", ["127.0.0.1", "0.0.0.0"])
@pytest.mark.parametrize("name", ["port", "rest_port", "page_port"])
def test_a_port_in_use_is_named_with_its_option(taken, host, name):
    option = f"--{name.replace('_', '-')}"
    with pytest.raises(CxrError, match=rf"port {taken} on .* cannot be opened \(Address already in use\); choose another with {option}"):
        ports.check(options(host=host, **{name: taken}))


def test_free_ports_stay_free():
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
    ports.check(options(port=port, page_port=0))
    ports.check(options(port=port, rest_port=None))
    with socket.create_server(("127.0.0.1", port)):
        pass


@pytest.mark.parametrize("host", ["192.0.2.1", "no-such-host.invalid"])
def test_a_host_of_another_machine_is_a_wrong_option(host):
    with pytest.raises(UsageError, match=f"--host {host}: is no address of this machine"):
        ports.check(options(host=host))


def test_one_port_for_two_is_a_wrong_option():
    with pytest.raises(UsageError, match="--page-port 8599: is that of --rest-port, too"):
        ports.check(options(rest_port=8599, page_port=8599))


@pytest.mark.seconds
def test_a_server_looks_at_its_ports_first(start, taken, tmp_path):
    with pytest.raises(CxrError, match=r"Address already in use\); choose another with --port"):
        start(tmp_path, port=taken)  # no models: what would be said next
