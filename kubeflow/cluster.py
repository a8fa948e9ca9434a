"""The cluster that a pipeline is compiled for: data, volumes, secrets, resources, Beam's runner. One YAML file, typed and immutable."""

from __future__ import annotations

import json
import re
from importlib import resources as package_files
from pathlib import Path
from typing import Annotated, Any, Literal

import pydantic
import yaml
from pydantic import Field, model_validator

from cxr.core import features
from cxr.core.errors import CxrError
from cxr.core.strict_model import StrictModel
from cxr.kubeflow.uris import bucket_of, is_object_store

SHIPPED = "cluster.yaml"
DEFAULT = "default"  # key of `nodes` for what holds everywhere

Quantity = Annotated[str, Field(pattern=r"^[0-9]+(\.[0-9]+)?([kKMGT]i?|m)?$", description="Kubernetes quantity: 500m, 4, 16Gi")]
Absolute = Annotated[str, Field(pattern=r"^/.+")]
_HOST_PORT = r"[^\s:/]+:[0-9]{1,5}"
HostPort = Annotated[str, Field(pattern=rf"^{_HOST_PORT}$")]

BOOT = "/opt/apache/beam/boot"  # in the image's target `worker`
_WORKER_IMAGE = "the image's target `worker`, by digest"
_POOL = "localhost:50000"  # where `boot --worker_pool` listens, beside the worker
_PROCESS = json.dumps({"command": BOOT})


class Volume(StrictModel):
    """A PersistentVolumeClaim that every task mounts."""

    claim: str
    mount_path: Absolute
    sub_path: str = ""


class Secret(StrictModel):
    """A Kubernetes secret, as environment variables or as files."""

    name: str
    env: dict[str, str] = Field({}, description="key in the secret: environment variable")
    mount_path: Absolute | None = None
    optional: bool = False
    nodes: tuple[str, ...] = Field((), description="node ids or their first parts; empty: all")

    @model_validator(mode="after")
    def _check(self) -> Secret:
        if bool(self.env) == bool(self.mount_path):
            raise ValueError("either `env` or `mount_path`")
        return self


class Toleration(StrictModel):
    """Lets pods onto nodes with a taint, as Kubernetes has it."""

    key: str = ""
    operator: Literal["Exists", "Equal"] = "Exists"
    value: str = ""
    effect: Literal["", "NoSchedule", "PreferNoSchedule", "NoExecute"] = ""
    seconds: int | None = None


class Node(StrictModel):
    """Where and with what a task's pod runs; unset fields come from the more general entry of `nodes`."""

    cpu: Quantity | None = Field(None, description="request")
    cpu_limit: Quantity | None = None
    memory: Quantity | None = Field(None, description="request and limit")
    gpus: int | None = Field(None, ge=0)
    gpu_type: str | None = Field(None, description="Kubernetes resource name, nvidia.com/gpu")
    image: str | None = Field(None, description="instead of --image, by digest: an image with CUDA for trainers")
    shared_memory: Quantity | None = Field(None, description="size of /dev/shm")
    node_selector: dict[str, str] | None = None
    tolerations: tuple[Toleration, ...] | None = None
    retries: int | None = Field(None, ge=0)


class Direct(StrictModel):
    """Beam inside the pod."""

    runner: Literal["direct"] = "direct"
    workers: int = Field(1, ge=1, description="more than 1: processes, which pays for large data only")
    options: tuple[str, ...] = ()

    def arguments(self) -> tuple[str, ...]:
        """Returns Beam's options."""
        mode = "in_memory" if self.workers == 1 else "multi_processing"
        # by its own name: DirectRunner would first look for Beam's Prism binary on the network
        return ("--runner=FnApiRunner", f"--direct_running_mode={mode}", f"--direct_num_workers={self.workers}", *self.options)


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


