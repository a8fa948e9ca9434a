"""What is written beside a version; the push as a whole is test_pusher.py's."""

from math import nan

import pytest

from cxr.components.metrics import names
from cxr.components.metrics.evaluator_output import read_evaluation
from cxr.components.pusher.known import Known
from cxr.components.pusher.push import record_of
from cxr.core.figure_table import ACCURACY, LOG_LOSS
from cxr.core.intervals import Figure, Interval


@pytest.mark.parametrize(
    ("accuracy", "baseline", "theirs", "change", "floor"),
    [
        (0.8, None, None, None, "2"),
        (0.8, "1", {"accuracy": 0.9}, (-0.2, 0.1), "1"),
        (0.9, "1", {"accuracy": 0.9}, (-0.1, 0.1), "1"),
        (0.95, "1", {"accuracy": 0.9}, (-0.01, 0.1), "1"),  # a lucky draw: a floor that rose with each would soon be out of reach
        (0.95, "1", {"accuracy": 0.9}, (0.01, 0.1), "2"),
        (0.95, "1", {"accuracy": 0.9}, (nan, nan), "1"),  # too few patients to tell
        (0.95, "1", {"accuracy": 0.9}, None, "1"),
    ],
)
def test_only_a_model_that_is_surely_better_is_the_new_floor(accuracy, baseline, theirs, change, floor):
    known = Known(pipeline="tiny", split="test", baseline=baseline)
    changes = {"accuracy": Interval(*change)} if change else None
    record = record_of("2", "f", known=known, run="r", source="/runs/1", ours={"accuracy": accuracy}, theirs=theirs, changes=changes)
    assert record.floor == floor
    assert (record.baseline.version if record.baseline else None) == baseline
    assert record.metrics == {"accuracy": accuracy}


def test_metrics_without_the_name_of_their_baseline_are_no_comparison():
    known = Known(pipeline="tiny", split="test")
    record = record_of("2", "f", known=known, run="r", source="/runs/1", ours={"accuracy": 0.8}, theirs={"accuracy": 0.9})
    assert (record.baseline, record.floor) == (None, "2")


@pytest.mark.parametrize(("loss", "floor"), [(0.5, "1"), (0.4, "2"), (0.3, "2")])
def test_a_better_accuracy_does_not_make_up_for_another_metric_that_falls_behind(loss, floor):
    known = Known(pipeline="tiny", split="test", baseline="1", compared=(ACCURACY, LOG_LOSS))
    ours, theirs = ({ACCURACY: accuracy, LOG_LOSS: value} for accuracy, value in ((0.95, loss), (0.9, 0.4)))
    changes = {ACCURACY: Interval(0.01, 0.09), LOG_LOSS: Interval(loss - 0.5, loss - 0.3)}
    assert record_of("2", "f", known=known, run="r", source="/runs/1", ours=ours, theirs=theirs, changes=changes).floor == floor


@pytest.mark.parametrize(("loss", "floor"), [(0.35, "1"), (0.2, "2")])
def test_of_a_loss_the_upper_end_tells_whether_it_is_surely_better(loss, floor):
    known = Known(pipeline="tiny", split="test", baseline="1", compared=(LOG_LOSS,))
    changes = {LOG_LOSS: Interval(loss - 0.5, loss - 0.3)}
    record = record_of("2", "f", known=known, run="r", source="/runs/1", ours={LOG_LOSS: loss}, theirs={LOG_LOSS: 0.4}, changes=changes)
    assert record.floor == floor


def test_figures_are_kept_with_their_intervals(tmp_path, write_metrics):
    write_metrics(tmp_path / "evaluation", [0, 1, 2] * 3 + [0, 1, 1])
    evaluation = read_evaluation(tmp_path / "evaluation")
    found = {name: evaluation.figure(name) for name in names.FIGURES}
    assert found == {name: Figure.of(getattr(evaluation, name), getattr(evaluation, f"{name}_interval")) for name in names.FIGURES}
    assert found["accuracy"].low is not None
    record = record_of("2", "f", known=Known(pipeline="t", split="test"), run="r", source="/1", ours={}, theirs=None, figures=found)
    assert type(record).model_validate_json(record.model_dump_json()) == record
    older = record.model_dump(mode="json", exclude={"figures"})
    assert type(record).model_validate(older).figures == {}
