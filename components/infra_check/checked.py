"""Which files an infrastructure check loaded: a push publishes them and no others, whatever became of the artifact since."""

from __future__ import annotations

from pathlib import Path

_FINGERPRINT = "model_fingerprint.txt"  # in the blessing's folder


def note(blessing: Path, fingerprint: str) -> None:
    """Keeps the fingerprint (`champion.fingerprint`) of the model that is checked beside the verdict."""
    (blessing / _FINGERPRINT).write_text(f"{fingerprint}\n", encoding="utf-8")


def noted(blessing: Path) -> str:
    """Returns the fingerprint of the model that was checked.

    Raises:
      FileNotFoundError: The blessing is of no check of ours.
    """
    return (blessing / _FINGERPRINT).read_text(encoding="utf-8").strip()
