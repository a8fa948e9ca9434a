"""A small real pipeline whose nodes are run one at a time, so that each can be disturbed as often as one likes for the price of one run."""

from __future__ import annotations

import sqlite3
import threading
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import psutil
from ml_metadata.proto import metadata_store_pb2
from tfx.dsl.compiler import compiler
from tfx.orchestration import metadata
from tfx.proto.orchestration import pipeline_pb2

from cxr.components.baseline.rule import Choice
from cxr.pipeline import node_process
from cxr.pipeline.graph import RunPaths, create_pipeline
from cxr.pipeline.local_runner import NodeResult, WatchedDagRunner
from cxr.pipeline.pipeline_config import Config
from cxr.pipeline.schema import curated_schema, write_schema
from cxr.pipeline.workspace import Workspace

PATIENCE = 60  # seconds, for what takes a moment
_ENDED = (metadata_store_pb2.Execution.COMPLETE, metadata_store_pb2.Execution.CACHED)


class Silent:
    """A watcher that says nothing."""

    def started(self, node_id: str, number: int, total: int) -> None:
        """Takes note of nothing."""

    def finished(self, result: NodeResult) -> None:
        """The same."""


class Chain:
    """The nodes of `cxr run`; each attempt is a run of its own, as the same command given again is."""

    def __init__(self, config: Config, records: Path, root: Path):
        """Compiles the graph that `cxr run` would run on these records in the workspace `root`."""
        self.workspace = Workspace(root, config.name)
        self.workspace.home.mkdir(parents=True)
        self.workspace.point_records_at(records)
        config.feature_place(self.workspace.feature_cache).write(self.workspace.feature_cache_setting)
        paths = RunPaths(
            data=str(self.workspace.records),
            splits=("train", "test"),
            schema_file=str(write_schema(curated_schema(config.class_names, config.schema_file), self.workspace.schema)),
            pipeline_root=str(self.workspace.pipeline_root),
            serving_models=str(self.workspace.serving_models),
            training_state=str(self.workspace.training_state),
            feature_cache=str(self.workspace.feature_cache_setting),
            metadata=metadata.sqlite_metadata_connection_config(str(self.workspace.metadata)),
            baselines={name: Choice() for name in config.candidates},
            baseline_links=str(self.workspace.baselines),
        )
        self._pipeline = compiler.Compiler().compile(create_pipeline(config, paths))
        self.done: set[str] = set()
        node_process.measured_call(int)  # until the fork server has imported all: what imports start is no node

    @property
    def nodes(self) -> list[str]:
        """Ids, in the order of the graph."""
        return [node.pipeline_node.node_info.id for node in self._pipeline.nodes]

    def attempt(self, node_id: str, disturb: Callable[[psutil.Process], None] | None = None) -> NodeResult:
        """Runs one node; `disturb` is called with its process, in a thread, as soon as that is there."""
        pipeline = pipeline_pb2.Pipeline.FromString(self._pipeline.SerializeToString())
        (node,) = (node for node in pipeline.nodes if node.pipeline_node.node_info.id == node_id)
        del node.pipeline_node.upstream_nodes[:], node.pipeline_node.downstream_nodes[:]
        for given in node.pipeline_node.inputs.inputs.values():
            for channel in given.channels:  # what earlier nodes made in runs of their own
                kept = [query for query in channel.context_queries if query.type.name != "pipeline_run"]
                del channel.context_queries[:]
                channel.context_queries.extend(kept)
        del pipeline.nodes[:]
        pipeline.nodes.add().CopyFrom(node)
        before = {process.pid for process in node_processes()}
        over = threading.Event()

        def watch() -> None:
            while disturb and not over.is_set():
                for process in node_processes():
                    if process.pid not in before:
                        disturb(process)
                        return
                time.sleep(0.002)

        thread = threading.Thread(target=watch)
        thread.start()
        try:
            (result,) = WatchedDagRunner(Silent()).run_with_ir(pipeline).values()
        finally:
            over.set()
            thread.join()
        if result.state in ("done", "cached"):
            self.done.add(node_id)
        return result

    def reach(self, node_id: str) -> None:
        """Runs what stands before a node, as far as that was not done."""
        for earlier in self.nodes[: self.nodes.index(node_id)]:
            if earlier not in self.done:
                assert self.attempt(earlier).state in ("done", "cached"), earlier

    def artifacts(self) -> dict[str, int]:
        """Files of the artifacts of all nodes that are done, and when they were written."""
        return {
            str(file): file.stat().st_mtime_ns
            for node in self.done
            for file in (self.workspace.pipeline_root / node).rglob("*")
            if file.is_file() and ".system" not in file.parts
        }

    def known(self) -> list[str]:
        """URIs of the artifacts that ML Metadata holds for good."""
        with metadata.Metadata(metadata.sqlite_metadata_connection_config(str(self.workspace.metadata))) as handle:
            return [one.uri for one in handle.store.get_artifacts() if one.state == metadata_store_pb2.Artifact.LIVE]

    def versions(self) -> list[Path]:
        """Pushed versions, as a server finds them."""
        return sorted(path for path in self.workspace.serving_models.glob("*/*") if path.name.isdecimal())

    def kill_while_it_publishes(self, node_id: str) -> NodeResult:
        """Kills a node that has written everything, inside the transaction that would tell ML Metadata of it."""
        with closing(sqlite3.connect(self.workspace.metadata, timeout=PATIENCE)) as database:
            many = [f"Type t{number}" for number in range(14)]
            endless = f"SELECT count(*) FROM {', '.join(many)} WHERE {' + '.join(f't{number}.id' for number in range(14))} < 0"
            for event in ("INSERT", "UPDATE"):
                database.execute(
                    f"CREATE TRIGGER held_{event} AFTER {event} ON Execution WHEN NEW.last_known_state IN {_ENDED} BEGIN {endless}; END"
                )
            database.commit()
        journal = self.workspace.metadata.with_name("metadata.db-journal")

        def kill(process: psutil.Process) -> None:
            seen = 0
            while seen < 5 and process.is_running():  # others' transactions take milliseconds
                seen = seen + 1 if journal.exists() else 0
                time.sleep(0.1)
            kill_with_children(process)

        try:
            return self.attempt(node_id, kill)
        finally:
            with closing(sqlite3.connect(self.workspace.metadata, timeout=PATIENCE)) as database:
                for event in ("INSERT", "UPDATE"):
                    database.execute(f"DROP TRIGGER held_{event}")
                database.commit()


def node_processes(of: psutil.Process | None = None) -> list[psutil.Process]:
    """Processes of nodes: what the fork server of a process has started, of this one by default."""
    found = []
    for process in (of or psutil.Process()).children(recursive=True):
        try:
            parent = process.parent()
            if parent is not None and any("forkserver" in word for word in parent.cmdline()):
                found.append(process)
        except psutil.NoSuchProcess:
            continue
    return found


def kill_at_work(process: psutil.Process) -> None:
    """See `kill_with_children`; once a process is in the middle of its work: it has computed for a second, or started one of its own."""
    deadline = time.monotonic() + PATIENCE
    while process.cpu_times().user < 1 and not process.children() and time.monotonic() < deadline:
        time.sleep(0.01)
    kill_with_children(process)


def kill_with_children(process: psutil.Process) -> None:
    """Sends SIGKILL, and waits until what the process had started is gone by itself."""
    children = process.children(recursive=True)
    process.kill()
    _, alive = psutil.wait_procs(children, PATIENCE)
    assert not alive, f"{alive} outlive their node"
