import numpy as np
import pytest

from cxr.core.errors import CxrError
from cxr.trainer import predictions
from cxr.trainer.artifact import TRAIN_OOF
from cxr.trainer.ensemble.fitting_data import fitting_data
from cxr.trainer.model_config import Ensemble

SIZES = {"train": 18, TRAIN_OOF: 18, "val": 24}
SURE = {"train": 0.9, TRAIN_OOF: 0.6, "val": 0.7}  # of the true class: tells whose answers they are


@pytest.fixture
def member(tmp_path):
    """Returns a function that writes a member's answers to some splits, two images of each patient."""

    def make(name, splits) -> str:
        uri = str(tmp_path / name)
        for split in splits:
            labels = np.arange(SIZES[split]) // 2 % 3
            shares = np.full([len(labels), 3], (1 - SURE[split]) / 2)
            shares[np.arange(len(labels)), labels] = SURE[split]
            patients = [f"p{i // 2}" for i in range(len(labels))]
            predictions.save(uri, split, [f"{split}{i:02}" for i in range(len(labels))], labels, shares, patients)
        return uri

    return make


def confidence(votes):
    return float(votes.probabilities[0].max(axis=1).mean())


def test_out_of_fold_answers_fit_and_the_validation_split_chooses(member):
    found = fitting_data(Ensemble(), {name: member(name, SIZES) for name in "ab"}, has_validation=True)
    assert confidence(found.fit) == pytest.approx(0.6)
    assert found.choose is not None
    assert confidence(found.choose) == pytest.approx(0.7)
    assert "out-of-fold" in found.sources["weights"]


def test_where_one_member_has_none_the_validation_patients_are_halved(member):
    members = {"a": member("a", SIZES), "b": member("b", ["train", "val"])}
    found = fitting_data(Ensemble(), members, has_validation=True)
    assert found.choose is not None
    assert confidence(found.fit) == confidence(found.choose) == pytest.approx(0.7)
    assert not set(found.fit.patients) & set(found.choose.patients)
    assert len(found.fit.labels) + len(found.choose.labels) == 24
    assert found.sources["weights"].startswith("one half of the validation patients (b: no out-of-fold predictions")


def test_without_either_only_methods_without_weights_remain(member):
    members = {name: member(name, ["train"]) for name in "ab"}
    with pytest.raises(CxrError, match=r"ensemble.method: 'stacking' has nothing to be fitted to .* ensemble.fitted_on=training"):
        fitting_data(Ensemble(method="stacking"), members, has_validation=False)
    assert fitting_data(Ensemble(method="soft"), members, has_validation=False).choose is None
    with pytest.raises(CxrError, match="'auto' needs a validation split"):
        fitting_data(Ensemble(), members, has_validation=False)
    found = fitting_data(Ensemble(method="hard"), {name: member(name, SIZES) for name in "ab"}, has_validation=True)
    assert found.sources["weights"] == "nothing: the method has none"  # though there are answers out of fold


def test_the_training_answers_are_taken_where_they_are_asked_for_and_that_is_said(member):
    members = {name: member(name, SIZES) for name in "ab"}
    found = fitting_data(Ensemble(fitted_on="training"), members, has_validation=True)
    assert confidence(found.fit) == pytest.approx(0.9)
    assert "on which they were trained" in found.sources["weights"]


def test_a_class_of_one_validation_patient_cannot_be_halved(tmp_path):
    for split, count in (("train", 6), ("val", 6)):
        labels = np.arange(count) // 2
        predictions.save(str(tmp_path), split, [str(i) for i in range(count)], labels, np.eye(3)[labels], labels)
    with pytest.raises(CxrError, match="a class has one validation patient only"):
        fitting_data(Ensemble(), {"a": str(tmp_path), "b": str(tmp_path)}, has_validation=True)
