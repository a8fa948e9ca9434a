"""Options, TensorFlow Serving's option files, its arguments, and the command; no server is started."""

import json
import os
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest
import typer
from certificates import certificate
from cryptography.hazmat.primitives.serialization import BestAvailableEncryption, Encoding, PrivateFormat, load_pem_private_key
from pydantic import ValidationError
from typer.testing import CliRunner

from cxr.cli import serve, serve_errors
from cxr.core.errors import CxrError, UsageError
from cxr.serving.server import tfserving
from cxr.serving.server.options import Batching, ServerOptions, Tls
from cxr.serving.server.textprotos import read_batching, read_tls

FLAGS = frozenset((Path(__file__).parents[1] / "data" / "tfserving_flags.txt").read_text().split())


@pytest.fixture
def cli():
    app = typer.Typer()
    app.callback()(lambda: None)
    serve.register(app)
    return lambda *arguments: CliRunner().invoke(app, ["serve", *map(str, arguments)])


@pytest.fixture
def started(cli, monkeypatch):
    """Runs the command up to where a server would start, whichever the engine; returns the options that it would have, and stderr."""
    found: list[ServerOptions] = []

    def run(*arguments) -> tuple[ServerOptions, str]:
        result = cli(*arguments)
        assert result.exit_code == 0, result.output or result.exception
        return found.pop(), result.stderr

    def replaced(options):
        found.append(options)
        raise SystemExit(0)  # as exec, it never returns

    monkeypatch.setattr("cxr.serving.server.main.serve", lambda options, open_page, as_json: found.append(options))
    monkeypatch.setattr(tfserving, "execute", replaced)
    return run


def test_loopback_is_the_default():
    assert ServerOptions(models_dir=Path("models")).host == "127.0.0.1"


@pytest.mark.parametrize(
    ("values", "text"),
    [
        ({}, "either models_dir or model_config_file"),
        ({"models_dir": "m", "port": 70000}, "port"),
        ({"models_dir": "m", "prot": 1}, "prot"),
        ({"models_dir": "m", "batching": {"max_batch_size": 8, "allowed_batch_sizes": [4]}}, "end with max_batch_size"),
        ({"models_dir": "m", "batching": {"max_batch_size": 8, "allowed_batch_sizes": [8, 8]}}, "must rise"),
        (
            {"models_dir": "m", "batching": {"enable_large_batch_splitting": True, "max_execution_batch_size": 33}},
            "not be above max_batch_size",
        ),
    ],
)
def test_wrong_options(values, text):
    with pytest.raises(ValidationError, match=text):
        ServerOptions(**values)


def test_options_survive_json():
    options = ServerOptions(models_dir=Path("m"), batching=Batching(max_batch_size=4), tls=Tls(key="k", certificate="c"))
    assert ServerOptions.model_validate_json(options.model_dump_json()) == options
    assert "key=" not in repr(options.tls)


def test_batching_parameters_file(tmp_path):
    path = tmp_path / "batching.config"
    values = "max_batch_size { value: 16 } batch_timeout_micros { value: 500 } num_batch_threads { value: 3 }"
    path.write_text(values + " allowed_batch_sizes: [4, 16]")
    batching = read_batching(path)
    assert batching == Batching(max_batch_size=16, batch_timeout_micros=500, num_batch_threads=3, allowed_batch_sizes=(4, 16))
    path.write_text(tfserving.batching_text(batching))
    assert read_batching(path) == batching
    path.write_text("max_execution_batch_size { value: 8 } enable_large_batch_splitting { value: true }")
    assert read_batching(path) == Batching(enable_large_batch_splitting=True, max_execution_batch_size=8)
    path.write_text(tfserving.batching_text(read_batching(path)))
    assert read_batching(path).largest_batch == 8
    assert Batching(max_execution_batch_size=8).largest_batch == 32  # TensorFlow Serving looks at it only where requests are split


