"""What this process and those that it started have used so far."""

from __future__ import annotations

import resource

KIB = 1024  # bytes, in which Linux counts resident memory


def peak_memory() -> int:
    """Returns the bytes that the largest process, this one or one that it started and waited for, had resident at once."""
    return max(usage.ru_maxrss for usage in _usages()) * KIB


def cpu_seconds() -> float:
    """Returns the processor time of this process and of all that it started and waited for."""
    return sum(usage.ru_utime + usage.ru_stime for usage in _usages())


def _usages() -> list[resource.struct_rusage]:
    return [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
