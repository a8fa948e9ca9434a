import pytest

from cxr.core.errors import CxrError
from cxr.trainer import artifact, files, model_info


def test_info_of_an_ensemble_keeps_what_it_says_about_its_members(tmp_path):
    member = {"name": "mobilenet", "class_names": ["a", "b"], "image_size": 32, "backbone": "MobileNet", "epochs": 3}
    member["weights_note"] = "random"
    info = {"name": "ensemble", "class_names": ["a", "b"], "image_size": 32, "members": {"mobilenet": member}, "ensemble_method": "soft"}
    model_info.write_info(artifact.serving_dir(str(tmp_path)), info)
    read = model_info.read_info(str(tmp_path))
    assert read.class_names == ("a", "b")
    assert read.members["mobilenet"].weights_note == "random"
    assert read.members["mobilenet"].model_extra == {"epochs": 3}
    assert model_info.read_info(artifact.serving_dir(str(tmp_path))) == read


def test_a_folder_without_a_model_is_named(tmp_path):
    with pytest.raises(CxrError, match=str(tmp_path)):
        model_info.read_info(str(tmp_path))


def test_a_damaged_description_is_named(tmp_path):
    files.write_bytes(f"{artifact.serving_dir(str(tmp_path))}/{model_info.INFO}", b"{}")
    with pytest.raises(CxrError, match="model.json"):
        model_info.read_info(str(tmp_path))


def test_a_description_that_cannot_be_read_is_named(tmp_path):
    """As root every file may be read; a folder in its place cannot."""
    (tmp_path / model_info.INFO).mkdir(parents=True)
    with pytest.raises(CxrError, match=r"model\.json: cannot be read \(.*\); check its permissions"):
        model_info.read_info(str(tmp_path))
