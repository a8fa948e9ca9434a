from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from evaluations import of_all_classes

from cxr.components.answers.image_answers import AnsweredImages
from cxr.components.metrics.evaluation import Evaluation
from cxr.components.report.page.content import Model
from cxr.components.report.page.rates import Rates, measure
from cxr.core.figure_intervals import interval
from cxr.core.figures import Answers, Measure
from cxr.core.intervals import Interval
from cxr.core.resampling import resampled
from cxr.core.support import Support
from cxr.trainer.calibration_info import Conformal, OperatingPoint
from cxr.trainer.model_info import ModelInfo

CLASSES = ("a", "b")
PATIENTS = np.arange(40) // 2
SOME = Interval(0.25, 0.75)
# Images of a and b in turn: of a 15 of 20 have 0.75 and the others 0.25, of b all have 0.25 for a.
OF_A = np.where((np.arange(40) % 2 == 0) & (np.arange(40) < 30), 0.75, 0.25)


def evaluation(examples: int = 40) -> Evaluation:
    """Of which only the number of images is asked."""
    return Evaluation(
        class_names=CLASSES, examples=examples, patients=20, correct=0, **of_all_classes(SOME), invalid_predictions=0, classes=(),
        confusion_matrix=(), calibration_bins=(), slices=(),
    )  # fmt: skip


def model(answers: AnsweredImages | None, least: float = 0.5) -> Model:
    point = OperatingPoint(at_least="sensitivity", demanded=0.9, threshold=0.5, sensitivity=0.9, specificity=0.9)
    info = ModelInfo(
        name="small",
        class_names=CLASSES,
        image_size=32,
        conformal=Conformal(coverage=0.9, least_probability=least, split="val", images=9, covered=0.9, mean_size=1.0),
        operating_points={"a": (point, point.model_copy(update={"threshold": 0.2}))},
    )
    return Model("small", evaluation=evaluation(), answers=answers, info=info)


def answers(of_a: np.ndarray = OF_A, patients: np.ndarray | None = PATIENTS) -> AnsweredImages:
    return AnsweredImages(np.arange(40), np.arange(40) % 2, np.stack([of_a, 1 - of_a], axis=1).astype(np.float32), patients)


def measured(found: AnsweredImages, least: float = 0.5) -> Rates:
    rates = measure(model(found, least))
    assert rates is not None
    return rates


def test_rates_of_the_images_that_were_judged_with_the_interval_by_patient() -> None:
    rates = measured(answers())
    (sensitivity, specificity), (everybody, nobody) = rates.points["a"]
    assert sensitivity.value == 0.75
    assert sensitivity.low is not None
    assert sensitivity.high is not None
    assert 0.4 < sensitivity.low < 0.75 < sensitivity.high < 1
    assert (specificity.value, specificity.high) == (1, 1)  # all are right: Wilson's interval, of the 20 patients who have b
    assert specificity.low == pytest.approx(0.839, abs=0.001)
    assert (everybody.value, nobody.value) == (1, 0)
    assert rates.covered is not None
    assert (rates.covered.value, rates.mean_size) == (35 / 40, 1)
    both = measured(answers(), least=0.2)
    assert both.covered is not None
    assert (both.covered.value, both.mean_size) == (1, 2)


@pytest.mark.parametrize("patients", [PATIENTS, np.repeat(np.arange(20), [21, *[1] * 19])], ids=["equal", "unequal"])
def test_the_interval_is_that_of_the_evaluator(patients: np.ndarray) -> None:
    """With two classes the recall is the sensitivity from 0.5 on."""
    found = answers(patients=patients)
    asked = Answers(patients, found.labels, found.probabilities.astype(np.float64))
    draws = np.concatenate([figures.recall[:, 0] for figures in resampled(asked, Measure(asked, 5))])
    recall = interval("recall", 0, 0.75, draws, Support.of(asked))
    sensitivity = measured(found).points["a"][0][0]
    assert (sensitivity.low, sensitivity.high) == pytest.approx((recall.low, recall.high))


def test_what_is_no_probability_is_wrong_whatever_was_asked() -> None:
    broken = OF_A.copy()
    broken[:4] = np.nan
    rates = measured(answers(broken))
    (sensitivity, specificity), _ = rates.points["a"]
    assert (sensitivity.value, specificity.value) == (13 / 20, 18 / 20)
    assert rates.covered is not None
    assert (rates.covered.value, rates.mean_size) == (31 / 40, 1)


def test_nothing_is_said_where_images_or_patients_are_not_known() -> None:
    assert measure(model(None)) is None
    assert measure(model(answers(patients=None))) is None
    assert measure(replace(model(answers()), evaluation=evaluation(41))) is None
    assert measure(replace(model(answers()), evaluation=None)) is None
    assert measure(replace(model(answers()), info=None)) is None


def test_a_class_without_images_has_no_sensitivity() -> None:
    found = answers()
    none_of_a = replace(found, labels=np.ones(40, np.int64))
    (sensitivity, specificity), _ = measured(none_of_a).points["a"]
    assert (sensitivity.value, sensitivity.low, specificity.value) == (None, None, 25 / 40)
