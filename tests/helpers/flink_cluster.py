"""A Flink cluster on this machine, with Beam's job server and worker pool: what docs/scale.md starts on many."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from contextlib import ExitStack, suppress
from pathlib import Path

import yaml

CACHE = Path(__file__).parents[2] / ".cache/flink"  # tools/flink.sh fills it
HOME, JOB_SERVER = CACHE / "home", CACHE / "job-server.jar"
TASK_MANAGERS, SLOTS = 2, 2  # one of them is enough for a job of parallelism 2, so that the other may die
PRELOADED = ("cxr.data.ingest.reading", "tfx.components.transform.executor", "tfx.components.evaluator.executor")
STARTS_WITHIN = 180  # seconds, on a busy machine


def missing():
    """Returns what is not there, or nothing."""
    wanted = {"Flink's distribution": HOME / "bin/jobmanager.sh", "Beam's job server for Flink": JOB_SERVER}
    return [name for name, path in wanted.items() if not path.is_file()]


def free_port():
    """Returns a port that nobody listens on."""
    with socket.socket() as found:
        found.bind(("localhost", 0))
        return found.getsockname()[1]


class FlinkCluster:
    """Job manager, task managers, job server, worker pool; processes of ours, ended with `stop`."""

    def __init__(self, folder):
        self.folder = folder
        self.task_managers = []
        self._stack = ExitStack()
        self._rest, self._job, self._pool = free_port(), free_port(), free_port()

    def start(self):
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
            "taskmanager.memory.process.size": "1000m",
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
        environment = {**os.environ, "FLINK_CONF_DIR": str(conf), "FLINK_LOG_DIR": str(self.folder), "FLINK_HOME": str(HOME)}
        self._run("job-manager", [HOME / "bin/jobmanager.sh", "start-foreground"], environment)
        for number in range(TASK_MANAGERS):
            script = [HOME / "bin/taskmanager.sh", "start-foreground", f"-Dtaskmanager.resource-id=tm-{number}"]
            self.task_managers.append(self._run(f"task-manager-{number}", script, environment))
        self._wait("the task managers", lambda: len(self.ask("taskmanagers")["taskmanagers"]) == TASK_MANAGERS)
        # One pool for all of them, which Beam's own would not stand (beam_workers.py): on many machines each has one beside it.
        pool = [sys.executable, "-m", "cxr.data.beam_workers", f"--address=localhost:{self._pool}", *(f"--preload={name}" for name in PRELOADED)]
        self._run("worker-pool", pool, {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"})
        server = ["java", "-Xmx512m", "-jar", JOB_SERVER, "--flink-master", f"localhost:{self._rest}"]
        server += ["--artifacts-dir", self.folder / "artifacts", "--job-port", self._job]
        server += ["--artifact-port", free_port(), "--expansion-port", free_port()]
        self._run("job-server", server, os.environ)
        for name, port in {"worker-pool": self._pool, "job-server": self._job}.items():
            self._wait(f"the {name}", lambda port=port: _listens(port))

    @property
    def options(self):
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

    def ask(self, path):
        """Returns what the job manager's REST service says."""
        with urllib.request.urlopen(f"http://localhost:{self._rest}/{path}", timeout=10) as answer:
            return json.load(answer)

    def jobs(self):
        """Returns id: state of all jobs, the running ones too."""
        return {job["id"]: job["status"] for job in self.ask("jobs")["jobs"]}

    def running_on(self, job):
        """Returns how many subtasks of a job run on each task manager, by resource id."""
        found = {}
        for vertex in self.ask(f"jobs/{job}")["vertices"]:
            for subtask in self.ask(f"jobs/{job}/vertices/{vertex['id']}")["subtasks"]:
                if subtask["status"] == "RUNNING":
                    found[subtask["taskmanager-id"]] = found.get(subtask["taskmanager-id"], 0) + 1
        return found

    def restarts(self, job):
        """Returns how many times a job was restarted."""
        (metric,) = self.ask(f"jobs/{job}/metrics?get=numRestarts")
        return int(float(metric["value"]))

    def kill(self, number):
        """Kills a task manager as the kernel would."""
        os.kill(self.task_managers[number].pid, signal.SIGKILL)
        self.task_managers[number].wait()

    def logs(self, *names):
        """Returns the ends of logs."""
        return "\n".join(f"== {name}\n{(self.folder / f'{name}.log').read_text()[-4000:]}" for name in names)

    def stop(self):
        """Ends all processes."""
        self._stack.close()

    def _run(self, name, command, environment):
        command = [str(part) for part in command]
        with open(self.folder / f"{name}.log", "w") as log:
            process = subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT, env=dict(environment), start_new_session=True)
        self._stack.callback(_end, process)
        return process

    def _wait(self, what, ready):
        end = time.monotonic() + STARTS_WITHIN
        while time.monotonic() < end:
            with suppress(OSError):
                if ready():
                    return
            time.sleep(0.5)
        names = sorted(path.stem for path in self.folder.glob("*.log"))
        raise TimeoutError(f"{what} did not start within {STARTS_WITHIN} s\n{self.logs(*names)}")


def _listens(port):
    with socket.socket() as client:
        return client.connect_ex(("localhost", port)) == 0


def _end(process):
    """Ends a process and those that it started: the pool forgets its workers when it is terminated."""
    process.terminate()
    with suppress(subprocess.TimeoutExpired):
        process.wait(10)
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
