from __future__ import annotations

import json
from pathlib import Path

import pytest

from cxr.core.errors import CxrError
from cxr.trainer.history import FILE, History, Score, StageHistory, Validation

ROW = {"loss": 0.1 + 0.2, "accuracy": 0.75, "learning_rate": 1e-3, "seconds": 0.25}
NETWORK = History(
    name="mobilenet",
    weights_note="nothing",
    random_weights=True,
    kept_stage="head",
    features_from_cache={"train": (8, 10)},
    notes=("feature cache: full",),
    stages=(StageHistory("head", [ROW], best_epoch=1),),
)
ENSEMBLE = History(
    name="ensemble",
    method="best",
    shares=None,
    validation=Validation(members={"one": Score(0.5, 0.75)}, methods={"best": Score(float("inf"), 0.75)}),
    stages=(),
)


@pytest.mark.parametrize("history", [NETWORK, ENSEMBLE])
def test_what_was_written_is_read(history: History, tmp_path: Path) -> None:
    history.write(str(tmp_path))
    assert History.read(f"{tmp_path}/") == history


def test_the_file_has_what_its_trainer_said_and_nothing_else(tmp_path: Path) -> None:
    ENSEMBLE.write(str(tmp_path))
    assert list(json.loads((tmp_path / FILE).read_text())) == ["name", "method", "shares", "validation", "stages"]


@pytest.mark.parametrize(("note", "untrained"), [("random weights (asked for imagenet: no file)", True), ("ImageNet weights", False)])
def test_an_older_version_told_random_weights_by_words_alone(tmp_path: Path, note: str, untrained: bool) -> None:
    stage = {"name": "head", "rows": [{"loss": 0.5}], "resumed_from": 0, "stopped_early": False, "best_epoch": None}
    (tmp_path / FILE).write_text(json.dumps({"name": "m", "weights_note": note, "kept": "of another version", "stages": [stage]}))
    found = History.read(str(tmp_path))
    assert (found.untrained, found.stages) == (untrained, (StageHistory("head", [{"loss": 0.5}]),))
    assert found.model_copy(update={"random_weights": not untrained}).untrained is not untrained


@pytest.mark.parametrize(("text", "why"), [("{", "Invalid JSON"), ("{}", "stages: Field required"), (None, "there is none")])
def test_a_damaged_file_is_named_with_a_remedy(tmp_path: Path, text: str | None, why: str) -> None:
    if text is not None:
        (tmp_path / FILE).write_text(text)
    with pytest.raises(CxrError, match=rf"{FILE}: not the history of a training \({why}.*\); train the model again"):
        History.read(str(tmp_path))
