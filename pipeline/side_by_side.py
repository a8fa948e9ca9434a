"""Which nodes of a run are under way at once: as many as cores and memory allow."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tfx.proto.orchestration import pipeline_pb2

from cxr.pipeline.graph import node_id
from cxr.pipeline.kept_runs import kept_runs
from cxr.pipeline.machine import available_memory, cores
from cxr.pipeline.pipeline_config import Config

_GB = 10**9
# Peaks of nodes that no earlier run measured, by the first part of the id: the ensemble's in configuration `demo`, rounded up.
_TRAINER, _OTHER = "Trainer", ""
_USUAL = {_TRAINER: 5 * _GB, _OTHER: 3 * _GB}


@dataclass(frozen=True)
class Room:
    """What the nodes under way may take together.

    Attributes:
      jobs: Nodes.
      memory: Bytes; None: it is not looked at.
      peaks: Node to the bytes that it will have at its peak; None: nobody knows, it runs alone. Others have the usual ones.
    """

    jobs: int = 1
    memory: int | None = None
    peaks: Mapping[str, int | None] = field(default_factory=dict)

    def has_place(self, node: str, running: Collection[str]) -> bool:
        """Tells whether a node may start beside those that run. What needs more than there is runs alone."""
        if not running or len(running) >= self.jobs:
            return not running
        if self.memory is None:
            return True
        needs = [self._peak(one) for one in (node, *running)]
        known = [need for need in needs if need is not None]
        return len(known) == len(needs) and sum(known) <= self.memory

    def __str__(self) -> str:
        if self.jobs == 1:
            return "nodes run one after the other"
        return f"up to {self.jobs} nodes run at once" + (f", in {self.memory / _GB:.1f} GB" if self.memory is not None else "")

    def _peak(self, node: str) -> int | None:
        return self.peaks.get(node, _USUAL.get(node.partition("-")[0], _USUAL[_OTHER]))


def room(config: Config, root: Path, jobs: int | None) -> Room:
    """Returns what a run may take of this machine.

    Args:
      config: Of the run. How much a fine-tuning takes hangs on the network, its pictures and batches: such a trainer runs alone, unless
        an earlier run has measured it.
      root: The workspace, whose runs kept what their nodes took.
      jobs: Nodes at once; None: as many as this machine has cores, but one where TensorFlow sees a GPU, whose memory the first takes.
    """
    peaks: dict[str, int | None] = {node_id(_TRAINER, name): None for name, model in config.models.items() if model.fine_tuning}
    for run in reversed(kept_runs(root, config.name)):  # the newest last
        if report := run.report:
            peaks |= {node: kept.peak_memory for node, kept in report.nodes.items() if kept.peak_memory and kept.state == "done"}
    return Room(jobs or default_jobs(), available_memory(), peaks)


def default_jobs() -> int:
    """Returns how many nodes run at once where nobody says."""
    import tensorflow as tf

    return 1 if tf.config.list_physical_devices("GPU") else cores()


def urgency(nodes: Sequence[pipeline_pb2.PipelineNode]) -> dict[str, int]:
    """Returns, for every node of a graph in topological order, how many must follow one after the other once it has ended."""
    following: dict[str, int] = {}
    for node in reversed(nodes):
        following[node.node_info.id] = max((following[down] + 1 for down in node.downstream_nodes), default=0)
    return following
