"""Which version a request means: labels (`stable`, `canary`), numbers, or the latest."""

from collections.abc import Mapping, Set

from tensorflow_serving.apis import model_pb2
from tensorflow_serving.config import model_server_config_pb2

from cxr.serving.server.errors import invalid, not_found, precondition
from cxr.serving.server.states import AVAILABLE, Version


def assign_labels(
    config: model_server_config_pb2.ModelConfig, old: Mapping[str, int], available: Set[int], allow_unavailable: bool
) -> dict[str, int]:
    """Returns the labels of a model after a change of configuration.

    Args:
      config: the new configuration of the model.
      old: labels it has now.
      available: versions that answer requests now.
      allow_unavailable: a label that is not in use yet, or names that version already, may name one that is not available.

    Raises:
      ServingError: FAILED_PRECONDITION, a label names a version that is not available.
    """
    for label, version in config.version_labels.items():
        if version not in available and not (allow_unavailable and old.get(label, version) == version):
            raise precondition(
                f"Request to assign label to version {version} of model {config.name}, which is not currently available for inference"
            )
    return dict(config.version_labels)


def find(spec: model_pb2.ModelSpec, versions: Mapping[int, Version], labels: Mapping[str, int]) -> Version:
    """Returns the version that a ModelSpec means.

    Args:
      spec: of a request.
      versions: of that model, by number, in any state.
      labels: of that model.

    Raises:
      ServingError: no name, unknown label, or nothing available under that name and version.
    """
    if not spec.name:
        raise invalid("ModelSpec has no name specified.")
    available = {number: version for number, version in versions.items() if version.state == AVAILABLE}
    choice = spec.WhichOneof("version_choice")
    if choice is None:
        if not available:
            raise not_found(f"Servable not found for request: Latest({spec.name})")
        return available[max(available)]
    if choice == "version_label" and spec.version_label not in labels:
        raise invalid(f"Unrecognized servable version label: {spec.version_label}")
    number = labels[spec.version_label] if choice == "version_label" else spec.version.value
    if number not in available:
        raise not_found(f"Servable not found for request: Specific({spec.name}, {number})")
    return available[number]
