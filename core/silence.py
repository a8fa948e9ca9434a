"""How commands start TensorFlow: what native libraries write to file descriptor 2 is kept off the terminal."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

from cxr.core.imports import uncollected

TENSORFLOW_LEVEL = "TF_CPP_MIN_LOG_LEVEL"  # environment: 0 all, 1 no remarks, 2 no warnings either, 3 no errors


@contextmanager
def silenced() -> Iterator[None]:
    """Sends stderr to nowhere while the block runs: the greeting of TensorFlow's libraries would tear a progress bar."""
    kept, nowhere = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nowhere, 2)
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nowhere)


def leave_remarks_out() -> None:
    """From now on TensorFlow says fatal errors only, unless somebody asked for more. Its greeting comes before it looks at that wish."""
    os.environ.setdefault(TENSORFLOW_LEVEL, "3")


@contextmanager
def tensorflow_starting() -> Iterator[None]:
    """For a block that imports TensorFlow or has it work first: it says nothing, and Python does not look for garbage meanwhile."""
    leave_remarks_out()
    with silenced(), uncollected():
        yield
