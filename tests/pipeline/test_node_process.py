"""Processes that answer, report, crash and lose their parent."""

import gc
import logging
import multiprocessing.forkserver
import os
import signal
import subprocess
import sys
import tempfile
import textwrap
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from main_script import as_main

from cxr.core import progress
from cxr.pipeline import node_imports, node_process
from cxr.pipeline.beam_config import Direct
from cxr.pipeline.output_capture import captured_output

pytestmark = pytest.mark.slow  # the first that needs it waits until the fork server has imported TFX


def work(number):
    progress.report("counting", 1, number)
    return os.getpid(), number + 1


def die(number):
    os.kill(os.getpid(), number)


def leave(code):
    os._exit(code)


def interrupt():
    raise KeyboardInterrupt


def wait_while_another_thread_is_interrupted():
    signal.signal(signal.SIGINT, signal.default_int_handler)  # in the background of a shell it is ignored
    give_up = threading.Timer(20, os._exit, (9,))
    give_up.daemon = True
    give_up.start()
    assert give_up.ident is not None
    threading.Timer(0.2, signal.pthread_kill, (give_up.ident, signal.SIGINT)).start()
    threading.Event().wait()


def test_temporary_files_that_can_be_made_no_more_are_told(tmp_path, monkeypatch):
    """A cleaner, or the end of a cluster's job, removed their folder while the run went on; or the socket in it."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "gone"))
    with pytest.raises(node_process.ProcessDied, match=r"gone: No such file or directory; the run's temporary files lie there"):
        node_process.measured_call(work, 41)
    monkeypatch.undo()
    node_process.measured_call(work, 41)  # the fork server runs
    monkeypatch.setattr(multiprocessing.forkserver._forkserver, "_forkserver_address", str(tmp_path / "gone" / "listener"))
    with pytest.raises(node_process.ProcessDied, match="No such file or directory; the run's temporary files lie there"):
        node_process.measured_call(work, 41)
    monkeypatch.undo()
    assert node_process.measured_call(work, 41).value[1] == 42


def test_answer_and_progress_come_from_another_process(caplog):
    with caplog.at_level(logging.INFO, progress.LOGGER):
        pid, answer = node_process.measured_call(work, 41).value
    assert answer == 42
    assert pid != os.getpid()
    (record,) = (record for record in caplog.records if record.name == progress.LOGGER)
    assert record.getMessage() == "counting"
    assert record.cxr == progress.Step(1, 41)
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


def test_a_script_that_runs_a_pipeline_does_not_run_in_its_nodes(tmp_path, monkeypatch):
    trace = as_main(tmp_path, monkeypatch)
    assert node_process.measured_call(work, 41).value[1] == 42
    assert not trace.exists()


@pytest.mark.parametrize(
    ("function", "argument", "text"),
    [
        (die, signal.SIGKILL, "memory was full"),
        (die, signal.SIGABRT, "get no memory: .* smaller batches or images need less"),  # of C++, where an allocation fails
        (die, signal.SIGSEGV, "SIGSEGV"),
        (leave, 7, "ended with code 7"),
    ],
)
def test_a_process_that_ends_without_an_answer_says_how(function, argument, text):
    with pytest.raises(node_process.ProcessDied, match=text):
        node_process.measured_call(function, argument)
    assert node_process.measured_call(work, 1).value[1] == 2  # the next one is not affected


def leave_files(note, code):
    import tensorflow as tf

    tf.autograph.to_graph(textwrap.dedent)  # TensorFlow writes its source into a temporary file
    with tempfile.NamedTemporaryFile(delete=False) as file:
        note.write_text(file.name)
    if code:
        os._exit(code)
    return os.listdir(Path(file.name).parent)


@pytest.mark.parametrize("code", [0, 7])
def test_temporary_files_go_with_the_process(tmp_path, code):
    note = tmp_path / "note"
    if code:
        with pytest.raises(node_process.ProcessDied):
            node_process.measured_call(leave_files, note, code)
    else:
        assert any(name.startswith("__autograph_generated_file") for name in node_process.measured_call(leave_files, note, code).value)
    file = Path(note.read_text())
    assert file.is_relative_to(tempfile.gettempdir())
    assert file.parent != Path(tempfile.gettempdir())
    assert not file.parent.exists()


def looked_through():
    return [name for name in node_imports.MODULES if name not in sys.modules], gc.isenabled(), gc.get_freeze_count()


def test_what_was_imported_before_is_no_garbage_to_look_for():
    missing, looks, left_out = node_process.measured_call(looked_through).value
    assert not missing
    assert looks
    assert left_out > 100_000  # TFX and TensorFlow are some million objects


def of_worker(number):
    return number, os.getppid(), "tfx.components.transform.executor" in sys.modules


def share_a_job(folder, options):
    import apache_beam as beam
    from apache_beam.options.pipeline_options import PipelineOptions

    with beam.Pipeline(options=PipelineOptions(list(options))) as pipeline:
        seen = pipeline | beam.Create(range(8)) | beam.Reshuffle() | beam.Map(of_worker)
        _ = seen | beam.Map(repr) | beam.io.WriteToText(f"{folder}/seen")
    return os.getppid()


def test_beams_workers_are_forked_from_the_same_process_as_the_node(tmp_path, monkeypatch):
    trace = as_main(tmp_path, monkeypatch)
    node_process.start_fork_server()
    with Direct(workers=2).serving() as options:
        server = node_process.measured_call(share_a_job, str(tmp_path), options).value
    lines = sorted(line for path in tmp_path.glob("seen*") for line in path.read_text().splitlines())
    assert lines == [repr((number, server, True)) for number in range(8)]
    assert not trace.exists()


def filled(mebibytes):
    kept = bytearray(mebibytes * 2**20)
    kept[:: 2**12] = b"x" * len(kept[:: 2**12])  # a page that nobody wrote to has no memory
    return kept


def fill(mebibytes):
    return len(filled(mebibytes))


def fill_and_die(mebibytes):
    kept = filled(mebibytes)
    time.sleep(1.5)
    assert kept[0]
    os.kill(os.getpid(), signal.SIGKILL)


def fill_another(mebibytes):
    source = f"kept = bytearray({mebibytes} * 2**20); kept[::4096] = b'x' * len(kept[::4096])"
    subprocess.run([sys.executable, "-c", source], check=True)


def test_peak_memory_is_of_the_largest_process_and_survives_a_death(monkeypatch):
    monkeypatch.setattr(node_process, "_LOOK_SECONDS", 0.05)  # often enough before it dies, on a slow machine too
    usual = node_process.measured_call(work, 1).peak_memory
    more = 2 * usual // 2**20
    assert usual > 50e6
    assert node_process.measured_call(fill, more).peak_memory > usual + 0.9 * more * 2**20
    assert node_process.measured_call(fill_another, more).peak_memory > 0.9 * more * 2**20
    with pytest.raises(node_process.ProcessDied) as death:
        node_process.measured_call(fill_and_die, more)
    assert death.value.peak_memory > usual + 0.9 * more * 2**20
    assert node_process.measured_call(work, 1).peak_memory < 1.5 * usual  # of this call, not of all before it


def say(text):
    os.write(1, f"{text} written\n".encode())
    logging.getLogger("tfx").info("%s logged", text)


def say_and_count(text):
    say(text)
    progress.report("counting", 1, 2)
    return text


def test_what_a_process_says_goes_to_the_log_of_its_own_run(tmp_path):
    for run in ("first", "second"):
        with captured_output(tmp_path / run):
            node_process.measured_call(say, run)
        text = (tmp_path / run).read_text()
        assert f"{run} written" in text
        assert f"INFO tfx: {run} logged" in text


def test_lines_and_progress_of_calls_at_once_carry_their_names(tmp_path, caplog):
    names = [f"node{n}" for n in range(4)]

    def call_all():
        with ThreadPoolExecutor(4) as pool:
            calls = [pool.submit(node_process.measured_call, say_and_count, name, name=name) for name in names]
            assert [call.result().value for call in calls] == names

    with caplog.at_level(logging.INFO, progress.LOGGER):
        call_all()
    with captured_output(tmp_path / "log"):
        call_all()
    lines = (tmp_path / "log").read_text().splitlines()
    assert sorted(line for line in lines if "written" in line) == [f"[{name}] {name} written" for name in names]
    assert sorted(line.split(" INFO ")[1] for line in lines if "logged" in line) == [f"tfx: {name} logged" for name in names]
    assert all(line.startswith("[node") for line in lines if "logged" in line)
    steps = [record.cxr for record in caplog.records if record.name == progress.LOGGER]
    assert sorted(steps, key=lambda step: step.node) == [progress.Step(1, 2, name) for name in names]


def talk(seconds):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        progress.report("talking", 1)
        time.sleep(0.1)


@pytest.mark.parametrize("function", [time.sleep, talk])
def test_giving_up_ends_a_call(function, monkeypatch):
    monkeypatch.setattr(node_process, "_PATIENCE", 0)
    given_up = threading.Event()
    given_up.set()
    with pytest.raises(KeyboardInterrupt):
        node_process.measured_call(function, 60, given_up=given_up)


def test_an_interrupt_reaches_the_caller():
    with pytest.raises(KeyboardInterrupt):
        node_process.measured_call(interrupt)
    with pytest.raises(KeyboardInterrupt):
        node_process.measured_call(wait_while_another_thread_is_interrupted)


@pytest.fixture
def few_imports(tmp_path):
    """Returns a function that writes what stands in the place of TFX in another process; of what else is large there is nothing."""

    def write(tfx):
        (tmp_path / "tfx.py").write_text(tfx)
        for name in ("tensorflow", "keras", "ml_metadata"):
            (tmp_path / f"{name}.py").write_text("raise ImportError")
        return {**os.environ, "PYTHONPATH": str(tmp_path)}

    return write


def test_a_killed_caller_leaves_no_process_behind(few_imports, tmp_path):
    (tmp_path / "sleeper.py").write_text(
        textwrap.dedent("""
        import os, time
        from pathlib import Path
        def sleep(file):
            Path(file + ".new").write_text(str(os.getpid()))
            os.rename(file + ".new", file)
            time.sleep(600)
        if __name__ == "__main__":
            import sys
            from cxr.pipeline import node_process
            import sleeper
            node_process.measured_call(sleeper.sleep, sys.argv[1])
        """)
    )
    file = tmp_path / "pid"
    caller = subprocess.Popen([sys.executable, "sleeper.py", str(file)], cwd=tmp_path, env=few_imports(""), stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 120
    while not file.exists() and time.monotonic() < deadline:
        time.sleep(0.1)
    pid = int(file.read_text())
    os.kill(pid, 0)
    caller.kill()
    caller.wait()
    while time.monotonic() < deadline:
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return
        time.sleep(0.1)
    pytest.fail(f"process {pid} outlives its caller")


def test_what_nodes_are_forked_from_ends_with_its_caller_while_it_imports(tmp_path):
    """The import lasts half a minute, and is not waited for."""
    (tmp_path / "tfx.py").write_text("import time\nprint('importing', flush=True)\ntime.sleep(30)\nprint('alone', flush=True)\n")
    script = "from cxr.pipeline import node_process; import time; node_process.start_fork_server(); time.sleep(60)"
    environment = {**os.environ, "PYTHONPATH": str(tmp_path)}
    with subprocess.Popen([sys.executable, "-c", script], env=environment, stdout=subprocess.PIPE, text=True) as caller:
        assert caller.stdout is not None
        assert caller.stdout.readline() == "importing\n"
        caller.kill()
        assert caller.stdout.read() == ""  # the other process holds it too, until it ends


KILLED_WHILE_IMPORTING = """
import os, select, signal, sys
from pathlib import Path
frame = sys._getframe()
while "listener_fd" not in frame.f_locals:
    frame = frame.f_back
