"""The caller's main module, which Python imports anew in the processes that it starts: a script would run once more in each."""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager

_HIDDEN = ("__file__", "__spec__")  # by which multiprocessing finds it
_lock = threading.Lock()


@contextmanager
def left_out() -> Iterator[None]:
    """Has processes that start within the block do without the main module.

    For those that are forked from a server or spawned: nothing that they are sent may be defined there. A script then needs no
    `if __name__ == "__main__":` round what it calls.
    """
    attributes = vars(sys.modules["__main__"])
    with _lock:
        known = {name: attributes[name] for name in _HIDDEN if name in attributes}
        attributes.update(dict.fromkeys(_HIDDEN))
        try:
            yield
        finally:
            for name in _HIDDEN:
                del attributes[name]
            attributes.update(known)
