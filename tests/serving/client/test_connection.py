import datetime
import http.server
import os
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

import grpc
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from cxr.core.errors import CxrError, UsageError
from cxr.serving.client import connection as connection_module
from cxr.serving.client.connection import Connection, Tls, connect_each, is_loopback
from cxr.serving.client.errors import (
    DeadlineExceeded,
    InvalidRequest,
    Overloaded,
    RequestFailed,
    ServerUnavailable,
    TlsFailed,
    TooLarge,
    from_rpc,
)
from cxr.serving.client.wire import messages
from cxr.serving.remedies import ASK, CHANGE

pytestmark = pytest.mark.seconds

REQUEST = messages.PredictRequest()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@pytest.mark.parametrize(
    "address", ["", "localhost", "localhost:", ":8500", "localhost:http", "dns:///h", "h:65536", "dns:///h:99999", f"h:{'9' * 5000}"]
)
def test_an_address_needs_host_and_port(address: str):
    with pytest.raises(CxrError, match="HOST:PORT"):
        Connection(address)


FULL = [
    (grpc.StatusCode.UNAVAILABLE, "The batch scheduling queue to which this task was submitted is full"),
    (grpc.StatusCode.RESOURCE_EXHAUSTED, "More than 256 requests at once; try again later"),
    (grpc.StatusCode.RESOURCE_EXHAUSTED, "Concurrent RPC limit exceeded!"),  # grpc's maximum_concurrent_rpcs
]


@pytest.mark.parametrize(("code", "details"), FULL)
def test_a_full_server_is_asked_again_until_it_has_room(faulty, code, details):
    seen = []

    def twice_full(request, context):
        seen.append(request)
        if len(seen) < 3:
            context.abort(code, details)
        return messages.PredictResponse(model_spec=messages.ModelSpec(name="m"))

    with Connection(faulty(twice_full)) as connection:
        assert connection.call("Predict", REQUEST, 20).model_spec.name == "m"
    assert len(seen) == 3


@pytest.mark.parametrize(("code", "details"), FULL)
def test_a_server_that_stays_full_is_overloaded_not_refusing_a_size(faulty, code, details):
    full = faulty(lambda request, context: context.abort(code, details))
    with Connection(full) as connection, pytest.raises(Overloaded, match="--in-flight"):
        connection.call("Predict", REQUEST, 1)


def test_without_retries_a_full_server_is_asked_once(faulty):
    seen = []

    def full(request, context):
        seen.append(request)
        context.abort(*FULL[0])

    with Connection(faulty(full)) as connection, pytest.raises(Overloaded):
        connection.call("Predict", REQUEST, 20, retry=False)
    assert len(seen) == 1


@pytest.mark.parametrize("code", [grpc.StatusCode.INVALID_ARGUMENT, grpc.StatusCode.INTERNAL])
def test_other_codes_are_not_tried_again(faulty, code):
    seen = []

    def refuse(request, context):
        seen.append(request)
        context.abort(code, "no")

    with Connection(faulty(refuse)) as connection, pytest.raises(RequestFailed) as caught:
        connection.call("Predict", REQUEST, 20)
    assert (caught.value.code, caught.value.details, len(seen)) == (code, "no", 1)
    assert isinstance(caught.value, InvalidRequest) == (code == grpc.StatusCode.INVALID_ARGUMENT)


def test_without_a_server_the_error_says_how_to_start_one_and_comes_in_time():
    port, began = _free_port(), time.monotonic()
    with Connection(f"127.0.0.1:{port}") as connection, pytest.raises(ServerUnavailable, match=f"cxr serve MODELS_DIR --port {port}"):
        connection.call("Predict", REQUEST, 0.5)
    assert time.monotonic() - began < 10


class _Unavailable(grpc.RpcError):
    """What gRPC raises where it finds no server."""

    def __init__(self, details: str):
        self._details = details

    def code(self) -> grpc.StatusCode:
        return grpc.StatusCode.UNAVAILABLE

    def details(self) -> str:
        return self._details


