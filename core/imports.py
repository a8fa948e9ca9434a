"""Imports of libraries that are a million objects."""

from __future__ import annotations

import ctypes
import gc
import importlib
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress

_AGAIN = 0.5  # seconds after which an import that goes on all the same is stopped again


@contextmanager
def uncollected() -> Iterator[None]:
    """Python does not look for garbage while the block runs: again and again, TensorFlow's objects take a tenth longer to come."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


class _Import(threading.Thread):
    def __init__(self, module: str):
        super().__init__(name=f"import {module}")
        self._module = module

    def run(self) -> None:
        with suppress(BaseException):
            importlib.import_module(self._module)

    def stop(self) -> None:
        """Raises SystemExit in it, as soon as it is in Python code, until it has ended."""
        while self.is_alive():
            ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(self.ident or 0), ctypes.py_object(SystemExit))
            self.join(_AGAIN)


@contextmanager
def imported_beside(module: str) -> Iterator[None]:
    """Imports a module in a thread while the block runs, and waits for it; whoever imports it next hears of an error.

    After a block that failed, or was interrupted, it goes on: a notebook's next call needs the module whole. A process that ends calls
    `stop`.

    Args:
      module: What nothing in the block needs.
    """
    with uncollected():
        thread = _Import(module)
        thread.start()
        yield
        thread.join()


def stop() -> None:
    """Stops what is still being imported, since this process ends: Python would wait for it, for TFX 10 to 30 seconds."""
    for thread in threading.enumerate():
        if isinstance(thread, _Import):
            thread.stop()
