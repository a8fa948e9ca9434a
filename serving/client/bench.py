"""Throughput and latency of a model server: TensorFlow Serving or any that speaks its protocol."""

from __future__ import annotations

import threading
import time
from collections import Counter
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from cxr.serving.client.connection import Connection
from cxr.serving.client.errors import RequestFailed
from cxr.serving.client.payloads import Payload

MOST_REQUESTS = 1_000_000
PERCENTILES = (50, 90, 99)


@dataclass(frozen=True)
class Load:
    """How hard, and for how long.

    Attributes:
      concurrency: requests at a time.
      seconds: length of the measurement; requests under way then are waited for, and counted.
      most_requests: ends it earlier.
      rate: requests per second to offer; 0: each follows the last (saturation). With a rate a request's latency counts from the
        moment it was due, so that a server that stalls cannot hide the queue behind it.
      warm_up: seconds before the measurement.
      timeout: of one request.
    """

    concurrency: int = 8
    seconds: float = 10.0
    most_requests: int = MOST_REQUESTS
    rate: float = 0.0
    warm_up: float = 1.0
    timeout: float = 30.0


@dataclass(frozen=True)
class Result:
    """What one measurement found; latencies in seconds, of answered requests.

    Attributes:
      errors: number of failed requests by status code; each was sent once, so that an overloaded server shows here.
    """

    signature: str
    batch_size: int
    concurrency: int
    rate: float
    seconds: float
    requests: int
    images: int
    images_per_second: float
    bytes_per_image: float
    mean: float
    p50: float
    p90: float
    p99: float
    longest: float
    errors: dict[str, int]

    def to_json(self) -> dict[str, Any]:
        """Returns the fields, ready for `json.dumps`."""
        return asdict(self)


def measure(connection: Connection, payload: Payload, batch_size: int, load: Load, about: str = "the model") -> Result:
    """Sends requests from `load.concurrency` threads over one channel.

    Args:
      connection: to the server.
      payload: the requests, sent in turn.
      batch_size: images in each.
      load: how many, how long.
      about: model, for messages.

    Raises:
      RequestFailed: the very first request failed: nothing to measure.
    """
    connection.call("Predict", payload.requests[0], load.timeout, about)
    if load.warm_up > 0:
        _Run(connection, payload, load, about).drive(load.warm_up, rate=0.0)
    run = _Run(connection, payload, load, about)
    elapsed = run.drive(load.seconds, load.rate)
    latencies = np.array(run.latencies or [float("nan")])
    p50, p90, p99 = (float(value) for value in np.percentile(latencies, PERCENTILES))
    images = len(run.latencies) * batch_size
    return Result(
        signature=payload.signature,
        batch_size=batch_size,
        concurrency=load.concurrency,
        rate=load.rate,
        seconds=elapsed,
        requests=len(run.latencies) + sum(run.errors.values()),
        images=images,
        images_per_second=images / elapsed,
        bytes_per_image=payload.bytes_per_image,
        mean=float(latencies.mean()),
        p50=p50,
        p90=p90,
        p99=p99,
        longest=float(latencies.max()),
        errors=dict(run.errors),
    )


class _Run:
    """One stretch of load; the threads take numbers, and each number is one request."""

    def __init__(self, connection: Connection, payload: Payload, load: Load, about: str):
        self._connection, self._payload, self._load, self._about = connection, payload, load, about
        self._lock = threading.Lock()
        self._sent = 0
        self.latencies: list[float] = []
        self.errors: Counter[str] = Counter()

    def drive(self, seconds: float, rate: float) -> float:
        """Runs the threads. Returns the seconds until the last answer."""
        began = time.perf_counter()
        threads = [
            threading.Thread(target=self._send, args=(began, began + seconds, rate), name=f"bench-{i}", daemon=True)
            for i in range(self._load.concurrency)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        return time.perf_counter() - began

    def _send(self, began: float, until: float, rate: float) -> None:
        requests = self._payload.requests
        while (number := self._take()) is not None:
            due = began + number / rate if rate else time.perf_counter()
            if due >= until:
                return
            if (pause := due - time.perf_counter()) > 0:
                time.sleep(pause)
            try:
                self._connection.call("Predict", requests[number % len(requests)], self._load.timeout, self._about, retry=False)
            except RequestFailed as error:
                with self._lock:
                    self.errors[error.code.name] += 1
            else:
                with self._lock:
                    self.latencies.append(time.perf_counter() - due)

    def _take(self) -> int | None:
        with self._lock:
            if self._sent >= self._load.most_requests:
                return None
            self._sent += 1
            return self._sent - 1
