"""The page of a local run, also of one that broke."""

from __future__ import annotations

import errno
import json
import os
from collections.abc import Callable
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest
import tensorflow as tf
from lxml import html
from tfx.types import standard_artifacts

from cxr.components.metrics.verdicts import Judgement
from cxr.components.report.sources import Sources
from cxr.data.ingest.dataset import Dataset
from cxr.data.ingest.ingest_config import Ingest
from cxr.pipeline.kept_runs import KeptRun
from cxr.pipeline.local_runner import NodeResult
from cxr.pipeline.pipeline_config import load
from cxr.pipeline.report import make_report
from cxr.pipeline.report_page import page_sources, run_before, write_page
from cxr.trainer.history import FILE

CONFIG = load("demo", ["report.pictures=false"])
DATASET = Dataset(
    source="/data/Jane Doe",
    class_names=CONFIG.class_names,
    counts={"train": dict.fromkeys(CONFIG.class_names, 4)},
    patients={"train": 6},
    own_patients=0,
    rejects=2,
    reject_reasons={"truncated": 2},
    duplicates=1,
    near_duplicates=3,
    seed=1,
    synthetic=True,
    config=Ingest(),
    fingerprint="f",
    files={},
    versions={},
)


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory, raw_examples: list[bytes]) -> dict[str, NodeResult]:
    """Of a run whose first trainer broke."""
    examples = standard_artifacts.Examples()
    examples.uri, examples.id = str(tmp_path_factory.mktemp("Jane Doe") / "ImportExampleGen" / "examples" / "1"), 7
    (Path(examples.uri) / "Split-train").mkdir(parents=True)
    with tf.io.TFRecordWriter(str(Path(examples.uri) / "Split-train" / "data.gz"), "GZIP") as writer:
        for example in raw_examples:
            writer.write(example)
    done = NodeResult("ImportExampleGen", "done", 12.3, {"examples": [examples]})
    failed = NodeResult("Trainer-densenet201", "failed", 80.0, error="/data/Jane Doe/1.png: no memory left", peak_memory=3_000_000_000)
    skipped = [NodeResult(f"{role}-densenet201", "skipped", roots=(failed.node_id,)) for role in ("Evaluator", "Pusher")]
    return {result.node_id: result for result in (done, failed, *skipped)}


BEGAN = datetime(2026, 11, 25, 10, 32, 9, tzinfo=timezone(timedelta(hours=1)))


@pytest.fixture(scope="module")
def sources(results: dict[str, NodeResult]) -> Sources:
    report = make_report(CONFIG, results, {}, data="/data/Jane Doe", dataset=DATASET)
    return page_sources(CONFIG, results, report, DATASET, run="20261125-103209-306", began=BEGAN)


