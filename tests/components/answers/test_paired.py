from __future__ import annotations

import numpy as np
import pytest

from cxr.components.answers.image_answers import AnsweredImages
from cxr.components.answers.paired import compare, meaning
from cxr.components.metrics import names
from cxr.core.intervals import Figure

PATIENTS = np.arange(40) // 2


def answers(right: float, seed: int = 0, patients: np.ndarray | None = PATIENTS) -> AnsweredImages:
    random = np.random.default_rng(seed)
    labels = np.arange(40) % 3
    taken = np.where(random.random(40) < right, labels, (labels + 1) % 3)
    return AnsweredImages(np.arange(40) * 7, labels, (np.eye(3)[taken] * 0.7 + 0.1).astype(np.float32), patients)


def test_second_less_first_with_an_interval_of_the_same_patients() -> None:
    worse, better = answers(0.3), answers(0.95)
    found = compare(worse, better)
    assert set(found.differences) == set(names.PAIRED)
    accuracy = found.differences["accuracy"]
    then, now = (float((found.probabilities.argmax(axis=1) == found.labels).mean()) for found in (worse, better))
    assert accuracy.value == pytest.approx(now - then)
    assert accuracy.low is not None
    assert accuracy.high is not None
    assert 0 < accuracy.low < now - then < accuracy.high
    assert meaning(accuracy) == "better than chance explains"
    assert meaning(found.differences["log_loss"], lower_is_better=True) == "better than chance explains"
    assert meaning(compare(better, worse).differences["accuracy"]) == "worse than chance explains"


def test_a_model_beside_itself_differs_in_nothing() -> None:
    same = compare(answers(0.7), answers(0.7)).differences["accuracy"]
    assert same.value == 0
    assert same.high == -(same.low or 0) == pytest.approx(3.8415 / (20 + 3.8415), abs=1e-4)  # of twenty patients nobody knows better
    assert meaning(same) == "the difference may be chance"


def test_the_patients_of_either_will_do() -> None:
    expected = compare(answers(0.5), answers(0.8))
    assert compare(answers(0.5, patients=None), answers(0.8)) == compare(answers(0.5), answers(0.8, patients=None)) == expected


def other_images() -> AnsweredImages:
    found = answers(0.8)
    return AnsweredImages(found.images[4:], found.labels[4:], found.probabilities[4:], PATIENTS[4:])


def other_labels() -> AnsweredImages:
    found = answers(0.8)
    return AnsweredImages(found.images, (found.labels + (np.arange(40) < 2)) % 3, found.probabilities, PATIENTS)


@pytest.mark.parametrize(
    ("first", "second", "why"),
    [
        (None, answers(0.8), "the first has no stored predictions"),
        (answers(0.8), None, "the second has no stored predictions"),
        (answers(0.8), other_images(), "judged on other images: 40 and 36, 36 of them the same"),
        (answers(0.8), other_labels(), "2 of the 40 images have another label now"),
        (answers(0.8, patients=None), answers(0.9, patients=None), "patients of the images are missing"),
    ],
)
def test_what_cannot_be_compared_says_why(first: AnsweredImages | None, second: AnsweredImages | None, why: str) -> None:
    found = compare(first, second)
    assert not found.differences
    assert why in found.why_not


def test_too_few_patients_to_tell() -> None:
    assert meaning(Figure(value=0.1)) == "too few patients for an interval"
