"""What servers serve: models, versions, states and where the labels really point."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from cxr.core import features
from cxr.serving import models_config
from cxr.serving.client.connection import Connection
from cxr.serving.client.errors import ModelNotFound, RequestFailed
from cxr.serving.client.models import END, VersionStatus, labelled, versions
from cxr.serving.production import config_file, model_states
from cxr.serving.production.model_states import ModelState

# Asked for where nobody names any: the protocol has no list of models.
MODELS = ("densenet201", "efficientnetb7", "mobilenet", features.ENSEMBLE)
LABELS = (config_file.STABLE, config_file.CANARY)
NOT_SERVED, NO_ANSWER = "not served", "no answer"
_REASONS = "its folder is gone, or the server has not taken the file"
RPC_SECONDS = 5.0


@dataclass(frozen=True)
class Row:
    """One version of one model on one server.

    Attributes:
      model: empty where the server does not answer.
      state: START, LOADING, AVAILABLE, UNLOADING or END; "not served" where the server does not know the version, or, with version
        None, the model; "no answer".
      labels: that the server resolves to this version.
      policy: of models.config; empty where the file does not name the model.
      error: why a version ended, or the server does not answer.
      differs: what models.config says of the version and the server does not do; empty where it does all of it.
    """

    server: str
    model: str
    version: int | None
    state: str
    labels: tuple[str, ...] = ()
    policy: str = ""
    error: str = ""
    differs: str = ""

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
      configured: states of models.config, for policies, for further labels to try, and to compare with what is served.

    Returns:
      Rows by model and falling version, those among them that models.config names and the server does not have.

    Raises:
      RequestFailed: no server there, …
    """
    rows: list[Row] = []
    for name in names:
        state = configured.get(name)
        policy = _policy(state)
        try:
            found = {status.version: status for status in versions(connection, name, RPC_SECONDS)}
        except ModelNotFound:
            differs = f"models.config names the model, and the server does not have it: {_REASONS}" if state else ""
            rows.append(Row(connection.server, name, None, NOT_SERVED, policy=policy, differs=differs))
            continue
        labels = labelled(connection, name, {*LABELS, *(state.labels if state else ())}, RPC_SECONDS)
        for version in sorted(found.keys() | (state.named if state else set()), reverse=True):
            status = found.get(version, VersionStatus(version, NOT_SERVED))
            here = tuple(sorted(label for label, its_version in labels.items() if its_version == version))
            differs = _difference(state, status, labels) if state else ""
            rows.append(Row(connection.server, name, version, status.state, here, policy, status.error, differs))
    return rows


def away(server: str, failure: RequestFailed) -> Row:
    """Returns the row of a server that cannot be asked."""
    return Row(server, "", None, NO_ANSWER, error=str(failure).removeprefix(f"{server}: "))


def _difference(state: ModelState, status: VersionStatus, labels: Mapping[str, int]) -> str:
    """Returns what models.config says of a version and the server, which has these labels, does not do."""
    wanted = sorted(label for label, version in state.labels.items() if version == status.version)
    missing = [label for label in wanted if labels.get(label) != status.version]
    if status.state in (END, NOT_SERVED) and status.version in state.named:
        named = f"labels it {', '.join(wanted)}" if wanted else "names it"
        reason = "" if status.error else f": {_REASONS}"
        return f"models.config {named}, and the server does not have it{reason}"
    if not missing:
        return ""
    where = ", ".join(f"{label} on {f'version {labels[label]}' if label in labels else 'no version'}" for label in missing)
    return f"models.config labels it {', '.join(missing)}; the server has {where}"


def _policy(state: ModelState | None) -> str:
    return "" if state is None else str(ModelState(state.policy, state.count, state.versions))
