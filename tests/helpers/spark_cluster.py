"""A standalone Spark cluster on this machine."""

import json
import os
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

import psutil
from beam_cluster import CACHE, BeamCluster, answer
from processes import free_port

HOME, JOB_SERVER = CACHE / "spark/spark-dist", CACHE / "spark/job-server.jar"
WORKERS, CORES = 2, 1  # each starts one executor for each job, and another where that dies


class SparkCluster(BeamCluster):
    """Master and workers; what Spark calls the driver is the job server, which has one job at a time and an application for each."""

    name = "spark"
    wanted = {"Spark's distribution": HOME / "bin/spark-class", "Beam's job server for Spark": JOB_SERVER}

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self._master, self._of_master, self._of_driver = free_port(), free_port(), free_port()
        self._environment = {**os.environ, "SPARK_HOME": str(HOME), "SPARK_LOCAL_IP": "127.0.0.1", "SPARK_DAEMON_MEMORY": "256m"}

    @property
    def _url(self) -> str:
        return f"spark://localhost:{self._master}"

    def _start_engine(self) -> None:
        (self.folder / "events").mkdir(parents=True)
        master = [HOME / "bin/spark-class", "org.apache.spark.deploy.master.Master", "--host", "localhost"]
        self._run("master", [*master, "--port", self._master, "--webui-port", self._of_master], self._environment)
        for number in range(WORKERS):
            worker = [HOME / "bin/spark-class", "org.apache.spark.deploy.worker.Worker", "--host", "localhost", "--webui-port", free_port()]
            worker += ["--cores", CORES, "--memory", "900m", "--work-dir", self.folder / f"worker-{number}", self._url]
            self._run(f"worker-{number}", worker, self._environment)
        self._wait("the workers", lambda: answer(self._of_master, "json/")["aliveworkers"] == WORKERS)

    def _job_server(self) -> tuple[list[object], Mapping[str, str]]:
        settings = {
            # Beam's jars before Spark's, in executors too: Beam's classes for Google's storage fail with Spark's Guava, which is older
            "spark.executor.extraClassPath": JOB_SERVER,
            "spark.executor.memory": "800m",
            "spark.ui.port": self._of_driver,
            "spark.eventLog.enabled": "true",
            "spark.eventLog.dir": (self.folder / "events").as_uri(),
            # a busy machine answers late; a killed process is noticed by its closed connection
            "spark.network.timeout": "600s",
        }
        # spark-submit, not `java -jar`: it opens in Java 17 what Spark needs, and is where settings can be given
        submit = [HOME / "bin/spark-submit", "--master", self._url, "--class", "org.apache.beam.runners.spark.SparkJobServerDriver"]
        submit += ["--driver-memory", "512m", "--driver-class-path", JOB_SERVER]
        submit += [word for name, value in settings.items() for word in ("--conf", f"{name}={value}")]
        return [*submit, JOB_SERVER, f"--spark-master-url={self._url}"], self._environment

    def jobs(self) -> dict[str, str]:
        said = answer(self._of_master, "json/")
        return {app["id"]: app["state"] for app in (*said["activeapps"], *said["completedapps"])}

    def running_on(self, job: str) -> dict[str, int]:
        with suppress(OSError, ValueError):  # the driver's service is there while the job is, and at first says in prose that it starts
            executors = answer(self._of_driver, f"api/v1/applications/{job}/executors")
            return {one["id"]: one["activeTasks"] for one in executors if one["activeTasks"]}
        return {}

    def losses(self, job: str) -> int:
        (log,) = (self.folder / "events").glob(f"{job}*")  # .inprogress while the job is
        events = map(json.loads, log.read_text().splitlines())
        return sum(event["Event"] == "SparkListenerTaskEnd" and event["Task End Reason"]["Reason"] != "Success" for event in events)

    def lose(self, job: str, name: str) -> None:
        for process in psutil.process_iter(["cmdline"]):
            words = process.info["cmdline"] or []
            if all(pair in zip(words, words[1:], strict=False) for pair in (("--app-id", job), ("--executor-id", name))):
                process.kill()
