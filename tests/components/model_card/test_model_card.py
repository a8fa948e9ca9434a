"""The card of a pushed model, from answers to a small evaluation."""

import json
from dataclasses import replace

import numpy as np
import pytest
import yaml

from cxr.components.baseline.push_record import Comparison as Compared
from cxr.components.baseline.push_record import PushRecord
from cxr.components.metrics.evaluation import Validation, evaluation_of
from cxr.components.metrics.tally import Tally
from cxr.components.metrics.values import values_of
from cxr.components.metrics.verdicts import Judgement
from cxr.components.model_card.card import ModelCard, Section, Table
from cxr.components.model_card.make import Pushed, make_card
from cxr.components.shortcut_check.verdict import Comparison, ShortcutVerdict
from cxr.core.figure_table import OF_ALL_CLASSES, OF_ONE_CLASS
from cxr.core.intervals import Figure, Interval
from cxr.trainer.calibration_info import Calibration, Conformal, OperatingPoint, Outside, Reliability
from cxr.trainer.model_info import ModelInfo

CLASSES = ("covid19", "a|b <script>", "normal")
POINT = OperatingPoint(at_least="specificity", demanded=0.9, threshold=0.3, sensitivity=0.7, specificity=1)
BESIDE = Comparison(shortcut="border", balanced_accuracy=0.4, difference=Figure(value=0.4), beaten=True, verdict="better than the border")


def evaluation():
    tally = Tally(3, 5)
    for number in range(30):
        tally.add(number % 3, np.eye(3)[number % 3 if number % 5 else 0] * 0.7 + 0.1, b"patient%d" % (number // 2))
    values = values_of(tally.results())
    return evaluation_of(values, {("source", "nih"): values, ("label", "normal"): values}, CLASSES)


def info(**changes):
    reliability = Reliability(calibration_error=0.125, log_loss=0.875, bins=())
    known = {
        "name": "mobilenet",
        "class_names": CLASSES,
        "image_size": 224,
        "weights_note": "random weights",
        "backbone": "MobileNet",
        "synthetic": True,
        "data": {
            "fingerprint": "abc",
            "images": {"train": {"covid19": 3, "normal": 4}, "val": {"covid19": 1}},
            "synthetic": 2,
            "sources": {"nih": {"CC0": 5, "unknown": 1}, "synthetic": {"unknown": 2}},
        },
        "data_used": {"weights": "the training split"},
        "training": {"backbone": "MobileNet", "head_training": {"epochs": 7}, "fine_tuning": None},
        "preprocessing": {"contrast": "clahe"},
        "calibration": Calibration(temperature=1.5, split="val", images=9, before=reliability, after=reliability),
        "outside": Outside(share=0.05, flagged=0.04, split="val", images=9),
        "conformal": Conformal(coverage=0.9, least_probability=0.2, split="val", images=9, covered=0.91, mean_size=1.25),
        "operating_points": {
            "normal": [OperatingPoint(at_least="specificity", demanded=0.9, threshold=0.3, sensitivity=0.7, specificity=1)]
        },
    }
    return ModelInfo.model_validate(known | changes)


RECORD = PushRecord(
    version="17",
    pushed_at="2026-11-25T22:00:00+00:00",
    pipeline="demo",
    run="r1",
    source="/runs/1",
    fingerprint="f00d",
    split="test",
    metrics={"accuracy": 0.8},
    floor="17",
)
DEMAND = Judgement("accuracy", "accuracy", None, 0.8, 0.5, None, 15, 0, "met")
SHORTCUTS = ShortcutVerdict(
    model="mobilenet",
    split="test",
    balanced_accuracy=0.8,
    margin=0.0,
    comparisons=(BESIDE,),
    masked=(),
    clear=("covid19 can be predicted from the border alone: AUC 0.950 (0.910 to 0.980)",),
    reasons=(),
)


def whole():
    return Pushed(RECORD, info(), evaluation(), Validation(True, (), (DEMAND,)), SHORTCUTS)


def bare():
    """A model of an older version, judged by the bounds alone."""
    known = ModelInfo(name="old", class_names=CLASSES, image_size=32)
    nothing = SHORTCUTS.model_copy(update={"margin": None, "comparisons": (), "clear": ()})
    return Pushed(RECORD.model_copy(update={"run": ""}), known, evaluation(), Validation(True, ()), nothing)


@pytest.mark.parametrize("pushed", [whole, bare])
def test_no_field_is_empty(pushed):
    assert make_card(pushed()).empty == ()


@pytest.mark.parametrize(
    ("card", "missing"),
    [
        (ModelCard("t", {"license": ""}, ()), "metadata: license"),
        (ModelCard("t", {}, (Section("Data"),)), "Data"),
        (ModelCard("t", {}, (Section("Data", facts=(("origin", " "),)),)), "Data: origin"),
        (ModelCard("t", {}, (Section("Data", sentences=("",)),)), "Data: a sentence"),
        (ModelCard("t", {}, (Section("Data", tables=(Table("counts", ("a",), ()),)),)), "Data: counts"),
        (ModelCard("t", {}, (Section("Data", tables=(Table("counts", ("a", "b"), (("x", ""),)),)),)), "Data: counts"),
    ],
)
def test_an_empty_field_is_found(card, missing):
    assert card.empty == (missing,)


def test_what_the_card_says():
    text = make_card(whole()).markdown()
    for words in (
        "# mobilenet, version 17",
        "not a diagnostic device",
        "SYNTHETIC images",
        "| train | 3 | 0 | 4 | 7 |",
        "| nih | CC0 | 5 |",
        "| nih | not stated | 1 |",
        "head_training.epochs 7; fine_tuning none",
        "random weights",
        "contrast clahe",
        "| accuracy | at least 0.500 | 0.800 | met |",
        "better than the border.",
        "In the data covid19 can be predicted from the border alone: AUC 0.950 (0.910 to 0.980).",
        "calibration error 0.125, log loss 0.875 before",
        "specificity 0.9",
        "30 images of 15 patients",
        "source nih",
    ):
        assert words in text, words


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({}, "scaled to 224×224 pixels"),  # an older version
        ({"network_size": 600}, "scaled to 600×600 pixels"),
        ({"members": {"a": info(), "b": info(network_size=600), "c": info()}}, "scaled to 224×224 and 600×600 pixels"),
    ],
)
def test_the_card_says_what_size_the_networks_see(changes, said):
    pushed = Pushed(RECORD, info(**changes), evaluation(), Validation(True, ()), SHORTCUTS)
    assert said in make_card(pushed).markdown()


