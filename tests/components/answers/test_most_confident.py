from __future__ import annotations

import numpy as np
import pytest

from cxr.components.answers.image_answers import AnsweredImages
from cxr.components.answers.most_confident import SHOWN, most_confident


def answers(probabilities: list[float], labels: list[int], first: int = 10) -> AnsweredImages:
    """Of two classes, by the probability of the second."""
    p = np.array(probabilities, np.float32)
    return AnsweredImages(np.arange(first, first + len(p)), np.array(labels), np.stack([1 - p, p], axis=1))


def test_the_surest_wrong_answers_of_the_ensemble_come_first() -> None:
    labels = [0, 0, 1, 1]
    found = most_confident({"ensemble": answers([0.7, 0.1, 0.05, 0.9], labels), "one": answers([0.1, 0.1, 0.2, 0.1], labels)})
    assert found is not None
    assert (found.model, found.total, found.wrong_by_all) == ("ensemble", 2, 1)
    assert found.images == (12, 10)
    assert found.labels.tolist() == [1, 0]
    of_second = {name: given[:, 1].tolist() for name, given in found.answers.items()}
    assert of_second == {"ensemble": pytest.approx([0.05, 0.7]), "one": pytest.approx([0.2, 0.1])}


def test_an_answer_that_is_no_number_is_the_worst() -> None:
    found = most_confident({"one": answers([0.99, float("nan"), 0.1], [0, 0, 0])})
    assert found is not None
    assert found.images == (11, 10)


def test_a_picture_that_stands_twice_is_shown_once_and_not_too_many_are() -> None:
    many = answers([0.9] * 40, [0] * 40)
    twice = AnsweredImages(np.repeat(many.images[:20], 2), many.labels, many.probabilities)
    found = most_confident({"one": twice})
    assert found is not None
    assert found.total == 40
    assert len(set(found.images)) == len(found.images) == SHOWN


def test_models_that_saw_other_images_are_left_out() -> None:
    found = most_confident({"ensemble": answers([0.9], [0]), "older": answers([0.9], [0], first=3)})
    assert found is not None
    assert list(found.answers) == ["ensemble"]


def test_without_answers_and_without_mistakes() -> None:
    assert most_confident({}) is None
    none = most_confident({"one": answers([0.1], [0])})
    assert none is not None
    assert (none.total, none.images) == (0, ())