def test_a_server_elsewhere_is_not_to_be_started_here():
    refused = _Unavailable("failed to connect to all addresses; last error: Connection refused")
    said = str(from_rpc(refused, "serving.example.org:8500", "m", here=False))
    assert said.endswith("; start one on that machine: cxr serve MODELS_DIR --host 0.0.0.0 --port 8500")
    assert str(from_rpc(refused, "localhost:9", "m")).endswith("; start one with: cxr serve MODELS_DIR --port 9")
    for remedies in (ASK, CHANGE):  # of several servers, with a models.config of their own
        assert str(from_rpc(refused, "localhost:9", "m", remedies=remedies)).endswith(f"; {remedies.away}")


@pytest.mark.parametrize(
    "details", ["errors resolving no.where:1: Domain name not found", "DNS resolution failed for no.where:1: timed out"]
)
def test_a_name_without_an_address_is_told_from_a_server_that_is_down(details):
    said = str(from_rpc(_Unavailable(details), "no.where:1", "m", here=False))
    assert said.startswith("no.where:1: the name has no address")
    assert "cxr serve" not in said


def test_a_server_that_hangs_meets_the_deadline(faulty):
    def hang(request, context):
        while context.is_active():
            time.sleep(0.01)
        return messages.PredictResponse()

    with Connection(faulty(hang)) as connection, pytest.raises(DeadlineExceeded, match="--timeout"):
        connection.call("Predict", REQUEST, 0.3)


def test_a_server_that_comes_back_is_found_again(faulty):
    port = _free_port()
    with Connection(f"localhost:{port}") as connection:
        with pytest.raises(ServerUnavailable):
            connection.call("Predict", REQUEST, 0.3)
        faulty(lambda request, context: messages.PredictResponse(), address=f"localhost:{port}")
        connection.call("Predict", REQUEST, 30)


def test_a_server_without_the_method_asked_for(faulty):
    with (
        Connection(faulty(lambda request, context: messages.PredictResponse())) as connection,
        pytest.raises(RequestFailed, match="gRPC port"),
    ):
        connection.call("GetModelStatus", messages.GetModelStatusRequest(), 10)


@pytest.fixture
def http_port() -> Iterator[Callable[..., int]]:
    """Starts HTTP/1 servers, with TLS where a certificate is given."""
    with ExitStack() as stack:

        def start(context: ssl.SSLContext | None = None) -> int:
            server = stack.enter_context(http.server.ThreadingHTTPServer(("127.0.0.1", 0), http.server.BaseHTTPRequestHandler))
            if context is not None:
                server.socket = context.wrap_socket(server.socket, server_side=True)
            threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
            stack.callback(server.shutdown)
            return server.server_address[1]

        yield start


def test_an_http_port_is_told_from_no_server(http_port):
    with Connection(f"127.0.0.1:{http_port()}") as connection, pytest.raises(ServerUnavailable, match="HTTP port.* usually 8500") as caught:
        connection.call("Predict", REQUEST, 1)
    assert "start one" not in str(caught.value)


def test_an_https_port_is_told_from_no_server(http_port, tmp_path: Path):
    authority = _Authority(tmp_path, "ours")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*authority.issue("localhost"))
    trust = Tls(authority.pem, server_name="localhost")
    with Connection(f"127.0.0.1:{http_port(context)}", trust) as connection, pytest.raises(ServerUnavailable, match="HTTP port"):
        connection.call("Predict", REQUEST, 1)


def test_messages_beyond_grpcs_four_megabytes_travel_both_ways(faulty):
    def echo(request, context):
        return messages.PredictResponse(outputs=request.inputs)

    request = messages.PredictRequest()
    request.inputs["x"].tensor_content = bytes(9_000_000)
    server = faulty(echo)  # its own limit for receiving is gRPC's default
    with Connection(server) as connection, pytest.raises(TooLarge, match="--batch-size"):
        connection.call("Predict", request, 20)

    def inflate(request, context):
        response = messages.PredictResponse()
        response.outputs["y"].tensor_content = bytes(9_000_000)
        return response

    with Connection(faulty(inflate)) as connection:
        assert len(connection.call("Predict", REQUEST, 20).outputs["y"].tensor_content) == 9_000_000


# === Several addresses ===


def _named(name: str):
    return lambda request, context: messages.PredictResponse(model_spec=messages.ModelSpec(name=name))


