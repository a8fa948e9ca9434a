"""A model of a stranger: nothing of it runs while it is loaded."""

import io
import json
import pickle
import zipfile
from pathlib import Path

import h5py
import keras
import numpy as np
import pytest

from cxr.core.errors import CxrError
from cxr.trainer.models.keras_files import load_model
from cxr.trainer.training_data import TRAINING_IMAGES, load_training_images

ROOT = Path(__file__).parents[3]
MARK = "ran"


@pytest.fixture
def plain(tmp_path):
    """A whole .keras file of one layer."""
    file = tmp_path / "model.keras"
    keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)]).save(file)
    return file


def changed(file: Path, layer: dict) -> str:
    """The file with another layer in place of its own."""
    with zipfile.ZipFile(file) as archive:
        parts = {name: archive.read(name) for name in archive.namelist()}
    config = json.loads(parts["config.json"])
    config["config"]["layers"][1] = layer
    parts["config.json"] = json.dumps(config).encode()
    with zipfile.ZipFile(file, "w") as archive:
        for name, data in parts.items():
            archive.writestr(name, data)
    return str(file)


def test_a_lambda_is_refused(tmp_path):
    target = tmp_path / MARK
    code = compile(f"lambda x: open({str(target)!r}, 'w') and x", "", "eval")
    file = tmp_path / "model.keras"
    keras.Sequential([keras.Input((2,)), keras.layers.Lambda(eval(code), output_shape=(2,))]).save(file)
    with pytest.raises(CxrError, match="not a Keras model that can be read: .*[Ll]ambda"):
        load_model(str(file))
    assert not target.exists()


@pytest.mark.parametrize(
    ("module", "name", "config"),
    [
        ("os", "system", {"command": "touch MARK"}),
        ("builtins", "eval", {"source": "open('MARK', 'w')"}),
        ("subprocess", "Popen", {"args": ["touch", "MARK"]}),
        ("keras.layers", "TFSMLayer", {"filepath": "MARK"}),
        ("keras.utils", "get_file", {"fname": "MARK", "origin": "file:///etc/hostname"}),
    ],
)
def test_no_function_or_class_of_the_files_choice_is_called(plain, tmp_path, module, name, config):
    mark = str(tmp_path / MARK)
    filled = json.loads(json.dumps(config).replace("MARK", mark))
    layer = {"module": module, "class_name": name, "config": filled, "registered_name": None}
    with pytest.raises(CxrError, match="not a Keras model that can be read"):
        load_model(changed(plain, layer))
    assert not Path(mark).exists()


def test_weights_that_are_links_to_other_files_are_not_followed(plain, tmp_path):
    """HDF5 lets a data set lie in another file: a model would bring home what its reader can see."""
    with h5py.File(tmp_path / "secret.h5", "w") as secret:
        secret["values"] = np.full((2, 1), 42.0, np.float32)
    with zipfile.ZipFile(plain) as archive:
        parts = {name: archive.read(name) for name in archive.namelist()}
    out = io.BytesIO(parts["model.weights.h5"])
    with h5py.File(out, "a") as weights:
        path = next(name for name in _data_sets(weights) if weights[name].shape == (2, 1))
        del weights[path]
        weights[path] = h5py.ExternalLink(str(tmp_path / "secret.h5"), "values")
    parts["model.weights.h5"] = out.getvalue()
    with zipfile.ZipFile(plain, "w") as archive:
        for name, data in parts.items():
            archive.writestr(name, data)
    with pytest.raises(CxrError):
        load_model(str(plain))


def _data_sets(weights: h5py.File) -> list[str]:
    found: list[str] = []
    weights.visititems(lambda name, item: found.append(name) if isinstance(item, h5py.Dataset) else None)
    return found


def test_no_array_is_unpickled_and_no_model_loaded_without_safe_mode():
    """By the source, as a reader that is added must say it too."""
    folders = ("core", "data", "trainer", "components", "pipeline", "serving", "kubeflow", "cli")
    for file in (file for folder in folders for file in (ROOT / folder).rglob("*.py")):
        text = file.read_text()
        assert text.count("np.load(") == text.count("allow_pickle=False") - text.count("np.save("), file
        assert text.count("saving.load_model(") == text.count("safe_mode=True"), file
        assert "import pickle" not in text, file
        assert "unsafe_deserialization" not in text, file


def test_an_array_that_is_a_pickle_is_refused(tmp_path):
    """What a pushed version says of its training images (`cxr evaluate`)."""
    path = tmp_path / TRAINING_IMAGES
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(pickle.dumps(_Runs(str(tmp_path / MARK))))
    with pytest.raises(CxrError, match="not a list of image keys"):
        load_training_images(str(tmp_path), None)
    assert not (tmp_path / MARK).exists()


class _Runs:
    """Writes a file when it is unpickled."""

    def __init__(self, target: str) -> None:
        self.target = target

    def __reduce__(self):
        return (open, (self.target, "w"))
