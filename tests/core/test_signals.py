"""A signal that the system hands to another thread than the main one: it may, and Linux does now and then."""

import multiprocessing
import os
import signal
import subprocess
import sys
import textwrap
import threading

import pytest
from processes import another_thread

from cxr.core.signals import reach_main_thread

BEGIN = """
import signal, threading, time
from cxr.core.signals import arrivals
from cxr.core.termination import cause, raise_on_termination
threading.Thread(target=time.sleep, args=(600,), daemon=True).start()
signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell starts what it puts into the background with Ctrl-C ignored
"""


def told(script: str, *numbers: signal.Signals) -> tuple[int, str]:
    """Runs a script; each time that it waits one of the signals comes to another thread of it. Its exit code, and what it wrote."""
    command = [sys.executable, "-c", BEGIN + textwrap.dedent(script)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        patience = threading.Timer(30, process.kill)
        patience.start()
        written = []
        for line in process.stdout:
            written.append(line)
            if line == "waiting\n":
                os.kill(another_thread(process.pid), numbers[written.count(line) - 1])
        patience.cancel()
    return process.returncode, "".join(written)


@pytest.mark.parametrize(
    "wait",
    ["lock.acquire()", "threading.Event().wait()", "threading.Thread(target=time.sleep, args=(600,), daemon=True).run()", "signal.pause()"],
)
@pytest.mark.parametrize(("number", "sigterm"), [(signal.SIGTERM, True), (signal.SIGINT, False)])
def test_ends_what_the_main_thread_waits_for(wait, number, sigterm):
    script = f"""
        raise_on_termination()
        lock = threading.Lock()
        lock.acquire()
        try:
            print("waiting", flush=True)
            {wait}
        except KeyboardInterrupt as error:
            print("SIGTERM" if cause(error) else "Ctrl-C")
    """
    assert told(script, number) == (0, "waiting\nSIGTERM\n" if sigterm else "waiting\nCtrl-C\n")


def test_arrives_in_a_queue_and_a_second_one_ends_the_process():
    script = """
        came = arrivals(signal.SIGTERM, signal.SIGINT)
        print("waiting", flush=True)
        print(came.get() == signal.SIGINT, flush=True)
        print("waiting", flush=True)
        came.get()
    """
    assert told(script, signal.SIGINT, signal.SIGTERM) == (-signal.SIGTERM, "waiting\nTrue\nwaiting\n")


def _of_a_child() -> None:
    alone = signal.set_wakeup_fd(-1) == -1  # what wakes the parent's thread
    reach_main_thread()
    os._exit(10 * alone + (signal.set_wakeup_fd(-1) != -1))


def test_a_forked_process_has_its_own():
    reach_main_thread()
    process = multiprocessing.get_context("fork").Process(target=_of_a_child)
    process.start()
    process.join(30)
    assert process.exitcode == 11
