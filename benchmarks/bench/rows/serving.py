"""The embedded server at saturation beside its model called in process; benchmarks/serving.py has latencies and other payloads."""

from __future__ import annotations

import time
from contextlib import ExitStack
from pathlib import Path

import numpy as np

from bench.data import Data
from bench.row import Done, Round, Row, Side
from cxr.core import features
from cxr.core.places import SERVING
from cxr.serving.client.bench import Load, Result, measure
from cxr.serving.client.connection import Connection
from cxr.serving.client.models import Target, metadata
from cxr.serving.client.payloads import Payload, payload, pictures
from cxr.serving.server.process import start_server

BATCHES = (1, 4, 8, 16, 32)
IN_FLIGHT = 64  # images asked for at once at saturation: two full batches
PER_REQUEST = 8  # images
SECONDS = 4.0  # of a round
START_SECONDS, TIMEOUT = 300, 120.0
LEAST = 0.9


def saturated(connection: Connection, asked: Payload, batch: int, seconds: float, about: str, rate: float = 0.0) -> Result:
    """Sends with as many requests at once as keep a server busy.

    Args:
      connection: To the server.
      asked: The requests.
      batch: Images in each.
      seconds: How long.
      about: Model, for messages.
      rate: Requests a second; 0: each follows the last.
    """
    load = Load(concurrency=IN_FLIGHT // batch, seconds=seconds, rate=rate, timeout=TIMEOUT)
    return measure(connection, asked, batch, load, about)


class InProcess:
    """A SavedModel's signature image_bytes, called in this process, one call after the other."""

    def __init__(self, path: Path, images: list[bytes]) -> None:
        """Loads it.

        Args:
          path: Of the SavedModel.
          images: Encoded; they are asked about in turn.
        """
        from cxr.serving.server.loader import LoadedModel

        self._images, self._model = images, LoadedModel(path)
        signature = self._model.signatures[features.SIGNATURE_BYTES]
        self._feed = signature.inputs[features.SIGNATURE_BYTES].name
        self._fetch = signature.outputs[features.PROBABILITIES].name
        self.close = self._model.close

    def rate(self, batch: int, seconds: float) -> float:
        """Returns images a second with so many in a call; the first call does not count."""
        values = np.array([self._images[i % len(self._images)] for i in range(batch)], dtype=object)
        self._model.run([self._feed], [values], [self._fetch])
        calls, begin = 0, time.perf_counter()
        while calls == 0 or time.perf_counter() - begin < seconds:
            self._model.run([self._feed], [values], [self._fetch])
            calls += 1
        return calls * batch / (time.perf_counter() - begin)


def served(data: Data, stack: ExitStack) -> Round:
    """A server in a process of its own, gRPC, signature image_bytes."""
    target, images = Target("mobilenet"), pictures(None)
    server = stack.enter_context(start_server({target.model: data.model() / SERVING}, START_SECONDS))
    connection = stack.enter_context(Connection(server.address))
    asked = payload(features.SIGNATURE_BYTES, images, PER_REQUEST, target, metadata(connection, target, timeout=60))

    def work() -> Done:
        found = saturated(connection, asked, PER_REQUEST, SECONDS, target.model)
        return Done(found.images, found.seconds)

    return work


def called(data: Data, stack: ExitStack) -> Round:
    """The best of several sizes of a call."""
    model = InProcess(data.model() / SERVING, pictures(None))
    stack.callback(model.close)
    return lambda: Done(max(model.rate(batch, SECONDS / len(BATCHES)) for batch in BATCHES), 1.0)


ROW = Row(
    "serving",
    "MobileNet, encoded images, as many as it takes",
    "images/s",
    Data.model,
    Side("embedded server, gRPC", served),
    (Side("called in process, best batch", called, LEAST),),
    warm_up=False,
)
