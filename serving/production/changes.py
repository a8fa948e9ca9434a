"""Moves labels and pins versions: file, running servers and journal together, or none of them.

Two ways lead to the servers. Told one by one, they go through the states of `rollout.steps` at once. Where the file is published (a
ConfigMap that servers poll), it holds one state at a time, and a label must not move in the same state that brings its version:
TensorFlow Serving checks labels before it loads, and would refuse that file at every look. Such a change takes two files, the second
written only when every server is known to have taken the first.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from cxr.core.errors import CxrError, UsageError
from cxr.core.model_versions import LARGEST_VERSION
from cxr.serving import models_config
from cxr.serving.client.connection import Connection
from cxr.serving.client.models import AVAILABLE, END, reload_config
from cxr.serving.defaults import LOAD_SECONDS
from cxr.serving.production import config_file, model_states, others, rollout
from cxr.serving.production.journal import APPLIED, BEGUN, REFUSED, STAGED, UNVERIFIED, Entry, Journal
from cxr.serving.production.model_states import LATEST, SPECIFIC, ModelState
from cxr.serving.production.others import Kept
from cxr.serving.production.overview import LABELS, MODELS, states_in
from cxr.serving.production.rollout import NOTHING, RPC_SECONDS

_LABEL = re.compile(r"[^/:\s]+")  # what a REST address can hold


@dataclass(frozen=True)
class Done:
    """What changed, and what the user should know about it."""

    entry: Entry
    notes: tuple[str, ...] = ()


class Changes:
    """Changes of one models.config and of the servers that read it."""

    def __init__(
        self,
        path: Path,
        servers: Sequence[Connection] = (),
        wait: float = LOAD_SECONDS,
        published_to: Sequence[Connection] = (),
        confirmed: bool = False,
    ):
        """Touches nothing.

        Args:
          path: models.config.
          servers: to tell; none: the file only, for servers that poll it.
          wait: seconds a version may take to load, a server to answer, and to be as before where a change fails.
          published_to: where servers poll the file: those to ask whether a version is loaded before a label moves to it.
          confirmed: the user has made sure of that.
        """
        self._path, self._servers, self._wait = path, servers, wait
        self._published_to, self._confirmed = published_to, confirmed
        self._timeout = min(RPC_SECONDS, wait)
        self._journal = Journal(path)

    def promote(self, model: str, version: int, label: str = config_file.STABLE, pin: bool = False, reason: str = "") -> Done:
        """Moves a label to a version, or prepares that (see `Entry.outcome`) where servers poll the file.

        Args:
          model: its name.
          version: where the label goes.
          label: which label moves.
          pin: serve labelled versions only from now on (policy "specific").
          reason: for the journal.

        Raises:
          UsageError: a version or label that clients could not ask for.
          CxrError: the version does not exist or does not load, or a server refused; the message and the journal say whether
            everything is as before.
        """
        _check(version, label)
        with config_file.locked(self._path):
            before = self._state(model)
            after = before.with_label(label, version, pin)
            there = after.labels == before.labels and after.policy == before.policy
            behind = self._behind(model, before, {version}) if there else []
            if behind:  # in line first: the version that is kept for a rollback goes when servers are told once more
                after = before
            if after == before and not behind:
                where = "in the file and on every server" if self._servers else "in the file; cxr serving status shows what servers serve"
                raise CxrError(f"{model}: {label} is version {version} already, {where}; nothing to change")
            if after.policy != before.policy:
                self._check_pin(model, version)
            pending = self._journal.staged(model, before)
            if pending is not None and pending.undoes is None and pending.after == after:
                entry = replace(pending, reason=reason or pending.reason)
            else:
                entry = Entry(self._journal.next_id(), "promote", model, before, after, reason)
            done = self._apply(entry, before, pending, {version})
        notes = [*done.notes, *(f"{self._path} said so already; before this change: {problem}" for problem in behind)]
        if after.policy == LATEST:
            notes.append(
                f"the policy is 'latest {after.count}': version {version} is unloaded once {after.count} newer came; --pin prevents that"
            )
        if after.policy == SPECIFIC != before.policy:
            notes.append(f"--pin: only version {rollout.listed(done.entry.reached.versions)} of {model} is served from now on")
        elif done.entry.outcome == APPLIED and (gone := set(before.versions) - after.named):
            notes.append(f"version {rollout.listed(gone)} of {model} is no longer served: no label names it")
        if label not in before.labels:
            notes.append(f"{label} is a new label of {model} (there were: {', '.join(sorted(before.labels)) or 'none'})")
        return replace(done, notes=tuple(notes))

    def rollback(self, model: str, reason: str = "") -> Done:
        """Takes back the last change of a model; again takes back the one before it.

        Raises:
          CxrError: nothing to take back, the file was edited since, or as for `promote`.
        """
        with config_file.locked(self._path):
            current = self._state(model)
            pending = self._journal.staged(model, current)
            if pending is not None and pending.undoes is not None:
                return self._apply(replace(pending, reason=reason or pending.reason), current, pending)
            last = pending or self._journal.to_undo(model, current)
            if last is None:
                raise CxrError(
                    f"{self._journal.path}: no change of {model} to take back; name a version: cxr serving promote {model} VERSION"
                )
            if last is not pending and last.after != current:
                raise CxrError(
                    f"{self._path}: {model} was edited since change {last.id} (then: {last.after}; now: {current}); "
                    f"name the version to go back to: cxr serving promote {model} VERSION"
                )
            entry = Entry(self._journal.next_id(), "rollback", model, current, last.before, reason, undoes=last.id)
            return self._apply(entry, current, pending)

    def _apply(self, entry: Entry, current: ModelState, pending: Entry | None, asked: Collection[int] = ()) -> Done:
        self._check_folders(entry)
        if self._servers:
            return self._tell(entry, current, asked)
        return self._publish(entry, current, pending)

    # === Servers that are told ===

    def _behind(self, model: str, state: ModelState, asked: Collection[int]) -> list[str]:
        """Returns what servers do not serve of the file's state: it was changed with none to tell, or they read another file."""
        wanted, labels = state.without(self._lost(model, state, asked)), self._labels()
        behind = []
        for server in self._servers:
            present = others.present(server, model, wanted, labels, self._timeout)
            if not others.is_as(present, wanted):
                differs = rollout.difference(server, model, wanted, self._timeout) or f"it serves '{present}'"
                behind.append(f"{server.server}: {differs}")
        return behind

    def _tell(self, entry: Entry, current: ModelState, asked: Collection[int]) -> Done:
        old_text, model = self._path.read_text(encoding="utf-8"), entry.model
        entry = replace(entry, servers=tuple(server.server for server in self._servers), outcome=BEGUN, error="")
        moved = {version for label, version in entry.after.labels.items() if current.labels.get(label) != version}
        lost = self._lost(model, current, {*moved, *asked})
        if entry.undoes is None:  # no rollback could go back to what is lost, or does not load
            useless = rollout.gone(self._servers, model, current.named, self._timeout, failed=True)
            stay = {version for version in entry.after.versions if version not in useless or version in entry.after.labels.values()}
            entry = replace(entry, after=replace(entry.after, versions=tuple(sorted(stay))))
        after, old = entry.after, current.without(lost)
        # A server may be behind the file, where that was changed without telling it: each goes on from what it serves.
        labels = {**current.labels, **after.labels}
        found = [rollout.served(server, model, labels, self._timeout) for server in self._servers]
        rollout.check_loaded((state or NOTHING for state in found), model, after)
        kept = self._kept(model)
        self._journal.append(entry)
        try:
            self._go_through(entry, old, found, kept, lost)
            left = set(current.labels) - set(after.labels)
            for server in self._servers:
                if differs := rollout.difference(server, model, after.without(lost), self._timeout, left):
                    raise CxrError(f"{server.server}: took the configuration, but {differs}; does it read another models.config?")
        except BaseException as error:
            config_file.replace(self._path, old_text)
            problems = "; ".join(filter(None, map(partial(self._restore, entry, old), self._servers, found, kept)))
            reason = str(error) or type(error).__name__
            if not problems:
                self._journal.append(replace(entry, outcome=REFUSED, error=reason))
                raise
            reason = f"{reason}. {self._path} is as before, but not every server is known to be: {problems}"
            self._journal.append(replace(entry, outcome=UNVERIFIED, error=reason))
            if not isinstance(error, Exception):
                raise
            raise CxrError(f"{reason}. See cxr serving status; restart a server that stays so: it reads the file") from error
        self._journal.append(applied := replace(entry, outcome=APPLIED))
        return Done(applied, tuple(model.note for models in kept for model in models))

    def _kept(self, model: str) -> list[list[Kept]]:
        """Returns, for each server, the other models of which it has something else than the file; none is known to have more."""
        states, labels, found = states_in(self._path), self._labels(), []
        unnamed = sorted({*MODELS, *(entry.model for entry in self._journal.entries())} - set(states))
        del states[model]
        for server in self._servers:
            others.check_named(server, unnamed, self._path, self._timeout)
            found.append(others.kept(server, states, labels, self._timeout, self._path))
        return found

    def _labels(self) -> set[str]:
        """Returns the labels that a server may have although the file does not name them: the usual ones and those of earlier changes."""
        return {*LABELS, *(label for entry in self._journal.entries() for state in (entry.before, entry.after) for label in state.labels)}

    def _go_through(
        self, entry: Entry, old: ModelState, found: Sequence[ModelState | None], kept: Sequence[Sequence[Kept]], lost: set[int]
    ) -> None:
        """Takes file and servers from what they are, `old` and `found`, to the new state, all of them step by step.

        Of other models each server keeps what it has.
        """
        after, pinned = entry.after, old.policy == SPECIFIC
        present = set[int]() if pinned else {version for state in found if state for version in state.versions}
        in_file, told = rollout.steps(old, after, present), [rollout.steps(state or NOTHING, after) for state in found]
        states: list[ModelState | None] = [state if pinned else None for state in found]
        for step, in_file_now in enumerate(in_file):
            # First: a server that polls the file must not undo the reload.
            config_file.replace(self._path, config_file.render(self._config({entry.model: in_file_now})))
            for place, server in enumerate(self._servers):
                wanted = told[place][step]
                if wanted != states[place] or wanted is after:
                    config = self._config(_states(entry.model, wanted, kept[place]))
                    reload_config(server, config.SerializeToString(), self._wait)
                    states[place] = wanted
            rollout.wait_for(self._servers, entry.model, after.named - lost, self._wait)

    def _restore(self, entry: Entry, old: ModelState, server: Connection, found: ModelState | None, kept: Sequence[Kept]) -> str:
        """Gives a server what it had: the file's state, or what it was found to serve where that was another. Returns what differs."""
        model, after = entry.model, entry.after
        states = _states(model, found, kept)
        if was_as_file := found is not None and _has(found, old):
            del states[model]
        state = old if was_as_file else found or NOTHING
        # Of a policy that chooses versions by itself nobody knows what it has loaded meanwhile.
        brought = after.named - state.named - set((found or NOTHING).versions) if state.policy == SPECIFIC else ()
        new_labels = set(after.labels) - set(state.labels)
        ask = partial(rollout.difference, server, model, state, gone=new_labels, unloaded=brought)
        return rollout.restore(server, self._config(states), self._wait, ask)

    def _lost(self, model: str, current: ModelState, needed: Collection[int]) -> set[int]:
        """Returns the versions that a label names, or a pin, although they are gone; but for those that are needed now."""
        return rollout.gone(self._servers, model, current.named - set(needed), self._timeout)

    # === Servers that poll the file ===

    def _publish(self, entry: Entry, current: ModelState, pending: Entry | None) -> Done:
        """Writes the next of the one or two files that a change takes."""
        entry = replace(entry, servers=tuple(server.server for server in self._published_to), error="")
        if pending is not None and (added := entry.after.named & current.named - pending.before.named):
            self._confirm(entry, pending, added)
        specific = SPECIFIC in (current.policy, entry.after.policy)  # otherwise the policy loads the version, with or without its label
        outcome = STAGED if specific and entry.after.named - current.named else APPLIED
        entry = replace(entry, outcome=outcome)
        self._journal.append(replace(entry, outcome=BEGUN))
        try:
            config_file.replace(self._path, config_file.render(self._config({entry.model: entry.reached})))
        except BaseException as error:
            self._journal.append(replace(entry, outcome=REFUSED, error=str(error) or type(error).__name__))
            raise
        self._journal.append(entry)
        if outcome == APPLIED:
            return Done(entry, ("publish the file; cxr serving status shows when every server has taken it",))
        again = "rollback" if entry.undoes is not None else "promote"
        return Done(
            entry,
            (
                f"stage 1 of 2: the file loads version {rollout.listed(entry.after.named - current.named)} too, the labels are as before",
                f"publish it, then {again} once more, with --check HOST:PORT for every server: it waits for them and moves the labels",
            ),
        )

    def _confirm(self, entry: Entry, pending: Entry, added: set[int]) -> None:
        if self._published_to:
            # A ConfigMap takes a minute or two to reach a pod: a version that is not listed yet is no error before the time is over.
            rollout.wait_for(self._published_to, entry.model, entry.after.named, self._wait, unknown=self._wait)
        elif not self._confirmed:
            raise CxrError(
                f"{self._path}: change {pending.id} added version {rollout.listed(added)} of {entry.model}, and no label may move to it "
                "before every server has loaded it (a server refuses a file that brings both). Publish the file, then name the servers "
                "with --check HOST:PORT, or say --confirmed when you have looked yourself"
            )

    def _check_pin(self, model: str, version: int) -> None:
        for server in (*self._servers, *self._published_to):
            for status in rollout.statuses(server, model, self._timeout).values():
                if status.version > version and (status.error or status.state not in (AVAILABLE, END)):
                    raise CxrError(
                        f"{server.server}: version {status.version} of {model} is newer and {status.state} {status.error}; pinning an "
                        f"older one now is postponed for ever. Push the good model again as {status.version + 1} or higher, or leave "
                        "out --pin"
                    )

    def _check_folders(self, entry: Entry) -> None:
        """Says early what cannot work, where the models' folder can be seen from here."""
        base = Path(config_file.find(models_config.read(self._path), entry.model, self._path).base_path)
        found = models_config.versions_in(base)
        for label, version in sorted(entry.after.labels.items()):
            if base.is_dir() and version not in found and entry.before.labels.get(label) != version:
                raise CxrError(f"{base}: has no version {version} (it has: {rollout.listed(found)}); push it, or name another")

    def _state(self, model: str) -> ModelState:
        return model_states.read(config_file.find(models_config.read(self._path), model, self._path))

    def _config(self, states: Mapping[str, ModelState | None]) -> models_config.ModelServerConfig:
        """Returns the file's configuration with models in other states, or, with None, without them."""
        config = models_config.read(self._path)
        for model, state in states.items():
            entry = config_file.find(config, model, self._path)
            if state is None:
                config.model_config_list.config.remove(entry)
            else:
                model_states.write(entry, state)
        return config


def _states(model: str, state: ModelState | None, kept: Sequence[Kept]) -> dict[str, ModelState | None]:
    return {model: state, **{other.model: other.state for other in kept}}


def _has(found: ModelState, old: ModelState) -> bool:
    """Tells whether a server had what the file says of a model, or nothing that could be lost."""
    return not found.versions or set(old.versions) <= set(found.versions) and old.labels == found.labels


def _check(version: int, label: str) -> None:
    if not 0 <= version <= LARGEST_VERSION:
        raise UsageError(f"version {version}: must be from 0 to {LARGEST_VERSION}; name one that the server finds")
    if not _LABEL.fullmatch(label):
        raise UsageError(f"--label {label!r}: must be a word without '/' and ':', else no REST address can name it; for example stable")
