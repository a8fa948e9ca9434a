"""Servers in processes of their own: started, killed under load, started again, told to end."""

import base64
import json
import os
import resource
import signal
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request

import grpc
import psutil
import pytest
from served import served

from cxr.core.errors import CxrError
from cxr.core.silence import TENSORFLOW_LEVEL
from cxr.serving.server.options import ServerOptions
from cxr.serving.server.process import _first_line, run_server, start_server
from cxr.serving.server.tensorflow_log import leave_warnings_out

PATIENCE = 120


@pytest.mark.slow
def test_serves_bare_and_versioned_folders(golden_models, connect):
    paths = {"bare": golden_models / "half_plus" / "123", "versions": golden_models / "half_plus"}
    with start_server(paths, PATIENCE, rest_port=0) as server:
        caller = connect(server.address)
        assert caller.half(name="bare") == (1, [2.5, 3.0])
        assert caller.half(name="versions") == (124, [3.5, 4.0])
        assert server.rest_address is not None
        log = server.log_path.read_text()
        assert log.index("bare version 1: loading") < log.index("bare version 1: available")
        for words in ("deprecated", "Restoring parameters"):  # how models are loaded is no concern of who starts a server
            assert words not in log
    with pytest.raises(ProcessLookupError):
        os.kill(server.pid, 0)


@pytest.mark.slow
def test_broken_model_says_why_and_leaves_no_process(tmp_path):
    (tmp_path / "saved_model.pb").write_bytes(b"broken")
    text = "Some models did not become available: broken: version 1"
    with pytest.raises(CxrError, match=text), start_server({"broken": tmp_path}, PATIENCE):
        pass


def test_folder_without_model_is_refused_at_once(tmp_path):
    with pytest.raises(CxrError, match="no SavedModel"), start_server({"none": tmp_path / "missing"}):
        pass


@pytest.mark.slow
def test_needs_neither_keras_nor_tfx(monkeypatch):
    monkeypatch.setenv("TF_USE_LEGACY_KERAS", "1")  # as below a process that has imported tensorflow_transform
    code = """
import sys
import cxr.serving.server.process
assert not {"tensorflow", "grpc", "numpy"} & set(sys.modules), "process is light"
from cxr.serving.server.main import leave_keras_out
leave_keras_out()
import cxr.serving.server.app
import cxr.serving.page.server
assert "tensorflow" in sys.modules
found = [name for name in sys.modules if name.split(".")[0] in ("keras", "tf_keras", "tfx") and sys.modules[name] is not None]
assert not found, found
"""
    subprocess.run([sys.executable, "-c", code], check=True, timeout=PATIENCE)


@pytest.mark.slow
def test_killed_and_restarted_under_load(golden_models, connect, tmp_path, until):
    """Clients that try again on UNAVAILABLE get through; nobody is answered wrongly."""
    with run_server(ServerOptions(models_dir=golden_models, port=0, rest_port=None), PATIENCE, tmp_path / "first.log") as first:
        caller = connect(first.address)
        answers, codes, end = [], set(), threading.Event()

        def client():
            while not end.is_set():
                try:
                    answers.append(caller.half())
                except grpc.RpcError as error:
                    codes.add(error.code().name)
                    time.sleep(0.05)

        threads = [threading.Thread(target=client) for _ in range(3)]
        for thread in threads:
            thread.start()
        try:
            until(lambda: len(answers) > 20, "the load")
            os.kill(first.pid, signal.SIGKILL)
            until(lambda: codes, "refusals")
            port = int(first.address.rpartition(":")[2])
            options = ServerOptions(models_dir=golden_models, port=port, rest_port=None)
            with run_server(options, PATIENCE, tmp_path / "second.log"):
                count = len(answers)
                until(lambda: len(answers) > count + 20, "recovery")
                end.set()
                for thread in threads:
                    thread.join()
        finally:
            end.set()
    assert codes == {"UNAVAILABLE"}
    assert set(map(str, answers)) == {"(124, [3.5, 4.0])"}


