"""What servers serve: models, versions, states and where the labels really point."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from cxr.core import features
from cxr.serving import models_config
from cxr.serving.client.connection import Connection
from cxr.serving.client.errors import ModelNotFound
from cxr.serving.client.models import Target, metadata, versions
from cxr.serving.production import config_file, model_states
from cxr.serving.production.model_states import ModelState

# Asked for where nobody names any: the protocol has no list of models.
MODELS = ("densenet201", "efficientnetb7", "mobilenet", features.ENSEMBLE)
LABELS = (config_file.STABLE, config_file.CANARY)
RPC_SECONDS = 5.0


@dataclass(frozen=True)
class Row:
    """One version of one model on one server.

    Attributes:
      state: START, LOADING, AVAILABLE, UNLOADING or END; "not served" with version None where the server does not know the model.
      labels: that the server resolves to this version.
      policy: of models.config; empty where the file does not name the model.
      error: why a version ended.
    """

    server: str
    model: str
    version: int | None
    state: str
    labels: tuple[str, ...] = ()
    policy: str = ""
    error: str = ""

    def to_json(self) -> dict[str, Any]:
        """Returns the fields, ready for `json.dumps`."""
        return {**asdict(self), "labels": list(self.labels)}


def states_in(path: Path) -> dict[str, ModelState]:
    """Returns the state of every model in a models.config.

    Raises:
      CxrError: it cannot be read.
    """
    return {entry.name: model_states.read(entry) for entry in models_config.read(path).model_config_list.config}


def overview(connection: Connection, names: Sequence[str], configured: Mapping[str, ModelState]) -> list[Row]:
    """Asks a server for the state of models.

    Args:
      connection: to the server.
      names: models; those it does not serve get a row that says so.
      configured: states of models.config, for policies and for further labels to try.

    Returns:
      Rows by model and falling version.

    Raises:
      RequestFailed: no server there, …
    """
    rows: list[Row] = []
    for name in names:
        policy = _policy(configured.get(name))
        try:
            found = versions(connection, name, RPC_SECONDS)
        except ModelNotFound:
            rows.append(Row(connection.server, name, None, "not served", policy=policy))
            continue
        labels = _labels(connection, name, {*LABELS, *(configured[name].labels if name in configured else ())})
        rows += [
            Row(
                connection.server,
                name,
                status.version,
                status.state,
                tuple(sorted(label for label, version in labels.items() if version == status.version)),
                policy,
                status.error,
            )
            for status in found
        ]
    return rows


def _labels(connection: Connection, model: str, candidates: set[str]) -> dict[str, int]:
    """Resolves labels by asking for each: no call lists them."""
    found = {}
    for label in candidates:
        try:
            found[label] = metadata(connection, Target(model, label=label), RPC_SECONDS).version
        except ModelNotFound:
            continue
    return found


def _policy(state: ModelState | None) -> str:
    return "" if state is None else str(ModelState(state.policy, state.count, state.versions))