def test_every_address_of_a_target_gets_requests(faulty):
    ports = [faulty(_named(name), address="127.0.0.1:0").rpartition(":")[2] for name in "ab"]
    with Connection("ipv4:" + ",".join(f"127.0.0.1:{port}" for port in ports)) as connection:
        seen: set[str] = set()
        deadline = time.monotonic() + 30
        while seen != {"a", "b"} and time.monotonic() < deadline:  # both are in the rotation once both are connected
            seen.add(connection.call("Predict", REQUEST, 20).model_spec.name)
        answers = [connection.call("Predict", REQUEST, 20).model_spec.name for _ in range(10)]
    assert seen == {"a", "b"}
    assert answers.count("a") == answers.count("b") == 5


def test_each_address_of_a_name_is_connected_by_itself(faulty):
    port = faulty(_named("one"), address="127.0.0.1:0").rpartition(":")[2]
    (plain,) = connect_each(f"localhost:{port}")
    with plain:
        assert plain.server == f"localhost:{port}"
    each = connect_each(f"dns:///localhost:{port}")
    assert f"127.0.0.1:{port}" in [connection.server for connection in each]
    for connection in each:
        with connection:
            if connection.server.startswith("127."):
                assert connection.call("Predict", REQUEST, 20).model_spec.name == "one"
    with pytest.raises(CxrError, match="has no address"):
        connect_each("dns:///nowhere.invalid:8500")


@pytest.mark.parametrize(
    ("other", "said"),
    [("Socket closed", "if it uses TLS give --tls or --ca"), ("Trying to connect an http1.x server", "name the gRPC port")],
)
def test_an_address_without_a_server_does_not_hide_what_another_one_said(faulty, other, said):
    """localhost, say, where ::1 is refused: gRPC tells now of the one, now of the other, and of the last when time is over."""
    told = iter([other])

    def alternate(request, context):
        context.abort(grpc.StatusCode.UNAVAILABLE, next(told, "Failed to connect to remote host: Connection refused"))

    with Connection(faulty(alternate)) as connection, pytest.raises(ServerUnavailable, match=said):
        connection.call("Predict", REQUEST, 0.5)
    assert next(told, None) is None


def test_predictions_take_a_dns_target(faulty):
    port = faulty(_named("one")).rpartition(":")[2]
    with Connection(f"dns:///localhost:{port}") as connection:
        assert connection.call("Predict", REQUEST, 20).model_spec.name == "one"


@pytest.mark.parametrize(
    ("address", "local"), [("localhost:1", True), ("dns:///localhost:1", True), ("[::1]:1", True), ("dns:///serving.cxr.svc:8500", False)]
)
def test_loopback(address: str, local: bool):
    assert is_loopback(address) is local


# === TLS ===


class _Authority:
    def __init__(self, folder: Path, name: str):
        self.folder, self.name, self.key = folder, name, ec.generate_private_key(ec.SECP256R1())
        self.pem = self._save(name, self._certificate(name, self.key, ca=True), self.key)[0]

    def issue(self, name: str) -> tuple[Path, Path]:
        key = ec.generate_private_key(ec.SECP256R1())
        return self._save(name, self._certificate(name, key, ca=False), key)

    def _certificate(self, name: str, key: ec.EllipticCurvePrivateKey, ca: bool) -> x509.Certificate:
        now = datetime.datetime.now(datetime.UTC)

        def named(text: str) -> x509.Name:
            return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])

        builder = x509.CertificateBuilder().subject_name(named(name)).issuer_name(named(self.name)).public_key(key.public_key())
        builder = builder.serial_number(x509.random_serial_number())
        builder = builder.not_valid_before(now - datetime.timedelta(days=1)).not_valid_after(now + datetime.timedelta(days=1))
        builder = builder.add_extension(x509.BasicConstraints(ca=ca, path_length=None), critical=True)
        return builder.add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False).sign(self.key, hashes.SHA256())

    def _save(self, name: str, certificate: x509.Certificate, key: ec.EllipticCurvePrivateKey) -> tuple[Path, Path]:
        pem, key_pem = self.folder / f"{self.name}-{name}.pem", self.folder / f"{self.name}-{name}.key"
        pem.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
        plain = serialization.NoEncryption()
        key_pem.write_bytes(key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, plain))
        return pem, key_pem


