"""The models that a change is not about. A server is told its configuration whole, and of these it shall keep what it serves."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from cxr.core.errors import CxrError
from cxr.serving.client.connection import Connection
from cxr.serving.client.models import AVAILABLE, LOADING, START, labelled
from cxr.serving.production import rollout
from cxr.serving.production.model_states import SPECIFIC, ModelState

_RESTART = "restart the server, which reads the file"


@dataclass(frozen=True)
class Kept:
    """A model of which a server has something else than the file says.

    Attributes:
      model: its name.
      state: what the server is told of it, so that all stays as it is; None: nothing, it does not have the model.
      note: for the user: what differs, and how to bring the server in line.
    """

    model: str
    state: ModelState | None
    note: str


def kept(server: Connection, states: Mapping[str, ModelState], labels: Collection[str], timeout: float, path: Path) -> list[Kept]:
    """Compares a server with the file.

    Args:
      server: to ask.
      states: of the file, by model.
      labels: that the server may have besides the file's; no call lists them.
      timeout: seconds per question.
      path: the file, for the notes.

    Raises:
      RequestFailed: the server cannot be asked.
    """
    found = []
    for model, wanted in states.items():
        state = present(server, model, wanted, labels, timeout)
        if not is_as(state, wanted):
            here, command = "not served" if state is None else f"'{state}'", _command(server, model, wanted, state, path)
            remedy = f"{command}, or {_RESTART}" if command else _RESTART
            note = f"{server.server}: {model} is {here}, in {path} '{wanted}'; the server keeps what it has. To bring it in line: {remedy}"
            found.append(Kept(model, state, note))
    return found


def check_named(server: Connection, models: Iterable[str], path: Path, timeout: float) -> None:
    """Looks whether a server has a model that the file does not name: told that file, it would end it.

    Args:
      server: to ask.
      models: names to ask for, none of them in the file; no call lists what a server has.
      path: the file, for the message.
      timeout: seconds per question.

    Raises:
      CxrError: it has one.
      RequestFailed: it cannot be asked.
    """
    for model in models:
        if rollout.statuses(server, model, timeout):
            raise CxrError(
                f"{server.server}: serves {model}, which is not in {path} and would end with this change; name the models.config that the "
                f"server reads (--config), or add the model to this one. If it is to end, {_RESTART}"
            )


def present(server: Connection, model: str, wanted: ModelState, labels: Collection[str], timeout: float) -> ModelState | None:
    """Returns what a server has of a model, with the versions that it is loading and the labels that wait for these.

    Args:
      server: to ask.
      model: its name.
      wanted: its state in the file.
      labels: as of `kept`.
      timeout: seconds per question.

    Returns:
      None where it does not have the model.

    Raises:
      RequestFailed: it cannot be asked.
    """
    states = rollout.statuses(server, model, timeout)
    if not states:
        return None
    loading = {version for version, status in states.items() if status.state in (START, LOADING)}
    there = loading | {version for version, status in states.items() if status.state == AVAILABLE}
    if not there:
        return wanted  # it can lose nothing
    resolved = labelled(server, model, {*labels, *wanted.labels}, timeout)
    waiting = {label: version for label, version in wanted.labels.items() if version in loading and label not in resolved}
    return ModelState(SPECIFIC, versions=tuple(sorted(there)), labels={**waiting, **resolved})


def is_as(state: ModelState | None, wanted: ModelState) -> bool:
    """Tells whether a server that has this has all that the file says, and nothing else."""
    return state is not None and (state == wanted or state.labels == wanted.labels and wanted.policy != SPECIFIC)


def _command(server: Connection, model: str, wanted: ModelState, state: ModelState | None, path: Path) -> str:
    """Returns what brings the model in line on this server; empty where no label could be named."""
    if not wanted.labels or (state is None and wanted.policy != SPECIFIC):  # a label cannot move before the policy has loaded a version
        return ""
    there = {} if state is None else state.labels
    label = min(wanted.labels, key=lambda name: (there.get(name) == wanted.labels[name], name))
    return f"cxr serving promote {model} {wanted.labels[label]} --label {label} --config {path} --server {server.server}"
