"""Moves labels and pins versions: file, running servers and journal together, or none of them.

How a change reaches a server without a failed request: first the wanted versions are loaded beside the present ones, then the labels
move, then what is no longer wanted goes.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

from cxr.core.errors import CxrError
from cxr.serving.client.connection import Connection
from cxr.serving.client.errors import RequestFailed
from cxr.serving.client.models import AVAILABLE, END, VersionStatus, reload_config, versions
from cxr.serving.production import config_file, model_states
from cxr.serving.production.journal import APPLIED, REFUSED, Entry, Journal
from cxr.serving.production.model_states import LATEST, SPECIFIC, ModelState

WAIT_SECONDS = 120.0  # for a version to load
RPC_SECONDS = 30.0
UNKNOWN_SECONDS = 10.0  # a server looks for folders every second; what it does not list by then is not there
PAUSE_SECONDS = 0.1


@dataclass(frozen=True)
class Done:
    """What changed, and what the user should know about it."""

    entry: Entry
    notes: tuple[str, ...] = ()


class Changes:
    """Changes of one models.config and of the servers that read it."""

    def __init__(self, path: Path, servers: Sequence[Connection] = (), wait: float = WAIT_SECONDS):
        """Touches nothing.

        Args:
            path: models.config.
            servers: to tell; none: the file only (where servers poll it).
            wait: seconds a version may take to load.
        """
        self._path, self._servers, self._wait = path, servers, wait
        self._journal = Journal(path)

    def promote(self, model: str, version: int, label: str = config_file.STABLE, pin: bool = False, reason: str = "") -> Done:
        """Moves a label to a version.

        Args:
            model: its name.
            version: where the label goes.
            label: which label moves.
            pin: serve labelled versions only from now on (policy "specific").
            reason: for the journal.

        Raises:
            CxrError: the version does not exist or does not load, or a server refused; everything is as before.
        """
        with config_file.locked(self._path):
            before = self._state(model)
            after = before.with_label(label, version, pin)
            if after == before:
                raise CxrError(f"{model}: {label} is version {version} already; nothing to change")
            if after.policy != before.policy:
                self._check_pin(model, version)
            entry = Entry(self._journal.next_id(), "promote", model, before, after, reason, self._addresses())
            self._apply(entry)
        notes = []
        if after.policy == LATEST:
            notes.append(
                f"the policy is 'latest {after.count}': version {version} is unloaded once {after.count} newer came; --pin prevents that"
            )
        return Done(replace(entry, outcome=APPLIED), tuple(notes))

    def rollback(self, model: str, reason: str = "") -> Done:
        """Takes back the last change of a model; again takes back the one before it.

        Raises:
            CxrError: nothing to take back, the file was edited since, or as for `promote`.
        """
        with config_file.locked(self._path):
            current = self._state(model)
            last = self._journal.to_undo(model, current)
            if last is None:
                raise CxrError(
                    f"{self._journal.path}: no change of {model} to take back; name a version: cxr serving promote {model} VERSION"
                )
            if last.after != current:
                raise CxrError(
                    f"{self._path}: {model} was edited since change {last.id} (then: {last.after}; now: {current}); "
                    f"name the version to go back to: cxr serving promote {model} VERSION"
                )
            entry = Entry(self._journal.next_id(), "rollback", model, current, last.before, reason, self._addresses(), undoes=last.id)
            self._apply(entry)
        return Done(replace(entry, outcome=APPLIED))

    def _apply(self, entry: Entry) -> None:
        old_text = self._path.read_text()
        self._check_folders(entry)
        steps = self._steps(entry)
        self._journal.append(entry)
        try:
            for state in steps:
                config = self._config(entry.model, state)
                config_file.replace(self._path, config_file.render(config))  # first: a server that polls the file must not undo the reload
                for server in self._servers:
                    reload_config(server, config.SerializeToString(), RPC_SECONDS)
                self._await(entry)
        except BaseException as error:
            config_file.replace(self._path, old_text)
            old = config_file.parse(old_text, self._path).SerializeToString()
            for server in self._servers:
                with suppress(RequestFailed):  # this may be the one that is gone; it comes back with the old file
                    reload_config(server, old, RPC_SECONDS)
            self._journal.append(replace(entry, outcome=REFUSED, error=str(error) or type(error).__name__))
            raise
        self._journal.append(replace(entry, outcome=APPLIED))

    def _steps(self, entry: Entry) -> list[ModelState]:
        """Returns the states to go through, the last of them the wanted one."""
        before, after = entry.before, entry.after
        if not self._servers:
            return [after]
        available = {s.version for server in self._servers for s in versions(server, entry.model, RPC_SECONDS) if s.state == AVAILABLE}
        missing = sorted(set(after.labels.values()) - available)
        if after.policy != SPECIFIC:
            if missing:
                raise CxrError(
                    f"{entry.model}: version {missing[0]} is not available (available: {_list(available)}) and the policy is "
                    f"'{after.policy}'; --pin loads it and serves labelled versions only"
                )
            return [after]
        both = tuple(sorted({*after.versions, *(before.versions if before.policy == SPECIFIC else available)}))
        steps = [ModelState(SPECIFIC, versions=both, labels=before.labels), ModelState(SPECIFIC, versions=both, labels=after.labels), after]
        if both == before.versions:
            steps = steps[1:]  # all of them are loaded
        return steps[:-1] if both == after.versions else steps

    def _await(self, entry: Entry) -> None:
        """Waits until every version that the wanted state needs is available on every server."""
        wanted = set(entry.after.labels.values()) | set(entry.after.versions)
        began = time.monotonic()
        for server in self._servers:
            while True:
                states = {status.version: status for status in versions(server, entry.model, RPC_SECONDS)}
                pending = [version for version in sorted(wanted) if version not in states or states[version].state != AVAILABLE]
                if not pending:
                    break
                self._check_pending(server.server, entry.model, pending[0], states, time.monotonic() - began)
                time.sleep(PAUSE_SECONDS)

    def _check_pending(self, server: str, model: str, version: int, states: dict[int, VersionStatus], waited: float) -> None:
        status = states.get(version)
        if status is None and waited > UNKNOWN_SECONDS:
            raise CxrError(f"{server}: finds no version {version} of {model} (it has: {_list(states)}); push it, or name another")
        if status is not None and status.state == END and status.error:
            raise CxrError(f"{server}: version {version} of {model} does not load: {status.error}")
        if waited > self._wait:
            state = status.state if status else "not listed"
            raise CxrError(
                f"{server}: version {version} of {model} is not available after {waited:.0f} s ({state}); raise --wait if it is large. "
                "After a broken newest version TensorFlow Serving postpones older ones: push the good model again under a higher number"
            )

    def _check_pin(self, model: str, version: int) -> None:
        for server in self._servers:
            for status in versions(server, model, RPC_SECONDS):
                if status.version > version and (status.error or status.state not in (AVAILABLE, END)):
                    raise CxrError(
                        f"{server}: version {status.version} of {model} is newer and {status.state} {status.error}; pinning an older "
                        f"one now is postponed for ever. Push the good model again as {status.version + 1} or higher, or leave out --pin"
                    )

    def _check_folders(self, entry: Entry) -> None:
        """Says early what cannot work, where the models' folder can be seen from here."""
        base = Path(config_file.find(config_file.read(self._path), entry.model, self._path).base_path)
        found = config_file.versions_in(base)
        for label, version in sorted(entry.after.labels.items()):
            if base.is_dir() and version not in found and entry.before.labels.get(label) != version:
                raise CxrError(f"{base}: has no version {version} (it has: {_list(found)}); push it, or name another")

    def _state(self, model: str) -> ModelState:
        return model_states.read(config_file.find(config_file.read(self._path), model, self._path))

    def _config(self, model: str, state: ModelState) -> config_file.ModelServerConfig:
        config = config_file.read(self._path)
        model_states.write(config_file.find(config, model, self._path), state)
        return config

    def _addresses(self) -> tuple[str, ...]:
        return tuple(server.server for server in self._servers)


def _list(numbers: Iterable[int]) -> str:
    return ", ".join(map(str, sorted(numbers))) or "none"
