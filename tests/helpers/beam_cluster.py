"""An engine's cluster on this machine, with Beam's job server and worker pool: what docs/scale.md starts on many."""

import functools
import json
import os
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

from processes import free_port, stop

CACHE = Path(__file__).parents[2] / ".cache"  # tools/flink.sh and tools/spark.sh fill a folder of it
PRELOADED = ("cxr.data.ingest.reading", "tfx.components.transform.executor", "cxr.components.evaluator.executor")
STARTS_WITHIN = 180  # seconds, on a busy machine


class BeamCluster(ABC):
    """An engine, job server, worker pool; processes of ours, ended with `stop`."""

    name: str
    wanted: Mapping[str, Path]  # what must be there, by what it is

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._stack = ExitStack()
        self._job, self._pool = free_port(), free_port()

    @classmethod
    def missing(cls) -> list[str]:
        """Returns what is not there, or nothing."""
        return [name for name, path in cls.wanted.items() if not path.is_file()]

    def start(self) -> None:
        """Starts everything and waits until it answers."""
        self._start_engine()
        # One pool for the whole engine, which Beam's own would not stand (beam_workers.py): on many machines each has one beside it.
        pool = [
            sys.executable,
            "-m",
            "cxr.data.beam_workers",
            f"--address=localhost:{self._pool}",
            *(f"--preload={name}" for name in PRELOADED),
        ]
        self._run("worker-pool", pool, {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"})
        command, environment = self._job_server()
        command += ["--artifacts-dir", self.folder / "artifacts", "--job-port", self._job]
        command += ["--artifact-port", free_port(), "--expansion-port", free_port()]
        self._run("job-server", command, environment)
        for name, port in {"worker-pool": self._pool, "job-server": self._job}.items():
            self._wait(f"the {name}", functools.partial(_listens, port))

    @property
    def options(self) -> list[str]:
        """Beam's options for jobs on this cluster."""
        return [
            "--runner=PortableRunner",
            f"--job_endpoint=localhost:{self._job}",
            "--environment_type=EXTERNAL",
            f"--environment_config=localhost:{self._pool}",
            "--sdk_location=container",  # else every job stages Beam's sources, which the workers have
            "--sdk_container_image=none",  # and TFX its own
        ]

    @abstractmethod
    def _start_engine(self) -> None: ...

    @abstractmethod
    def _job_server(self) -> tuple[list[object], Mapping[str, str]]:
        """Returns its command, but for ports and folder, and its environment."""

    @abstractmethod
    def jobs(self) -> dict[str, str]:
        """Returns id: state of all jobs, the running ones too."""

    @abstractmethod
    def running_on(self, job: str) -> dict[str, int]:
        """Returns how many parts of a job run in each process of the engine, by its name."""

    @abstractmethod
    def losses(self, job: str) -> int:
        """Returns how many attempts at a job's parts were lost."""

    @abstractmethod
    def lose(self, job: str, name: str) -> None:
        """Kills a process that works for a job as the kernel would, and sees to it that another starts."""

    @contextmanager
    def losing(self, jobs: int, ready: Callable[[], bool] = lambda: True) -> Iterator[dict[str, int]]:
        """Kills a process of the engine that works for a job, in each of the next so many jobs; yields how many losses each noticed.

        Args:
          jobs: How many.
          ready: Whether a job that runs has come to where it is to be disturbed.
        """
        known, struck = set(self.jobs()), list[str]()
        stop = threading.Event()

        def watch() -> None:
            while len(struck) < jobs and not stop.wait(0.1):
                for job in set(self.jobs()) - known:
                    working = self.running_on(job)
                    if working and ready():
                        known.add(job)
                        struck.append(job)
                        self.lose(job, max(working, key=lambda name: working[name]))

        thread = threading.Thread(target=watch, daemon=True)
        thread.start()
        noticed: dict[str, int] = {}
        try:
            yield noticed
        finally:
            stop.set()
            thread.join()
        noticed |= {job: self.losses(job) for job in struck}

    def logs(self, *names: str) -> str:
        """Returns the ends of logs."""
        return "\n".join(f"== {name}\n{(self.folder / f'{name}.log').read_text()[-4000:]}" for name in names)

    def stop(self) -> None:
        """Ends all processes."""
        self._stack.close()

    def _run(self, name: str, command: Sequence[object], environment: Mapping[str, str]) -> subprocess.Popen[bytes]:
        with open(self.folder / f"{name}.log", "w") as log:
            process = subprocess.Popen(
                [*map(str, command)], stdout=log, stderr=subprocess.STDOUT, env=dict(environment), start_new_session=True
            )
        self._stack.callback(stop, process)
        return process

    def _wait(self, what: str, ready: Callable[[], bool]) -> None:
        end = time.monotonic() + STARTS_WITHIN
        while time.monotonic() < end:
            with suppress(OSError):
                if ready():
                    return
            time.sleep(0.5)
        names = sorted(path.stem for path in self.folder.glob("*.log"))
        raise TimeoutError(f"{what} did not start within {STARTS_WITHIN} s\n{self.logs(*names)}")


def answer(port: int, path: str) -> Any:
    """Returns what a service of this machine says in JSON."""
    with urllib.request.urlopen(f"http://localhost:{port}/{path}", timeout=10) as said:
        return json.load(said)


def _listens(port: int) -> bool:
    with socket.socket() as client:
        return client.connect_ex(("localhost", port)) == 0
