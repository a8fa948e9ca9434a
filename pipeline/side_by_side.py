"""Which nodes of a run are under way at once: as many as cores and memory allow."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tfx.proto.orchestration import pipeline_pb2

from cxr.core.machine import available_memory, cores
from cxr.pipeline import roles
from cxr.pipeline.kept_runs import kept_runs
from cxr.pipeline.pipeline_config import Config
from cxr.pipeline.roles import node_id, role_of

_GB = 10**9


@dataclass(frozen=True)
class _Kind:
    """What nodes of one role take, where no earlier run measured it.

    Attributes:
      seconds: In configuration `demo`: only their ratios count.
      peak: Bytes; the ensemble's in configuration `demo`, rounded up.
      networks: It passes images through networks, and may use a GPU.
      beam: `beam.workers` share its work.
    """

    seconds: float = 1
    peak: int = 3 * _GB
    networks: bool = False
    beam: bool = False


_KINDS = {
    roles.TRAINER: _Kind(50, peak=5 * _GB, networks=True),
    roles.AUDIT: _Kind(25),
    roles.INFRA_CHECK: _Kind(20, networks=True),
    roles.EXPLANATION: _Kind(10, networks=True),
    roles.EVALUATOR: _Kind(8, networks=True, beam=True),
    roles.SHORTCUT_CHECK: _Kind(5, networks=True),
    roles.EXAMPLE_GEN: _Kind(beam=True),
    roles.STATISTICS_GEN: _Kind(beam=True),
    roles.TRANSFORM: _Kind(beam=True),
}  # by the first part of a node's id; others are as `_Kind` says
_COSTLY = ("backbone", "image_size", "fine_tuning", "augmentation", "mixed_precision", "all_gpus")  # what a trainer's memory hangs on


@dataclass(frozen=True)
class Room:
    """What the nodes under way may take together.

    Attributes:
      jobs: Nodes.
      gpu: There is a GPU. Of the nodes that pass images through networks one runs at a time: nobody knows what they take of its memory.
      memory: Bytes; None: it is not looked at.
      peaks: Node to the bytes that it will have at its peak; None: nobody knows, it runs alone. Others have the usual ones.
      seconds: Node to how long it will take; others take the usual time.
    """

    jobs: int = 1
    gpu: bool = False
    memory: int | None = None
    peaks: Mapping[str, int | None] = field(default_factory=dict)
    seconds: Mapping[str, float] = field(default_factory=dict)

    def has_place(self, node: str, running: Collection[str]) -> bool:
        """Tells whether a node may start beside those that run. What needs more than there is runs alone."""
        if not running or len(running) >= self.jobs:
            return not running
        if self.gpu and asks_networks(node) and any(asks_networks(one) for one in running):
            return False
        if self.memory is None:
            return True
        needs = [self._peak(one) for one in (node, *running)]
        known = [need for need in needs if need is not None]
        return len(known) == len(needs) and sum(known) <= self.memory

    def __str__(self) -> str:
        if self.jobs == 1:
            return "nodes run one after the other"
        memory = f", in {self.memory / _GB:.1f} GB" if self.memory is not None else ""
        return f"up to {self.jobs} nodes run at once{memory}" + ("; one of them at a time uses the GPU" if self.gpu else "")

    def urgency(self, nodes: Sequence[pipeline_pb2.PipelineNode]) -> dict[str, float]:
        """Returns, for every node of a graph in topological order, the seconds until the end that it and what waits for it will take."""
        longest: dict[str, float] = {}
        for node in reversed(nodes):
            name = node.node_info.id
            own = self.seconds.get(name, _kind(name).seconds)
            longest[name] = own + max((longest[down] for down in node.downstream_nodes), default=0.0)
        return longest

    def _peak(self, node: str) -> int | None:
        return self.peaks.get(node, _kind(node).peak)


def room(config: Config, root: Path, jobs: int | None) -> Room:
    """Returns what a run may take of this machine.

    Args:
      config: Of the run. How much a fine-tuning takes hangs on the network, its pictures and batches: such a trainer runs alone, unless
        an earlier run with the same ones has measured it, or a GPU holds all that.
      root: The workspace, whose runs kept what their nodes took. The most that a node took in any of them counts: it takes less where
        much was kept from before.
      jobs: Nodes at once; None: as many as this machine has cores.
    """
    import tensorflow as tf

    gpu = bool(tf.config.list_physical_devices("GPU"))
    fine_tuned = [] if gpu else [node_id(roles.TRAINER, name) for name, model in config.models.items() if model.fine_tuning]
    peaks: dict[str, int | None] = dict.fromkeys(fine_tuned)
    seconds: dict[str, float] = {}
    costly = _costly(config.model_dump(mode="json"))
    for run in reversed(kept_runs(root, config.name)):  # the newest last
        done = {node: kept for node, kept in run.report.nodes.items() if kept.state == "done"} if run.report else {}
        seconds |= {node: kept.seconds for node, kept in done.items()}
        then = _costly(run.configuration)
        for node, kept in done.items():
            if kept.peak_memory and then.get(node) == costly.get(node):
                peaks[node] = max(peaks.get(node) or 0, kept.peak_memory * _processes(node, config.beam.workers))
    return Room(jobs or cores(), gpu, available_memory(), peaks, seconds)


def _costly(configuration: Mapping[str, Any]) -> dict[str, object]:
    """What the memory of each trainer hangs on, by node, from a configuration as YAML has it: damaged ones and other versions' too."""
    size, models = configuration.get("image_size"), configuration.get("models")
    known = {name: model for name, model in models.items() if isinstance(model, Mapping)} if isinstance(models, Mapping) else {}
    return {node_id(roles.TRAINER, name): (size, *(model.get(key) for key in _COSTLY)) for name, model in known.items()}


def _processes(node: str, workers: int) -> int:
    """How many processes a node's memory is that of; what was measured is the largest of those that the node started itself."""
    if role_of(node) == roles.INFRA_CHECK:
        return 2  # itself, and the server that it asks
    return 1 + workers if workers > 1 and _kind(node).beam else 1


def asks_networks(node: str) -> bool:
    """Tells whether a node passes images through networks: the others have nothing for a GPU."""
    return _kind(node).networks


def _kind(node: str) -> _Kind:
    return _KINDS.get(role_of(node), _Kind())
