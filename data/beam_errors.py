"""What Beam's workers say of an error that ends a job: nothing, since whoever runs the job is told all of it."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager

from apache_beam.runners.worker import sdk_worker

_LOGGERS = ("apache_beam.runners.common", "apache_beam.runners.worker")


@contextmanager
def told_once() -> Iterator[None]:
    """While the block runs Beam's workers of this process neither print nor log the tracebacks that they answer with.

    Each thread would, and hundreds of lines would come before the one message of ours. And a worker prints before it answers: where the
    output is closed, or its disk full, that fails, nothing is answered, and the job waits for ever.
    """
    loggers = [logging.getLogger(name) for name in _LOGGERS]
    levels = [logger.level for logger in loggers]
    vars(sdk_worker)["print"] = _nothing  # in place of the built-in, for that module alone
    try:
        for logger in loggers:
            logger.setLevel(logging.CRITICAL)
        yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
        vars(sdk_worker).pop("print", None)


def _nothing(*_: object, **__: object) -> None:
    """Takes what `print` takes."""
