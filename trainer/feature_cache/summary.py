"""What a feature cache holds, for people."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from cxr.core.errors import CxrError
from cxr.trainer.feature_cache.store import ABOUT, ANSWERS, FEATURES, GroupInfo, Shard, files_in


@dataclass(frozen=True)
class Summary:
    """What a cache holds of one backbone, or of what models answered."""

    backbone: str  # or ANSWERS
    entries: int  # feature vectors, or answers
    size: int  # bytes, batch statistics and checks included
    last_used: datetime


def summaries(folder: Path) -> list[Summary]:
    """Returns what a cache holds, by backbone; the largest first."""
    found: dict[str, list[tuple[Shard, int]]] = defaultdict(list)
    for one in files_in(folder):
        about = _about(one.file.parent)
        entries = _entries(one) if about and about.kind in (FEATURES, ANSWERS) else 0
        name = "unknown" if about is None else ANSWERS if about.kind == ANSWERS else about.backbone
        found[name].append((one, entries))
    made = [
        Summary(
            name,
            sum(entries for _, entries in kept),
            sum(one.size for one, _ in kept),
            datetime.fromtimestamp(max(one.used for one, _ in kept), UTC),
        )
        for name, kept in found.items()
    ]
    return sorted(made, key=lambda one: -one.size)


def _about(folder: Path) -> GroupInfo | None:
    try:
        return GroupInfo.read(folder / ABOUT, "")
    except CxrError:
        return None


def _entries(shard: Shard) -> int:
    try:
        return len(np.load(shard.file, mmap_mode="r", allow_pickle=False))
    except Exception:  # damaged: see `shards.read`
        return 0
