"""Which folders below TFX's root belong to nothing."""

from __future__ import annotations

from cxr.pipeline.pruning.left_over import left_over


def test_only_what_executions_left_and_nobody_knows(tmp_path):
    root = tmp_path / "tfx"
    kept = [
        root / "Trainer" / "model" / "3",
        root / "Trainer" / "model" / "notes",  # no execution's
        root / "Trainer" / ".system" / "executor_execution" / "3",
        root / "Trainer" / ".system" / "driver_execution" / "1795654208057540",
    ]
    killed = [
        root / "Evaluator" / "evaluation" / "4",
        root / "Trainer" / "model" / "5",
        root / "Trainer" / ".system" / "executor_execution" / "5",
        root / "Trainer" / ".system" / "stateful_working_dir" / "0b1c",
    ]
    for folder in (*kept, *killed):
        folder.mkdir(parents=True)
    (root / "Trainer" / "model" / "6").symlink_to(tmp_path)
    (root / "Trainer" / "model" / "7").touch()
    assert list(left_over(root, {kept[0]}, {3})) == killed
    assert list(left_over(tmp_path / "nowhere", (), ())) == []