@pytest.mark.slow
def test_a_request_that_does_not_fit_into_the_memory_ends_the_server_and_it_says_why(golden_models):
    """Its process went on, and answered nobody any more."""
    import numpy as np

    with served(golden_models) as (process, listening):
        size = 200 * 2**20  # bytes; gRPC has them once in its own memory, and once more as an object of Python's
        limit = psutil.Process(process.pid).memory_info().vms + size * 3 // 2
        resource.prlimit(process.pid, resource.RLIMIT_AS, (limit, limit))
        with grpc.insecure_channel(listening["address"], options=[("grpc.max_send_message_length", -1)]) as channel:
            send = channel.unary_unary("/tensorflow.serving.PredictionService/Predict")
            with pytest.raises(grpc.RpcError):
                send(np.zeros(size, np.uint8).tobytes(), timeout=PATIENCE)
        assert process.wait(PATIENCE) == 1
        assert process.stderr is not None
        said = process.stderr.read()
    assert "--max-message-mb and --max-concurrent-requests let fewer bytes in" in said


@pytest.mark.slow
def test_nothing_of_a_malformed_request_reaches_the_log(slow_model, connect, tmp_path, monkeypatch):
    monkeypatch.setenv("TF_CPP_MIN_LOG_LEVEL", "0")  # TensorFlow's C++ code warns, and quotes what it could not read
    log = tmp_path / "server.log"
    with run_server(ServerOptions(models_dir=slow_model, port=0, rest_port=0), PATIENCE, log) as server:
        caller = connect(server.address)
        for content in (b"PATIENT^JANE\x1b[31m\n2026-01-01 ERROR forged", b"PATIENT\xff\xfeJANE"):
            request = caller.request("slow", signature="lengths", inputs=[content])
            code, message = caller.refusal(lambda request=request: caller.prediction.Predict(request, timeout=60))
            assert code == "INVALID_ARGUMENT"
            assert message.startswith("Could not parse example input, value: 'PATIENT")
            instances = [{"inputs": {"b64": base64.b64encode(content).decode()}}]
            body = json.dumps({"signature_name": "lengths", "instances": instances}).encode()
            with pytest.raises(urllib.error.HTTPError, match="400"):
                urllib.request.urlopen(f"http://{server.rest_address}/v1/models/slow:predict", body)
    written = log.read_bytes()
    assert b"slow version 1: available" in written
    assert b"cuInit" not in written  # that there is no GPU was the first line of each log, as an error
    assert not [word for word in (b"JANE", b"forged", b"\x1b", b"Could not parse") if word in written]


@pytest.mark.parametrize(("before", "after"), [(None, "2"), ("0", "2"), ("1", "2"), ("2", "2"), ("3", "3"), ("loud", "2")])
def test_warnings_of_tensorflow_are_off_and_errors_stay(monkeypatch, before, after):
    monkeypatch.setenv(TENSORFLOW_LEVEL, "")  # what was there before comes back after the test
    if before is None:
        monkeypatch.delenv(TENSORFLOW_LEVEL)
    else:
        monkeypatch.setenv(TENSORFLOW_LEVEL, before)
    leave_warnings_out()
    assert os.environ[TENSORFLOW_LEVEL] == after


@pytest.mark.slow
def test_server_ends_with_the_process_that_started_it(golden_models, until):
    code = "import sys, time; from cxr.serving.server.process import start_server\n"
    code += "with start_server({'half_plus': sys.argv[1]}, 120) as server: print(server.pid, flush=True); time.sleep(600)"
    command = [sys.executable, "-c", code, str(golden_models / "half_plus")]
    parent = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    assert parent.stdout is not None
    pid = int(parent.stdout.readline())
    parent.kill()
    parent.wait()
    parent.stdout.close()

    def gone():
        try:
            os.kill(pid, 0)
            with open(f"/proc/{pid}/stat") as stat:  # where nobody collects orphans it stays as a zombie
                return stat.read().rpartition(")")[2].split()[0] == "Z"
        except OSError:
            return True

    until(gone, "the end of the server")


@pytest.mark.seconds
def test_a_server_that_closed_its_output_is_waited_for():
    """Between the two it is neither ready nor ended, which would be read as a lack of time."""
    code = "import os, time; os.close(1); time.sleep(1); os._exit(3)"
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) as process:
        assert _first_line(process, 60) is None
        assert process.poll() == 3
