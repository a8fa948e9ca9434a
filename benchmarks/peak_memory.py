"""Peak memory of a process and all its descendants."""

import contextlib
import subprocess
import time

import psutil


def wait(process: subprocess.Popen) -> float:
    """Waits for a process to end; returns the peak of the resident sizes of it and its descendants together, in bytes.

    Sampled 20 times a second. Pages that processes share count once for each, so this is an upper bound.
    """
    peak, family = 0.0, psutil.Process(process.pid)
    while process.poll() is None:
        with contextlib.suppress(psutil.NoSuchProcess):
            peak = max(peak, sum(member.memory_info().rss for member in [family, *family.children(recursive=True)]))
        time.sleep(0.05)
    return peak
