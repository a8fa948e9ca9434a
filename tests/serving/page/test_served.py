"""What the page is told about models that do not answer, and what it says of a server that is gone."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from typing import Any

import grpc
import pytest

from cxr.serving.client.connection import METHODS
from cxr.serving.client.wire import messages
from cxr.serving.page import served as served_module
from cxr.serving.page.served import READY, STARTING, UNUSABLE, Served, time_of
from cxr.serving.page.server import Page


@pytest.fixture
def with_states() -> Iterator[Callable[..., Served]]:
    """Serves no model, but tells the states of versions: (number, state, error)."""
    with ExitStack() as stack:

        def start(*versions: tuple[int, str, str]) -> Served:
            def missing(request: Any, context: grpc.ServicerContext) -> None:
                context.abort(grpc.StatusCode.NOT_FOUND, "Servable not found for request: Latest(m)")

            def states(request: Any, context: grpc.ServicerContext) -> Any:
                answer = messages.GetModelStatusResponse()
                for number, state, error in versions:
                    told = answer.model_version_status.add(version=number, state=messages.ModelVersionStatus.State.Value(state))
                    told.status.error_message = error
                return answer

            server = grpc.server(ThreadPoolExecutor(4))
            for method, behaviour in (("GetModelMetadata", missing), ("GetModelStatus", states)):
                path, answer = METHODS[method]
                handler = grpc.unary_unary_rpc_method_handler(behaviour, lambda data: data, lambda message: message.SerializeToString())
                service, name = path.lstrip("/").split("/")
                server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(service, {name: handler}),))
            port = server.add_insecure_port("localhost:0")
            server.start()
            stack.callback(lambda: server.stop(None).wait(10))
            served = Served(f"localhost:{port}", lambda: ["m"])
            stack.callback(served.close)
            return served

        yield start


@pytest.mark.parametrize(
    ("versions", "state", "text"),
    [
        ([(3, "LOADING", "")], STARTING, "loading"),
        ([(3, "END", "no variable"), (2, "START", "")], STARTING, "loading"),
        ([(3, "LOADING", "no variable")], UNUSABLE, "Version 3 of this model could not be loaded"),  # it is tried again, to no end
        ([(3, "END", "no variable")], UNUSABLE, "Version 3 of this model could not be loaded"),
        ([(3, "END", "")], UNUSABLE, "does not serve this model"),
    ],
)
def test_models_that_do_not_answer(with_states, versions: list[tuple[int, str, str]], state: str, text: str) -> None:
    (found,) = with_states(*versions).overview()
    assert (found.name, found.state, found.version) == ("m", state, None)
    assert text in found.message


@pytest.mark.seconds
def test_a_model_of_other_reading_rules_is_shown_with_the_reason(small_server: str) -> None:
    served = Served(small_server, lambda: ["future", "real", "nope"])
    found = {state.name: state for state in served.overview()}
    served.close()
    assert (found["real"].state, found["real"].synthetic) == (READY, False)
    assert found["future"].state == found["nope"].state == UNUSABLE
    assert "rules 99" in found["future"].details


def test_named_models_come_with_the_ensemble_first(small_server: str) -> None:
    served = Served(small_server, lambda: ["mobilenet", "ensemble"])
    assert [state.name for state in served.overview()] == ["ensemble", "mobilenet"]
    served.close()


def test_a_server_that_is_gone_is_said_soon_and_may_come_back(open_page: Callable[..., Page], ask, monkeypatch) -> None:
    monkeypatch.setattr(served_module, "CONTACT_TIMEOUT", 0.2)
    gone = type(ask)(open_page("127.0.0.1:9").address)
    begin = time.monotonic()
    answer = gone.get("/api/models")
    assert time.monotonic() - begin < 30
    assert (answer.status, answer.json["kind"], answer.json["again"]) == (503, "server", True)
    assert answer.json["message"] == "No model server answers: it is starting, or down."


def test_versions_that_are_times() -> None:
    assert time_of(1795656110) == "2026-11-26T01:21:50+00:00"
    assert time_of(7) is None
    assert time_of(int(time.time()) + 86400) is None
