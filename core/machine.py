"""What this machine has for a run: cores and memory, within the limits of the container that the run is in, and its processor."""

from __future__ import annotations

import os
from pathlib import Path

_KIB = 1024


def cores(root: Path = Path("/")) -> int:
    """Returns how many cores this process may use: those it is bound to, or fewer where its control group has a quota.

    Args:
      root: Of the file system that the limits are read from.
    """
    bound = len(os.sched_getaffinity(0))
    groups = root / "sys/fs/cgroup"
    v2 = _numbers(groups / "cpu.max")
    v1 = _numbers(groups / "cpu/cpu.cfs_quota_us") + _numbers(groups / "cpu/cpu.cfs_period_us")
    quotas = [limit // period for limit, period in (pair for pair in (v2, v1) if len(pair) == 2) if limit > 0 and period > 0]
    return max(1, min(bound, *quotas)) if quotas else bound


def processor(root: Path = Path("/")) -> dict[str, str]:
    """Returns what Linux says of the first core, such as "model name" and "flags" (its instructions); nothing where it does not say.

    Args:
      root: See `cores`.
    """
    try:
        core = (root / "proc/cpuinfo").read_text(encoding="utf-8").partition("\n\n")[0]
    except OSError:
        return {}
    return {name.strip(): said.strip() for name, _, said in (line.partition(":") for line in core.splitlines())}


def available_memory(root: Path = Path("/")) -> int:
    """Returns the bytes that processes can still take without swapping: of the machine, or fewer where the control group has a limit.

    Args:
      root: See `cores`.
    """
    lines = (root / "proc/meminfo").read_text(encoding="utf-8").splitlines()
    free = next(int(line.split()[1]) * _KIB for line in lines if line.startswith("MemAvailable:"))
    groups = root / "sys/fs/cgroup"
    v2 = _numbers(groups / "memory.max") + _numbers(groups / "memory.current")
    v1 = _numbers(groups / "memory/memory.limit_in_bytes") + _numbers(groups / "memory/memory.usage_in_bytes")
    files = _cached_files(groups / "memory.stat", "inactive_file"), _cached_files(groups / "memory/memory.stat", "total_inactive_file")
    left = [max(pair[0] - pair[1] + cached, 0) for pair, cached in zip((v2, v1), files, strict=True) if len(pair) == 2]
    return min(free, *left) if left else free


def _cached_files(file: Path, entry: str) -> int:
    """The bytes of files that a control group holds in memory, counts as used, and gives back at once where processes want them."""
    try:
        words = file.read_text(encoding="utf-8").split()
        return int(words[words.index(entry) + 1])
    except (OSError, ValueError):
        return 0


def _numbers(file: Path) -> list[int]:
    """The numbers of a file of a control group; none where there is no such file, or no limit ("max")."""
    try:
        return [int(word) for word in file.read_text(encoding="utf-8").split()]
    except (OSError, ValueError):
        return []
