"""Which versions servers need: those that they have loaded, and those that a models.config or the journal of its changes names."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from cxr.serving import models_config
from cxr.serving.client.connection import Connection
from cxr.serving.client.errors import ModelNotFound
from cxr.serving.client.models import END, versions
from cxr.serving.production import model_states
from cxr.serving.production.journal import Journal
from cxr.serving.production.model_states import ALL, LATEST


def configured(path: Path, present: Mapping[str, Sequence[int]]) -> dict[str, set[int]]:
    """Returns the versions that a models.config lets a server serve, and those that a rollback would go back to.

    Args:
      path: The file. Its models are matched by name, wherever a server finds them.
      present: By model: versions that are there, ascending.

    Raises:
      CxrError: It cannot be read.
    """
    journal, found = Journal(path), dict[str, set[int]]()
    for entry in models_config.read(path).model_config_list.config:
        if entry.name not in present:
            continue
        state = model_states.read(entry)
        needed, there = set(state.named), present[entry.name]
        if state.policy == LATEST:
            needed |= set(there[-state.count :])
        elif state.policy == ALL:
            needed |= set(there)
        for change in filter(None, (journal.staged(entry.name, state), journal.to_undo(entry.name, state))):
            needed |= change.before.named | change.after.named
        found[entry.name] = needed
    return found


def loaded(connection: Connection, models: Iterable[str], timeout: float) -> dict[str, set[int]]:
    """Returns the versions that a running server has, or is about to have.

    Args:
      connection: To the server.
      models: Names to ask for.
      timeout: Seconds for each.

    Raises:
      RequestFailed: It does not answer.
    """
    found = {}
    for model in models:
        try:
            found[model] = {status.version for status in versions(connection, model, timeout) if status.state != END}
        except ModelNotFound:
            continue
    return found