class Cluster(StrictModel):
    """Everything that is the cluster's, not the pipeline's."""

    data: str = Field(description="default of the parameter `data`: a folder of `cxr ingest` on a volume, or gs://, s3://, minio://")
    splits: tuple[str, ...] = Field(features.SPLITS, description="the folders it holds")
    serving_models: Absolute = Field(description="pushed models, on a volume")
    training_state: Absolute | None = Field(None, description="on a volume: interrupted training resumes from there")
    pipeline_root: str | None = Field(None, pattern="^(gs|s3|minio)://", description="null: the installation's own")
    environment_credentials: bool = Field(False, description="the pods' environment may read a bucket of `data` that is not the root's")
    volumes: tuple[Volume, ...] = ()
    secrets: tuple[Secret, ...] = ()
    image_pull_secrets: tuple[str, ...] = ()
    run_as_user: int | None = Field(None, ge=1, description="null: the image's user")
    nodes: dict[str, Node] = Field({}, description="node id, or its first part (Trainer), or `default`")
    beam: Beam = Direct()

    @model_validator(mode="after")
    def _check_paths(self) -> Cluster:
        shared = getattr(self.beam, "shared", None)
        for field, path in {"serving_models": self.serving_models, "training_state": self.training_state, "beam.shared": shared}.items():
            if path and path.startswith("/") and not self.on_volume(path):
                raise ValueError(f"{field} {path}: on none of the volumes; it would be lost with the pod")
        if not is_object_store(self.data) and not self.on_volume(self.data):
            raise ValueError(f"data {self.data}: neither on one of the volumes nor gs://, s3:// or minio://")
        if isinstance(self.beam, Dataflow) and not self.data.startswith("gs://"):
            raise ValueError(f"data {self.data}: Dataflow's workers read gs:// only")
        if isinstance(self.beam, Portable) and not self.on_volume(self.data):
            raise ValueError(f"data {self.data}: the workers of {self.beam.runner} read the volume; put the data there")
        if (
            isinstance(self.beam, Direct)
            and is_object_store(self.data)
            and bucket_of(self.data) != bucket_of(self.pipeline_root or "")
            and not self.environment_credentials
        ):
            raise ValueError(
                f"data {self.data}: another bucket than pipeline_root's ({self.pipeline_root or 'not set'}). KFP's launcher would read it "
                "with what the pods' environment holds (workload identity, or `secrets` with `env`; for minio:// also AWS_ENDPOINT_URL), "
                "not with its own credentials: put the data into the root's bucket, or set `environment_credentials: true`"
            )
        return self

    def on_volume(self, path: str) -> bool:
        """Tells whether a path lies on one of the mounted volumes."""
        return any(path == v.mount_path or path.startswith(v.mount_path.rstrip("/") + "/") for v in self.volumes)

    def node(self, node_id: str) -> Node:
        """Returns the settings of a node: its own, then those of its first part (`Trainer-mobilenet`: `Trainer`), then `default`."""
        merged: dict[str, Any] = {}
        for key in (DEFAULT, node_id.split("-")[0], node_id):
            if key in self.nodes:
                merged |= {name: value for name, value in self.nodes[key] if value is not None}
        return Node(**merged)


def load_cluster(path: Path | None) -> Cluster:
    """Reads a cluster file; None: the shipped one.

    Raises:
      CxrError: Unreadable, or a wrong field, which is named.
    """
    source = path or package_files.files("cxr.kubeflow") / SHIPPED
    try:
        tree = yaml.safe_load(source.read_text())
        return Cluster.model_validate(tree)
    except OSError as error:
        raise CxrError(f"--cluster {source}: {error.strerror or error}") from None
    except yaml.YAMLError as error:
        raise CxrError(f"--cluster {source}: not valid YAML: {error}") from None
    except pydantic.ValidationError as error:
        lines = [f"  {'.'.join(str(part) for part in e['loc']) or 'cluster'}: {e['msg']}" for e in error.errors()]
        raise CxrError(f"--cluster {source}:\n" + "\n".join(lines)) from None
