"""What can be said of Beam's options before a job begins."""

import socket

import pytest

from cxr.core import beam_options
from cxr.core.errors import UsageError


@pytest.fixture
def java(monkeypatch):
    monkeypatch.setattr(beam_options.shutil, "which", lambda name: "/bin/java")


@pytest.mark.parametrize("options", [beam_options.local(1), beam_options.local(3), ["--runner=DataflowRunner"], []])
def test_nothing_to_object_to(options):
    beam_options.check(options)


def test_a_job_server_that_listens():
    with socket.create_server(("localhost", 0)) as server:
        beam_options.check(["--runner=PortableRunner", f"--job_endpoint=localhost:{server.getsockname()[1]}"])


def test_a_job_server_at_an_address_of_ipv6(monkeypatch):
    asked = []

    def connect(address, seconds):
        asked.append(address)
        return socket.socket()

    monkeypatch.setattr(beam_options.socket, "create_connection", connect)
    beam_options.check(["--runner=PortableRunner", "--job_endpoint=[::1]:8099"])
    assert asked == [("::1", 8099)]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--runner=PortableRunner", "--job_endpoint=localhost:1"], "localhost:1: Beam's job server does not answer there"),
        (["--job_endpoint=localhost"], "must be host:port"),
        (["--job_endpoint=localhost:99999"], "does not answer"),
        (["--runner=PortableRunner"], "needs --job_endpoint=host:port"),
        (["--runner=FlinkRunner", "--flink_version=1.20"], "a jar that Beam would download: name one with --flink_job_server_jar=PATH"),
        (["--runner=FlinkRunner", "--flink_job_server_jar=/gone.jar"], "/gone.jar: there is no such file"),
        (["--runner=SparkRunner"], "--spark_job_server_jar"),
    ],
)
def test_what_is_not_there(options, message, java):
    with pytest.raises(UsageError, match=message):
        beam_options.check(options)


def test_a_jar_and_no_java(tmp_path, monkeypatch):
    (tmp_path / "server.jar").touch()
    options = ["--runner=FlinkRunner", f"--flink_job_server_jar={tmp_path}/server.jar"]
    monkeypatch.setattr(beam_options.shutil, "which", lambda name: None)
    with pytest.raises(UsageError, match="there is no Java to run it"):
        beam_options.check(options)


def test_beam_takes_the_runner_by_its_path():
    from apache_beam.runners.runner import create_runner

    from cxr.data.beam_workers import ProcessRunner

    (runner,) = (option.partition("=")[2] for option in beam_options.local(2) if option.startswith("--runner="))
    assert isinstance(create_runner(runner), ProcessRunner)


def test_images_are_read_by_threads_unless_processes_are_asked_for():
    assert beam_options.reading(1) == ()
    assert beam_options.reading(3) == beam_options.local(3)
