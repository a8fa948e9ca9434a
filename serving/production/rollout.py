"""What a change does to running servers: the states to go through, waiting for versions, and finding out what a server really serves."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence

from tensorflow_serving.config.model_server_config_pb2 import ModelServerConfig

from cxr.core.errors import CxrError
from cxr.serving.client.connection import Connection
from cxr.serving.client.errors import DeadlineExceeded, ModelNotFound, RequestFailed, ServerUnavailable
from cxr.serving.client.models import AVAILABLE, END, VersionStatus, labelled, reload_config, versions
from cxr.serving.production.model_states import SPECIFIC, ModelState

RPC_SECONDS = 30.0  # for one question, or less where the user waits for less
UNKNOWN_SECONDS = 10.0  # a server looks for folders every second; what it does not list by then is not there
PAUSE_SECONDS = 0.1
NOTHING = ModelState(SPECIFIC)  # of a model that a server does not have


def statuses(server: Connection, model: str, timeout: float) -> dict[int, VersionStatus]:
    """Returns the states of a model's versions by number; none where the server does not have the model.

    Raises:
      RequestFailed: it cannot be asked.
    """
    try:
        return {status.version: status for status in versions(server, model, timeout)}
    except ModelNotFound:
        return {}


def served(server: Connection, model: str, labels: Iterable[str], timeout: float) -> ModelState | None:
    """Returns what a server serves now, whatever its configuration is: its available versions, and where labels point.

    Args:
      server: to ask.
      model: its name.
      labels: to ask for.
      timeout: seconds per question.

    Returns:
      None where it does not have the model.

    Raises:
      RequestFailed: it cannot be asked.
    """
    found = statuses(server, model, timeout)
    if not found:
        return None
    available = sorted(version for version, status in found.items() if status.state == AVAILABLE)
    return ModelState(SPECIFIC, versions=tuple(available), labels=labelled(server, model, labels, timeout))


def steps(before: ModelState, after: ModelState, present: Iterable[int] = ()) -> list[ModelState]:
    """Returns the states that a server goes through, the last of them the wanted one.

    First the wanted versions are loaded beside the present ones, then the labels move, then what is no longer wanted goes. A policy that
    chooses versions by itself needs one step only.

    Args:
      before: what it serves.
      after: what it shall serve.
      present: as for `ModelState.beside`.
    """
    if after.policy != SPECIFIC:
        return [after]
    both = before.beside(after, present)
    return [both, ModelState(SPECIFIC, versions=both.versions, labels=after.labels), after]


def check_loaded(found: Iterable[ModelState], model: str, after: ModelState) -> None:
    """Looks whether servers have what gets a label, where the policy would not load it.

    Args:
      found: what each of them serves.
      model: its name.
      after: what they shall serve.

    Raises:
      CxrError: a server does not have it.
    """
    for state in found:
        if after.policy != SPECIFIC and (missing := sorted(set(after.labels.values()) - set(state.versions))):
            label = next(label for label, version in sorted(after.labels.items()) if version == missing[0])
            raise CxrError(
                f"{model}: version {missing[0]} is not available (available: {listed(state.versions)}) and the policy is '{after.policy}'; "
                f"this loads it and serves labelled versions only: cxr serving promote {model} {missing[0]} --label {label} --pin"
            )


def gone(servers: Sequence[Connection], model: str, wanted: Iterable[int], timeout: float, failed: bool = False) -> set[int]:
    """Returns the versions, of those that are wanted, that a server has no more: their folders were removed.

    Args:
      servers: to ask; one that does not have the model knows nothing of its folders.
      model: its name.
      wanted: version numbers.
      timeout: seconds per question.
      failed: those that a server could not load count too.

    Raises:
      RequestFailed: a server cannot be asked.
    """
    lost = set[int]()
    for server in servers:
        states = statuses(server, model, timeout)
        if not states:
            continue
        ended = {n for n, status in states.items() if status.state == END and not status.error}
        ended |= {n for n, status in states.items() if failed and status.state != AVAILABLE and status.error}
        lost |= {n for n in wanted if n not in states or n in ended}
    return lost


def wait_for(servers: Sequence[Connection], model: str, wanted: Iterable[int], seconds: float, unknown: float = UNKNOWN_SECONDS) -> None:
    """Waits until versions are available on every server.

    Args:
      servers: to ask.
      model: its name.
      wanted: version numbers.
      seconds: patience for all of them.
      unknown: patience with a server that does not list a version at all.

    Raises:
      CxrError: a version does not load, is not there, or takes too long.
      RequestFailed: a server cannot be asked.
    """
    began, wanted = time.monotonic(), sorted(wanted)
    for server in servers:
        while True:
            states = statuses(server, model, min(RPC_SECONDS, seconds))
            pending = [version for version in wanted if version not in states or states[version].state != AVAILABLE]
            if not pending:
                break
            _check_pending(server.server, model, pending[0], states, time.monotonic() - began, seconds, unknown)
            time.sleep(PAUSE_SECONDS)


def _check_pending(
    server: str, model: str, version: int, states: dict[int, VersionStatus], waited: float, seconds: float, unknown: float
) -> None:
    status = states.get(version)
    if status is None and waited > unknown:
        raise CxrError(
            f"{server}: finds no version {version} of {model} after {waited:.0f} s (it has: {listed(states)}); push it, or name another"
        )
    if status is not None and status.state == END and status.error:
        raise CxrError(f"{server}: version {version} of {model} does not load: {status.error}")
    if waited > seconds and status is not None and status.error:  # the server tries again; more patience would not help
        raise CxrError(
            f"{server}: version {version} of {model} does not load ({status.state} again after {waited:.0f} s): {status.error}; "
            "push one that does under a higher number"
        )
    if waited > seconds:
        state = status.state if status else "not listed"
        raise CxrError(
            f"{server}: version {version} of {model} is not available after {waited:.0f} s ({state}); raise --wait if it is large. "
            "After a broken newest version TensorFlow Serving postpones older ones: push the good model again under a higher number"
        )


def difference(
    server: Connection, model: str, state: ModelState, timeout: float, gone: Iterable[str] = (), unloaded: Iterable[int] = ()
) -> str:
    """Asks a server whether it serves a model in a state.

    Args:
      server: to ask.
      model: its name.
      state: versions of "specific" must be available, labels must resolve as it says.
      timeout: seconds per question.
      gone: labels that must not resolve.
      unloaded: versions that must not be available.

    Returns:
      What differs; empty where nothing does.

    Raises:
      RequestFailed: it does not answer.
    """
    available = {version for version, status in statuses(server, model, timeout).items() if status.state == AVAILABLE}
    if missing := sorted(set(state.versions) - available):
        return f"version {missing[0]} is not available"
    if surplus := sorted(available.intersection(unloaded)):
        return f"version {surplus[0]} is still loaded"
    wanted: dict[str, int | None] = {**dict.fromkeys(gone), **state.labels}
    found = labelled(server, model, wanted, timeout)
    for label, version in sorted(wanted.items()):
        if found.get(label) != version:
            return f"label {label} is {_at(found.get(label))}, not {_at(version)}"
    return ""


def restore(server: Connection, config: ModelServerConfig, seconds: float, ask: Callable[[float], str]) -> str:
    """Gives a server its former configuration until it is found to serve it.

    Args:
      server: to tell.
      config: the former one, whole.
      seconds: patience.
      ask: finds out what differs from the former state, in that many seconds per question; as `difference`.

    Returns:
      What still differs, or why that is not known; empty where the server is as before.
    """
    deadline, problem = time.monotonic() + seconds, "not asked"
    while (left := deadline - time.monotonic()) > 0:
        timeout = min(RPC_SECONDS, left)
        try:
            refusal = _refusal(server, config, timeout)
            differs = ask(timeout)
            problem = differs and (refusal or differs)
        except RequestFailed as error:
            problem = _without_name(server, error)
        if not problem:
            return ""
        time.sleep(PAUSE_SECONDS)
    return f"{server.server}: {problem}"


def _refusal(server: Connection, config: ModelServerConfig, timeout: float) -> str:
    """Tells a server a configuration. Returns why it refused; empty where it did not.

    Raises:
      RequestFailed: it is busy with the change that failed, which may still come, or away. Both may pass.
    """
    try:
        reload_config(server, config.SerializeToString(), timeout)
    except (ServerUnavailable, DeadlineExceeded):
        raise
    except RequestFailed as error:
        return _without_name(server, error)
    return ""


def _without_name(server: Connection, error: RequestFailed) -> str:
    return str(error).removeprefix(f"{server.server}: ")


def listed(numbers: Iterable[int]) -> str:
    """Returns version numbers for a message."""
    return ", ".join(map(str, sorted(numbers))) or "none"


def _at(version: int | None) -> str:
    return "on no version" if version is None else f"version {version}"