left = Path(os.environ["DEATHS"])
if count := int(left.read_text()):
    left.write_text(str(count - 1))
    select.select([frame.f_locals["listener_fd"]], [], [])  # somebody wants a process
    os.kill(os.getpid(), signal.SIGKILL)
"""
CALL = "from cxr.pipeline import node_process; node_process.start_fork_server(); print(node_process.measured_call(int).value)"


@pytest.mark.parametrize("deaths", [1, 2])
def test_what_nodes_are_forked_from_is_killed_while_it_imports(few_imports, tmp_path, deaths):
    (left := tmp_path / "deaths").write_text(str(deaths))
    environment = {**few_imports(KILLED_WHILE_IMPORTING), "DEATHS": str(left)}
    ended = subprocess.run([sys.executable, "-c", CALL], env=environment, capture_output=True, text=True, timeout=100)
    assert left.read_text() == "0"
    if deaths == 1:
        assert (ended.returncode, ended.stdout) == (0, "0\n")
    else:
        words = "ProcessDied: the process that it is forked from was killed twice, most likely because the memory was full"
        assert words in ended.stderr.splitlines()[-1]


INTERRUPTED_WHILE_IMPORTING = """
import os, signal
os.kill(os.getpid(), signal.SIGINT)
print(os.getpid(), flush=True)
"""
CALL_AND_ASK = """
import os, signal
from cxr.pipeline import node_process
signal.signal(signal.SIGINT, signal.default_int_handler)  # in the background of a shell it is ignored
def ask():
    return os.getppid(), signal.getsignal(signal.SIGINT) is signal.default_int_handler, signal.pthread_sigmask(signal.SIG_BLOCK, ())
if __name__ == "__main__":
    import caller
    print(*node_process.measured_call(caller.ask).value)
"""


def test_ctrl_c_leaves_what_nodes_are_forked_from_alone_while_it_imports(few_imports, tmp_path):
    environment = few_imports(INTERRUPTED_WHILE_IMPORTING)
    (tmp_path / "caller.py").write_text(CALL_AND_ASK)
    ended = subprocess.run([sys.executable, "caller.py"], cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=100)
    server, answered = ended.stdout.splitlines()
    assert answered == f"{server} True set()"  # and its processes hear Ctrl-C as any
