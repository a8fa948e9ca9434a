import numpy as np
import pytest

from cxr.core.errors import CxrError
from cxr.trainer import artifact, files


def test_predictions_come_back_as_they_were_saved(tmp_path):
    probabilities = np.array([[0.2, 0.3, 0.5], [1, 0, 0]])
    artifact.save_predictions(str(tmp_path), "val", [b"aa", b"bb"], [[2], [0]], probabilities, ["b", "a"])
    loaded = artifact.load_predictions(str(tmp_path), "val")
    assert loaded.content_hash.tolist() == ["aa", "bb"]
    assert loaded.label_index.tolist() == [2, 0]
    assert loaded.label_index.dtype == np.int64
    assert loaded.patients.tolist() == [1, 0]
    assert loaded.probabilities.dtype == np.float32
    np.testing.assert_allclose(loaded.probabilities, probabilities)
    assert loaded.unlike_training is None
    artifact.save_predictions(str(tmp_path), "val", [b"aa", b"bb"], [[2], [0]], probabilities, ["b", "a"], [0.25, 0.75])
    scores = artifact.load_predictions(str(tmp_path), "val").unlike_training
    assert scores is not None
    assert scores.tolist() == [0.25, 0.75]


def test_predictions_of_an_empty_split(tmp_path):
    artifact.save_predictions(str(tmp_path), "val", [], [], np.zeros((0, 3)))
    assert artifact.load_predictions(str(tmp_path), "val").probabilities.shape == (0, 3)


def test_predictions_of_unequal_length_are_refused(tmp_path):
    with pytest.raises(ValueError, match="val: content_hash of 1 images, label_index of 2 images"):
        artifact.save_predictions(str(tmp_path), "val", ["a"], [0, 1], np.zeros((2, 3)))
    with pytest.raises(ValueError, match="val: .*unlike_training of 1 images"):
        artifact.save_predictions(str(tmp_path), "val", ["a", "b"], [0, 1], np.zeros((2, 3)), unlike_training=[0.5])


def test_missing_predictions_name_the_file(tmp_path):
    with pytest.raises(CxrError, match="predictions_val.npz"):
        artifact.load_predictions(str(tmp_path), "val")


def test_info_of_an_ensemble_keeps_what_it_says_about_its_members(tmp_path):
    member = {"name": "mobilenet", "class_names": ["a", "b"], "image_size": 32, "backbone": "MobileNet", "epochs": 3}
    member["weights_note"] = "random"
    info = {"name": "ensemble", "class_names": ["a", "b"], "image_size": 32, "members": {"mobilenet": member}, "ensemble_method": "soft"}
    artifact.write_info(artifact.serving_dir(str(tmp_path)), info)
    read = artifact.read_info(str(tmp_path))
    assert read.class_names == ("a", "b")
    assert read.members["mobilenet"].weights_note == "random"
    assert read.members["mobilenet"].model_extra == {"epochs": 3}
    assert artifact.read_info(artifact.serving_dir(str(tmp_path))) == read


def test_a_folder_without_a_model_is_named(tmp_path):
    with pytest.raises(CxrError, match=str(tmp_path)):
        artifact.read_info(str(tmp_path))


def test_a_damaged_description_is_named(tmp_path):
    files.write_bytes(f"{artifact.serving_dir(str(tmp_path))}/{artifact.INFO}", b"{}")
    with pytest.raises(CxrError, match="model.json"):
        artifact.read_info(str(tmp_path))
