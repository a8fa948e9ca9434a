"""Which models a server offers: its ModelServerConfig checked as TensorFlow Serving does, and the versions that it wants now."""

from pathlib import Path

from tensorflow_serving.config import model_server_config_pb2
from tensorflow_serving.config.model_server_config_pb2 import ModelConfig, ModelServerConfig

from cxr.core.model_versions import version_of
from cxr.serving.models_config import PLATFORM
from cxr.serving.server.errors import invalid, precondition


def validate(config: ModelServerConfig, current: dict[str, ModelConfig]) -> list[ModelConfig]:
    """Returns the models of a configuration, checked as TensorFlow Serving checks them.

    Args:
      config: the new configuration.
      current: models served now, by name.

    Raises:
      ServingError: INVALID_ARGUMENT or FAILED_PRECONDITION with TensorFlow Serving's text.
    """
    if config.WhichOneof("config") != "model_config_list":
        raise invalid("ServerModelConfig type not supported by HandleReloadConfigRequest. Only ModelConfigList is currently supported")
    models = list(config.model_config_list.config)
    seen: set[str] = set()
    for model in models:
        if model.name in seen:
            raise invalid(f"Illegal to list model {model.name} multiple times in config list")
        seen.add(model.name)
    for model in models:
        if not model.model_platform and model.model_type != model_server_config_pb2.TENSORFLOW:
            raise invalid("Illegal setting neither model_type(deprecated) nor model_platform.")
        platform = model.model_platform or PLATFORM
        if model.name in current and platform != (current[model.name].model_platform or PLATFORM):
            old = current[model.name].model_platform or PLATFORM
            raise invalid(
                f"Illegal to change a model's platform. For model {model.name} platform was {old} and new platform requested is {platform}"
            )
        if platform != PLATFORM:
            raise invalid(f"Model {model.name}: no source adapter for platform {platform}; only {PLATFORM} is served")
        if not model.base_path.startswith("/") or "\0" in model.base_path:  # no path can hold the latter, and looking for it is an error
            raise invalid(f"Expected model {model.name} to have an absolute path or URI; got base_path()={model.base_path}")
        if model.HasField("logging_config"):
            raise precondition(f"Model {model.name}: logging_config is not supported; remove it (cxr serve --log-requests keeps requests)")
    return models


def lack(model: ModelConfig, folders: dict[int, Path] | None) -> str:
    """Returns what keeps a model from having the versions that it is to have, for the log; empty where nothing does.

    Args:
      model: its configuration.
      folders: what `aspired_versions` found.
    """
    if folders is None:
        return f"its base_path {model.base_path} cannot be listed"
    wanted = model.model_version_policy.specific.versions
    if missing := sorted(set(wanted) - set(folders)):
        return f"its base_path {model.base_path} has no version {', '.join(map(str, missing))}, which its policy names"
    return "" if folders else f"its base_path {model.base_path} has no version (a folder with a number for its name)"


def aspired_versions(model: ModelConfig) -> dict[int, Path] | None:
    """Looks which versions the policy of a model wants now.

    Returns:
      Folder by version; empty when there is no version. `specific` versions that have no folder are left out. None when the
      base path cannot be listed (a volume that went away): what is loaded then stays.
    """
    try:
        found = {version: child for child in Path(model.base_path).iterdir() if (version := version_of(child)) is not None}
    except OSError:
        return None
    policy = model.model_version_policy
    choice = policy.WhichOneof("policy_choice")
    if choice == "all":
        return found
    if choice == "specific":
        return {version: found[version] for version in policy.specific.versions if version in found}
    newest = sorted(found, reverse=True)[: policy.latest.num_versions or 1]
    return {version: found[version] for version in newest}
