"""A fingerprint of the code that decides what a trainer makes, so that TFX's cache does not outlive a change of it."""

from __future__ import annotations

import hashlib
from importlib import resources


def code_version(package: str = "cxr.trainer") -> str:
    """Returns a short hash over the names and contents of a package's Python files."""
    digest = hashlib.sha256()
    files = {entry.name: entry for entry in resources.files(package).iterdir() if entry.name.endswith(".py")}
    for name in sorted(files):
        digest.update(name.encode() + b"\0" + files[name].read_bytes() + b"\0")
    return digest.hexdigest()[:12]
