"""Dynamic batching as TensorFlow Serving does it: one queue per signature, shared threads, padding, splitting.

Two differences, both kinder to the innocent: requests of different shapes go into different batches instead of failing each other,
and when a batch fails its requests run again one by one, so that one broken image answers only its sender with an error.
"""

import threading
import time
from collections import OrderedDict, deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import CancelledError, Future
from concurrent.futures import TimeoutError as FutureTimeout
from dataclasses import dataclass

import grpc
import numpy as np

from cxr.serving.server.errors import ServingError, from_exception, invalid, precondition
from cxr.serving.server.options import Batching
from cxr.serving.server.states import Version


@dataclass(frozen=True)
class Call:
    """What the transport knows about a request.

    Attributes:
      seconds: until the client's deadline; None without one.
      when_gone: takes a function to call when the client goes away (what is still queued is then dropped); returns False when
        it has gone already.
    """

    seconds: float | None = None
    when_gone: Callable[[Callable[[], object]], object] = lambda callback: None


class Task:
    """One request, or a piece of one: its arrays and the future of its outputs."""

    def __init__(
        self, version: Version, feeds: Sequence[str], arrays: Sequence[np.ndarray], fetches: Sequence[str], deadline: float | None
    ):
        """Takes the arguments of `Runner.run`, and the deadline as a time of time.monotonic."""
        self.version, self.feeds, self.arrays, self.fetches = version, tuple(feeds), list(arrays), tuple(fetches)
        self.size = len(arrays[0]) if arrays and arrays[0].ndim else 1
        self.deadline = deadline
        self.outputs: Future[list[np.ndarray]] = Future()

    def remaining(self) -> float | None:
        """Returns the seconds until the deadline; None without one."""
        return None if self.deadline is None else max(0.0, self.deadline - time.monotonic())

    def begin(self) -> bool:
        """Returns whether it should still run: its client waits and its deadline is ahead."""
        if self.deadline is not None and time.monotonic() >= self.deadline:
            self.outputs.cancel()
        return self.outputs.set_running_or_notify_cancel()


class _Queue:
    """Batches of one signature of one version; the last one is open for more."""

    def __init__(self) -> None:
        self.batches: deque[list[Task]] = deque()
        self.since: deque[float] = deque()  # when each batch was opened


