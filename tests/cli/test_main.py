"""What every command shares: version, completion, exit codes."""

import functools
import json
import os
import re
import signal
import subprocess
import sys
import time
from importlib.metadata import version
from pathlib import Path

import here
import pytest

from cxr.core import exit_codes

CXR = Path(sys.executable).with_name("cxr")


@pytest.fixture
def cxr(tmp_path, capfd, monkeypatch):
    """Returns a function that runs the command in `tmp_path`."""
    monkeypatch.chdir(tmp_path)
    return functools.partial(here.cxr, capfd)


def test_version(tmp_path):
    """Of the command that a shell finds."""
    done = subprocess.run([CXR, "--version"], cwd=tmp_path, capture_output=True, text=True, timeout=120)
    assert (done.returncode, done.stdout) == (exit_codes.OK, f"cxr {version('cxr-pipeline')}\n")


def test_help_offers_completion_of_the_shell(cxr):
    assert "--install-completion" in cxr("--help").stdout


def test_a_narrow_terminal_cuts_no_name_of_an_option(cxr, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    shown = cxr("serve", "--help").stdout
    assert "--model-config-file-po" in shown  # too long for its column
    assert not re.findall(r"--[a-z-]+…", shown)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["run", "--config", "nope"], "--config nope: neither a file nor one of"),
        (["run", "--config", "nope.yaml"], "--config nope.yaml"),
        (["run", "gate.minimum=1"], "gate.minimum: unknown key"),
        (["run", "gate"], "an override is key=value"),
        (["run", "--jobs", "0"], "Invalid value for '--jobs'"),
        (["run", "--data", "nowhere"], "--data nowhere: no such file or folder"),
        (
            ["run", "models.mobilenet.weights=/nowhere"],
            "models.mobilenet.weights: MobileNet: /nowhere is no folder. Remedy: put one of mobilenet_",
        ),
        (["run", "--workspace", "/".join(5 * ["x" * 100])], "bytes, and SQLite opens none of more than 504; name a shorter --workspace"),
        (["run", "--workspace", "/proc/none"], "/proc/none/demo: cannot be made (No such file or directory); name another folder"),
        (["evaluate", "--predictions", "x.csv", "--json", "."], "--json .: is a folder; name a file"),
        (["evaluate", "--predictions", "x.csv", "--split", "val", "--apart-from", "r"], "as it is; leave out --split, --apart-from"),
        (["evaluate", "-m", "x", "-d", "y", "--classes", "a,b"], "--classes: names those of --predictions"),
        (["demo-data", "d", "--seed", "-1"], "Invalid value for '--seed'"),
        (["kubeflow", "submit", "pipeline.yaml", "epochs"], "'epochs': a parameter is name=value"),
        (["serving", "bench", "--payload", "text"], "--payload 'text': must be both"),
        (["crossval", "-d", "nowhere", "--json", "."], "--json .: is a folder; name a file"),
        (["validate", "x", "--against", "y", "--json", "."], "--json .: is a folder; name a file"),
        (["ingest", "nowhere", "records"], "nowhere: no such file or folder"),
        (["serve", "nowhere"], "nowhere: no such file or folder"),
        (["config", "nope"], "--config nope"),
        (["explain", "x.png", "--out", "maps", "-m", "nope"], "--model nope"),
        (["nope"], "No such command"),
    ],
)
def test_what_cannot_be_asked_for_is_a_usage_error(cxr, arguments, message, tmp_path):
    done = cxr(*arguments)
    assert done.returncode == exit_codes.USAGE, done.stderr
    assert message in " ".join(done.stderr.split())
    assert list(tmp_path.iterdir()) == []  # nothing was begun


def test_keys_of_the_last_version_are_refused_with_their_new_names(cxr):
    done = cxr("config", "demo", "defaults.head_layers.dropout=0.1", "defaults.batch_statistics=keep")
    assert done.returncode == exit_codes.USAGE
    assert "head_layers: is called head now" in done.stderr
    assert "batch_statistics: is called bn_recalibration" in done.stderr
    done = cxr("config", "demo", "models.mobilenet.head.epochs=3")
    assert "head_training.epochs" in done.stderr
    done = cxr("config", "demo", "beam=[--runner=FnApiRunner]")
    assert done.returncode == exit_codes.USAGE
    assert "beam: Beam's options are called beam.options now" in done.stderr


def test_a_full_disk_is_an_error_of_one_line(tmp_path):
    with open("/dev/full", "w") as full:
        done = subprocess.run([CXR, "config", "cpu"], cwd=tmp_path, stdout=full, stderr=subprocess.PIPE, text=True, timeout=120)
    assert done.returncode == exit_codes.FAILED
    assert done.stderr.splitlines()[0] == "error: No space left on device; make room there, then run the same command again"
    assert "Traceback" not in done.stderr


_FULL = "Cannot allocate memory: the memory is full; smaller batches or images need less"


