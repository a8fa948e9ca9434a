"""Processes that tests start beside themselves, and ports for them."""

import os
import signal
import socket
import subprocess
from contextlib import suppress


def free_port() -> int:
    """Returns a port that nobody listens on."""
    with socket.socket() as found:
        found.bind(("localhost", 0))
        return found.getsockname()[1]


def stop(process: subprocess.Popen[bytes]) -> None:
    """Ends a process that leads a session of its own, and those that it started: Beam's pool forgets its workers when it is terminated."""
    process.terminate()
    with suppress(subprocess.TimeoutExpired):
        process.wait(10)
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def another_thread(pid: int) -> int:
    """Returns the oldest thread of a process but its main one: it lasts. With `os.kill` a signal to the process comes to it, on Linux."""
    return min(int(name) for name in os.listdir(f"/proc/{pid}/task") if int(name) != pid)
