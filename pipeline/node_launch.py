"""What the process of a node does: TFX's launcher with its driver, executor and publisher."""

from __future__ import annotations

import contextlib
import fcntl
import logging
import os
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

from ml_metadata.proto import metadata_store_pb2
from tfx.orchestration import metadata
from tfx.orchestration.local import runner_utils
from tfx.orchestration.portable import launcher
from tfx.proto.orchestration import execution_result_pb2, pipeline_pb2
from tfx.utils import typing_utils

from cxr.core import gpus, machine_faults
from cxr.core.errors import CxrError
from cxr.pipeline import artifact_files, metadata_file, metadata_store
from cxr.pipeline.node_profile import profiled

LOCK_SUFFIX = ".lock"  # of the file beside SQLite's that is locked while a process uses the store


class Store(metadata.Metadata):
    """ML Metadata for nodes that run at once: one process is connected, the others wait.

    ML Metadata tries again where another process has locked SQLite's file, but not for ever, and TFX asks whether a type, a context or an
    artifact exists before it makes it. With the lock neither is left to luck. TFX's launcher is connected while it prepares a node and
    while it publishes, not while the executor runs.
    """

    _lock: int | None = None
    _users: int  # of TFX: entered and not left again

    def __enter__(self) -> Store:
        if self._lock is None and (path := self.connection_config.sqlite.filename_uri):
            self._lock = os.open(path + LOCK_SUFFIX, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o666)  # a group may share it
            fcntl.flock(self._lock, fcntl.LOCK_EX)
        users = self._users
        try:
            super().__enter__()  # tries again where another program has locked the file
            self._store = metadata_store.MetadataStore(self.connection_config)  # in place of ML Metadata's, which loses executions
        except BaseException:
            self._users = users
            self._give_back()
            raise
        return self

    def __exit__(
        self,
        exc_type: type[Exception] | None = None,
        exc_value: Exception | None = None,
        exc_tb: TracebackType | None = None,
    ) -> None:
        super().__exit__(exc_type, exc_value, exc_tb)
        self._give_back()

    def _give_back(self) -> None:
        if self._users == 0 and self._lock is not None:
            os.close(self._lock)  # the system does that for a process that dies
            self._lock = None


def store_of(pipeline: pipeline_pb2.Pipeline) -> Store:
    """Returns the metadata store that a compiled pipeline names."""
    config = runner_utils.extract_local_deployment_config(pipeline).metadata_connection_config
    connection: metadata_store_pb2.ConnectionConfig = getattr(config, config.WhichOneof("connection_config"))
    return Store(connection)


@dataclass(frozen=True)
class Launched:
    """What became of a node.

    Attributes:
      execution_id: In ML Metadata; 0: it failed.
      error: Why it failed.
      profile: What its processor time went to; empty where that was not asked for.
    """

    execution_id: int
    error: str
    profile: dict[str, float]


def launch(node_id: str, ir: bytes, profile: bool, gpu: bool) -> Launched:
    """Runs a node, in a process of its own.

    Args:
      node_id: Its id.
      ir: The compiled pipeline, serialised.
      profile: Measure what its processor time goes to.
      gpu: The node has something for a GPU to do; where not, it sees none.
    """
    if gpu:
        gpus.share()
    else:
        gpus.leave_alone()
    found: dict[str, float] = {}
    with profiled(found) if profile else contextlib.nullcontext():
        execution_id, error = _launch(node_id, ir)
    return Launched(execution_id, error, found)


class _Launcher(launcher.Launcher):
    """TFX's launcher, which notes each artifact's files in the transaction that publishes it."""

    def _publish_successful_execution(
        self,
        execution_id: int,
        contexts: list[metadata_store_pb2.Context],
        output_dict: typing_utils.ArtifactMultiMap,
        executor_output: execution_result_pb2.ExecutorOutput,
    ) -> None:
        for artifacts in executor_output.output_artifacts.values():  # of every output: an executor says what became of each
            artifact_files.note(artifacts.artifacts)
        super()._publish_successful_execution(execution_id, contexts, output_dict, executor_output)


def _launch(node_id: str, ir: bytes) -> tuple[int, str]:
    pipeline = pipeline_pb2.Pipeline.FromString(ir)
    (node,) = (node.pipeline_node for node in pipeline.nodes if node.pipeline_node.node_info.id == node_id)
    deployment = runner_utils.extract_local_deployment_config(pipeline)
    try:
        info = _Launcher(
            pipeline_node=node,
            mlmd_connection=store_of(pipeline),
            pipeline_info=pipeline.pipeline_info,
            pipeline_runtime_spec=pipeline.runtime_spec,
            executor_spec=runner_utils.extract_executor_spec(deployment, node_id),
            custom_driver_spec=runner_utils.extract_custom_driver_spec(deployment, node_id),
        ).launch()
    except Exception as error:  # whatever a component raises ends that component, not the run
        logging.getLogger(__name__).exception("%s failed", node_id)
        return 0, _reason(error, pipeline)
    return info.execution_id, ""


def _reason(error: Exception, pipeline: pipeline_pb2.Pipeline) -> str:
    """What a user reads: of a fault of the machine what to do about it, of anything else its own message."""
    root = Path(pipeline.runtime_spec.pipeline_root.field_value.string_value)
    database = Path(store_of(pipeline).connection_config.sqlite.filename_uri)
    return metadata_file.explained(error, database) or machine_faults.explained(error, root) or _innermost(error)


def _innermost(error: BaseException) -> str:
    """The message of what first went wrong: Beam and TFX wrap it, sometimes many times over. An error of ours says more than its cause."""
    while not isinstance(error, CxrError) and error.__cause__ is not None:
        error = error.__cause__
    return str(error).strip() or type(error).__name__
