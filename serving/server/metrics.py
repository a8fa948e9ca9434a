"""Prometheus metrics; requests are counted under TensorFlow Serving's names, so that one dashboard serves both."""

import threading
from collections import Counter
from collections.abc import Iterable

import grpc
from prometheus_client import CollectorRegistry, Histogram, generate_latest
from prometheus_client.core import Metric
from prometheus_client.registry import Collector

from cxr.serving.server.manager import Manager
from cxr.serving.server.states import State

REQUEST_COUNT = ":tensorflow:serving:request_count"
REQUEST_LOG_COUNT = ":tensorflow:serving:request_log_count"
REQUEST_LATENCY = ":tensorflow:serving:request_latency"
BATCH_SIZE = "cxr_serving_batch_size"
BATCH_PADDING = "cxr_serving_batch_padding"
VERSION_STATE = "cxr_serving_version_state"
GRPC, REST = "GRPC", "REST"  # values of the label `entrypoint`
_MICROSECONDS = [10 * 1.8**k for k in range(33)]  # TensorFlow Serving's buckets (servables/tensorflow/util.cc), up to 25 minutes
_SIZES = [1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024]
_PADDINGS = [0, *_SIZES]  # most batches have none


class Metrics(Collector):
    """Counters of one server (not of the process: tests run several)."""

    def __init__(self, manager: Manager):
        """Registers the metrics; the states of the manager's versions are read when asked for."""
        self._manager = manager
        self._registry = CollectorRegistry()
        self._lock = threading.Lock()
        self._counts: Counter[tuple[str, str]] = Counter()
        self._logged: Counter[tuple[str, str]] = Counter()
        labels = ["model_name", "API", "entrypoint"]
        text = "Microseconds from request to answer, of requests answered without error"
        self._latency = Histogram(REQUEST_LATENCY, text, labels, buckets=_MICROSECONDS, registry=self._registry)
        self._sizes = Histogram(BATCH_SIZE, "Examples per batch run", ["model_name"], buckets=_SIZES, registry=self._registry)
        padding = "Examples added to reach an allowed size"
        self._padding = Histogram(BATCH_PADDING, padding, ["model_name"], buckets=_PADDINGS, registry=self._registry)
        self._registry.register(self)

    def count(self, entrypoint: str, api: str, model: str, code: str, seconds: float) -> None:
        """Counts one request; TensorFlow Serving measures the latency only of those that it answers without error.

        Args:
          entrypoint: GRPC or REST.
          api: name of the call, as TensorFlow Serving writes it: "Predict" of gRPC, "predict" of REST.
          model: as the client named it; counted as "" when it is not configured, so that strangers' names do not fill the metrics.
          code: name of the status code.
          seconds: from request to answer.
        """
        model = model if model in self._manager.models() else ""
        with self._lock:
            self._counts[model, code] += 1
        if code == grpc.StatusCode.OK.name:
            self._latency.labels(model, api, entrypoint).observe(seconds * 1e6)

    def logged(self, model: str, code: str) -> None:
        """Counts one request that was sampled for the log (request_log.py), by what became of it."""
        with self._lock:
            self._logged[model, code] += 1

    def batch(self, model: str, size: int, padded: int) -> None:
        """Counts one batch run: its examples, and their number with padding."""
        self._sizes.labels(model).observe(size)
        self._padding.labels(model).observe(padded - size)

    def collect(self) -> Iterable[Metric]:
        """Yields what is not kept by a client-library object."""
        # The library would add "_total" to a counter's name; TensorFlow Serving's has none.
        requests = Metric(REQUEST_COUNT, "Requests by model and status code", "unknown")
        logged = Metric(REQUEST_LOG_COUNT, "Requests sampled for the log, by model and status code", "unknown")
        with self._lock:
            counts, kept = dict(self._counts), dict(self._logged)
        for (model, code), count in kept.items():
            logged.add_sample(REQUEST_LOG_COUNT, {"model_name": model, "status_code": code}, count)
        yield logged
        for (model, code), count in counts.items():
            requests.add_sample(REQUEST_COUNT, {"model_name": model, "status": code}, count)
        yield requests
        states = Metric(VERSION_STATE, "1 for the state that a version is in", "gauge")
        for model in self._manager.models():
            for number, version in self._manager.states(model).items():
                labels = {"model_name": model, "version": str(number), "state": State.Name(version.state)}
                states.add_sample(VERSION_STATE, labels, 1)
        yield states

    def text(self) -> bytes:
        """Returns the exposition in Prometheus's text format."""
        return generate_latest(self._registry)
