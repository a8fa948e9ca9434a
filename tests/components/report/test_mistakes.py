from __future__ import annotations

import numpy as np

from cxr.components.answers.most_confident import Confident
from cxr.components.report.mistakes import explained
from cxr.components.report.pictures import Seen

NAMES = ("a", "b")


def confident(images: tuple[int, ...], labels: list[int], **answers: list[float]) -> Confident:
    """Of two classes, by the probability of the second."""
    both = {name: np.array([[1 - p, p] for p in given], np.float32).reshape(-1, 2) for name, given in answers.items()}
    return Confident(next(iter(answers)), len(images), images, np.array(labels), both, 1)


def test_names_sources_and_every_models_answer() -> None:
    found = confident((12, 10), [1, 0], ensemble=[0.05, 0.7], one=[0.2, 0.1])
    told = explained(found, NAMES, Seen(sources={12: "nih"}))
    assert (told.model, told.total, told.wrong_by_all) == ("ensemble", 2, 1)
    assert [(m.label, m.source, m.picture) for m in told.shown] == [("b", "nih", None), ("a", "unknown", None)]
    answers = [(a.model, a.predicted, round(a.probabilities[1], 2)) for a in told.shown[0].answers]
    assert answers == [("ensemble", "a", 0.05), ("one", "a", 0.2)]


def test_an_answer_that_is_no_number_names_no_class() -> None:
    found = confident((11, 10), [0, 0], one=[float("nan"), 0.99])
    assert explained(found, NAMES, Seen()).shown[0].answers[0].predicted == "no prediction"


def test_without_mistakes() -> None:
    assert explained(confident((), [], one=[]), NAMES, Seen()).shown == ()
