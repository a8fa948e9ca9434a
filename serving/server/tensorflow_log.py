"""What TensorFlow's C++ code writes to stderr, past Python's logging: its warnings quote the bytes of requests as they are."""

import os

from cxr.core.silence import TENSORFLOW_LEVEL

ERRORS = 2


def leave_warnings_out() -> None:
    """Keeps names of patients, escape codes and forged lines, which a malformed tf.Example may hold, out of a server's log.

    Works only before TensorFlow's first import in a process, or its first line; processes that this one becomes or starts inherit it.
    A higher level that somebody has set stays.
    """
    level = os.environ.get(TENSORFLOW_LEVEL, "")
    if not (level.isascii() and level.isdecimal() and int(level) >= ERRORS):
        os.environ[TENSORFLOW_LEVEL] = str(ERRORS)
