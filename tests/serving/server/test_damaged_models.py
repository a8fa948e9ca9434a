"""A damaged SavedModel: the code and the first words of TensorFlow's C++ loader, which TensorFlow Serving loads through."""

import shutil

import grpc
import pytest
import tensorflow as tf

from cxr.serving.server.errors import ServingError, from_exception
from cxr.serving.server.loader import LoadedModel


@pytest.fixture
def folder(golden_models, tmp_path):
    """A version that a test may damage."""
    shutil.copytree(golden_models / "half_plus" / "123", tmp_path / "123")
    return tmp_path / "123"


def _cut(file):
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])


_DAMAGE = {
    "no SavedModel": lambda folder: (folder / "saved_model.pb").write_bytes(b"not a SavedModel"),
    "saved_model.pb cut short": lambda folder: _cut(folder / "saved_model.pb"),
    "saved_model.pb empty": lambda folder: (folder / "saved_model.pb").write_bytes(b""),
    "variables cut short": lambda folder: _cut(next((folder / "variables").glob("*.data*"))),
    "their index cut short": lambda folder: _cut(folder / "variables" / "variables.index"),
}


@pytest.mark.parametrize("damage", _DAMAGE)
def test_code_and_first_words_are_those_of_the_cpp_loader(damage, folder):
    from cpp_loader import CppSession

    _DAMAGE[damage](folder)
    with pytest.raises(RuntimeError) as theirs:
        CppSession(str(folder))
    with pytest.raises((ServingError, tf.errors.OpError)) as ours:
        LoadedModel(folder)
    told = from_exception(ours.value)
    assert f"{told.code.value[0]}: {told.message}".startswith(str(theirs.value).splitlines()[0])
    assert str(folder) not in told.message


def test_variables_without_their_index_are_refused(folder):
    """TensorFlow Serving loads them, and fails in each request."""
    (folder / "variables" / "variables.index").unlink()
    with pytest.raises(ServingError, match=r"^variables/variables\.index is missing; push the version again") as told:
        LoadedModel(folder)
    assert told.value.code is grpc.StatusCode.NOT_FOUND
