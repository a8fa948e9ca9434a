"""One row per figure: everybody who lists figures has them all, and a figure that is forgotten somewhere fails here, by its name."""

from __future__ import annotations

import re
from dataclasses import fields
from functools import cached_property
from pathlib import Path
from typing import get_type_hints

import numpy as np
import pytest

from cxr.components.metrics import names
from cxr.components.metrics.evaluation import ClassResult, Evaluation, PartResult, SliceResult
from cxr.components.pusher.push import KEPT
from cxr.core.figure_intervals import counted, interval, patients_behind
from cxr.core.figure_table import OF_ALL_CLASSES, OF_ONE_CLASS, TABLE, Behind, Row, interval_key, row_of
from cxr.core.figures import CALIBRATION_BINS, Answers, Figures, Measure
from cxr.core.intervals import Figure, Interval, bootstrap_interval, share_interval
from cxr.core.measurement import Measurement
from cxr.core.support import Support
from cxr.pipeline.demands import Demand, NonInferiority
from cxr.pipeline.kept_report import KeptEvaluation
from cxr.trainer.crossval.results import FoldFigures, measured

# Each kind of patients by its definition, of all classes or of class c.
PEOPLE = {
    Behind.EVERYBODY: lambda a, c: len(set(a.patients)),
    Behind.RAREST_CLASS: lambda a, _: min(len(set(a.patients[a.labels == k])) for k in set(a.labels)) * len(set(a.labels)),
    Behind.OWN: lambda a, c: len(set(a.patients[a.labels == c])),
    Behind.TAKEN_FOR_IT: lambda a, c: len(set(a.patients[a.predicted == c])),
    Behind.OTHERS: lambda a, c: len(set(a.patients[a.labels != c])),
    Behind.SMALLER_SIDE: lambda a, c: min(len(set(a.patients[a.labels == c])), len(set(a.patients[a.labels != c]))),
}