@pytest.mark.parametrize(
    ("error", "told"),
    [
        ("MemoryError()", _FULL),
        ("ImportError('libx.so: failed to map segment from shared object')", _FULL),
        ('RuntimeError("can\'t start new thread")', "no more threads can be started: "),
    ],
)
def test_what_the_machine_has_too_little_of_is_an_error_of_one_line(error, told):
    script = f"""
import cxr.cli.main as command
def fails():
    raise {error}
command.app = fails
command.main()
"""
    ended = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60)
    assert ended.returncode == exit_codes.FAILED
    assert ended.stderr.startswith(f"error: {told}")
    assert len(ended.stderr.splitlines()) == 1


@pytest.mark.slow
def test_ctrl_c_is_told_and_the_run_before_stays_the_latest(cxr, tmp_path):
    runs = tmp_path / "workspace" / "demo" / "runs"
    runs.mkdir(parents=True)
    (runs / "earlier").mkdir()
    (runs / "latest").symlink_to("earlier")
    ours = signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell starts what it puts into the background with it ignored
    try:
        process = subprocess.Popen(
            [CXR, "run", "demo_data.images=20000"], cwd=tmp_path, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
    finally:
        signal.signal(signal.SIGINT, ours)
    deadline = time.monotonic() + 120
    while len(list(runs.iterdir())) < 3 and time.monotonic() < deadline:
        time.sleep(0.1)
    os.kill(process.pid, signal.SIGINT)  # while it makes its images
    _, messages = process.communicate(timeout=180)
    assert process.returncode == exit_codes.INTERRUPTED
    assert "interrupted" in messages
    assert "the same command goes on where this one stopped" in messages
    assert os.readlink(runs / "latest") == "earlier"
    (interrupted,) = (folder for folder in runs.iterdir() if folder.name not in ("earlier", "latest"))
    listed = cxr("runs", "--json").stdout.splitlines()
    found = next(run for run in map(json.loads, listed) if run["run"] == interrupted.name)
    assert (found["state"], found["exit_code"]) == ("interrupted", exit_codes.INTERRUPTED)


def test_sigterm_that_an_import_made_another_error_of_is_still_sigterm():
    script = """
import cxr.cli.main as command
from cxr.core.termination import Terminated
def interrupted_while_a_class_is_made():
    raise RuntimeError("Error calling __set_name__ on 'Field' instance") from Terminated()
command.app = interrupted_while_a_class_is_made
command.main()
"""
    ended = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60)
    assert (ended.returncode, ended.stderr) == (exit_codes.TERMINATED, "terminated (SIGTERM)\n")


def test_a_closed_terminal_ends_a_command_as_sigterm_does():
    script = """
import fcntl, signal, termios, time
signal.signal(signal.SIGHUP, signal.SIG_DFL)  # tests may run below nohup
from pathlib import Path
import cxr.cli.main as command
from cxr.core.machine_faults import writing_to
fcntl.ioctl(0, termios.TIOCSCTTY, 0)
def wait():
    print("waiting", flush=True)
    with writing_to(Path()):  # which the terminal is not
        try:
            time.sleep(60)
        finally:
            print("nobody reads this", flush=True)
command.app = wait
command.main()
"""
    ours, theirs = os.openpty()
    with subprocess.Popen([sys.executable, "-c", script], stdin=theirs, stdout=theirs, stderr=theirs, start_new_session=True) as process:
        os.close(theirs)
        assert os.read(ours, 100).startswith(b"waiting")
        os.close(ours)
        assert process.wait(50) == exit_codes.HUNG_UP


def test_sigterm_that_typer_made_the_exit_of_ctrl_c_is_still_sigterm():
    script = """
import cxr.cli.main as command
from cxr.core.termination import Terminated
def interrupted():
    raise SystemExit(130) from Terminated()
command.app = interrupted
command.main()
"""
    ended = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60)
    assert (ended.returncode, ended.stderr) == (exit_codes.TERMINATED, "terminated (SIGTERM)\n")


@pytest.mark.parametrize(
    ("number", "ended"),
    [("SIGTERM", (exit_codes.TERMINATED, "terminated (SIGTERM)\n")), ("SIGINT", (exit_codes.INTERRUPTED, "interrupted\n"))],
)
def test_a_signal_of_which_beam_kept_the_name_only_is_still_that_signal(number, ended):
    script = f"""
import os, signal
import cxr.cli.main as command
def interrupted_in_a_worker():
    try:
        os.kill(os.getpid(), signal.{number})
    except BaseException as error:
        text = type(error).__name__
    raise RuntimeError(text + " [while running 'CreateSavedModel']")
command.app = interrupted_in_a_worker
signal.signal(signal.SIGINT, signal.default_int_handler)  # a test may be in the background
command.main()
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stderr) == ended


def test_an_error_shows_names_as_they_are(cxr):
    """A name that clears the screen, changes the title, or looks like markup."""
    done = cxr("run", "--data", "\x1b[2J[/][red]x\x1b]0;t\x07")
    assert done.returncode == exit_codes.USAGE
    assert "\\x1b[2J[/][red]x\\x1b]0;t" in done.stderr
    assert "\x1b" not in done.stderr + done.stdout
