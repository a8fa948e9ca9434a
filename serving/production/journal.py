"""The record of every change of a models.config: JSON lines that are only ever added to."""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from getpass import getuser
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError

from cxr.serving.production.model_states import ModelState

BEGUN, STAGED, APPLIED, REFUSED, UNVERIFIED = "begun", "staged", "applied", "refused", "unverified"


@dataclass(frozen=True)
class Entry:
    """One change; written as BEGUN before anything is touched, and again with its outcome.

    Attributes:
      id: counts the changes of one file from 1.
      action: "promote" or "rollback".
      model: whose versions or labels.
      before, after: its state.
      reason: what the user said.
      servers: that were told (or, where the file is published, asked); empty: the file only.
      outcome: BEGUN (interrupted, where it stays so); STAGED (the versions stand in the file, the labels are to follow); APPLIED; REFUSED
        (file and servers were found to be as before); UNVERIFIED (the file is as before, a server is not, or did not say).
      undoes: id of the change that a rollback takes back.
      time, user: when (UTC) and who.
      error: why it was refused, and which server is not as before.
    """

    id: int
    action: str
    model: str
    before: ModelState
    after: ModelState
    reason: str = ""
    servers: tuple[str, ...] = ()
    outcome: str = BEGUN
    undoes: int | None = None
    time: str = field(default_factory=lambda: datetime.now(UTC).isoformat(timespec="seconds"))
    user: str = field(default_factory=lambda: _user())
    error: str = ""

    @property
    def reached(self) -> ModelState:
        """The state that the file is in after this entry, unless it was refused."""
        return self.before.beside(self.after) if self.outcome == STAGED else self.after

    def to_json(self) -> dict[str, Any]:
        """Returns the fields, ready for `json.dumps`."""
        return asdict(self)


_ENTRY = TypeAdapter(Entry)


class Journal:
    """The file beside a models.config; the caller holds the lock of `config_file.locked`."""

    def __init__(self, config_path: Path):
        resolved = config_path.resolve()
        self.path = resolved.with_name(resolved.name + ".journal.jsonl")

    def append(self, entry: Entry) -> None:
        """Adds one line and waits until it is on the disk."""
        line = json.dumps(entry.to_json(), ensure_ascii=False)
        torn = self.path.exists() and self.path.read_bytes()[-1:] not in (b"", b"\n")
        with self.path.open("ab") as file:
            file.write((("\n" if torn else "") + line + "\n").encode())
            file.flush()
            os.fsync(file.fileno())

    def entries(self) -> list[Entry]:
        """Returns the changes in their order, each with its latest outcome. A line that is torn by a crash, or damaged, is passed over."""
        if not self.path.exists():
            return []
        found: dict[int, Entry] = {}
        for line in self.path.read_bytes().split(b"\n"):  # bytes: a line may be torn within a letter, and a reason may hold U+2028
            try:
                entry = _ENTRY.validate_json(line, strict=True)
            except ValidationError:
                continue
            found[entry.id] = entry
        return [found[number] for number in sorted(found)]

    def next_id(self) -> int:
        """Returns the number of the next change."""
        return max((entry.id for entry in self.entries()), default=0) + 1

    def staged(self, model: str, current: ModelState) -> Entry | None:
        """Returns the last change of a model if its labels are still to follow (it was interrupted there, or it is STAGED), or None.

        Args:
          model: its name.
          current: its state now; after another edit of the file nothing is pending.
        """
        last = next((entry for entry in reversed(self.entries()) if entry.model == model), None)
        if last is None or last.outcome not in (BEGUN, STAGED) or current == last.before:
            return None
        return last if current == last.before.beside(last.after) else None

    def to_undo(self, model: str, current: ModelState) -> Entry | None:
        """Returns the last change of a model that took effect and was not yet taken back, or None.

        Args:
          model: its name.
          current: its state now; a change that was interrupted counts where the file shows it was made.
        """
        done: list[Entry] = []
        for entry in self.entries():
            if entry.model != model or entry.outcome in (STAGED, REFUSED, UNVERIFIED) or entry.before == entry.after:
                continue  # the last: servers were told what the file said already, and the file remained as it was
            if entry.outcome == BEGUN and entry.after != current:
                continue
            if entry.undoes is None:
                done.append(entry)
            else:
                done = [other for other in done if other.id != entry.undoes]
        return done[-1] if done else None


def _user() -> str:
    try:
        return getuser()
    except (KeyError, OSError):  # a container's user often has no name
        return str(os.getuid())
