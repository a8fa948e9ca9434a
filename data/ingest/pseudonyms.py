"""Patient ids as keyed hashes: equal for one patient, and without the key nobody finds the way back."""

from __future__ import annotations

import hashlib
import hmac
import os
import secrets
from pathlib import Path

from cxr.core.errors import CxrError

KEY_FILE_VARIABLE = "CXR_PSEUDONYM_KEY_FILE"
DEFAULT_KEY_FILE = Path("workspace/pseudonym.key")
MIN_KEY_BYTES = 16
LENGTH = 32  # hex digits kept of a SHA-256: 128 bits


def load_key(key_file: Path | None) -> bytes:
    """Reads the key; makes one, readable by its owner only, where there is none yet.

    Args:
      key_file: None: what CXR_PSEUDONYM_KEY_FILE names, else workspace/pseudonym.key.

    Raises:
      CxrError: The file cannot be read or made, or is too short for a key.
    """
    path = key_file or Path(os.environ.get(KEY_FILE_VARIABLE) or DEFAULT_KEY_FILE)
    try:
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as stream:
                stream.write(secrets.token_hex(32) + "\n")
        key = path.read_bytes().strip()
    except OSError as error:
        raise CxrError(f"key file {path}: {error.strerror}; name another with --key-file") from None
    if len(key) < MIN_KEY_BYTES:
        raise CxrError(f"key file {path}: holds {len(key)} bytes, a key needs at least {MIN_KEY_BYTES}; remove it and one is made")
    return key


def pseudonym(key: bytes, unit: str) -> str:
    """Returns 32 hex digits of the HMAC-SHA256 (RFC 2104) of a patient's or image's identity."""
    return hmac.new(key, unit.encode(), hashlib.sha256).hexdigest()[:LENGTH]