def answers(sizes: tuple[int, ...] = (6, 14, 10)) -> Answers:
    """Every patient has two images of one class, and every third image is taken for another."""
    labels = np.repeat(np.arange(3), np.array(sizes) * 2)
    taken = np.where(np.arange(len(labels)) % 3 == 0, (labels + 1) % 3, labels)
    return Answers(np.arange(len(labels)) // 2, labels, np.eye(3)[taken] * 0.7 + 0.1)


def test_every_figure_that_is_computed_has_a_row_and_the_other_way_round() -> None:
    inputs = {"confusion", "calibration", "negative_log_likelihood"}  # what figures are made of
    computed = {name for name, found in vars(Figures).items() if isinstance(found, property | cached_property)}
    computed |= {field.name for field in fields(Figures)} - inputs
    assert not computed - set(TABLE), f"core/figure_table.py lacks a row for {', '.join(sorted(computed - set(TABLE)))}"
    assert not set(TABLE) - computed, f"core/figures.py: Figures lacks {', '.join(sorted(set(TABLE) - computed))}"
    assert list(TABLE) == [row.name for row in (*OF_ALL_CLASSES, *OF_ONE_CLASS)], "two rows of one name"
    assert [row.of_class for row in TABLE.values()] == [False] * len(OF_ALL_CLASSES) + [True] * len(OF_ONE_CLASS)
    assert len({row.title for row in TABLE.values()}) == len(TABLE)


@pytest.mark.parametrize("row", TABLE.values(), ids=list(TABLE))
def test_a_row_is_true_of_what_is_computed(row: Row) -> None:
    found = answers()
    values = getattr(Measure(found, CALIBRATION_BINS)(np.ones((4, len(found.labels)))), row.name)
    assert values.shape == ((4, 3) if row.of_class else (4,))
    right = Answers(found.patients, found.labels, np.eye(3)[found.labels])
    best = getattr(Measure(right, CALIBRATION_BINS)(np.ones((1, len(found.labels)))), row.name)[0]
    assert np.all(best < values[0] if row.lower_is_better else best > values[0]), "lower_is_better is wrong"
    if row.share:
        assert np.all((values >= 0) & (values <= 1))
        assert np.all(best == 1)


def test_who_has_images_of_all_classes_counts_once() -> None:
    assert patients_behind("balanced_accuracy", None, 30, [[30, 30, 30], [30, 30, 30]]) == 30


@pytest.mark.parametrize("row", TABLE.values(), ids=list(TABLE))
def test_on_whom_a_figure_rests(row: Row) -> None:
    found = answers()
    for class_id in range(3) if row.of_class else [None]:
        expected = PEOPLE[row.behind](found, class_id)
        assert patients_behind(row.name, class_id, 30, found.patients_per_class) == expected
        if row.behind is Behind.RAREST_CLASS:
            continue  # its interval is made of others' (test_intervals.py)
        draws = np.linspace(0.4, 0.6, 100)
        few = interval(row.name, class_id, 0.5, draws, Support.of(found))
        z = Support.of(found).quantile(row.name, class_id)
        assert few == (share_interval(0.5, draws, expected, z) if row.share else bootstrap_interval(draws, 30, z))
        assert not row.share or few != share_interval(0.5, draws, expected + 1, z)


@pytest.mark.parametrize("row", TABLE.values(), ids=list(TABLE))
def test_nobody_else_has_a_say_in_a_figure(row: Row) -> None:
    """Whose images count more, of those the figure hangs on: a row that names others is wrong."""
    random = np.random.default_rng(0)
    labels = answers().labels
    found = Answers(answers().patients, labels, random.dirichlet([1, 1, 1], len(labels)) * 0.9 + 0.1 * np.eye(3)[labels])
    everybody = len(set(found.patients))
    once = random.uniform(1, 2, len(labels))
    more = once * np.where(found.patients == np.arange(everybody)[:, np.newaxis], 2, 1)
    before, after = (getattr(Measure(found, CALIBRATION_BINS)(weights), row.name) for weights in (once[np.newaxis], more))
    having_a_say = np.sum(np.abs(after - before) > 1e-12, axis=0)
    for class_id, count in enumerate(having_a_say) if row.of_class else [(None, having_a_say)]:
        weakest = row.behind in (Behind.RAREST_CLASS, Behind.SMALLER_SIDE)  # all have a say, and it is as sure as its weakest part
        assert count == (everybody if weakest else PEOPLE[row.behind](found, class_id)), f"{row.name} does not rest on {row.behind.value}"


@pytest.mark.parametrize("behind", Behind)
def test_everyone_is_counted_by_definition(behind: Behind) -> None:
    found = answers((10, 0, 20)) if behind is Behind.RAREST_CLASS else answers()
    for class_id in range(3):
        assert counted(behind, class_id, len(set(found.patients)), found.patients_per_class) == PEOPLE[behind](found, class_id)


def test_who_has_images_of_two_other_classes_is_one_of_the_others() -> None:
    two = Answers(np.array([0, 1, 1]), np.array([0, 1, 2]), np.eye(3))
    assert counted(Behind.OTHERS, 0, 2, two.patients_per_class) == 2


def test_a_figure_that_there_is_not_is_an_error_and_no_default() -> None:
    per_class = np.ones((2, 3))
    for ask in (
        lambda: row_of("sensitivity"),
        lambda: patients_behind("sensitivity", 0, 9, per_class),
        lambda: interval("sensitivity", 0, 0.5, [0.5], Support.of(answers())),
        lambda: NonInferiority(metric="sensitivity", margin=0.1).higher_is_better,
        lambda: FoldFigures(images=1, patients=1, sensitivity=Figure(value=0.5)),
    ):
        with pytest.raises(ValueError, match=r"there is no figure sensitivity; there are accuracy|Input should be 'accuracy'"):
            ask()
    with pytest.raises(ValueError, match="accuracy is of all classes, and one is given"):
        patients_behind("accuracy", 0, 9, per_class)
    with pytest.raises(ValueError, match="recall is of one class, and none is given"):
        patients_behind("recall", None, 9, per_class)
    with pytest.raises(ValueError, match="of which class"):
        counted(Behind.OWN, None, 9, per_class)


@pytest.mark.parametrize(("kind", "rows"), [(PartResult, OF_ALL_CLASSES), (ClassResult, OF_ONE_CLASS)])
def test_results_have_a_field_for_each_figure_and_its_interval(kind: type[PartResult | ClassResult], rows: tuple[Row, ...]) -> None:
    hints = get_type_hints(kind)
    wanted = {row.name: float for row in rows} | {interval_key(row.name): Interval for row in rows}
    lacking = [name for name in wanted if name not in hints]
    assert not lacking, f"components/metrics/evaluation.py: {kind.__name__} lacks the fields {', '.join(lacking)}"
    assert {name: hint for name, hint in hints.items() if hint in (float, Interval)} == wanted, "a field that is no row's"


def test_the_lists_of_others_are_the_tables() -> None:
    single, per_class = [row.name for row in OF_ALL_CLASSES], [row.name for row in OF_ONE_CLASS]
    assert names.columns(2) == [(name, None) for name in single] + [(name, k) for name in per_class for k in range(2)]
    assert set(KEPT) == {names.EXAMPLE_COUNT, *single}
    assert {*names.PAIRED} == {row.name for row in OF_ALL_CLASSES if row.paired} < set(single)
    for name in names.PAIRED:
        assert NonInferiority(metric=name, margin=0.1).higher_is_better != TABLE[name].lower_is_better
    for name in (*single, *per_class):
        assert Demand(metric=name, at="lower", min=0).metric == name
    for kind in (SliceResult, Evaluation):
        assert issubclass(kind, PartResult)
    found = answers()
    crossed = measured(Measurement(found.patients, found.labels, found.probabilities), ("a", "b", "c"))
    assert list(crossed.model_dump()) == ["images", "patients", *single, *per_class]
    assert FoldFigures.model_validate_json(crossed.model_dump_json()) == crossed


@pytest.mark.parametrize("row", TABLE.values(), ids=lambda row: row.name)
def test_a_share_that_is_none_is_no_figure_of_a_fold(row) -> None:
    beyond = Figure(value=1.5)
    given = {row.name: {"a": beyond} if row.of_class else beyond}
    if row.share:
        with pytest.raises(ValueError, match="must be from 0 to 1, as shares are"):
            FoldFigures(images=1, patients=1, **given)
    else:
        assert FoldFigures(images=1, patients=1, **given).figure(row.name) == beyond


def test_what_files_of_earlier_versions_hold_is_called_so_and_stands_where_it_stood() -> None:
    """Keys of report.json, push.json and model cards; columns of an Evaluator's draws."""
    assert [row.name for row in OF_ALL_CLASSES][:4] == ["accuracy", "balanced_accuracy", "log_loss", "calibration_error"]
    assert [row.name for row in OF_ONE_CLASS][:3] == ["precision", "recall", "auc"]
    assert interval_key("accuracy") == "accuracy_interval"


def test_the_page_that_says_what_can_be_demanded_names_every_figure() -> None:
    page = (Path(__file__).parents[2] / "docs/evaluation.md").read_text()
    (line,) = re.findall(r"^\| `metric` \| (.*) \|$", page, re.MULTILINE)
    assert set(TABLE) == set(re.findall(r"`(\w+)`", line)), "docs/evaluation.md, Demands: the row of `metric`"


def test_a_kept_report_of_an_older_version_lacks_what_was_not_measured_then() -> None:
    kept = KeptEvaluation.model_validate({"examples": 4, "patients": 2, "accuracy": 0.5, "accuracy_interval": {"low": 0.25, "high": 0.75}})
    assert list(kept.figures) == [row.name for row in OF_ALL_CLASSES]
    assert kept.figure("accuracy") == Figure(value=0.5, low=0.25, high=0.75)
    assert kept.figure("log_loss") == Figure(value=None)
