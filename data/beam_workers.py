"""Processes that do Beam's work: a pool that starts them on demand, and a runner that shares its jobs among them.

Beam's own pool (`worker_pool_main`) starts each worker as a fresh `python`, which imports TensorFlow anew for every job, and knows workers
by an id that each task manager and each job counts from one: a second one's worker takes the place of the first one's, and is killed when
that one's job has ended. Here workers are forked from a process that has imported what they need, and end with the connection of whoever
asked for them.
"""

from __future__ import annotations

import argparse
import contextlib
import multiprocessing
import os
import signal
import threading
from collections.abc import Iterator, Sequence
from concurrent import futures
from multiprocessing.connection import Connection
from multiprocessing.context import ForkServerProcess
from typing import Any

import grpc
from apache_beam import pipeline as beam_pipeline
from apache_beam.options import pipeline_options
from apache_beam.portability.api import beam_fn_api_pb2, beam_fn_api_pb2_grpc
from apache_beam.runners.portability.fn_api_runner.fn_runner import FnApiRunner
from apache_beam.transforms.environments import ExternalEnvironment

from cxr.core import gpus, main_module
from cxr.core.errors import CxrError
from cxr.core.signals import reach_main_thread
from cxr.core.termination import end_with_parent
from cxr.data.beam_errors import told_once

_PRELOADED = ("apache_beam.runners.worker.sdk_worker",)
_OUTPUT = (1, 2)  # file descriptors
_PATIENCE = 10  # seconds that a worker gets to end by itself


class WorkerPool(beam_fn_api_pb2_grpc.BeamFnExternalWorkerPoolServicer):
    """Starts a process for whoever asks over gRPC, as Beam's environment EXTERNAL does."""

    def __init__(self, preload: Sequence[str] | None = ()) -> None:
        """Makes a pool.

        Args:
          preload: Modules that the process imports which workers are forked from; None: this process has such a one already.
        """
        if preload is not None:
            multiprocessing.set_forkserver_preload([*_PRELOADED, *preload])
        self._context = multiprocessing.get_context("forkserver")
        self._workers: list[ForkServerProcess] = []
        self._lock = threading.Lock()

    def StartWorker(self, request: Any, context: object) -> Any:
        """Starts a worker for the runner at `request.control_endpoint`."""
        output = [Connection(os.dup(descriptor), readable=False) for descriptor in _OUTPUT]
        worker = self._context.Process(
            target=_work,
            args=(output, request.control_endpoint.url, request.worker_id, dict(request.params)),
            name=f"beam-{request.worker_id}",
            daemon=False,
        )
        with self._lock, main_module.left_out():
            self._workers = [one for one in self._workers if one.is_alive()]
            worker.start()
            self._workers.append(worker)
        for sent in output:
            sent.close()
        return beam_fn_api_pb2.StartWorkerResponse()

    def StopWorker(self, request: object, context: object) -> Any:
        """Does nothing: the id may be that of several workers, and each ends with its runner's connection."""
        return beam_fn_api_pb2.StopWorkerResponse()

    def stop(self) -> None:
        """Ends all workers."""
        with self._lock:
            for worker in self._workers:
                worker.join(_PATIENCE)
                worker.kill()
                worker.join()


@contextlib.contextmanager
def serving(pool: WorkerPool, address: str = "localhost:0") -> Iterator[str]:
    """Has a pool listen, and ends its workers afterwards; yields the address with its port.

    Raises:
      CxrError: The port is taken.
    """
    server = grpc.server(futures.ThreadPoolExecutor(), options=[("grpc.so_reuseport", 0)])  # else two pools would share a port
    beam_fn_api_pb2_grpc.add_BeamFnExternalWorkerPoolServicer_to_server(pool, server)
    try:
        port = server.add_insecure_port(address)
    except RuntimeError:
        raise CxrError(f"{address}: cannot be listened at; another pool may be there, choose another port") from None
    server.start()
    try:
        yield f"{address.rpartition(':')[0]}:{port}"
    finally:
        server.stop(None)
        pool.stop()


class ProcessRunner(FnApiRunner):
    """Beam's local runner, its work done by `--direct_num_workers` processes that last as long as the job.

    They are those of the pool at `--environment_config`, or of one of its own.
    """

    def run_pipeline(self, pipeline: beam_pipeline.Pipeline, options: pipeline_options.PipelineOptions) -> Any:
        """Runs the job to its end."""
        options.view_as(pipeline_options.DirectOptions).direct_running_mode = None  # any mode would put its own workers in place of ours
        given = options.view_as(pipeline_options.PortableOptions).environment_config
        with contextlib.nullcontext(given) if given else serving(WorkerPool()) as address:
            self._default_environment = ExternalEnvironment(address, gpus.settings())
            return super().run_pipeline(pipeline, options)


def _work(output: list[Connection], control: str, worker_id: str, given: dict[str, str]) -> None:
    """What a worker process does. The fork server has another output than the pool, and other GPUs than whoever asked."""
    gpus.take_over(given)
    from apache_beam.runners.worker.sdk_worker import SdkHarness

    for sent, descriptor in zip(output, _OUTPUT, strict=True):
        os.dup2(sent.fileno(), descriptor)
        sent.close()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # a terminal interrupts the runner too, which then ends the connection
    end_with_parent()  # the pool
    with told_once(), contextlib.suppress(grpc.RpcError):  # the runner is gone
        SdkHarness(control, worker_id=worker_id, state_cache_size=0, data_buffer_time_limit_ms=-1).run()


def main(arguments: Sequence[str] | None = None) -> None:
    """Serves a pool until it is ended: the processes beside a task manager of Flink or an executor of Spark."""
    parser = argparse.ArgumentParser(prog="python -m cxr.data.beam_workers", description=main.__doc__)
    parser.add_argument("--address", default="localhost:50000", help="host:port to listen at, as the engine's worker sees it")
    parser.add_argument("--preload", action="append", default=[], metavar="MODULE", help="what workers need not import anew (repeatable)")
    given = parser.parse_args(arguments)
    reach_main_thread()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, signal.default_int_handler)
    try:
        with contextlib.suppress(KeyboardInterrupt), serving(WorkerPool(given.preload), given.address) as address:
            print(f"workers at {address}", flush=True)
            signal.pause()
    except CxrError as error:
        parser.error(str(error))


if __name__ == "__main__":
    from cxr.data import beam_workers

    beam_workers.main()  # by its name: workers do without the main module (core/main_module.py), and are sent a function of this one
