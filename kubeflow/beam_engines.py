"""Where Beam's work is done: `beam` of the cluster's file. Each engine checks its settings and turns them into Beam's options."""

from __future__ import annotations

import json
import re
from typing import Annotated, Literal

from pydantic import Field, model_validator

from cxr.core.strict_model import StrictModel
from cxr.pipeline.beam_config import Direct

Absolute = Annotated[str, Field(pattern=r"^/.+")]
_HOST_PORT = r"[^\s:/]+:[0-9]{1,5}"
HostPort = Annotated[str, Field(pattern=rf"^{_HOST_PORT}$")]

BOOT = "/opt/apache/beam/boot"  # in the image's target `worker`
_WORKER_IMAGE = "the image's target `worker`, by digest"
_POOL = "localhost:50000"  # where `boot --worker_pool` listens, beside the worker
_PROCESS = json.dumps({"command": BOOT})


class Dataflow(StrictModel):
    """Google Cloud Dataflow. Data are on gs://, and the pods may start jobs there (workload identity, or a secret)."""

    runner: Literal["dataflow"]
    project: str = Field(min_length=1)
    region: str = Field(min_length=1)
    shared: str = Field(pattern="^gs://[^/]+", description="folder for what pods and workers exchange")
    worker_image: str = Field(description=_WORKER_IMAGE)
    service_account: str | None = Field(None, description="e-mail address of the workers' account; null: Compute Engine's default")
    subnetwork: str | None = Field(None, description="regions/REGION/subnetworks/NAME; null: the project's default network")
    machine_type: str | None = Field(None, description="of the workers; null: Dataflow's choice")
    max_workers: int | None = Field(None, ge=1)
    options: tuple[str, ...] = ()

    def arguments(self) -> tuple[str, ...]:
        """Returns Beam's options."""
        shared = self.shared.rstrip("/")
        further = {
            "service_account_email": self.service_account,
            "subnetwork": self.subnetwork,
            "worker_machine_type": self.machine_type,
            "max_num_workers": self.max_workers,
        }
        return (
            "--runner=DataflowRunner",
            f"--project={self.project}",
            f"--region={self.region}",
            f"--temp_location={shared}/beam-temp",
            f"--staging_location={shared}/beam-staging",
            *_workers(self.worker_image),
            "--experiments=use_runner_v2",
            *(f"--{name}={value}" for name, value in further.items() if value is not None),
            *self.options,
        )


class Portable(StrictModel):
    """What Flink and Spark have in common: a volume that pods and workers mount at the same place, and where the workers' Python is."""

    shared: Absolute = Field(description="folder on a volume (ReadWriteMany) that Beam's workers mount too")
    worker_image: str = Field(description=_WORKER_IMAGE)
    environment_type: Literal["EXTERNAL", "DOCKER", "PROCESS"] = Field(
        "EXTERNAL", description="EXTERNAL: a worker pool beside each worker; DOCKER: started by it; PROCESS: the worker's own image"
    )
    environment_config: str | None = Field(None, description="address of the pool, image, or JSON with `command`; null: the usual one")
    options: tuple[str, ...] = ()

    @model_validator(mode="after")
    def _check_environment(self) -> Portable:
        config = self._environment_config()
        if self.environment_type == "EXTERNAL" and not re.fullmatch(_HOST_PORT, config):
            raise ValueError(f"environment_config {config!r}: EXTERNAL wants host:port of the worker pool, as a worker sees it")
        if self.environment_type == "PROCESS":
            try:
                command = json.loads(config)["command"]
            except (ValueError, KeyError, TypeError):
                command = None
            if not isinstance(command, str):
                raise ValueError(f"environment_config {config!r}: PROCESS wants JSON with the executable, {_PROCESS}")
        return self

    def _environment_config(self) -> str:
        usual = {"EXTERNAL": _POOL, "DOCKER": self.worker_image, "PROCESS": _PROCESS}
        return self.environment_config or usual[self.environment_type]

    def _environment(self) -> tuple[str, ...]:
        return (
            f"--environment_type={self.environment_type}",
            f"--environment_config={self._environment_config()}",
            *_workers(self.worker_image),
            *self.options,
        )


class Flink(Portable):
    """A Flink cluster: behind Beam's job server, or with a job server that each task starts itself, for which its image needs Java."""

    runner: Literal["flink"]
    job_endpoint: HostPort | None = Field(None, description="host:port of Beam's Flink job server")
    artifact_endpoint: HostPort | None = Field(None, description="of the same; null: as the job server says")
    master: str | None = Field(None, pattern=r"^(https?://)?[^\s:/]+:[0-9]+$", description="host:port of the job manager's REST service")
    version: Literal["1.19", "1.20", "2.0", "2.1", "2.2"] | None = Field(None, description="of the cluster")
    jar: Absolute | None = Field(None, description="Beam's job server for that version, in the image or on a volume")
    parallelism: int = Field(1, ge=1)

    @model_validator(mode="after")
    def _check_server(self) -> Flink:
        own = {"master": self.master, "version": self.version, "jar": self.jar}
        if self.job_endpoint and any(own.values()):
            given = ", ".join(name for name, value in own.items() if value)
            raise ValueError(f"either job_endpoint, or master, version and jar (given as well: {given}): the job server knows its cluster")
        if not self.job_endpoint and (missing := [name for name, value in own.items() if not value]):
            raise ValueError(
                f"no job_endpoint, so {', '.join(missing)} must be given too: Beam would download a jar, and run it with Java, which the "
                "project's image does not have"
            )
        if self.artifact_endpoint and not self.job_endpoint:
            raise ValueError("artifact_endpoint belongs to a job_endpoint")
        return self

    def arguments(self) -> tuple[str, ...]:
        """Returns Beam's options."""
        if self.job_endpoint:
            server = _job_server(self.job_endpoint, self.artifact_endpoint)
        else:
            server = (
                "--runner=FlinkRunner",
                f"--flink_master={self.master}",
                f"--flink_version={self.version}",
                f"--flink_job_server_jar={self.jar}",
            )
        return (*server, f"--parallelism={self.parallelism}", *self._environment())


class Spark(Portable):
    """A Spark cluster behind Beam's job server."""

    runner: Literal["spark"]
    job_endpoint: HostPort = Field(description="host:port of Beam's Spark job server")
    artifact_endpoint: HostPort | None = Field(None, description="of the same; null: as the job server says")

    def arguments(self) -> tuple[str, ...]:
        """Returns Beam's options."""
        return (*_job_server(self.job_endpoint, self.artifact_endpoint), *self._environment())


def _job_server(job_endpoint: str, artifact_endpoint: str | None) -> tuple[str, ...]:
    artifacts = (f"--artifact_endpoint={artifact_endpoint}",) if artifact_endpoint else ()
    return ("--runner=PortableRunner", f"--job_endpoint={job_endpoint}", *artifacts)


def _workers(image: str) -> tuple[str, ...]:
    # Naming the image, where the environment does not need it too, keeps TFX from staging its own sources, which every worker would
    # install from the network at its start; sdk_location does the same for Beam.
    return (f"--sdk_container_image={image}", "--sdk_location=container")


Beam = Annotated[Direct | Dataflow | Flink | Spark, Field(discriminator="runner")]