def test_a_page_for_which_there_is_no_room_leaves_nothing(sources: Sources, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_page(sources, tmp_path / "report.html")
    before = (tmp_path / "report.html").read_bytes()

    def no_room(_: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", no_room)  # the last moment at which a file system says so
    with pytest.raises(OSError, match="No space left"):
        write_page(sources, tmp_path / "report.html")
    assert [(file.name, file.read_bytes()) for file in tmp_path.iterdir()] == [("report.html", before)]


def test_a_run_that_failed_half_way_has_a_page_of_what_there_is(sources: Sources, tmp_path: Path) -> None:
    write_page(sources, tmp_path / "report.html")
    assert [file.name for file in tmp_path.iterdir()] == ["report.html"]
    page = html.parse(str(tmp_path / "report.html")).getroot()
    assert page.xpath("//main/section/@id") == ["verdict", "data", "lineage"]
    text = " ".join(page.text_content().split())
    for words in (
        "no memory left",
        "Not reached because of this: Evaluator-densenet201, Pusher-densenet201",
        "SYNTHETIC",
        "2 (2 truncated)",
        "1 min 20 s",
    ):
        assert words in text
    assert "run 20261125-103209-306" in text
    assert "began 2026-11-25 10:32+01:00" in text
    assert "ImportExampleGen/examples/1" in text
    assert "Jane" not in text


def test_a_page_that_cannot_take_its_place_leaves_nothing_beside_it(sources: Sources, tmp_path: Path) -> None:
    (tmp_path / "report.html").mkdir()
    with pytest.raises(IsADirectoryError):
        write_page(sources, tmp_path / "report.html")
    assert [file.name for file in tmp_path.iterdir()] == ["report.html"]


def test_a_damaged_history_is_a_remark_and_the_report_is_written(results: dict[str, NodeResult], tmp_path: Path) -> None:
    run = standard_artifacts.ModelRun()
    run.uri = str(tmp_path / "run")
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / FILE).write_text('{"stages": [')
    trained = NodeResult("Trainer-mobilenet", "done", outputs={"model_run": [run]})
    make_report(CONFIG, results | {"Trainer-mobilenet": trained}, {}, data="/data", dataset=DATASET).write(tmp_path / "report.json")
    (note,) = json.loads((tmp_path / "report.json").read_text())["models"]["mobilenet"]["notes"]
    assert f"{run.uri}/{FILE}: not the history of a training (Invalid JSON" in note
    assert "train the model again" in note


def test_a_verdict_that_cannot_be_read_is_that_models_failure_and_report_and_page_are_written(
    results: dict[str, NodeResult], tmp_path: Path
) -> None:
    evaluation = standard_artifacts.ModelEvaluation()
    evaluation.uri, evaluation.id = str(tmp_path / "Evaluator-mobilenet" / "evaluation" / "22"), 22
    Path(evaluation.uri).mkdir(parents=True)
    (Path(evaluation.uri) / "validations.tfrecord").write_bytes(bytes(40))
    cached = NodeResult("Evaluator-mobilenet", "cached", outputs={"evaluation": [evaluation]})
    known = results | {"Evaluator-mobilenet": cached}
    report = make_report(CONFIG, known, {}, data="/data", dataset=DATASET)
    found = report.models["mobilenet"]
    assert (report.exit_code, found.outcome, found.evaluation_uri, found.blessed) == (1, "failed", None, None)
    (reason,) = found.reasons
    assert reason.startswith(f"{evaluation.uri}: cannot be read (DataLossError: corrupted record")
    assert reason.endswith("remove this folder, and the next run makes it anew")
    write_page(page_sources(CONFIG, known, report, DATASET, run="1"), tmp_path / "report.html")
    assert "cannot be read (DataLossError" in (tmp_path / "report.html").read_text()


def test_the_configuration_decides_about_pictures(sources: Sources) -> None:
    assert sources.pictures is False
    assert load("demo").report.pictures is True


def test_what_the_gate_asked_for_goes_to_the_page(results: dict[str, NodeResult]) -> None:
    report = make_report(CONFIG, results, {}, data="/data/Jane Doe", dataset=DATASET)
    demand = Judgement("accuracy", "accuracy", None, 0.9, 0.75, None, 43, 0, "met")
    name = CONFIG.candidates[-1]
    judged = report.models | {name: report.models[name].model_copy(update={"demands": (demand,)})}
    found = page_sources(CONFIG, results, report.model_copy(update={"models": judged}), DATASET, run="20261125-103209-306")
    assert {model.name: model.verdict.demands for model in found.models if model.verdict.demands} == {name: (demand,)}


def test_what_ingest_found_is_on_the_page(sources: Sources) -> None:
    assert sources.ingested is not None
    assert (sources.ingested.rejects, sources.ingested.duplicates, sources.ingested.near_duplicates) == (2, 1, 3)


def test_the_run_before_is_read_from_its_folder(make_run: Callable[..., Path], tmp_path: Path) -> None:
    first = make_run("20261101-1", report={"images": {"train": {"normal": 9}}, "data_fingerprint": "a"})
    second = make_run("20261102-1", report={"images": {"train": {"normal": 8}}, "data_fingerprint": "a"}, overrides=("gate.tolerance=0",))
    assert run_before(first) is None
    found = run_before(second)
    assert found is not None
    assert (found.run, found.configuration) == ("20261101-1", (("gate.tolerance", "0.02", "0.0"),))
    assert found.data == ("train: 9 and 8 images of normal",)
    accuracy, evaluation = found.models["ensemble"]
    assert (str(accuracy), evaluation) == ("0.750 (0.500 to 0.900)", None)
    (first / "config.yaml").write_text("[]")
    found = run_before(second)
    assert found is not None
    assert found.configuration is None


def test_the_report_says_where_what_a_comparison_needs_is(results: dict[str, NodeResult], tmp_path: Path) -> None:
    make_report(CONFIG, results, {}, data="/data/Jane Doe", dataset=DATASET).write(tmp_path / "report.json")
    kept = KeptRun(tmp_path).report
    assert kept is not None
    assert kept.examples_uri == results["ImportExampleGen"].outputs["examples"][0].uri
    assert (kept.split, kept.images, kept.patients, kept.data_fingerprint) == ("test", DATASET.counts, DATASET.patients, "f")
    assert kept.nodes["Trainer-densenet201"].peak_memory == 3_000_000_000
