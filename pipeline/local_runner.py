"""Runs the graph on this machine.

TFX's LocalDagRunner does the same but one node after the other, tells nobody where it is, and gives the whole run up at the first failure.
This one runs nodes side by side, reports every one to a watcher, gives each a process of its own, goes on with the nodes that do not depend
on a failed one, and returns what each node made.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable, Iterator, Mapping
from concurrent import futures
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Literal, Protocol

from ml_metadata.proto import metadata_store_pb2
from tfx import types
from tfx import v1 as tfx
from tfx.dsl.compiler import constants
from tfx.orchestration.portable import runtime_parameter_utils
from tfx.orchestration.portable.mlmd import execution_lib
from tfx.orchestration.portable.tfx_runner import IrBasedRunner
from tfx.proto.orchestration import pipeline_pb2

from cxr.pipeline import node_launch, node_process
from cxr.pipeline.side_by_side import Room, asks_networks


@dataclass(frozen=True)
class NodeResult:
    """What became of one node."""

    node_id: str
    state: Literal["done", "cached", "failed", "skipped"]
    seconds: float = 0.0
    outputs: dict[str, list[types.Artifact]] = field(default_factory=dict)
    error: str = ""  # why it failed
    roots: tuple[str, ...] = ()  # of a skipped node: the failed ones it waited for
    peak_memory: int | None = None  # of its largest process, bytes; None: it did no work
    cpu_seconds: float | None = None  # of its processes; None: as above
    profile: Mapping[str, float] = field(default_factory=dict)  # subject of node_profile.py to seconds of it, where that was asked for


class Watcher(Protocol):
    """Is told about nodes as they run, in the thread that runs the pipeline."""

    def started(self, node_id: str, number: int, total: int) -> None:
        """A node begins, the `number`th of `total`."""

    def finished(self, result: NodeResult) -> None:
        """A node has ended, or was skipped without having begun."""


class WatchedDagRunner(IrBasedRunner):
    """Runs each node once those that it needs have ended, several at once where there is room."""

    def __init__(self, watcher: Watcher, room: Room | None = None, *, profile: bool = False):
        """Prepares a run.

        Args:
          watcher: Who is told.
          room: What the nodes under way may take together; None: one runs at a time, in topological order.
          profile: Measure what each node's processor time goes to.
        """
        self._watcher = watcher
        self._room = room or Room()
        self._profile = profile

    def run(self, pipeline: tfx.dsl.Pipeline) -> dict[str, NodeResult]:
        """Runs a pipeline.

        Returns:
          One result per node, in topological order. A failed node raises nothing; Ctrl-C does, once no node runs any more.
        """
        return super().run(pipeline)

    def run_with_ir(self, pipeline: pipeline_pb2.Pipeline, run_options: pipeline_pb2.RunOptions | None = None) -> dict[str, NodeResult]:
        """Runs a compiled pipeline; see `run`."""
        runtime_parameter_utils.substitute_runtime_parameter(
            pipeline, {constants.PIPELINE_RUN_ID_PARAMETER_NAME: datetime.now().isoformat()}
        )
        nodes = {node.pipeline_node.node_info.id: node.pipeline_node for node in pipeline.nodes}
        numbers = {node_id: number for number, node_id in enumerate(nodes, 1)}
        urgent = self._room.urgency([*nodes.values()]) if self._room.jobs > 1 else dict.fromkeys(nodes, 0.0)
        results: dict[str, NodeResult] = {}
        running: dict[Future[NodeResult], str] = {}
        given_up = threading.Event()
        with ThreadPoolExecutor(self._room.jobs) as pool:
            try:
                while len(results) < len(nodes):
                    waiting = [node_id for node_id in nodes if node_id not in results and node_id not in running.values()]
                    ready = list(self._ready(waiting, nodes, results))
                    for node_id in sorted(ready, key=lambda ready: -urgent[ready]):
                        if self._room.has_place(node_id, running.values()):
                            self._watcher.started(node_id, numbers[node_id], len(nodes))
                            running[pool.submit(_run_node, nodes[node_id], pipeline, self._profile, given_up)] = node_id
                    for ended in futures.wait(running, return_when=futures.FIRST_COMPLETED).done:
                        self._end(results, ended.result())
                        del running[ended]
            except BaseException:
                given_up.set()
                raise
        return {node_id: results[node_id] for node_id in nodes}

    def _ready(
        self, waiting: Iterable[str], nodes: Mapping[str, pipeline_pb2.PipelineNode], results: dict[str, NodeResult]
    ) -> Iterator[str]:
        """Yields those of the waiting nodes, in topological order, whose inputs are there; skips those whose never will be."""
        for node_id in waiting:
            if any(up not in results for up in nodes[node_id].upstream_nodes):
                continue
            upstream = [results[up] for up in nodes[node_id].upstream_nodes]
            roots = [root for up in upstream for root in ([up.node_id] if up.state == "failed" else up.roots)]
            if roots:
                self._end(results, NodeResult(node_id, "skipped", roots=tuple(dict.fromkeys(roots))))
            else:
                yield node_id

    def _end(self, results: dict[str, NodeResult], result: NodeResult) -> None:
        results[result.node_id] = result
        self._watcher.finished(result)


def _run_node(node: pipeline_pb2.PipelineNode, pipeline: pipeline_pb2.Pipeline, profile: bool, given_up: threading.Event) -> NodeResult:
    node_id = node.node_info.id
    begin = time.monotonic()
    try:
        answer = node_process.measured_call(
            node_launch.launch,
            *(node_id, pipeline.SerializeToString(), profile, asks_networks(node_id)),
            name=node_id,
            given_up=given_up,
        )
    except node_process.ProcessDied as death:
        return NodeResult(node_id, "failed", time.monotonic() - begin, error=str(death), peak_memory=death.peak_memory or None)
    launched = answer.value
    result = NodeResult(
        node_id,
        "failed",
        time.monotonic() - begin,
        error=launched.error,
        peak_memory=answer.peak_memory,
        cpu_seconds=answer.cpu_seconds,
        profile=launched.profile,
    )
    if launched.error:
        return result
    with node_launch.store_of(pipeline) as handle:
        (execution,) = handle.store.get_executions_by_id([launched.execution_id])
        outputs = execution_lib.get_output_artifacts(handle, launched.execution_id)
    if execution.last_known_state == metadata_store_pb2.Execution.CACHED:
        # a resolver publishes what it chose as if cached, but it did its work
        if node.node_info.type.name == "tfx.dsl.components.common.resolver.Resolver":
            return replace(result, state="done", outputs=outputs)
        return NodeResult(node_id, "cached", result.seconds, outputs)
    if execution.last_known_state != metadata_store_pb2.Execution.COMPLETE:
        return replace(result, error="its inputs could not be resolved; the log says which")
    return replace(result, state="done", outputs=outputs)
