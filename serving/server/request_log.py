"""Keeps a sample of the answered requests on disk, without ever holding up or failing an answer."""

from __future__ import annotations

import contextlib
import logging
import os
import random
import threading
import time
from collections import deque
from collections.abc import Callable

import grpc
import tensorflow as tf
from tensorflow_serving.apis import predict_pb2

from cxr.core.errors import CxrError
from cxr.data.images.errors import ImageError
from cxr.serving.server.log_files import LogFiles
from cxr.serving.server.log_record import prediction_log
from cxr.serving.server.options import RequestLog as Options

log = logging.getLogger(__name__)
PAUSE = 30.0  # seconds without an attempt to write, after one that failed
CLOSE_SECONDS = 5.0  # how long a server that ends waits for what is queued
_NICENESS = 10  # decoding and encoding gives way to the answers
_WAKE_SECONDS = 1.0  # how often an idle log looks whether its file is old

OK, FULL, BAD, UNWRITTEN = (
    grpc.StatusCode[name].name for name in ("OK", "RESOURCE_EXHAUSTED", "INVALID_ARGUMENT", "UNAVAILABLE")
)  # what becomes of a sampled request: kept; the queue was full; no picture; the disk


class RequestLog:
    """A bounded queue, and a thread that empties it into files (log_files.py)."""

    def __init__(self, options: Options, count: Callable[[str, str], object]) -> None:
        """Begins.

        Args:
          options: Folder and bounds.
          count: Told the model's name and one of the codes above, once for every sampled request.

        Raises:
          CxrError: The folder cannot be used.
        """
        self._options, self._count = options, count
        self._files = LogFiles(options.folder, options.file_bytes, options.total_bytes, options.file_seconds)
        self._queue: deque[tuple[predict_pb2.PredictRequest, predict_pb2.PredictResponse, int]] = deque()
        self._queued, self._stopped = 0, False
        self._changed = threading.Condition()
        self._blocked_until, self._warned = 0.0, False
        self._thread = threading.Thread(target=self._work, name="request-log", daemon=True)
        self._thread.start()

    def offer(self, request: predict_pb2.PredictRequest, response: predict_pb2.PredictResponse) -> None:
        """Keeps an answered request, if it is sampled and there is room; returns at once and raises nothing.

        Args:
          request: As received; neither is changed afterwards.
          response: Its answer.
        """
        if random.random() >= self._options.sampling:
            return
        size = request.ByteSize() + response.ByteSize()
        with self._changed:
            full = self._stopped or self._queued + size > self._options.queue_bytes
            if not full:
                self._queue.append((request, response, size))
                self._queued += size
                self._changed.notify()
        if full:
            self._count(response.model_spec.name, FULL)

    def stop(self) -> None:
        """Writes what is queued, for CLOSE_SECONDS at most, and ends the file."""
        with self._changed:
            self._stopped = True
            self._changed.notify()
        self._thread.join(CLOSE_SECONDS)

    def _work(self) -> None:
        with contextlib.suppress(OSError):  # a sandbox may forbid it
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), _NICENESS)  # on Linux of this thread alone
        end = float("inf")
        while True:
            with self._changed:
                if not self._queue and not self._stopped:
                    self._changed.wait(_WAKE_SECONDS)
                item = self._queue.popleft() if self._queue else None
                if self._stopped:
                    end = min(end, time.monotonic() + CLOSE_SECONDS / 2)
            if item is not None:
                self._count(item[1].model_spec.name, self._keep(*item[:2]))
                with self._changed:
                    self._queued -= item[2]
            if self._stopped and (item is None or time.monotonic() > end):
                self._written(self._files.end_file)
                return
            self._written(self._files.end_old_file)

    def _keep(self, request: predict_pb2.PredictRequest, response: predict_pb2.PredictResponse) -> str:
        """Returns what became of a request."""
        if time.monotonic() < self._blocked_until:
            return UNWRITTEN
        try:
            record = prediction_log(request, response, self._options.sampling)
        except ImageError:
            return BAD
        except Exception as error:  # no picture, however strange, ends the log; its text may quote the request
            log.debug("a request could not be logged: %s", type(error).__name__)
            return BAD
        if not self._written(lambda: self._files.write(record)):
            return UNWRITTEN
        if self._warned:
            log.warning("requests are logged again")
            self._warned = False  # the next time is one that nobody has heard of
        return OK

    def _written(self, write: Callable[[], None]) -> bool:
        try:
            write()
        except (OSError, tf.errors.OpError, CxrError) as error:
            self._blocked_until = time.monotonic() + PAUSE
            if not self._warned:
                reason = getattr(error, "message", None) or error
                log.warning("requests cannot be logged for now, answers are not affected: %s; tried again every %g s", reason, PAUSE)
            self._warned = True
            return False
        return True
