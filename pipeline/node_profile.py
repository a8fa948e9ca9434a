"""What a node's processor time goes to: its Python threads are looked at, 20 times a second, and asked what they are doing.

Counted is processor time, which other work on the machine changes little, not time on the clock.
"""

from __future__ import annotations

import contextlib
import resource
import sys
import threading
import time
from collections import defaultdict
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import FrameType

PERIOD = 0.05  # seconds between two looks
PROFILE = "profile.json"  # in the folder of a run: node to what `profiled` found
NATIVE, CHILDREN, OTHER = "TensorFlow's threads", "other processes", "other Python"
# What a thread does tells the first of these that is anywhere on its stack: parts of files' paths.
_SUBJECTS: Mapping[str, tuple[str, ...]] = {
    "importing": ("<frozen importlib._bootstrap>",),
    "metadata": ("/ml_metadata/",),
    "loading models": ("/saved_model/load.py", "/saved_model/loader_impl.py", "/saving/saving_lib.py", "/saving/saving_api.py"),
    "building and tracing": ("/framework/func_graph.py", "/keras/src/applications/", "/framework/importer.py", "/framework/meta_graph.py"),
    "saving models": ("/saved_model/save.py", "/saved_model/builder_impl.py"),
    "running graphs": ("/eager/execute.py", "/eager/context.py", "/client/session.py", "/data/ops/iterator_ops.py"),
    "statistics": ("/sklearn/", "/scipy/", "/numpy/", "/tensorflow_data_validation/"),
    "Beam": ("/apache_beam/",),
}
SUBJECTS = (*_SUBJECTS, OTHER, NATIVE, CHILDREN)


@contextlib.contextmanager
def profiled(found: dict[str, float]) -> Iterator[None]:
    """Measures while the block runs.

    What a C function does that keeps Python's lock is counted with what its thread does next.

    Args:
      found: Is given the seconds of processor time of each of `SUBJECTS`.
    """
    done, counted = threading.Event(), defaultdict[str, float](float)
    begin, before = time.process_time(), _of_children()
    watcher = threading.Thread(target=_watch, args=(done, counted), name="profile", daemon=True)
    watcher.start()
    try:
        yield
    finally:
        done.set()
        watcher.join()
        own = counted.pop("", 0.0)
        native = max(0.0, time.process_time() - begin - own - sum(counted.values()))
        found |= {subject: round(counted[subject], 2) for subject in SUBJECTS} | {
            NATIVE: round(native, 2),
            CHILDREN: round(_of_children() - before, 2),
        }


def subject_of(frame: FrameType | None) -> str:
    """Returns what a thread does whose innermost frame is this one."""
    files = set()
    while frame is not None:
        files.add(frame.f_code.co_filename)
        frame = frame.f_back
    return next((subject for subject, parts in _SUBJECTS.items() if any(part in file for file in files for part in parts)), OTHER)


def _watch(done: threading.Event, counted: dict[str, float]) -> None:
    """Adds up the processor time of Python's threads by what they do, its own under ""."""
    known: dict[int, float] = {thread.native_id: _used(thread.native_id) or 0.0 for thread in threading.enumerate() if thread.native_id}
    last = False
    while not last:
        last = done.wait(PERIOD)
        frames = sys._current_frames()
        for thread in threading.enumerate():
            if (number := thread.native_id) is None or (used := _used(number)) is None:
                continue
            subject = "" if thread is threading.current_thread() else subject_of(frames.get(thread.ident or 0))
            counted[subject] += used - known.get(number, 0.0)
            known[number] = used


def _used(thread: int) -> float | None:
    """Processor time of a thread so far, seconds; None where it is gone."""
    try:
        return int(Path(f"/proc/self/task/{thread}/schedstat").read_text(encoding="utf-8").split()[0]) / 1e9
    except OSError:
        return None


def _of_children() -> float:
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime
