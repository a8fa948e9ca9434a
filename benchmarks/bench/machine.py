"""What the figures were measured on, and by which code."""

from __future__ import annotations

import platform
import subprocess
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path

import psutil

from bench.results import Machine
from cxr.core.machine import cores, processor

_VERSIONS_OF = ("apache-beam", "keras", "numpy", "pillow", "tensorflow", "tensorflow-model-analysis", "tfx")
_VECTORS = ("amx_tile", "avx512f", "avx2")  # as Linux calls them, the widest first
_LOOKED_FOR = 1.0  # seconds


def describe() -> Machine:
    """Returns the facts; takes a second, in which it looks how busy the machine is."""
    return Machine(
        cores=cores(),
        cpu=_cpu(processor()),
        memory_gib=round(psutil.virtual_memory().total / 2**30, 1),
        busy=round(psutil.cpu_percent(_LOOKED_FOR) / 100, 2),
        python=platform.python_version(),
        versions={name: metadata.version(name) for name in _VERSIONS_OF},
        commit=_commit(Path(__file__).parent),
        began=datetime.now(UTC).isoformat(timespec="seconds"),
    )


def _cpu(said: dict[str, str]) -> str:
    """The processor's name with the widest vectors it computes on, in which cores of one name differ."""
    flags = said.get("flags", "").split()
    return " ".join([said.get("model name") or platform.machine(), *[vectors for vectors in _VECTORS if vectors in flags][:1]])


def _commit(folder: Path) -> str:
    def git(*arguments: str) -> str:
        return subprocess.run(["git", *arguments], cwd=folder, capture_output=True, text=True, check=True).stdout.strip()

    try:
        return git("rev-parse", "--short=12", "HEAD") + ("+" if git("status", "--porcelain", "--untracked-files=no") else "")
    except (OSError, subprocess.CalledProcessError):
        return ""
