"""Patient ids as keyed hashes: equal for one patient, and without the key nobody finds the way back."""

from __future__ import annotations

import hashlib
import hmac
import os
import secrets
from pathlib import Path

from cxr.core.durable import remove_drafts, replacing
from cxr.core.errors import CxrError

KEY_FILE_VARIABLE = "CXR_PSEUDONYM_KEY_FILE"
KEY_NAME = "pseudonym.key"
MIN_KEY_BYTES = 16
LENGTH = 32  # hex digits kept of a SHA-256: 128 bits


def key_path(workspace: Path) -> Path:
    """Returns the file that CXR_PSEUDONYM_KEY_FILE names, else that of a workspace: one for all its pipelines."""
    return Path(os.environ.get(KEY_FILE_VARIABLE) or workspace.absolute() / KEY_NAME)


def load_key(path: Path) -> bytes:
    """Reads the key; makes one, readable by its owner only, where there is none yet. Of several processes that make it, all get the same.

    Raises:
      CxrError: The file cannot be read or made, or is too short for a key.
    """
    try:
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            with replacing(path, 0o600, keep=True) as file:
                file.write(f"{secrets.token_hex(32)}\n".encode())
        remove_drafts(path)  # one may be this key: who removes the key means to have no other
        key = path.read_bytes().strip()
    except OSError as error:
        raise CxrError(f"key file {path}: {error.strerror}; name another with {KEY_FILE_VARIABLE}") from None
    if len(key) < MIN_KEY_BYTES:
        raise CxrError(f"key file {path}: holds {len(key)} bytes, a key needs at least {MIN_KEY_BYTES}; remove it and one is made")
    return key


def key_id(key: bytes) -> str:
    """Returns what tells one key from another, and nothing of the key: 16 hex digits."""
    return pseudonym(key, "which key")[:16]


def pseudonym(key: bytes, unit: str) -> str:
    """Returns 32 hex digits of the HMAC-SHA256 (RFC 2104) of a patient's or image's identity."""
    return hmac.new(key, unit.encode(), hashlib.sha256).hexdigest()[:LENGTH]
