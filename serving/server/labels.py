"""Version labels (`stable`, `canary`): assigning them and looking them up."""

from collections.abc import Mapping, Set

from tensorflow_serving.config import model_server_config_pb2

from cxr.serving.server.errors import invalid, precondition


def assign(
    config: model_server_config_pb2.ModelConfig, old: Mapping[str, int], available: Set[int], allow_unavailable: bool
) -> dict[str, int]:
    """Returns the labels of a model after a change of configuration.

    Args:
        config: the new configuration of the model.
        old: labels it has now.
        available: versions that answer requests now.
        allow_unavailable: a label that is not in use yet may name a version that is not available.

    Raises:
        ServingError: FAILED_PRECONDITION, a label names a version that is not available.
    """
    for label, version in config.version_labels.items():
        if version not in available and not (allow_unavailable and label not in old):
            raise precondition(
                f"Request to assign label to version {version} of model {config.name}, which is not currently available for inference"
            )
    return dict(config.version_labels)


def resolve(labels: Mapping[str, int], label: str) -> int:
    """Returns the version a label stands for.

    Raises:
        ServingError: INVALID_ARGUMENT, unknown label.
    """
    if label not in labels:
        raise invalid(f"Unrecognized servable version label: {label}")
    return labels[label]
