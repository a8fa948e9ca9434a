"""What may be claimed of a cross-validation."""

import re

import numpy as np

from cxr.trainer.crossval.conclusions import elsewhere
from cxr.trainer.crossval.results import measured, measurement_of


def figures_of(right, classes=3):
    """Sixty answers of which so many are right, about the first classes in turn."""
    labels = np.arange(60) % classes
    answers = np.where(np.arange(60) < right, labels, (labels + 1) % 3)
    found = measurement_of(labels, np.arange(60).astype(str), np.eye(3, dtype=np.float32)[answers])
    return {"ensemble": measured(found, ("x", "y", "z"))}


def test_the_hardest_source_is_named_with_its_classes_and_the_lower_figure_is_claimed():
    others = {"by image": figures_of(9), "without a": figures_of(30)}
    found, own, claim = elsewhere({"by patient": figures_of(45), **others, "without b": figures_of(21)})
    interval = r"\(0\.\d+ to 0\.\d+\): classes x, y, z, chance 0\.333"
    said = rf"at the hardest source \(without b\) the balanced accuracy of ensemble was only 0\.350 {interval}"
    assert re.fullmatch(said, found)
    assert re.fullmatch(rf"for other patients of the same sources it was 0\.750 {interval}", own)
    assert claim == "for another hospital claim no more than 0.350 (3 classes); this is no guarantee, it may be lower there"
    assert elsewhere({"by patient": figures_of(45), "by image": figures_of(48)}) == []


def test_nothing_above_the_figure_by_patient_is_claimed():
    found, _, claim = elsewhere({"by patient": figures_of(42), "by image": figures_of(43), "without a": figures_of(54)})
    assert "the balanced accuracy of ensemble was 0.900 (" in found
    assert "claim no more than 0.700 (3 classes)" in claim


def test_a_source_of_two_classes_is_compared_by_what_is_above_chance():
    found, _, claim = elsewhere({"by patient": figures_of(51), "without a": figures_of(33, classes=2), "without b": figures_of(30)})
    assert "was only 0.550 (" in found  # 0.1 of the way from chance, 0.5; without b 0.25 of that from 0.333
    assert found.startswith("at the hardest source (without a) ")
    assert found.endswith(": classes x, y, chance 0.500")
    assert "claim no more than 0.550 (2 classes)" in claim


def test_a_source_of_which_one_class_was_asked_about_says_nothing():
    assert elsewhere({"by patient": figures_of(51), "without a": figures_of(33, classes=1)}) == []
