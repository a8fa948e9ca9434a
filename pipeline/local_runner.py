"""Runs the graph on this machine, node by node.

TFX's LocalDagRunner does the same but tells nobody where it is, and gives the whole run up at the first failure. This one reports every
node to a watcher, gives each a process of its own, goes on with the nodes that do not depend on a failed one, and returns what each
node made.
"""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Literal, Protocol

from ml_metadata.proto import metadata_store_pb2
from tfx import types
from tfx import v1 as tfx
from tfx.dsl.compiler import constants
from tfx.orchestration import metadata
from tfx.orchestration.local import runner_utils
from tfx.orchestration.portable import launcher, runtime_parameter_utils
from tfx.orchestration.portable.mlmd import execution_lib
from tfx.orchestration.portable.tfx_runner import IrBasedRunner
from tfx.proto.orchestration import pipeline_pb2

from cxr.core import machine_faults
from cxr.pipeline import metadata_file, node_process


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


class Watcher(Protocol):
    """Is told about nodes as they run."""

    def started(self, node_id: str, number: int, total: int) -> None:
        """A node begins, the `number`th of `total`."""

    def finished(self, result: NodeResult) -> None:
        """A node has ended, or was skipped without having begun."""


class WatchedDagRunner(IrBasedRunner):
    """Runs the nodes in topological order, one at a time."""

    def __init__(self, watcher: Watcher):
        self._watcher = watcher

    def run(self, pipeline: tfx.dsl.Pipeline) -> dict[str, NodeResult]:
        """Runs a pipeline.

        Returns:
          One result per node, in the order they ran. A failed node raises nothing; Ctrl-C does.
        """
        return super().run(pipeline)

    def run_with_ir(self, pipeline: pipeline_pb2.Pipeline, run_options: pipeline_pb2.RunOptions | None = None) -> dict[str, NodeResult]:
        """Runs a compiled pipeline; see `run`."""
        runtime_parameter_utils.substitute_runtime_parameter(
            pipeline, {constants.PIPELINE_RUN_ID_PARAMETER_NAME: datetime.now().isoformat()}
        )
        connection = _connection(runner_utils.extract_local_deployment_config(pipeline))
        results: dict[str, NodeResult] = {}
        ir = pipeline.SerializeToString()
        nodes = [node.pipeline_node for node in pipeline.nodes]
        for number, node in enumerate(nodes, 1):
            node_id = node.node_info.id
            upstream = [results[up] for up in node.upstream_nodes]
            roots = [root for up in upstream for root in ([up.node_id] if up.state == "failed" else up.roots)]
            if roots:
                results[node_id] = NodeResult(node_id, "skipped", roots=tuple(dict.fromkeys(roots)))
            else:
                self._watcher.started(node_id, number, len(nodes))
                results[node_id] = _run_node(node, ir, connection)
            self._watcher.finished(results[node_id])
        return results


def _run_node(node: pipeline_pb2.PipelineNode, ir: bytes, connection: metadata_store_pb2.ConnectionConfig) -> NodeResult:
    node_id = node.node_info.id
    begin = time.monotonic()
    peak: int | None
    try:
        answer = node_process.measured_call(_launch, node_id, ir)
        (execution_id, error), peak = answer.value, answer.peak_memory
    except node_process.ProcessDied as death:
        execution_id, error, peak = 0, str(death), death.peak_memory or None
    seconds = time.monotonic() - begin
    if error:
        return NodeResult(node_id, "failed", seconds, error=error, peak_memory=peak)
    with metadata.Metadata(connection) as handle:
        (execution,) = handle.store.get_executions_by_id([execution_id])
        outputs = execution_lib.get_output_artifacts(handle, execution_id)
    if execution.last_known_state == metadata_store_pb2.Execution.CACHED:
        # a resolver publishes what it chose as if cached, but it did its work
        cached = node.node_info.type.name != "tfx.dsl.components.common.resolver.Resolver"
        return NodeResult(node_id, "cached" if cached else "done", seconds, outputs, peak_memory=None if cached else peak)
    if execution.last_known_state != metadata_store_pb2.Execution.COMPLETE:
        return NodeResult(node_id, "failed", seconds, error="its inputs could not be resolved; the log says which", peak_memory=peak)
    return NodeResult(node_id, "done", seconds, outputs, peak_memory=peak)


def _launch(node_id: str, ir: bytes) -> tuple[int, str]:
    """Runs a node, in a process of its own; returns its execution's id, or why it failed."""
    pipeline = pipeline_pb2.Pipeline.FromString(ir)
    (node,) = (node.pipeline_node for node in pipeline.nodes if node.pipeline_node.node_info.id == node_id)
    deployment = runner_utils.extract_local_deployment_config(pipeline)
    try:
        info = launcher.Launcher(
            pipeline_node=node,
            mlmd_connection=metadata.Metadata(_connection(deployment)),
            pipeline_info=pipeline.pipeline_info,
            pipeline_runtime_spec=pipeline.runtime_spec,
            executor_spec=runner_utils.extract_executor_spec(deployment, node_id),
            custom_driver_spec=runner_utils.extract_custom_driver_spec(deployment, node_id),
        ).launch()
    except Exception as error:  # whatever a component raises ends that component, not the run
        logging.getLogger(__name__).exception("%s failed", node_id)
        return 0, _reason(error, pipeline, deployment)
    return info.execution_id, ""


def _connection(deployment: pipeline_pb2.IntermediateDeploymentConfig) -> metadata_store_pb2.ConnectionConfig:
    config = deployment.metadata_connection_config
    return getattr(config, config.WhichOneof("connection_config"))


def _reason(error: Exception, pipeline: pipeline_pb2.Pipeline, deployment: pipeline_pb2.IntermediateDeploymentConfig) -> str:
    """What a user reads: of a fault of the machine what to do about it, of anything else its own message."""
    root = Path(pipeline.runtime_spec.pipeline_root.field_value.string_value)
    database = Path(_connection(deployment).sqlite.filename_uri)
    return metadata_file.explained(error, database) or machine_faults.explained(error, root) or _innermost(error)


def _innermost(error: BaseException) -> str:
    """The message of what first went wrong: Beam and TFX wrap it, sometimes many times over."""
    while error.__cause__ is not None:
        error = error.__cause__
    return str(error).strip() or type(error).__name__
