"""A Flink cluster on this machine."""

import os
import signal
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml
from beam_cluster import CACHE, BeamCluster, answer
from processes import free_port

HOME, JOB_SERVER = CACHE / "flink/flink-dist", CACHE / "flink/job-server.jar"
TASK_MANAGERS, SLOTS = 2, 2  # one of them is enough for a job of parallelism 2, so that the other may die


class FlinkCluster(BeamCluster):
    """Job manager and task managers."""

    name = "flink"
    wanted = {"Flink's distribution": HOME / "bin/jobmanager.sh", "Beam's job server for Flink": JOB_SERVER}

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.task_managers: dict[str, subprocess.Popen[bytes]] = {}
        self._rest = free_port()

    def _start_engine(self) -> None:
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

    def _job_server(self) -> tuple[list[object], Mapping[str, str]]:
        return ["java", "-Xmx512m", "-jar", JOB_SERVER, "--flink-master", f"localhost:{self._rest}"], os.environ

    @property
    def options(self) -> list[str]:
        """Beam's options for jobs on this cluster."""
        return [*super().options, "--parallelism=2"]

    def add_task_manager(self) -> None:
        """Starts one more."""
        name = f"tm-{len(self.task_managers)}"
        script = [HOME / "bin/taskmanager.sh", "start-foreground", f"-Dtaskmanager.resource-id={name}"]
        self.task_managers[name] = self._run(name, script, self._environment)

    def ask(self, path: str) -> Any:
        """Returns what the job manager's REST service says."""
        return answer(self._rest, path)

    def jobs(self) -> dict[str, str]:
        return {job["id"]: job["status"] for job in self.ask("jobs")["jobs"]}

    def running_on(self, job: str) -> dict[str, int]:
        found: dict[str, int] = {}
        for vertex in self.ask(f"jobs/{job}")["vertices"]:
            for subtask in self._subtasks(job, vertex):
                if subtask["status"] == "RUNNING":
                    found[subtask["taskmanager-id"]] = found.get(subtask["taskmanager-id"], 0) + 1
        return found

    def losses(self, job: str) -> int:
        return sum(attempt["attempt"] for vertex in self.ask(f"jobs/{job}")["vertices"] for attempt in self._subtasks(job, vertex))

    def _subtasks(self, job: str, vertex: Any) -> Any:
        return self.ask(f"jobs/{job}/vertices/{vertex['id']}")["subtasks"]

    def lose(self, job: str, name: str) -> None:
        os.kill(self.task_managers[name].pid, signal.SIGKILL)
        self.task_managers[name].wait()
        self.add_task_manager()
