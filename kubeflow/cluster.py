"""The cluster that a pipeline is compiled for: data, volumes, secrets, resources, Beam's runner. One YAML file, typed and immutable."""

from __future__ import annotations

import os
import re
from importlib import resources as package_files
from itertools import combinations
from pathlib import Path
from typing import Annotated, Any, Literal

import pydantic
import yaml
from pydantic import Field, model_validator

from cxr.core import features, yaml_text
from cxr.core.errors import UsageError
from cxr.core.file_names import unreadable
from cxr.core.strict_model import StrictModel
from cxr.core.validation_errors import of_settings, said_lines
from cxr.kubeflow.beam_engines import Absolute, Beam, Dataflow, Portable
from cxr.kubeflow.uris import bucket_of, is_object_store
from cxr.pipeline.beam_config import Direct

SHIPPED = "cluster.yaml"
DEFAULT = "default"  # key of `nodes` for what holds everywhere

# Kubernetes' grammar of resource quantities, without signs and without what is smaller than a thousandth: k is 1000, Ki 1024, K nothing.
_QUANTITY = r"^([0-9]+(\.[0-9]*)?|\.[0-9]+)(m|[kMGTPE]|[KMGTPE]i|[eE][+-]?[0-9]+)?$"


def _above_zero(quantity: str) -> str:
    if not re.match(r"[0-9.]*", quantity)[0].strip("0."):  # type: ignore[index]
        raise ValueError("must be above 0; leave the field out where nothing is asked for")
    return quantity


Quantity = Annotated[
    str, Field(pattern=_QUANTITY, description="Kubernetes quantity above 0: 500m, 4, 16Gi"), pydantic.AfterValidator(_above_zero)
]

_DNS_NAME = r"^[a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?$"  # as Kubernetes names objects
# as Kubernetes names what stands on nodes (labels, taints): a part of 63 characters, for which a domain may stand; values have no domain
_PART = r"[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?"
_DOMAIN = r"[a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?/"
_LABEL, _LABEL_VALUE, _RESOURCE = rf"^({_DOMAIN})?{_PART}$", rf"^({_PART})?$", rf"^{_DOMAIN}{_PART}$"
_VARIABLE = r"^[A-Za-z_][A-Za-z0-9_]*$"
_OF_THE_IMAGE = ("PATH", "PYTHONPATH", "LD_LIBRARY_PATH")  # environment by which it finds its programs
_LAUNCHERS = ("/gcs/", "/s3/", "/minio/")  # folders that KFP's launcher keeps artifacts in


class Volume(StrictModel):
    """A PersistentVolumeClaim that every task mounts."""

    claim: Annotated[str, Field(pattern=_DNS_NAME, description="name of the PersistentVolumeClaim")]
    mount_path: Absolute
    sub_path: str = ""


class Secret(StrictModel):
    """A Kubernetes secret, as environment variables or as files."""

    name: Annotated[str, Field(pattern=_DNS_NAME)]
    env: dict[str, Annotated[str, Field(pattern=_VARIABLE)]] = Field({}, description="key in the secret: environment variable")
    mount_path: Absolute | None = None
    optional: bool = False
    nodes: tuple[str, ...] = Field((), description="node ids or their first parts; empty: all")

    @model_validator(mode="after")
    def _check(self) -> Secret:
        if bool(self.env) == bool(self.mount_path):
            raise ValueError("either `env` or `mount_path`")
        variables = list(self.env.values())
        for variable in variables:
            if variable in _OF_THE_IMAGE:
                raise ValueError(f"env sets {variable}, by which the image finds its own programs; use another variable")
            if variables.count(variable) > 1:
                raise ValueError(f"env sets {variable} twice")
        return self

    def meets(self, other: Secret) -> bool:
        """Tells whether a task may have both."""
        pairs = ((one, two) for one in self.nodes for two in other.nodes)
        return not self.nodes or not other.nodes or any(one == two or one in _keys(two) or two in _keys(one) for one, two in pairs)


class Toleration(StrictModel):
    """Lets pods onto nodes with a taint, as Kubernetes has it."""

    key: Annotated[str, Field(pattern=rf"^$|{_LABEL}")] = ""
    operator: Literal["Exists", "Equal"] = "Exists"
    value: Annotated[str, Field(pattern=_LABEL_VALUE)] = ""
    effect: Literal["", "NoSchedule", "PreferNoSchedule", "NoExecute"] = ""
    seconds: int | None = None

    @model_validator(mode="after")
    def _check(self) -> Toleration:
        if self.operator == "Equal" and not self.key:
            raise ValueError("operator Equal needs a `key`")
        if self.operator == "Exists" and self.value:
            raise ValueError("operator Exists takes no `value`")
        if self.seconds is not None and self.effect != "NoExecute":
            raise ValueError("`seconds` belongs to the effect NoExecute")
        return self