class Runner:
    """Runs the tensors of requests, in batches or, with batching off, in the caller's thread."""

    def __init__(self, options: Batching):
        """Starts the batch threads."""
        self._options = options
        self._queues: OrderedDict[tuple, _Queue] = OrderedDict()
        self._changed = threading.Condition()
        self._stopped = False
        self.observer: Callable[[str, int, int], object] = lambda model, size, padded: None  # metrics: examples, and with padding
        count = options.num_batch_threads if options.enabled else 0
        self._threads = [threading.Thread(target=self._work, name=f"batch-{i}", daemon=True) for i in range(count)]
        for thread in self._threads:
            thread.start()

    def run(
        self,
        version: Version,
        signature: str,
        feeds: Sequence[str],
        arrays: Sequence[np.ndarray],
        fetches: Sequence[str],
        call: Call,
    ) -> list[np.ndarray]:
        """Runs the tensors of one request and waits for its outputs.

        Args:
          version: held by the caller until this returns.
          signature: its name; requests of one signature share batches.
          feeds: tensor names.
          arrays: one value per feed; with batching on, the 0th dimension is the batch.
          fetches: tensor names.
          call: deadline and departure of the client.

        Returns:
          One array per fetch.

        Raises:
          ServingError: refused, too late, or an operation failed.
        """
        if not self._options.enabled:
            return _run(version, feeds, arrays, fetches)
        check_batch(arrays)
        shapes = tuple((a.dtype.str, a.shape[1:]) for a in arrays)
        key = (id(version), signature, tuple(feeds), tuple(fetches), shapes)
        deadline = None if call.seconds is None else time.monotonic() + call.seconds
        tasks = [Task(version, feeds, piece, fetches, deadline) for piece in self._split(arrays)]
        if call.when_gone(lambda: [task.outputs.cancel() for task in tasks]) is False:
            raise ServingError(grpc.StatusCode.CANCELLED, "The client has gone away")
        try:
            return _joined([task.outputs.result(task.remaining()) for task in self._submitted(key, tasks)])
        except (FutureTimeout, CancelledError) as error:
            raise ServingError(grpc.StatusCode.DEADLINE_EXCEEDED, "Deadline exceeded while the request was queued or running") from error
        finally:
            for task in tasks:
                task.outputs.cancel()  # pieces that nobody waits for any more

    def _submitted(self, key: tuple, tasks: list[Task]) -> Iterator[Task]:
        """Yields the pieces of a request in order, enqueued only as many ahead as there are threads: they must not fill the queue."""
        ahead = 0
        for index, task in enumerate(tasks):
            while ahead < min(len(tasks), index + self._options.num_batch_threads):
                self._enqueue(key, tasks[ahead])
                ahead += 1
            yield task

    def check_size(self, size: int) -> None:
        """Refuses a request of more examples than may be sent at once, split or not; cheap, to be asked before they are decoded.

        Raises:
          ServingError: INVALID_ARGUMENT.
        """
        options = self._options
        if options.enabled and size > options.max_batch_size:
            raise invalid(f"Task size {size} is larger than maximum input batch size {options.max_batch_size}")

    def _split(self, arrays: Sequence[np.ndarray]) -> list[list[np.ndarray]]:
        size, limit = len(arrays[0]), self._options.largest_batch
        self.check_size(size)
        if size <= limit:
            return [list(arrays)]
        return [[a[at : at + limit] for a in arrays] for at in range(0, size, limit)]

    def _enqueue(self, key: tuple, task: Task) -> None:
        options = self._options
        with self._changed:
            if self._stopped:
                raise ServingError(grpc.StatusCode.UNAVAILABLE, "The server is shutting down")
            queue = self._queues.setdefault(key, _Queue())
            if queue.batches and sum(t.size for t in queue.batches[-1]) + task.size <= options.largest_batch:
                queue.batches[-1].append(task)
            elif len(queue.batches) >= options.max_enqueued_batches:
                raise ServingError(
                    grpc.StatusCode.UNAVAILABLE,
                    "The batch scheduling queue to which this task was submitted is full; "
                    f"currently {len(queue.batches)} batches enqueued and max_enqueued_batches is {options.max_enqueued_batches}",
                )
            else:
                queue.batches.append([task])
                queue.since.append(time.monotonic())
            self._changed.notify()

    def _work(self) -> None:
        while (batch := self._next()) is not None:
            tasks = [task for task in batch if task.begin()]
            if tasks:
                self._run_batch(tasks)

    def _next(self) -> list[Task] | None:
        timeout = self._options.batch_timeout_micros / 1e6
        with self._changed:
            while not self._stopped:
                now, soonest = time.monotonic(), None
                for key, queue in list(self._queues.items()):
                    full = sum(t.size for t in queue.batches[0]) >= self._options.largest_batch or len(queue.batches) > 1
                    remaining = queue.since[0] + timeout - now
                    if full or remaining <= 0:
                        queue.since.popleft()
                        batch = queue.batches.popleft()
                        del self._queues[key]
                        if queue.batches:
                            self._queues[key] = queue  # at the end: the signatures take turns
                        return batch
                    soonest = remaining if soonest is None else min(soonest, remaining)
                self._changed.wait(soonest)
            return None

    def _run_batch(self, tasks: list[Task]) -> None:
        first = tasks[0]
        version = first.version
        version.retain()  # a request that gives up no longer holds it
        try:
            size = sum(task.size for task in tasks)
            padded = next((allowed for allowed in self._options.allowed_batch_sizes if allowed >= size), size)
            self.observer(version.model, size, padded)
            outputs = self._run_padded(tasks, size, padded)
            at = 0
            for task in tasks:
                task.outputs.set_result([output[at : at + task.size] for output in outputs])
                at += task.size
        except BaseException as error:
            if len(tasks) == 1:
                first.outputs.set_exception(from_exception(error))
            else:
                for task in tasks:
                    self._run_batch([task])
        finally:
            version.release()

    def _run_padded(self, tasks: list[Task], size: int, padded: int) -> list[np.ndarray]:
        columns = [[task.arrays[k] for task in tasks] for k in range(len(tasks[0].arrays))]
        if padded > size:  # with a copy of a real row: an empty string is no image
            columns = [[*column, np.repeat(column[0][:1], padded - size, axis=0)] for column in columns]
        values = [column[0] if len(column) == 1 else np.concatenate(column) for column in columns]
        outputs = _run(tasks[0].version, tasks[0].feeds, values, tasks[0].fetches)
        if any(output.ndim == 0 or len(output) != padded for output in outputs):
            raise precondition(
                "Batched output tensor's 0th dimension does not equal the sum of the 0th dimension sizes of the input tensors"
            )
        return outputs

    def stop(self) -> None:
        """Ends the threads; requests still queued are answered UNAVAILABLE."""
        with self._changed:
            self._stopped = True
            left = [task for queue in self._queues.values() for batch in queue.batches for task in batch]
            self._queues.clear()
            self._changed.notify_all()
        for task in left:
            if task.outputs.set_running_or_notify_cancel():
                task.outputs.set_exception(ServingError(grpc.StatusCode.UNAVAILABLE, "The server is shutting down"))
        for thread in self._threads:
            thread.join()


def check_batch(arrays: Sequence[np.ndarray]) -> None:
    """Refuses inputs that cannot be part of a batch.

    Raises:
      ServingError: INVALID_ARGUMENT. An empty batch hangs until the client's deadline in TensorFlow Serving; here it is refused.
    """
    if any(array.ndim == 0 for array in arrays):
        raise invalid("Batching Run() input tensors must have at least one dimension")
    if len({len(array) for array in arrays}) > 1:
        raise invalid("Batching Run() input tensors must have equal 0th-dimension size")
    if not arrays or len(arrays[0]) == 0:
        raise invalid("Batching Run() input tensors must have at least one example; the batch is empty")


def _joined(pieces: list[list[np.ndarray]]) -> list[np.ndarray]:
    return pieces[0] if len(pieces) == 1 else [np.concatenate(parts) for parts in zip(*pieces, strict=True)]


def _run(version: Version, feeds: Sequence[str], arrays: Sequence[np.ndarray], fetches: Sequence[str]) -> list[np.ndarray]:
    loaded = version.loaded
    if loaded is None:
        raise ServingError(grpc.StatusCode.UNAVAILABLE, f"Version {version.number} of {version.model} was unloaded")
    try:
        return loaded.run(feeds, arrays, fetches)
    except Exception as error:
        raise from_exception(error) from error