@pytest.mark.parametrize(
    "text", ["max_batch: 3", "allowed_batch_sizes: 3", "max_batch_size { value: 0 }", "pad_variable_length_inputs: true"]
)
def test_wrong_batching_parameters_name_the_file(tmp_path, text):
    path = tmp_path / "batching.config"
    path.write_text(text)
    with pytest.raises(UsageError, match=r"--batching-parameters-file .*batching\.config"):
        read_batching(path)


def test_ssl_config_file(tmp_path):
    _, _, key, pem = certificate("localhost")
    path = ssl_config(tmp_path, key, pem, more="client_verify: false")
    assert read_tls(path) == Tls(key=key.decode(), certificate=pem.decode())
    path.write_text('server_key: "KEY"')
    with pytest.raises(CxrError, match="server_cert"):
        read_tls(path)


def ssl_config(folder, key, pem, ca=b"", more=""):
    path = folder / "ssl.config"
    pems = {"server_key": key, "server_cert": pem, "custom_ca": ca}
    path.write_text("".join(f"{name}: {json.dumps(text.decode())}\n" for name, text in pems.items()) + more)
    return path


def test_keys_and_certificates_that_cannot_be_used_are_said_with_the_file_before_anything_is_loaded(cli, tmp_path):
    (_, _, key, pem), (_, _, other, _) = certificate("localhost"), certificate("localhost")
    private = load_pem_private_key(key, None)
    encrypted = private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"secret"))
    for path in (
        ssl_config(tmp_path, b"server.key", b"server.pem"),  # paths in place of what is in them
        ssl_config(tmp_path, other, pem),
        ssl_config(tmp_path, pem, key),
        ssl_config(tmp_path, encrypted, pem),
        ssl_config(tmp_path, key, pem, b"no authority", "client_verify: true"),
    ):
        result = cli(options(tmp_path).models_dir, "--ssl-config-file", path)
        assert isinstance(result.exception, UsageError), result.exception
        assert f"--ssl-config-file {path}: the TLS key, certificate or client_ca cannot be used" in str(result.exception)
        with pytest.raises(UsageError, match="must be PEM texts that fit together"):
            read_tls(path)


def test_a_server_that_is_no_command_finds_a_wrong_key_before_it_loads(tmp_path, monkeypatch):
    from cxr.serving.server import configuring
    from cxr.serving.server.app import Server

    monkeypatch.setattr(configuring, "start", lambda *_: pytest.fail("models are loaded"))
    with pytest.raises(CxrError, match="TLS key, certificate or client_ca cannot be used"):
        Server.start(options(tmp_path).models_dir, port=0, rest_port=None, tls=Tls(key="k", certificate="c"))


def options(tmp_path, **more):
    version = tmp_path / "models" / "mobilenet" / "1"
    version.mkdir(parents=True, exist_ok=True)
    (version / "saved_model.pb").touch()
    return ServerOptions(**{"models_dir": tmp_path / "models", "host": "0.0.0.0", **more})


def test_tensorflow_servings_arguments(tmp_path):
    age = {"max_connection_age_seconds": 1.5}
    found = dict(a.removeprefix("--").split("=", 1) for a in tfserving.arguments(options(tmp_path, load_retry_seconds=2, **age), tmp_path))
    assert found["port"] == "8500"
    assert found["rest_api_port"] == "8501"
    assert found["load_retry_interval_micros"] == "2000000"
    assert found["enable_batching"] == "true"
    assert found["enable_grpc_healthcheck_service"] == "true"
    assert found.keys() <= FLAGS
    assert "prometheus_config" in Path(found["monitoring_config_file"]).read_text()
    assert found["allow_version_labels_for_unavailable_models"] == "true"  # else a first configuration with labels stops its start
    assert found["grpc_channel_arguments"] == f"grpc.max_receive_message_length={256 * 2**20},grpc.max_connection_age_ms=1500"
    assert 'name: "mobilenet"' in Path(found["model_config_file"]).read_text()
    assert read_batching(Path(found["batching_parameters_file"])) == Batching()
    wait = "model_config_file_poll_wait_seconds"
    assert found[wait] == "0"  # the file is read once
    (tmp_path / "models.config").touch()
    polled = options(tmp_path, models_dir=None, model_config_file=tmp_path / "models.config", model_config_file_poll_seconds=0.4)
    assert f"--{wait}=1" in tfserving.arguments(polled, tmp_path)


