"""What a server says about its models: signatures and the state of versions."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from google.protobuf.message import DecodeError
from google.protobuf.wrappers_pb2 import Int64Value

from cxr.core import features
from cxr.core.errors import UsageError
from cxr.data.images.reader import MAX_SIDE, check_rules
from cxr.serving.client.connection import Connection
from cxr.serving.client.errors import BadAnswer, ModelNotFound, RequestFailed
from cxr.serving.client.tensors import dtype_name, from_bytes, to_arrays
from cxr.serving.client.wire import messages

START = "START"
LOADING = "LOADING"
AVAILABLE = "AVAILABLE"
END = "END"


@dataclass(frozen=True)
class Target:
    """A model and, where wanted, which version of it (by number or by label, not both); otherwise the latest."""

    model: str
    version: int | None = None
    label: str | None = None

    def __post_init__(self) -> None:
        if self.version is not None and self.label is not None:
            raise UsageError(f"{self.model}: name a version or a label, not both (--version {self.version}, --label {self.label})")

    def __str__(self) -> str:
        if self.version is not None:
            return f"{self.model} version {self.version}"
        return f"{self.model} label {self.label}" if self.label is not None else self.model

    def spec(self, signature: str = "") -> messages.ModelSpec:
        """Returns the ModelSpec of a request."""
        spec = messages.ModelSpec(name=self.model, signature_name=signature)
        if self.version is not None:
            spec.version.CopyFrom(Int64Value(value=self.version))
        elif self.label is not None:
            spec.version_label = self.label
        return spec


@dataclass(frozen=True)
class TensorSpec:
    """dtype: "float", "string" …; shape: None where the size is free (or, as a whole, where the rank is unknown)."""

    dtype: str
    shape: tuple[int | None, ...] | None


@dataclass(frozen=True)
class Signature:
    """What one entry point takes and gives."""

    inputs: dict[str, TensorSpec]
    outputs: dict[str, TensorSpec]


@dataclass(frozen=True)
class Metadata:
    """Answer of GetModelMetadata: the version that the target meant, and its signatures."""

    model: str
    version: int
    signatures: dict[str, Signature]


@dataclass(frozen=True)
class Reading:
    """What the signature `image_reading` of a version says. The defaults are for a model that does not say it (of another project).

    Attributes:
      version: the one that the target meant.
      max_side: pixels that longer images were scaled down to before the model was trained on them; None: none was. The default is
        what `cxr ingest` does unless told otherwise.
      synthetic: whether the model learnt from made-up images; None: unknown (it was pushed by an older release).
      conformal_coverage: share of images whose class its conformal sets were made to hold; None: it makes none, or does not say.
      explains: whether it has the signature that tells which regions speak for a class (explained.py).
    """

    version: int
    max_side: int | None = MAX_SIDE
    synthetic: bool | None = None
    conformal_coverage: float | None = None
    explains: bool = False


@dataclass(frozen=True)
class VersionStatus:
    """State of one version: START, LOADING, AVAILABLE, UNLOADING or END, and why it ended."""

    version: int
    state: str
    error: str = ""


def metadata(connection: Connection, target: Target, timeout: float) -> Metadata:
    """Asks for the signatures of a model.

    Raises:
      RequestFailed: ModelNotFound, ServerUnavailable, …
    """
    request = messages.GetModelMetadataRequest(model_spec=target.spec(), metadata_field=["signature_def"])
    answer = connection.call("GetModelMetadata", request, timeout, str(target))
    try:
        found = messages.SignatureDefMap.FromString(answer.metadata["signature_def"].value)
    except DecodeError as error:
        raise BadAnswer(f"{connection.server}: the metadata of {target} cannot be read: {error}") from None
    signatures = {
        name: Signature(
            {key: _tensor_spec(info) for key, info in sorted(signature.inputs.items())},
            {key: _tensor_spec(info) for key, info in sorted(signature.outputs.items())},
        )
        for name, signature in sorted(found.signature_def.items())
        if not name.startswith("__")  # __saved_model_init_op is no entry point
    }
    return Metadata(answer.model_spec.name, answer.model_spec.version.value, signatures)


def reading(connection: Connection, target: Target, timeout: float) -> Reading:
    """Asks how an image must be read for a model, and what the model learnt from.

    Raises:
      RequestFailed: ModelNotFound, ServerUnavailable, …
      CxrError: this release reads images otherwise than the one that trained the model.
    """
    found = metadata(connection, target, timeout)
    explains = features.SIGNATURE_GRADCAM in found.signatures
    if features.SIGNATURE_READING not in found.signatures:
        return Reading(found.version, explains=explains)
    request = messages.PredictRequest(model_spec=target.spec(features.SIGNATURE_READING))
    request.inputs[features.SIGNATURE_READING].CopyFrom(from_bytes([b""]))
    answer = connection.call("Predict", request, timeout, str(target))
    told = {name: array.ravel()[0] for name, array in to_arrays(answer.outputs).items() if array.size and array.dtype != object}
    if features.MAX_SIDE not in told:
        raise BadAnswer(f"{target}: no number as output {features.MAX_SIDE!r} in the answer; push a model of this pipeline")
    check_rules(int(told.get(features.READING_RULES, 1)), str(target))
    synthetic, coverage = told.get(features.LEARNT_FROM_SYNTHETIC), told.get(features.CONFORMAL_COVERAGE)
    return Reading(
        answer.model_spec.version.value,
        max_side=int(told[features.MAX_SIDE]) or None,
        synthetic=None if synthetic is None else bool(synthetic),
        conformal_coverage=None if coverage is None else float(coverage),
        explains=explains,
    )


def versions(connection: Connection, model: str, timeout: float) -> list[VersionStatus]:
    """Asks for the states of all versions that the server knows, newest first.

    Raises:
      RequestFailed: ModelNotFound, ServerUnavailable, …
    """
    request = messages.GetModelStatusRequest(model_spec=Target(model).spec())
    answer = connection.call("GetModelStatus", request, timeout, model)
    return [
        VersionStatus(status.version, messages.ModelVersionStatus.State.Name(status.state), status.status.error_message)
        for status in answer.model_version_status
    ]


def labelled(connection: Connection, model: str, candidates: Iterable[str], timeout: float) -> dict[str, int]:
    """Returns the versions that labels of a model point to, found by asking for each: no call lists them.

    Args:
      connection: to the server.
      model: its name.
      candidates: labels to ask for; those that the server does not know are left out.
      timeout: seconds for each.

    Raises:
      RequestFailed: ServerUnavailable, …
    """
    found = {}
    for label in candidates:
        try:
            found[label] = metadata(connection, Target(model, label=label), timeout).version
        except ModelNotFound:
            continue
    return found


def reload_config(connection: Connection, config: bytes, timeout: float) -> None:
    """Gives the server a new configuration of all its models.

    Args:
      connection: to the server.
      config: a serialized ModelServerConfig.
      timeout: seconds.

    Raises:
      RequestFailed: the server refused it; its configuration is as before.
    """
    answer = connection.call("HandleReloadConfigRequest", messages.ReloadConfigRequest(config=config), timeout, "the new configuration")
    if answer.status.error_code:
        raise RequestFailed(
            f"{connection.server}: refused the configuration: {answer.status.error_message}", details=answer.status.error_message
        )


def _tensor_spec(info: messages.TensorInfo) -> TensorSpec:
    shape = None if info.tensor_shape.unknown_rank else tuple(None if dim.size < 0 else dim.size for dim in info.tensor_shape.dim)
    return TensorSpec(dtype_name(info.dtype), shape)