class Node(StrictModel):
    """Where and with what a task's pod runs; unset fields come from the more general entry of `nodes`."""

    cpu: Quantity | None = Field(None, description="request")
    cpu_limit: Quantity | None = None
    memory: Quantity | None = Field(None, description="request and limit")
    gpus: int | None = Field(None, ge=0)
    gpu_type: str | None = Field(None, pattern=_RESOURCE, description="Kubernetes resource name, nvidia.com/gpu")
    image: str | None = Field(None, description="instead of --image, by digest: an image with CUDA for trainers")
    shared_memory: Quantity | None = Field(None, description="size of /dev/shm")
    node_selector: dict[Annotated[str, Field(pattern=_LABEL)], Annotated[str, Field(pattern=_LABEL_VALUE)]] | None = None
    tolerations: tuple[Toleration, ...] | None = None
    retries: int | None = Field(None, ge=0)
    timeout: int | None = Field(None, ge=1, description="seconds that a pod may take, its image's download included; each attempt anew")


class Cluster(StrictModel):
    """Everything that is the cluster's, not the pipeline's."""

    data: str = Field(description="default of the parameter `data`: a folder of `cxr ingest` on a volume, or gs://, s3://, minio://")
    splits: tuple[str, ...] = Field(features.SPLITS, description="the folders it holds")
    serving_models: Absolute = Field(description="pushed models, on a volume: a folder for each pipeline")
    training_state: Absolute | None = Field(None, description="on a volume: interrupted training resumes from there")
    pipeline_root: str | None = Field(None, pattern="^(gs|s3|minio)://[^/]", description="null: the installation's own")
    environment_credentials: bool = Field(False, description="the pods' environment may read a bucket of `data` that is not the root's")
    volumes: tuple[Volume, ...] = ()
    secrets: tuple[Secret, ...] = ()
    image_pull_secrets: tuple[Annotated[str, Field(pattern=_DNS_NAME)], ...] = ()
    run_as_user: int | None = Field(None, ge=1, description="null: the image's user")
    nodes: dict[str, Node] = Field({}, description="node id, or its first part (Trainer), or `default`")
    beam: Beam = Direct()

    @model_validator(mode="after")
    def _check_paths(self) -> Cluster:
        paths = [*(volume.mount_path for volume in self.volumes), *(secret.mount_path for secret in self.secrets)]
        mounts = [path.rstrip("/") for path in paths if path]
        for mount in mounts:
            if os.path.normpath(mount) != mount or f"{mount}/".startswith(_LAUNCHERS):
                raise ValueError(f"mount_path {mount}: not a plain path outside {', '.join(_LAUNCHERS)}, where KFP's launcher works")
        if twice := sorted({mount for mount in mounts if mounts.count(mount) > 1}):
            raise ValueError(f"mount_path {twice[0]}: stands twice among `volumes` and `secrets`")
        for field, path in {"data": self.data, "pipeline_root": self.pipeline_root}.items():
            if path and (reason := unreadable(path)):
                raise ValueError(f"{field} {path}: {reason}")
        shared = getattr(self.beam, "shared", None)
        for field, path in {"serving_models": self.serving_models, "training_state": self.training_state, "beam.shared": shared}.items():
            if path and path.startswith("/") and (os.path.normpath(path) != path.rstrip("/") or not self.on_volume(path)):
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

    @model_validator(mode="after")
    def _check_secrets(self) -> Cluster:
        for first, second in combinations(self.secrets, 2):
            if first.meets(second) and (both := sorted({*first.env.values()} & {*second.env.values()})):
                raise ValueError(f"secrets {first.name} and {second.name}: both set {both[0]} for the same tasks")
        return self

    def models_of(self, pipeline: str) -> str:
        """Returns the folder that a pipeline pushes to: its own, as in a workspace, so that a demo never mixes with real models."""
        return f"{self.serving_models.rstrip('/')}/{pipeline}"

    def on_volume(self, path: str) -> bool:
        """Tells whether a path lies on one of the mounted volumes."""
        return any(path == v.mount_path or path.startswith(v.mount_path.rstrip("/") + "/") for v in self.volumes)

    def node(self, node_id: str) -> Node:
        """Returns the settings of a node: its own, then those of its first part (`Trainer-mobilenet`: `Trainer`), then `default`."""
        merged: dict[str, Any] = {}
        for key in (DEFAULT, *_keys(node_id)):
            if key in self.nodes:
                merged |= {name: value for name, value in self.nodes[key] if value is not None}
        return Node(**merged)


def _keys(node_id: str) -> tuple[str, str]:
    """Names that mean a node, the more general one first."""
    return node_id.split("-")[0], node_id


def load_cluster(path: Path | None) -> Cluster:
    """Reads a cluster file; None: the shipped one.

    Raises:
      UsageError: Unreadable, or wrong fields; names each with its line.
    """
    source, text = path or package_files.files("cxr.kubeflow") / SHIPPED, ""
    try:
        text = source.read_text(encoding="utf-8")
        return Cluster.model_validate(yaml_text.parse(text, name=str(source)))
    except OSError as error:
        raise UsageError(f"--cluster {source}: {error.strerror or error}") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise UsageError(f"--cluster {source}: not valid YAML: {error}") from None
    except pydantic.ValidationError as error:
        lines = said_lines(error, "cluster", of_settings, yaml_text.Lines(text).of)
        raise UsageError(f"--cluster {source}:\n{lines}") from None