@pytest.mark.parametrize("more", [{"port": 0}, {"rest_port": 0}, {"host": "127.0.0.1"}, {"tls": Tls(key="k", certificate="c")}])
def test_what_tensorflow_serving_cannot_do(tmp_path, more):
    with pytest.raises(CxrError, match="TensorFlow Serving"):
        tfserving.arguments(options(tmp_path, **more), tmp_path)


def test_no_rest_means_none_with_either_engine(started, tmp_path):
    _, _, key, pem = certificate("localhost")
    folder, ssl = options(tmp_path).models_dir, ssl_config(tmp_path, key, pem)
    assert started(folder)[0].rest_port == 8501
    assert started(folder, "--no-rest")[0].rest_port is None
    for more in ((), ("--ssl-config-file", ssl)):
        found, _ = started(folder, "--no-rest", "--engine", "tfserving", "--host", "0.0.0.0", *more)
        assert "--rest_api_port=0" in tfserving.arguments(found, tmp_path)


def test_what_only_the_embedded_server_obeys_is_refused_with_tensorflow_serving(cli, tmp_path):
    limits = {"max_image_pixels": 5, "max_concurrent_requests": 3}
    found = options(tmp_path, limits=limits, drain_seconds=3, start_seconds=9, unchecked_models=True)
    names = "--max-image-pixels, --max-concurrent-requests, --start-seconds, --drain-seconds, --unchecked-models"
    with pytest.raises(UsageError, match=f"{names}: only the emb"):
        tfserving.arguments(found, tmp_path)
    result = cli(found.models_dir, "--engine", "tfserving", "--host", "0.0.0.0", "--json")
    assert isinstance(result.exception, UsageError)
    assert "--json" in str(result.exception)


@pytest.mark.parametrize("engine", ["embedded", "tfserving"])
def test_a_server_for_other_machines_says_who_may_come(started, tmp_path, engine):
    folder, (_, _, key, pem) = options(tmp_path).models_dir, certificate("localhost")
    arguments = (folder, "--no-rest", "--engine", engine)

    def warned(*more) -> str:
        return started(*arguments, *more)[1]

    assert warned("--host", "127.0.0.1") == ""
    said = warned("--host", "0.0.0.0")
    assert "anyone who reaches 0.0.0.0 can ask the models and change which are served" in said
    assert "plaintext" in said
    said = warned("--host", "0.0.0.0", "--ssl-config-file", ssl_config(tmp_path, key, pem, pem))
    assert "change which are served" in said
    assert "plaintext" not in said
    assert warned("--host", "0.0.0.0", "--ssl-config-file", ssl_config(tmp_path, key, pem, pem, "client_verify: true")) == ""


