import numpy as np
import pytest

from cxr.core.errors import UsageError
from cxr.core.folds import deal, learn_all
from cxr.data.audit.classifier import folds_by_patient


def many(patients=30, images_each=4, seed=0):
    """Patients with several images, two classes in three of them: labels and names."""
    names = np.repeat([f"p{i:02}" for i in range(patients)], images_each)
    return np.repeat(np.random.default_rng(seed).permutation(np.arange(patients) % 3), images_each), names


def test_no_patient_is_torn_apart_and_every_image_is_asked_about_once():
    labels, patients = many()
    folds = deal(labels, patients, 5, seed=1)
    assert [fold.name for fold in folds] == ["1", "2", "3", "4", "5"]
    np.testing.assert_array_equal(np.sort(np.concatenate([fold.test for fold in folds])), np.arange(120))
    for fold in folds:
        assert not set(patients[fold.train]) & set(patients[fold.test])
        np.testing.assert_array_equal(np.sort(np.r_[fold.train, fold.test]), np.arange(120))
        assert set(labels[fold.test]) == {0, 1, 2}


def test_the_seed_decides():
    labels, patients = many()
    one, same, other = (deal(labels, patients, 3, seed)[0].test.tolist() for seed in (1, 1, 2))
    assert one == same != other


def test_a_class_of_too_few_patients_is_named_with_a_remedy():
    labels, patients = many(patients=9)
    with pytest.raises(UsageError, match="--folds 4: one class has images of 3 patients only; take fewer folds"):
        deal(labels, patients, 4, seed=0)


def test_no_fold_learns_from_what_lacks_a_class():
    """Patients with images of several classes: the one of them who has images of class 0 and the only other one can be dealt together."""
    images = {0: (0, 0, 3), 1: (0, 0, 1), 2: (2, 3, 3), 3: (0, 3, 0), 4: (3, 0, 0)}
    labels = np.concatenate([np.repeat([0, 1, 2], counts) for counts in images.values()])
    patients = np.concatenate([np.full(sum(counts), patient) for patient, counts in images.items()])
    for seed in range(20):
        for fold in deal(labels, patients, 2, seed):
            assert set(labels[fold.train]) == {0, 1, 2}


def test_where_none_of_the_tried_deals_does_it_the_first_is_taken():
    labels, patients = np.array([0, 1, 0, 1]), np.array([0, 0, 1, 2])
    folds = deal(labels, patients, 2, seed=0)
    assert len(folds) == 2
    assert not learn_all(labels, folds)
    assert folds_by_patient(labels, patients, 2, seed=0) == []  # no audit by such folds
