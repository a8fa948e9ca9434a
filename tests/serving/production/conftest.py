"""A models.config and servers that read it."""

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import grpc
import pytest

from cxr.serving import models_config
from cxr.serving.client.connection import METHODS, Connection
from cxr.serving.client.wire import messages
from cxr.serving.production import config_file, model_states
from cxr.serving.production.model_states import SPECIFIC, ModelState
from cxr.serving.server.options import ServerOptions
from cxr.serving.server.process import run_server


@pytest.fixture
def configured(small_models: Path, tmp_path: Path) -> Path:
    """A models.config of the small models: ensemble pinned to 1 (stable), 2 lies there; mobilenet the latest."""
    config = models_config.ModelServerConfig()
    ensemble = config.model_config_list.config.add(name="ensemble", base_path=str(small_models / "ensemble"), model_platform="tensorflow")
    model_states.write(ensemble, ModelState(SPECIFIC, versions=(1,), labels={"stable": 1, "canary": 1}))
    config.model_config_list.config.add(name="mobilenet", base_path=str(small_models / "mobilenet"), model_platform="tensorflow")
    path = tmp_path / "models.config"
    config_file.replace(path, config_file.render(config))
    return path


@pytest.fixture
def running(tmp_path: Path) -> Iterator[Callable[..., Connection]]:
    """Starts a server of a models.config and connects to it: in this process, or in one of its own, as the deployments do."""
    from cxr.serving.server import Server

    with ExitStack() as stack:

        def start(path: Path, *, apart: bool = False, **options) -> Connection:
            options = {"port": 0, "rest_port": None, "load_retries": 0, "start_seconds": 120, **options}
            options |= {"model_config_file": path, "allow_version_labels_for_unavailable_models": True}
            if apart:
                address = stack.enter_context(run_server(ServerOptions(**options), 120, tmp_path / "server.log")).address
            else:
                address = stack.enter_context(Server.start(None, **options)).address
            return stack.enter_context(Connection(address))

        yield start


NEWEST = 7  # in every model's folder


class LabelsFirst:
    """A server without models that takes a configuration in TensorFlow Serving's order (server_core.cc, ReloadConfig).

    Labels are compared with what is available before the configuration; versions change after that. Every version loads at once.

    Attributes:
      refused: texts of the refusals.
      stuck: set to keep reloads from returning, as a model that never appears does.
      loading: versions that are not available yet.
      patience: seconds that clients gave for the questions so far.
    """

    def __init__(self, config: models_config.ModelServerConfig):
        self.refused: list[str] = []
        self.stuck = threading.Event()
        self.loading: set[int] = set()
        self.patience: list[float] = []
        self._states = {entry.name: model_states.read(entry) for entry in config.model_config_list.config}

    def apply(self, config: models_config.ModelServerConfig) -> bool:
        """Takes a configuration. Returns whether it did."""
        wanted = {entry.name: model_states.read(entry) for entry in config.model_config_list.config}
        for name, state in wanted.items():
            for label, version in state.labels.items():
                if name not in self._states or version not in self._states[name].versions:
                    self.refused.append(f"label {label} to version {version} of {name}, which is not currently available")
                    return False
        self._states = wanted
        return True

    def state(self, model: str) -> ModelState:
        """Returns what is served."""
        return self._states[model]

    def models(self) -> set[str]:
        """Returns the names of what is served."""
        return set(self._states)

    def answer(self, method: str, request, context: grpc.ServicerContext):
        """Answers one call of `METHODS`."""
        self.patience.append(context.time_remaining())
        if method == "HandleReloadConfigRequest":
            if self.stuck.is_set():
                context.abort(grpc.StatusCode.DEADLINE_EXCEEDED, "busy")
            if not self.apply(models_config.ModelServerConfig.FromString(request.config)):
                context.abort(grpc.StatusCode.FAILED_PRECONDITION, self.refused[-1])
            return messages.ReloadConfigResponse()
        if request.model_spec.name not in self._states:
            context.abort(grpc.StatusCode.NOT_FOUND, f"Could not find any versions of model {request.model_spec.name}")
        state = self._states[request.model_spec.name]
        if method == "GetModelStatus":
            served = state.versions if state.policy == SPECIFIC else (NEWEST,)
            named = [(version, "LOADING" if version in self.loading else "AVAILABLE") for version in served]
            versions = [messages.ModelVersionStatus(version=version, state=kind) for version, kind in named]
            return messages.GetModelStatusResponse(model_version_status=versions)
        label = request.model_spec.version_label
        if label not in state.labels or state.labels[label] in self.loading:
            context.abort(grpc.StatusCode.INVALID_ARGUMENT, f"Unrecognized servable version label: {label}")
        answer = messages.GetModelMetadataResponse()
        answer.model_spec.version.value = state.labels[label]
        return answer


REQUESTS: dict[str, Any] = {  # message classes
    "GetModelMetadata": messages.GetModelMetadataRequest,
    "GetModelStatus": messages.GetModelStatusRequest,
    "HandleReloadConfigRequest": messages.ReloadConfigRequest,
}


@pytest.fixture
def labels_first() -> Iterator[Callable[[Path], tuple[LabelsFirst, Connection]]]:
    """Starts a LabelsFirst of a models.config and connects to it."""
    with ExitStack() as stack:

        def start(path: Path) -> tuple[LabelsFirst, Connection]:
            made, server = LabelsFirst(models_config.read(path)), grpc.server(ThreadPoolExecutor(4))
            for method, request in REQUESTS.items():
                _, service, name = METHODS[method][0].split("/")

                def answer(message, context, method=method):
                    return made.answer(method, message, context)

                handler = grpc.unary_unary_rpc_method_handler(answer, request.FromString, METHODS[method][1].SerializeToString)
                server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(service, {name: handler}),))
            port = server.add_insecure_port("127.0.0.1:0")
            server.start()
            stack.callback(lambda: server.stop(None).wait(10))
            return made, stack.enter_context(Connection(f"127.0.0.1:{port}"))

        yield start