def test_engine_tfserving_needs_the_binary(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(CxrError, match="tensorflow_model_server is not on PATH"):
        tfserving.execute(options(tmp_path))


@pytest.mark.slow
def test_engine_tfserving_becomes_the_binary(tmp_path):
    """A script of that name shows what it was started with; the process is replaced, not wrapped, and no file with the key is left."""
    binary, folder = tmp_path / tfserving.BINARY, tmp_path / "temporary"
    folder.mkdir()
    printed = 'printf "%s\\n" "$$" "$TF_CPP_MIN_LOG_LEVEL" "$@"'
    read = 'for option; do case $option in *_file=*) cat "${option#*=}";; esac; done'
    binary.write_text(f"#!/bin/sh\n{printed}\n{read}\n{read}\n")
    binary.chmod(0o755)
    code = "import sys; from cxr.serving.server import tfserving, options; "
    code += "tfserving.execute(options.ServerOptions.model_validate_json(sys.argv[1]))"
    path = f"{tmp_path}{os.pathsep}{os.environ['PATH']}"
    command = [sys.executable, "-c", code, options(tmp_path, rest_port=None, tls=Tls(key="SECRET", certificate="c")).model_dump_json()]
    environment = {**os.environ, "PATH": path, "TMPDIR": str(folder), "TF_CPP_MIN_LOG_LEVEL": "0"}
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, env=environment)
    out, _ = process.communicate(timeout=120)
    assert out.splitlines()[:2] == [str(process.pid), "2"]  # its warnings quote requests
    assert "--port=8500" in out
    assert out.count('server_key: "SECRET"') == out.count('name: "mobilenet"') == 2  # read again, as the binary does with models.config
    assert list(folder.iterdir()) == []


def test_command_refuses_before_tensorflow_is_imported(cli, tmp_path):
    (tmp_path / "models.config").touch()
    for both_or_none in ((), (tmp_path, "--model-config-file", tmp_path / "models.config")):
        error = cli(*both_or_none).exception
        assert isinstance(error, UsageError)
        assert str(error) == "MODELS_DIR: name the folder of models, or a --model-config-file (one of them)"
    missing = cli(tmp_path / "missing")
    assert isinstance(missing.exception, CxrError)
    assert "no such file or folder" in str(missing.exception)
    wrong = cli(tmp_path, "--port", "70000")
    assert isinstance(wrong.exception, CxrError)
    assert "port" in str(wrong.exception)
    assert "--page-port: must be at most 65535" in str(cli(tmp_path, "--page", "--page-port", "70000").exception)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--max-message-mb", "0"), "--max-message-mb: must be at least 1 MB"),
        (("--max-message-mb", "2048"), "--max-message-mb: must be at most 2047 MB"),
        (("--max-batch-size", "0"), "--max-batch-size: must be at least 1 image"),
        (("--rest-timeout", "0"), "--rest-timeout: must be more than 0 seconds"),
        (("--drain-seconds", "inf"), "--drain-seconds: must be a finite number"),
        (("--drain-seconds", "1e12"), "--drain-seconds: must be at most 2000000 seconds"),
        (("--log-requests", "logs", "--log-file-mb", "64", "--log-total-mb", "64"), "--log-total-mb: must be at least twice --log-file-mb"),
        (("--model-config-file-poll-seconds", "3"), "--model-config-file names"),
        (("--no-batching", "--max-batch-size", "4"), "--max-batch-size beside --no-batching: there is nothing that would obey"),
        (
            ("--no-batching", "--max-enqueued-batches", "4", "--batch-timeout-micros", "1"),
            "--batch-timeout-micros, --max-enqueued-batches beside",
        ),
        (("--no-rest", "--rest-timeout", "9"), "--rest-timeout beside --no-rest: there is nothing that would obey"),
        (("--no-rest", "--rest-port", "0"), "--rest-port beside --no-rest: there is nothing that would obey"),
        (("--page-port", "8502"), "--page-port without --page: there is no page; give that, too"),
        (("--ssl-config-file", "nope"), "--ssl-config-file nope: cannot be read (No such file or directory); name a SSLConfig text proto"),
        (("--batching-parameters-file", "nope"), "--batching-parameters-file nope: cannot be read"),
        (("--batching-parameters-file", "."), "--batching-parameters-file .: cannot be read (Is a directory)"),
    ],
)
def test_what_is_wrong_is_said_in_the_words_of_the_options(cli, tmp_path, options, said):
    result = cli(tmp_path, *options)
    assert isinstance(result.exception, UsageError), result.exception
    assert said in str(result.exception)
    assert "_" not in str(result.exception).replace(str(tmp_path), "")  # no field of the code


