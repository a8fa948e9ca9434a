import json
import math

import numpy as np
import pytest
from evaluations import of_all_classes, of_one_class
from kfp import dsl
from lxml import html

from cxr.components.metrics.evaluation import ClassResult, Evaluation, SliceResult, Validation
from cxr.components.metrics.tally import Tally
from cxr.components.metrics.verdicts import Judgement
from cxr.core.figure_table import OF_ALL_CLASSES, OF_ONE_CLASS
from cxr.core.intervals import Interval
from cxr.core.refusal import Check, Refusal
from cxr.kubeflow import evaluation_page
from cxr.kubeflow.executor_output import write

CLASSES = ("covid19", "pneumonia, viral", "normal")
PREDICTIONS = [(0, [0.8, 0.1, 0.1]), (0, [0.3, 0.6, 0.1]), (1, [0.2, 0.7, 0.1]), (1, [0.4, 0.3, 0.3])]  # none is normal


@pytest.fixture
def measured():
    found = Tally(3, 5)
    for number, (label, probabilities) in enumerate(PREDICTIONS):
        found.add(label, np.array(probabilities), b"%d" % number)
    return found.results()


@pytest.fixture
def evaluation(measured):
    figures, some = measured.figures, Interval(0.25, 0.75)
    return Evaluation(
        class_names=CLASSES,
        examples=measured.examples,
        patients=measured.support.patients,
        correct=2,
        **of_all_classes(some, **{row.name: getattr(figures, row.name)[0] for row in OF_ALL_CLASSES})
        | {"calibration_error_interval": Interval(math.nan, math.nan)},
        invalid_predictions=0,
        classes=tuple(
            ClassResult(name=name, examples=n, **of_one_class(some, **{row.name: getattr(figures, row.name)[0, k] for row in OF_ONE_CLASS}))
            for k, (name, n) in enumerate(zip(CLASSES, [2, 2, 0], strict=True))
        ),
        confusion_matrix=tuple(tuple(int(n) for n in row[:-1]) for row in measured.confusion),
        calibration_bins=(),
        slices=(SliceResult(feature="source", value="<b>x</b>", examples=4, patients=3, correct=2, **of_all_classes(some, 0.5)),),
        baseline_accuracy=0.25,
        change=Interval(-0.125, 0.625),
    )


@pytest.fixture
def published(measured, evaluation, tmp_path, monkeypatch):
    monkeypatch.setenv("CXR_KUBEFLOW_ROOT", str(tmp_path))
    keys = ["evaluation", "executor-logs", *evaluation_page.outputs(CLASSES)]
    given = {"outputs": {"artifacts": {key: {"artifacts": [{"name": key, "uri": f"minio://b/run/{key}"}]} for key in keys}}}
    demanded = Judgement("demands.0.accuracy", "accuracy", ("source", "<i>x</i>"), 0.5, 0.6, None, 4, 2, "missed")
    refused = Validation(False, (Refusal(check=Check.GATE, text="accuracy 0.500 is below 0.600 <script>"),), (demanded,))
    return evaluation_page.publish(given, evaluation, refused, dict(zip(CLASSES, measured.roc, strict=True)))


def metadata(published, key):
    return published[key]["artifacts"][0]["metadata"]


def test_every_declared_output_is_filled_and_no_other(published):
    outputs = evaluation_page.outputs(CLASSES)
    assert set(published) == set(outputs)
    assert outputs["roc_pneumonia__viral"]["artifactType"]["schemaTitle"] == dsl.ClassificationMetrics.schema_title
    assert outputs["metrics"]["artifactType"]["schemaTitle"] == dsl.Metrics.schema_title
    assert outputs["report"]["artifactType"]["schemaTitle"] == dsl.HTML.schema_title


def test_the_metadata_are_what_kfps_own_components_write(published, measured):
    own = dsl.ClassificationMetrics()
    own.log_confusion_matrix(list(CLASSES), measured.confusion[:, :-1].tolist())
    assert metadata(published, "confusion_matrix") == own.metadata
    own = dsl.ClassificationMetrics()
    threshold, false_positive, true_positive = measured.roc[0][::-1].T.tolist()
    own.log_roc_curve(false_positive, true_positive, threshold)
    assert metadata(published, "roc_covid19") == own.metadata


def test_a_roc_curve_goes_from_nothing_to_everything(published):
    points = metadata(published, "roc_covid19")["confidenceMetrics"]
    corners = [(points[at]["falsePositiveRate"], points[at]["recall"]) for at in (0, -1)]
    assert corners == [(0, 0), (1, 1)]


def test_classes_that_differ_in_signs_have_curves_of_their_own():
    assert evaluation_page.roc_keys(("a-b", "é")) == {"a-b": "roc_a_b", "é": "roc__"}
    found = evaluation_page.roc_keys(("a-b", "a b", "1 a b"))
    assert list(found.items()) == [("a-b", "roc_0_a_b"), ("a b", "roc_1_a_b"), ("1 a b", "roc_2_1_a_b")]


def test_a_class_without_examples_has_no_curve(published):
    assert metadata(published, "roc_normal") == {}


def test_the_scalars_are_numbers_that_json_knows(published, tmp_path):
    found = metadata(published, "metrics")
    assert (found["accuracy"], found["examples"], found["gate"]) == (0.5, 4, "refused")
    assert "auc_normal" not in found
    assert all(math.isfinite(value) for value in found.values() if isinstance(value, float))
    write(str(tmp_path / "o.json"), {"artifacts": published})
    assert "NaN" not in (tmp_path / "o.json").read_text()
    assert json.loads((tmp_path / "o.json").read_text())["artifacts"] == published


def test_every_figure_has_its_title_and_its_value(published, evaluation, tmp_path):
    page = html.fromstring((tmp_path / "minio/b/run/report").read_text())
    _, whole, classes, slices = page.xpath("//table")
    rows = [[cell.text_content() for cell in row.xpath("./td")] for row in whole.xpath(".//tbody/tr")]
    assert rows[: len(OF_ALL_CLASSES)] == [[row.title, str(evaluation.figure(row.name))] for row in OF_ALL_CLASSES]
    heads = [[head.text_content() for head in table.xpath(".//thead//th")] for table in (classes, slices)]
    assert heads[0] == ["class", "examples", *(row.title for row in OF_ONE_CLASS)]
    assert heads[1][4:] == [row.title for row in OF_ALL_CLASSES if row.by_slice]
    assert classes.xpath("string(.//tbody/tr[1]/td[3])") == str(evaluation.classes[0].figure(OF_ONE_CLASS[0].name))
    scalars = metadata(published, "metrics")
    for row in OF_ALL_CLASSES:
        assert scalars[row.name] == evaluation.figure(row.name).value
    assert {"accuracy_low", "accuracy_high", "auc_covid19", "baseline_accuracy"} < set(scalars)


def test_the_report_is_a_page_that_trusts_no_text(published, tmp_path):
    page = (tmp_path / "minio/b/run/report").read_text()
    assert "Gate: refused" in page
    assert "accuracy 0.500 is below 0.600 &lt;script&gt;" in page
    assert "&lt;b&gt;x&lt;/b&gt;" in page
    for cell in ("accuracy in source &lt;i&gt;x&lt;/i&gt;", "at least 0.600", "missed"):
        assert f"<td>{cell}</td>" in page
    assert "<script" not in page
