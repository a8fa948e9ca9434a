import numpy as np
import pytest

from cxr.core.errors import CxrError
from cxr.trainer import predictions


def test_predictions_come_back_as_they_were_saved(tmp_path):
    probabilities = np.array([[0.2, 0.3, 0.5], [1, 0, 0]])
    predictions.save(str(tmp_path), "val", [b"aa", b"bb"], [[2], [0]], probabilities, ["b", "a"])
    loaded = predictions.load(str(tmp_path), "val")
    assert loaded.content_hash.tolist() == ["aa", "bb"]
    assert loaded.label_index.tolist() == [2, 0]
    assert loaded.label_index.dtype == np.int64
    assert loaded.patients.tolist() == [1, 0]
    assert loaded.probabilities.dtype == np.float32
    np.testing.assert_allclose(loaded.probabilities, probabilities)
    assert loaded.unlike_training is None
    predictions.save(str(tmp_path), "val", [b"aa", b"bb"], [[2], [0]], probabilities, ["b", "a"], [0.25, 0.75])
    scores = predictions.load(str(tmp_path), "val").unlike_training
    assert scores is not None
    assert scores.tolist() == [0.25, 0.75]


def test_predictions_of_an_empty_split(tmp_path):
    predictions.save(str(tmp_path), "val", [], [], np.zeros((0, 3)))
    assert predictions.load(str(tmp_path), "val").probabilities.shape == (0, 3)


def test_predictions_of_unequal_length_are_refused(tmp_path):
    with pytest.raises(ValueError, match="val: content_hash of 1 image, label_index of 2 images"):
        predictions.save(str(tmp_path), "val", ["a"], [0, 1], np.zeros((2, 3)))
    with pytest.raises(ValueError, match="val: .*unlike_training of 1 image$"):
        predictions.save(str(tmp_path), "val", ["a", "b"], [0, 1], np.zeros((2, 3)), unlike_training=[0.5])


def test_missing_predictions_name_the_file(tmp_path):
    with pytest.raises(CxrError, match="predictions_val.npz"):
        predictions.load(str(tmp_path), "val")