def test_a_file_for_a_folder_and_a_folder_for_a_file_are_wrong_arguments(cli, tmp_path):
    (tmp_path / "file").touch()
    for arguments, said in (((tmp_path / "file",), "is a file"), (("--model-config-file", tmp_path), "is a folder")):
        result = cli(*arguments)
        assert isinstance(result.exception, UsageError)
        assert said in str(result.exception)


def test_every_option_that_the_words_name_is_there():
    app = typer.Typer()
    serve.register(app)
    known = {option for parameter in typer.main.get_command(app).params for option in parameter.opts}
    assert {option.name for option in serve_errors._OPTIONS.values()} <= known


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("--max-message-mb", "2048"),
        ("--max-connection-age-seconds", "3000000"),
        ("--drain-seconds", "1e12"),
        ("--start-seconds", "inf"),
        ("--start-seconds", "nan"),
        ("--poll-seconds", "1e12"),
        ("--rest-timeout", "1e12"),
        ("--load-retry-seconds", "inf"),
        ("--intra-op-threads", "99999999999"),
    ],
)
def test_numbers_that_nothing_below_can_hold_are_wrong_options(cli, tmp_path, option, value):
    """They were tracebacks, once every model was loaded."""
    result = cli(tmp_path, option, value)
    assert isinstance(result.exception, UsageError), (result.output, result.exception)


@pytest.mark.slow
def test_command_serves_until_sigterm(golden_models, connect):
    code = "import typer; from cxr.cli import serve; app = typer.Typer(); serve.register(app); app()"
    ports = ["--port", "0", "--rest-port", "0", "--page", "--page-port", "0"]
    command = [sys.executable, "-c", code, str(golden_models), *ports, "--json", "--max-batch-size", "4"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    assert process.stdout is not None
    try:
        addresses = json.loads(process.stdout.readline())
        caller = connect(addresses["address"])
        assert caller.half()[0] == 124
        assert addresses["rest_address"].startswith("127.0.0.1:")
        with urllib.request.urlopen(f"http://{addresses['page_address']}/api/models") as answer:
            assert [model["name"] for model in json.load(answer)["models"]] == ["half_plus", "image"]
        message = "Task size 5 is larger than maximum input batch size 4"
        assert caller.refusal(lambda: caller.half([1.0] * 5)) == ("INVALID_ARGUMENT", message)
        process.terminate()
        assert process.wait(60) == 0
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


def test_the_request_log_is_off_and_its_bounds_are_checked(cli, tmp_path):
    assert ServerOptions(models_dir=Path("models")).request_log is None
    text = "total_bytes must hold two files"
    with pytest.raises(ValidationError, match=text):
        ServerOptions.model_validate({"models_dir": "m", "request_log": {"folder": "logs", "total_bytes": 1000}})
    result = cli(tmp_path, "--log-sampling", "0.5")
    assert result.exit_code == 2
    assert "need it" in result.output
    result = cli(tmp_path, "--log-requests", tmp_path / "logs", "--log-sampling", "2")
    assert isinstance(result.exception, CxrError)
    assert str(result.exception) == "--log-sampling: must be at most 1"
    assert not (tmp_path / "logs").exists()


def test_tensorflow_serving_has_no_log_of_ours():
    log = {"folder": "logs"}
    options = ServerOptions.model_validate({"models_dir": "m", "host": "0.0.0.0", "request_log": log})
    with pytest.raises(CxrError, match="no log collector that writes files"):
        tfserving.arguments(options)


def test_a_base_path_that_no_file_can_have_is_refused():
    """Looking for it is no OSError: one such model would end the search for new versions of all."""
    from tensorflow_serving.config.model_server_config_pb2 import ModelServerConfig

    from cxr.serving.server.errors import ServingError
    from cxr.serving.server.served_models import validate

    config = ModelServerConfig()
    config.model_config_list.config.add(name="a", base_path="/models/\0", model_platform="tensorflow")
    with pytest.raises(ServingError, match="absolute path"):
        validate(config, {})
