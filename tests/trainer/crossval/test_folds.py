import numpy as np
import pytest

from cxr.core.errors import CxrError
from cxr.core.folds import Fold, deal
from cxr.trainer.crossval.folds import by_image, by_source
from cxr.trainer.crossval.subject import part_of


def many(patients=30, images_each=4, seed=0):
    """Patients with several images, two classes in three of them: labels and names."""
    names = np.repeat([f"p{i:02}" for i in range(patients)], images_each)
    return np.repeat(np.random.default_rng(seed).permutation(np.arange(patients) % 3), images_each), names


def test_by_image_patients_are_torn_apart():
    labels, patients = many()
    fold = deal(labels, by_image(120), 5, seed=1)[0]
    assert len(fold.test) == 24
    assert set(patients[fold.train]) & set(patients[fold.test])


def test_a_source_is_left_out_with_the_classes_and_patients_that_remain():
    labels, patients = many(patients=30)
    sources = np.where(np.arange(120) < 60, "here", "there")
    labels[sources == "there"] = np.where(labels[sources == "there"] == 2, 0, labels[sources == "there"])  # class 2 is here only
    patients[119] = patients[0]  # one patient of both
    folds, skipped = by_source(labels, patients, sources, least_patients=3)
    assert skipped == {}
    here, there = folds
    assert (here.name, there.name) == ("here", "there")
    assert 2 not in labels[here.train]
    assert 2 not in labels[here.test]  # nobody could know it
    assert set(sources[here.train]) == {"there"}
    assert set(sources[here.test]) == {"here"}
    assert 119 not in here.train
    assert {0, 1, 2, 3}.isdisjoint(there.train)  # the patient's other images
    assert 2 in labels[there.train]


def test_sources_that_say_nothing_are_named():
    labels, patients = many(patients=30)
    sources = np.full(120, "large").astype("<U9")
    sources[:8] = "small"
    sources[8:60][labels[8:60] == 0] = "one class"
    _, skipped = by_source(labels, patients, sources, least_patients=3)
    assert skipped["small"].endswith("fewer than 20")
    assert "all of one class" in skipped.get("one class", "") or "fewer than 20" in skipped["one class"]
    assert by_source(labels, patients, np.full(120, "only"), 3)[1] == {"only": "the other sources have 0 classes with 3 or more patients"}


def test_a_class_of_one_patient_in_a_training_part_is_an_error_with_a_remedy():
    labels, groups = np.array([0, 0, 1, 1]), np.array(["a", "b", "c", "d"])
    with pytest.raises(CxrError, match="a class has one patient only .+ more folds"):
        part_of(labels, Fold("1", np.array([0, 2, 3]), np.array([1])), groups, seed=1)