def test_every_figure_has_its_title_and_its_value():
    pushed = whole()
    card = make_card(pushed)
    tables = {table.caption: table for section in card.sections for table in section.tables}
    assert tables["Figures, with 95 % intervals by patient"].rows == tuple(
        (row.title, str(pushed.evaluation.figure(row.name))) for row in OF_ALL_CLASSES
    )
    classes, one = tables["Each class against the rest"], pushed.evaluation.classes[0]
    assert classes.columns[2:] == tuple(row.title for row in OF_ONE_CLASS)
    assert classes.rows[0][2:] == tuple(str(one.figure(row.name)) for row in OF_ONE_CLASS)
    assert tables["Slices"].columns[3:] == tuple(row.title for row in OF_ALL_CLASSES if row.by_slice)
    assert [row[0] for row in tables["Slices"].rows] == ["source nih"]  # of a class there is the recall
    metrics = card.metadata["model-index"][0]["results"][0]["metrics"]
    assert [(found["type"], found["name"]) for found in metrics] == [(row.name, row.title) for row in OF_ALL_CLASSES]


def test_names_of_others_stay_text():
    text = make_card(whole()).markdown()
    assert "<script>" not in text
    assert "a\\|b &lt;script>" in text


def test_the_metadata_are_hugging_faces():
    head = make_card(whole()).markdown().split("---\n")[1]
    found = yaml.safe_load(head)
    assert found["pipeline_tag"] == "image-classification"
    assert "synthetic-data" in found["tags"]
    (result,) = found["model-index"][0]["results"]
    assert {metric["type"] for metric in result["metrics"]} == {row.name for row in OF_ALL_CLASSES}
    assert result["metrics"][0]["value"] == pytest.approx(evaluation().accuracy, abs=1e-4)


def test_json_says_the_same():
    found = json.loads(make_card(whole()).json())
    assert list(found["sections"]) == [section.title for section in make_card(whole()).sections]
    assert found["sections"]["Provenance"]["facts"][0] == ["pushed at", RECORD.pushed_at]


def test_a_comparison_has_its_interval():
    compared = RECORD.model_copy(update={"baseline": Compared(version="16", metrics={"accuracy": 0.7})})
    found = replace(evaluation(), baseline_accuracy=0.75, change=Interval(-0.125, 0.25))
    text = make_card(Pushed(compared, info(), found, Validation(True, ()), SHORTCUTS)).markdown()
    assert "version 16: accuracy changed by" in text
    assert "(-0.125 to 0.250)" in text
