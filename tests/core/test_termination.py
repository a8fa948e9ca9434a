import os
import signal
import subprocess
import sys
import textwrap
import threading

import pytest

from cxr.core.termination import Terminated, cause, ending_with_parent, raise_on_termination

pytestmark = pytest.mark.seconds


@pytest.fixture
def handled():
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGHUP)}
    signal.signal(signal.SIGHUP, signal.SIG_DFL)  # below nohup it is ignored
    raise_on_termination()
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_signal_that_ends_is_raised_where_ctrl_c_would_be(handled, number):
    with pytest.raises(KeyboardInterrupt) as raised:
        os.kill(os.getpid(), number)
    assert cause(raised.value) == number
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL  # a second one ends the process
    os.kill(os.getpid(), signal.SIGHUP)  # of which a closed terminal sends several


def test_sighup_stays_ignored_where_it_was(handled):
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    raise_on_termination()
    os.kill(os.getpid(), signal.SIGHUP)


@pytest.mark.parametrize(
    "lose",
    [
        "del lock",  # Python forgets the lock of an imported module with such a callback
        """
try:
    os.kill(os.getpid(), signal.SIGTERM)
except BaseException:
    pass
""",
    ],
)
def test_sigterm_where_an_error_goes_no_further_is_raised_again(lose):
    """One SIGTERM in seventy was lost so among the imports of TFX."""
    script = textwrap.dedent("""
        import os, signal, sys, time, weakref
        from cxr.core.termination import cause, raise_on_termination
        class Lock: pass
        raise_on_termination()
        lock = Lock()
        reference = weakref.ref(lock, lambda reference: os.kill(os.getpid(), signal.SIGTERM))
        try:
            exec(sys.argv[1])
            time.sleep(60)
        except KeyboardInterrupt as error:
            print(cause(error).name)
        time.sleep(1)
        print("raised once, then", signal.getsignal(signal.SIGTERM).name)
    """)
    ended = subprocess.run([sys.executable, "-c", script, lose], capture_output=True, text=True, timeout=50)
    assert (ended.returncode, ended.stdout) == (0, "SIGTERM\nraised once, then SIG_DFL\n"), ended.stderr


def test_the_cause_of_an_exit_is_found():
    def exit_of(error):
        try:
            try:
                raise error
            except KeyboardInterrupt as interrupt:
                raise ValueError from interrupt
        except ValueError:
            try:
                sys.exit(130)
            except SystemExit as stop:
                return stop

    assert cause(exit_of(Terminated()))
    assert not cause(exit_of(KeyboardInterrupt()))
    assert not cause(None)


def test_processes_that_were_started_hear_of_it_as_with_ctrl_c(tmp_path):
    (tmp_path / "parent.py").write_text(
        textwrap.dedent("""
        import multiprocessing, signal, sys, time
        from cxr.core.termination import cause, raise_on_termination
        def child(ready):
            try:
                ready.set()
                time.sleep(60)
            except KeyboardInterrupt:
                print("child was interrupted", flush=True)
        if __name__ == "__main__":
            # A shell starts what it puts into the background with Ctrl-C ignored, tests too, and so their processes.
            signal.signal(signal.SIGINT, signal.default_int_handler)
            raise_on_termination()
            context = multiprocessing.get_context("forkserver")
            ready = context.Event()
            process = context.Process(target=child, args=(ready,))
            process.start()
            ready.wait()
            try:
                print("ready", flush=True)  # the signal may come before this returns
                process.join()
            except KeyboardInterrupt as error:
                assert cause(error)
                process.join(30)
                print("parent ends", process.exitcode, flush=True)
        """)
    )
    with subprocess.Popen([sys.executable, "parent.py"], cwd=tmp_path, stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        assert parent.stdout.readline() == "ready\n"
        parent.send_signal(signal.SIGTERM)
        assert parent.stdout.read() == "child was interrupted\nparent ends 0\n"


def test_a_process_ends_with_its_parent_while_the_block_runs():
    child = """
import time
from cxr.core.termination import ending_with_parent
with ending_with_parent():
    print("watching", flush=True)
    time.sleep(30)
    print("alone", flush=True)
"""
    script = """
import subprocess, sys, time
subprocess.Popen([sys.executable, "-c", sys.argv[1]])
time.sleep(60)
"""
    with subprocess.Popen([sys.executable, "-c", script, child], stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        assert parent.stdout.readline() == "watching\n"
        parent.kill()
        assert parent.stdout.read() == ""  # the child holds it too, until it ends


def test_no_thread_is_left_to_watch_the_parent():
    def watching():
        return [thread for thread in threading.enumerate() if thread.name == "parent"]

    with ending_with_parent():
        assert len(watching()) == 1
    assert not watching()


def test_ctrl_c_that_a_library_made_another_error_of_is_known_and_prints_nothing():
    """Beam makes a RuntimeError of it; a destructor would print it, and go on."""
    script = textwrap.dedent("""
        import os, signal, time
        from cxr.core.termination import raise_on_signals, told_to_end
        class Held:
            def __del__(self):
                os.kill(os.getpid(), signal.SIGINT)
        signal.signal(signal.SIGINT, signal.default_int_handler)  # a test may be in the background
        raise_on_signals()
        held = Held()
        try:
            del held
            time.sleep(60)
        except KeyboardInterrupt:
            print(told_to_end() == signal.SIGINT, signal.getsignal(signal.SIGINT).name, flush=True)
        os.kill(os.getpid(), signal.SIGINT)
        time.sleep(60)
    """)
    ended = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=50)
    assert (ended.returncode, ended.stdout, ended.stderr) == (-signal.SIGINT, "True SIG_DFL\n", "")