def test_tls_with_client_certificates(faulty, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    ours, stranger = _Authority(tmp_path, "ours"), _Authority(tmp_path, "stranger")
    certificate, key = ours.issue("localhost")
    credentials = grpc.ssl_server_credentials(
        [(key.read_bytes(), certificate.read_bytes())], root_certificates=ours.pem.read_bytes(), require_client_auth=True
    )
    server = faulty(lambda request, context: messages.PredictResponse(), credentials=credentials)

    with Connection(server, Tls(ours.pem, *ours.issue("client"))) as connection:
        connection.call("Predict", REQUEST, 20)
    monkeypatch.setattr(connection_module, "FIRST_PAUSE", 100)  # longer than a call may take: the first failure is told
    for bad, said in (
        (Tls(stranger.pem, *ours.issue("client")), "TLS failed"),
        (Tls(ours.pem, *ours.issue("client"), server_name="elsewhere"), "TLS failed .*--server-name"),
        (Tls(ours.pem), "if it asks for certificates of clients give one that it trusts, --cert and --key; else start one"),
        (Tls(ours.pem, *stranger.issue("client")), "if it asks for certificates of clients give one that it trusts"),
        (None, "if it uses TLS give --tls or --ca; else start one"),
    ):
        with Connection(server, bad) as connection, pytest.raises(ServerUnavailable, match=said):
            connection.call("Predict", REQUEST, 20)
    with Connection(server, Tls(stranger.pem, *ours.issue("client"))) as connection, pytest.raises(TlsFailed, match="--ca"):
        connection.call("Predict", REQUEST, 20)


def test_each_address_is_compared_with_the_certificates_name(faulty, tmp_path: Path):
    authority = _Authority(tmp_path, "ours")
    certificate, key = authority.issue("localhost")
    credentials = grpc.ssl_server_credentials([(key.read_bytes(), certificate.read_bytes())])
    port = faulty(_named("one"), credentials=credentials, address="127.0.0.1:0").rpartition(":")[2]
    for connection in connect_each(f"dns:///localhost:{port}", Tls(authority.pem)):
        with connection:
            if connection.server.startswith("127."):
                assert connection.call("Predict", REQUEST, 20).model_spec.name == "one"


def test_tls_files_are_checked(tmp_path: Path):
    with pytest.raises(CxrError, match="both --cert and --key"):
        Connection("localhost:1", Tls(certificate=tmp_path / "c.pem"))
    with pytest.raises(CxrError, match="name a PEM file"):
        Connection("localhost:1", Tls(ca=tmp_path / "missing.pem"))
    authority = _Authority(tmp_path, "ours")
    (certificate, key), (_, other) = authority.issue("client"), authority.issue("other")
    der, empty, damaged, locked, bundle = (tmp_path / name for name in ("der", "empty", "damaged", "locked", "bundle"))
    der.write_bytes(ssl.PEM_cert_to_DER_cert(certificate.read_text()))
    empty.touch()
    damaged.write_text("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n")
    secret = serialization.load_pem_private_key(key.read_bytes(), None)
    form = (serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.BestAvailableEncryption(b"secret"))
    locked.write_bytes(secret.private_bytes(*form))
    for file, said in (
        (key, "no certificate in PEM; name a PEM file that has -----BEGIN CERTIFICATE----- in it"),
        (der, f"no certificate in PEM; make one of it: openssl x509 -inform der -in {der} -out FILE.pem"),
        (empty, "no certificate in PEM; name a PEM file"),
        (damaged, "a certificate in it is damaged"),
    ):
        with pytest.raises(UsageError, match=f"--ca {file}: {said}"):
            Connection("localhost:1", Tls(file))
        with pytest.raises(UsageError, match=f"--cert {file}: {said}"):
            Connection("localhost:1", Tls(authority.pem, file, key))
    for file, said in ((other, "not the key of the certificate"), (empty, "no key in PEM"), (locked, "no key in PEM without a password")):
        with pytest.raises(UsageError, match=f"--key {file}: {said}"):
            Connection("localhost:1", Tls(authority.pem, certificate, file))
    bundle.write_bytes("# both, of Zürich\n".encode() + authority.pem.read_bytes() + certificate.read_bytes())
    chain = tmp_path / "chain"
    chain.write_bytes(certificate.read_bytes() + authority.pem.read_bytes())
    Connection("localhost:1", Tls(bundle, chain, key)).close()
    os.mkfifo(pipe := tmp_path / "pipe")  # of a shell's <(…): it can be read once
    with ThreadPoolExecutor(1) as writer:
        writer.submit(pipe.write_bytes, key.read_bytes())
        Connection("localhost:1", Tls(bundle, chain, pipe)).close()
