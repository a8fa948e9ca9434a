"""A Flink cluster on this machine, with Beam's job server and worker pool: what docs/scale.md starts on many."""

import functools
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

import yaml
from processes import free_port, stop

CACHE = Path(__file__).parents[2] / ".cache/flink"  # tools/flink.sh fills it
HOME, JOB_SERVER = CACHE / "flink-dist", CACHE / "job-server.jar"
TASK_MANAGERS, SLOTS = 2, 2  # one of them is enough for a job of parallelism 2, so that the other may die
PRELOADED = ("cxr.data.ingest.reading", "tfx.components.transform.executor", "cxr.components.evaluator.executor")
STARTS_WITHIN = 180  # seconds, on a busy machine


def missing() -> list[str]:
    """Returns what is not there, or nothing."""
    wanted = {"Flink's distribution": HOME / "bin/jobmanager.sh", "Beam's job server for Flink": JOB_SERVER}
    return [name for name, path in wanted.items() if not path.is_file()]


class FlinkCluster:
    """Job manager, task managers, job server, worker pool; processes of ours, ended with `stop`."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.task_managers: dict[str, subprocess.Popen[bytes]] = {}
        self._stack = ExitStack()
        self._rest, self._job, self._pool = free_port(), free_port(), free_port()

    def start(self) -> None:
        """Starts everything and waits until it answers."""
        conf = self.folder / "conf"
        conf.mkdir(parents=True)
        for file in (HOME / "conf").iterdir():
            (conf / file.name).write_bytes(file.read_bytes())
        shipped = yaml.safe_load((HOME / "conf/config.yaml").read_text())
        settings = {
            "env.java.opts.all": shipped["env"]["java"]["opts"]["all"],  # what Flink needs opened in Java 17
            "jobmanager.rpc.address": "localhost",
            "jobmanager.rpc.port": free_port(),
            "jobmanager.bind-host": "localhost",
            "jobmanager.memory.process.size": "1000m",
            "rest.port": self._rest,
            "rest.address": "localhost",
            "taskmanager.bind-host": "localhost",
            "taskmanager.host": "localhost",
            "taskmanager.numberOfTaskSlots": SLOTS,
            "taskmanager.memory.process.size": "1200m",
            "taskmanager.memory.managed.size": "64m",
            "taskmanager.memory.network.min": "160m",
            "taskmanager.memory.network.max": "160m",
            # each shuffle takes 512 by default: a job that has several at once needs more than 160 MB hold
            "taskmanager.network.sort-shuffle.min-buffers": 64,
            "cluster.evenly-spread-out-slots": True,
            "restart-strategy.type": "fixed-delay",
            "restart-strategy.fixed-delay.attempts": 10,
            "restart-strategy.fixed-delay.delay": "2 s",
            # a busy machine answers late; a killed process is noticed by its closed connection
            "heartbeat.timeout": 60_000,
            "io.tmp.dirs": str(self.folder / "io"),
        }
        (conf / "config.yaml").write_text(yaml.safe_dump(settings))
        (self.folder / "io").mkdir()
        self._environment = {**os.environ, "FLINK_CONF_DIR": str(conf), "FLINK_LOG_DIR": str(self.folder), "FLINK_HOME": str(HOME)}
        self._run("job-manager", [HOME / "bin/jobmanager.sh", "start-foreground"], self._environment)
        for _ in range(TASK_MANAGERS):
            self.add_task_manager()
        self._wait("the task managers", lambda: len(self.ask("taskmanagers")["taskmanagers"]) == TASK_MANAGERS)
        # One pool for all of them, which Beam's own would not stand (beam_workers.py): on many machines each has one beside it.
        pool = [
            sys.executable,
            "-m",
            "cxr.data.beam_workers",
            f"--address=localhost:{self._pool}",
            *(f"--preload={name}" for name in PRELOADED),
        ]
        self._run("worker-pool", pool, {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"})
        server = ["java", "-Xmx512m", "-jar", JOB_SERVER, "--flink-master", f"localhost:{self._rest}"]
        server += ["--artifacts-dir", self.folder / "artifacts", "--job-port", self._job]
        server += ["--artifact-port", free_port(), "--expansion-port", free_port()]
        self._run("job-server", server, os.environ)
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
            "--parallelism=2",
            "--sdk_location=container",  # else every job stages Beam's sources, which the workers have
            "--sdk_container_image=none",  # and TFX its own
        ]

    def add_task_manager(self) -> None:
        """Starts one more."""
        name = f"tm-{len(self.task_managers)}"
        script = [HOME / "bin/taskmanager.sh", "start-foreground", f"-Dtaskmanager.resource-id={name}"]
        self.task_managers[name] = self._run(name, script, self._environment)

    def ask(self, path: str) -> Any:
        """Returns what the job manager's REST service says."""
        with urllib.request.urlopen(f"http://localhost:{self._rest}/{path}", timeout=10) as answer:
            return json.load(answer)

    def jobs(self) -> dict[str, str]:
        """Returns id: state of all jobs, the running ones too."""
        return {job["id"]: job["status"] for job in self.ask("jobs")["jobs"]}

    def running_on(self, job: str) -> dict[str, int]:
        """Returns how many subtasks of a job run on each task manager, by resource id."""
        found: dict[str, int] = {}
        for vertex in self.ask(f"jobs/{job}")["vertices"]:
            for subtask in self._subtasks(job, vertex):
                if subtask["status"] == "RUNNING":
                    found[subtask["taskmanager-id"]] = found.get(subtask["taskmanager-id"], 0) + 1
        return found

    def restarts(self, job: str) -> int:
        """Returns how many attempts at a job's subtasks were lost."""
        return sum(attempt["attempt"] for vertex in self.ask(f"jobs/{job}")["vertices"] for attempt in self._subtasks(job, vertex))

    def _subtasks(self, job: str, vertex: Any) -> Any:
        return self.ask(f"jobs/{job}/vertices/{vertex['id']}")["subtasks"]

    def kill(self, name: str) -> None:
        """Kills a task manager as the kernel would."""
        os.kill(self.task_managers[name].pid, signal.SIGKILL)
        self.task_managers[name].wait()

    @contextmanager
    def losing_task_managers(self, jobs: int, ready: Callable[[], bool] = lambda: True) -> Iterator[dict[str, int]]:
        """Kills a task manager that works for a job, in each of the next so many jobs, and starts another; yields how many jobs noticed.

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
                        self.kill(max(working, key=lambda name: working[name]))
                        self.add_task_manager()

        thread = threading.Thread(target=watch, daemon=True)
        thread.start()
        noticed: dict[str, int] = {}
        try:
            yield noticed
        finally:
            stop.set()
            thread.join()
        noticed |= {job: self.restarts(job) for job in struck}

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


def _listens(port: int) -> bool:
    with socket.socket() as client:
        return client.connect_ex(("localhost", port)) == 0
