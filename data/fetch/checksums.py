"""Hashes of files, as their sources publish them and as the lock file holds them."""

from __future__ import annotations

import hashlib
from pathlib import Path

CHUNK = 1 << 20  # bytes


def digests(path: Path, published: str | None = None) -> dict[str, str]:
    """Reads a file once.

    Args:
      path: The file.
      published: A checksum such as `md5:…`, whose kind is wanted too.

    Returns:
      Kind: digest in hex. `sha256` always; `md5` or `git` where `published` is of that kind.
    """
    hashers = {"sha256": hashlib.sha256()}
    kind = published.partition(":")[0] if published else "sha256"
    if kind == "md5":
        hashers[kind] = hashlib.md5(usedforsecurity=False)
    elif kind == "git":  # the hash of a blob: https://git-scm.com/book/en/v2/Git-Internals-Git-Objects
        hashers[kind] = hashlib.sha1(f"blob {path.stat().st_size}\0".encode(), usedforsecurity=False)
    elif kind != "sha256":
        raise ValueError(f"no such checksum: {kind}")
    with path.open("rb") as stream:
        while chunk := stream.read(CHUNK):
            for hasher in hashers.values():
                hasher.update(chunk)
    return {name: hasher.hexdigest() for name, hasher in hashers.items()}


def agrees(published: str, found: dict[str, str]) -> bool:
    """Tells whether `digests(path, published)` found what is published."""
    kind, _, value = published.partition(":")
    return found[kind] == value.lower()
