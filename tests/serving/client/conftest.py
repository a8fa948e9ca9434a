"""A gRPC server whose answers a test chooses: faults that a healthy server does not show on demand."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from typing import Any

import grpc
import pytest

from cxr.serving.client.wire import messages

Behaviour = Callable[[Any, grpc.ServicerContext], Any]


@contextmanager
def serve(predict: Behaviour, credentials: grpc.ServerCredentials | None = None, address: str = "localhost:0") -> Iterator[str]:
    """Yields the address of a server that answers Predict with a function of the request and its context."""
    server = grpc.server(ThreadPoolExecutor(8))
    handler = grpc.unary_unary_rpc_method_handler(predict, messages.PredictRequest.FromString, messages.PredictResponse.SerializeToString)
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("tensorflow.serving.PredictionService", {"Predict": handler}),))
    port = server.add_secure_port(address, credentials) if credentials else server.add_insecure_port(address)
    server.start()
    try:
        yield f"localhost:{port}"
    finally:
        server.stop(None).wait(10)


@pytest.fixture
def faulty() -> Iterator[Callable[..., str]]:
    with ExitStack() as stack:
        yield lambda *args, **options: stack.enter_context(serve(*args, **options))
