"""Fingerprints of what decides a node's output beside its inputs and parameters, so that TFX's cache does not outlive a change of it."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from importlib import metadata, resources
from importlib.resources.abc import Traversable

# Whose version changes what is trained, transformed or served.
LIBRARIES = ("tensorflow", "keras", "tensorflow-transform", "tfx", "numpy")


def code_version(*packages: str) -> str:
    """Returns a short hash over the names and contents of packages' Python files, folders below included, and the libraries' versions.

    Args:
      packages: Import names; by default the trainer's.
    """
    digest = hashlib.sha256()
    for package in packages or ("cxr.trainer",):
        for name, file in sorted(_python_files(resources.files(package)), key=lambda pair: pair[0]):
            digest.update(name.encode() + b"\0" + file.read_bytes() + b"\0")
    for library in LIBRARIES:
        digest.update(f"{library}=={metadata.version(library)}\0".encode())
    return digest.hexdigest()[:12]


def _python_files(folder: Traversable, prefix: str = "") -> Iterator[tuple[str, Traversable]]:
    for entry in folder.iterdir():
        if entry.is_dir():
            yield from _python_files(entry, f"{prefix}{entry.name}/")
        elif entry.name.endswith(".py"):
            yield f"{prefix}{entry.name}", entry
