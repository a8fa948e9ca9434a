"""Options of Beam: for work on this machine, and what can be said of others before a job begins."""

from __future__ import annotations

import shutil
import socket
from collections.abc import Sequence
from pathlib import Path

from cxr.core.errors import UsageError

_PATIENCE = 5  # seconds until a job server that says nothing counts as unreachable; Beam's own patience is a minute
_DOCS = "docs/scale.md has the commands"


def local(workers: int, pool: str | None = None) -> tuple[str, ...]:
    """Returns the options of a job on this machine.

    Args:
      workers: Processes that share it; 1: the process that was called alone.
      pool: host:port of the pool that they are of (data/beam_workers.py); None: the job makes its own.
    """
    # By its own name: DirectRunner would first look for Beam's Prism binary on the network.
    runner = "FnApiRunner" if workers == 1 else "cxr.data.beam_workers.ProcessRunner"
    return (
        f"--runner={runner}",
        "--direct_running_mode=in_memory",
        f"--direct_num_workers={workers}",
        "--sdk_container_image=none",  # spares every component a copy of all of TFX in /tmp, which only remote workers need
        *([f"--environment_config={pool}"] if pool else []),
    )


def reading(workers: int) -> tuple[str, ...]:
    """Returns the options of a job that reads images; of one process none: its threads read (data/ingest/reading.py)."""
    return local(workers) if workers > 1 else ()


def check(options: Sequence[str]) -> None:
    """Refuses options that name what is not there, at once: Beam tries for a minute, or fetches jars from the network.

    Raises:
      UsageError: Nothing listens at the job endpoint, the job server's jar is missing, or there is no Java to run it.
    """
    given = {name.removeprefix("--"): value for name, _, value in (option.partition("=") for option in options)}
    runner = given.get("runner", "").lower().removesuffix("runner")
    if endpoint := given.get("job_endpoint"):
        _check_endpoint(endpoint)
    elif runner == "portable":
        raise UsageError(f"--runner=PortableRunner needs --job_endpoint=host:port of Beam's job server; {_DOCS}")
    elif runner in ("flink", "spark"):
        jar = given.get(f"{runner}_job_server_jar", "")
        if not jar:
            raise UsageError(
                f"--runner={given['runner']} without --job_endpoint starts a job server of its own, from a jar that Beam would "
                f"download: name one with --{runner}_job_server_jar=PATH, or start the job server yourself; {_DOCS}"
            )
        if not Path(jar).is_file():
            raise UsageError(f"--{runner}_job_server_jar={jar}: there is no such file; {_DOCS}")
        if not shutil.which("java"):
            raise UsageError(f"--{runner}_job_server_jar={jar}: there is no Java to run it; install a runtime (17), or use --job_endpoint")


def _check_endpoint(endpoint: str) -> None:
    host, _, port = endpoint.rpartition(":")
    if not host or not port.isdecimal():
        raise UsageError(f"--job_endpoint={endpoint}: must be host:port of Beam's job server")
    try:
        socket.create_connection((host.removeprefix("[").removesuffix("]"), int(port)), _PATIENCE).close()
    except (OSError, OverflowError) as error:
        why = getattr(error, "strerror", None) or str(error)
        raise UsageError(f"--job_endpoint={endpoint}: Beam's job server does not answer there ({why}); {_DOCS}") from None
