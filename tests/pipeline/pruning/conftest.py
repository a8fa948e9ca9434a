"""A workspace made by hand, as runs leave it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from cxr.components.baseline import champion
from cxr.pipeline.workspace import Workspace


def push(models: Path, version: str, source: str, *, baseline: str | None = None, floor: str | None = None, last: bool = False) -> None:
    """A pushed version, and the pointer to it where it is the last."""
    folder = models / version
    (folder / "assets.extra").mkdir(parents=True)
    (folder / "saved_model.pb").write_text("x" * 100)
    compared = {"version": baseline, "metrics": {}} if baseline else None
    record = {
        "version": version, "pushed_at": "2026-11-26T01:02:00+00:00", "pipeline": "cpu", "run": f"tfx-{version}", "source": source,
        "fingerprint": "e" * 32, "split": "test", "metrics": {}, "baseline": compared, "floor": floor or version,
    }  # fmt: skip
    (folder / "assets.extra" / "push.json").write_text(json.dumps(record))
    if last:
        with champion.locked(models) as pointer:
            current = pointer.read()
            pointer.write(version, "e" * 32, source, expected=current.version if current else None)


@pytest.fixture
def pushed(make_run, tmp_path):
    """Eight runs of the pipeline cpu; each pushed a mobilenet, version 1 to 8, and the third and the last an ensemble, 33 and 88."""
    place = Workspace(tmp_path, "cpu")
    for number in range(1, 9):
        uri = f"/gone/tfx/Trainer-mobilenet/model/{number}"
        models = {"mobilenet": {"outcome": "pushed", "version": str(number), "model_uri": uri}}
        if number in (3, 8):
            models["ensemble"] = {
                "outcome": "pushed",
                "version": str(11 * number),
                "model_uri": f"/gone/tfx/Trainer-ensemble/model/{number}",
            }
            push(place.serving_models / "ensemble", str(11 * number), f"/gone/tfx/Trainer-ensemble/model/{number}", last=number == 8)
        make_run(f"2026110{number}-1", record={"exit_code": 0, "ended": "2026-11-26T01:02:03+00:00"}, report={"models": models})
        # The best so far is 2: later ones are held to it, and were compared with it.
        push(place.serving_models / "mobilenet", str(number), uri, baseline="2", floor="2", last=number == 8)
    return place
