"""Two runs beside each other, from the artifacts that their reports name."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import tensorflow as tf
from rich.console import Console

from cxr.core.errors import CxrError
from cxr.pipeline.compare import NOT_THERE, Comparison, compare_runs, previous_of
from cxr.pipeline.compare_tables import remarks, tables
from cxr.pipeline.kept_runs import KeptRun

MakeRun = Callable[..., Path]
RIGHT = [number % 3 for number in range(12)]
FIRST, SECOND = "20261101-1", "20261102-1"


def report(artifacts: Path, evaluation: str, **changed: Any) -> dict[str, Any]:
    found = {"examples": 12, "patients": 6, "accuracy": 0.5, "accuracy_interval": {"low": 0.25, "high": 0.75}}
    model = {"outcome": "pushed", "version": "17", "evaluation": found, "evaluation_uri": str(artifacts / evaluation)}
    return {
        "models": {"ensemble": model},
        "split": "test",
        "examples_uri": str(artifacts / "examples"),
        "data_fingerprint": "a" * 64,
        "images": {"test": {"normal": 4}},
        "patients": {"test": 6},
        **changed,
    }


@pytest.fixture
def artifacts(tmp_path: Path, raw_examples: list[bytes], write_metrics: Callable[[Path, list[int]], None]) -> Path:
    """Records of twelve images of six patients; one model that is right on all, one on half, and one that was asked about ten."""
    folder = tmp_path / "cpu" / "tfx" / "Node" / "output"
    (folder / "examples" / "Split-test").mkdir(parents=True)
    with tf.io.TFRecordWriter(str(folder / "examples" / "Split-test" / "data.gz"), "GZIP") as writer:
        for example in raw_examples:
            writer.write(example)
    write_metrics(folder / "right", RIGHT)
    write_metrics(folder / "half", [0 if number < 6 else label for number, label in enumerate(RIGHT)])
    write_metrics(folder / "fewer", RIGHT[:10])
    return folder


def test_the_difference_is_paired_and_the_rest_stands_beside_each_other(make_run: MakeRun, artifacts: Path) -> None:
    first = KeptRun(make_run(FIRST, report=report(artifacts, "half")))
    second = KeptRun(make_run(SECOND, report=report(artifacts, "right"), overrides=("gate.tolerance=0",)))
    found = compare_runs(first, second)
    model = found.models["ensemble"]
    assert not model.why_not
    assert model.differences["accuracy"].value == pytest.approx(4 / 12)
    assert str(model.first.figures["accuracy"]) == "0.500 (0.250 to 0.750)"
    assert found.configuration is not None
    assert [(one.key, one.first, one.second) for one in found.configuration] == [("gate.tolerance", "0.02", "0.0")]
    assert found.data == ()
    assert compare_runs(second, first).models["ensemble"].differences["accuracy"].value == pytest.approx(-4 / 12)


def test_what_was_judged_on_other_images_is_not_paired(make_run: MakeRun, artifacts: Path) -> None:
    first = KeptRun(make_run(FIRST, report=report(artifacts, "right")))
    other = report(artifacts, "fewer", data_fingerprint="b" * 64, images={"test": {"normal": 3}}, patients={"test": 5})
    found = compare_runs(first, KeptRun(make_run(SECOND, report=other)))
    assert not found.models["ensemble"].differences
    assert found.data == (
        "fingerprint of the images and of how they were read: aaaaaaaaaaaa and bbbbbbbbbbbb",
        "test: 4 and 3 images of normal",
        "test: 6 and 5 patients",
    )
    assert "no difference of ensemble can be given: judged on other images: 12 and 10, 10 of them the same" in list(remarks(found))


@pytest.mark.parametrize("older", [(FIRST,), (SECOND,), (FIRST, SECOND)])
def test_a_run_of_an_older_version_is_not_said_to_have_other_data(make_run: MakeRun, artifacts: Path, older: tuple[str, ...]) -> None:
    first, second = (
        KeptRun(make_run(name, report=report(artifacts, "right", data_fingerprint="" if name in older else "a" * 64)))
        for name in (FIRST, SECOND)
    )
    assert compare_runs(first, second).data == ("fingerprint: not kept by a run of an older version",)


def test_artifacts_that_are_gone_and_models_of_one_run_only(make_run: MakeRun, artifacts: Path) -> None:
    first = KeptRun(make_run(FIRST, report=report(artifacts, "cleared away")))
    other = report(artifacts, "right")
    other["models"]["mobilenet"] = {"outcome": "refused", "reasons": ["gate: no"]}
    found = compare_runs(first, KeptRun(make_run(SECOND, report=other)))
    assert "the first has no stored predictions" in found.models["ensemble"].why_not
    assert found.models["mobilenet"].first.verdict == NOT_THERE
    shown = io.StringIO()
    Console(width=200, file=shown).print(*tables(found))
    text = shown.getvalue()
    for words in ("refused: gate: no", "0.500 (0.250 to 0.750)", "1 min 00 s", "whole run"):
        assert words in text


def shown_of(found: Comparison) -> str:
    shown = io.StringIO()
    console = Console(width=200, file=shown)
    console.print(*tables(found))
    console.print("\n".join(remarks(found)))
    return shown.getvalue()


@pytest.mark.parametrize("which", [0, 1])
def test_a_configuration_that_cannot_be_read_differs_in_nothing_that_is_known(make_run: MakeRun, which: int) -> None:
    folders = [make_run(name, report={}) for name in (FIRST, SECOND)]
    (folders[which] / "config.yaml").write_text("[]")
    found = compare_runs(KeptRun(folders[0]), KeptRun(folders[1]))
    assert found.configuration is None
    text = shown_of(found)
    assert f"run {folders[which].name}: config.yaml cannot be read (it holds no settings): what it says is left out" in text
    assert "configuration: how it differs is not known" in text
    assert "what differs" not in text
    assert "nothing differs" not in text


def test_a_sum_of_nodes_is_told_from_the_time_that_a_run_took(make_run: MakeRun) -> None:
    record = {"ended": "2026-11-26T01:02:03+00:00", "exit_code": 0}
    kept, older, damaged = make_run(FIRST, record=record, report={}), make_run(SECOND, report={}), make_run("20261103-1", report={})
    (damaged / "run.json").write_text("")
    row = next(line for line in shown_of(compare_runs(KeptRun(kept), KeptRun(older))).splitlines() if "whole run" in line)
    assert [cell.strip() for cell in row.split("│")[1:4]] == ["whole run", "2 min 03 s", "1 min 02 s (sum of its nodes)"]
    text = shown_of(compare_runs(KeptRun(kept), KeptRun(damaged)))
    row = next(line for line in text.splitlines() if "whole run" in line)
    assert [cell.strip() for cell in row.split("│")[1:4]] == ["whole run", "2 min 03 s", "–"]
    assert "run 20261103-1: run.json cannot be read (Invalid JSON" in text


def test_a_run_without_a_report(make_run: MakeRun) -> None:
    run = KeptRun(make_run(FIRST, record={}))
    with pytest.raises(CxrError, match="has no report.json"):
        compare_runs(run, run)


def test_the_run_before_is_the_newest_that_judged_a_model(make_run: MakeRun) -> None:
    make_run("20261101-1", report={})
    make_run("20261102-1", report={"models": {"ensemble": {"outcome": "failed"}}})
    make_run("20261102-2", pipeline="demo", report={})
    now = KeptRun(make_run("20261103-1", report={}))
    before = previous_of(now)
    assert before is not None
    assert before.name == "20261101-1"
    assert previous_of(before) is None
