"""What a user reads where a file of a node's result is damaged and as long as before: names and sizes show nothing of that."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from cxr.core.errors import CxrError


@contextmanager
def reading(artifact: str | Path) -> Iterator[None]:
    """Turns whatever its block raises of an artifact that it reads into an error with a remedy.

    Args:
      artifact: Its folder.

    Raises:
      CxrError: A file of it is damaged, or may not be read; also what the block raised as one itself.
    """
    try:
        yield
    except (CxrError, MemoryError):
        raise
    except Exception as error:  # TensorFlow, TFMA, protobuf, NumPy and zipfile raise what they like of bytes that are no longer theirs
        reason = f"{type(error).__name__}: {error}".partition("\n")[0]
        raise CxrError(f"{artifact}: cannot be read ({reason}); remove this folder, and the next run makes it anew") from error
