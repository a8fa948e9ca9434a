import keras
import numpy as np
import pytest
from keras.src.legacy.saving import legacy_h5_format
from keras.src.utils import file_utils

from cxr.core.errors import CxrError
from cxr.trainer.models import backbones, weights

MOBILENET = backbones.find("MobileNet")


def save_as_keras_does(network, file):
    import h5py

    with h5py.File(file, "w") as stream:
        legacy_h5_format.save_weights_to_hdf5_group(stream, network)


def same(first, second):
    return all(np.array_equal(a, b) for a, b in zip(first.get_weights(), second.get_weights(), strict=True))


@pytest.fixture
def offline(monkeypatch):
    def unreachable(*_, **__):
        raise OSError("no network")

    monkeypatch.setattr(file_utils, "urlretrieve", unreachable)


@pytest.fixture
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("KERAS_HOME", str(tmp_path))
    monkeypatch.setattr(file_utils.config, "keras_home", lambda: str(tmp_path))
    (tmp_path / "models").mkdir()
    return tmp_path / "models"


def test_imagenet_from_the_cache(cache, offline, config):
    kept = backbones.build(MOBILENET, 32)
    save_as_keras_does(kept, cache / MOBILENET.weights_file)
    loaded = weights.load_backbone(config(weights="imagenet"), MOBILENET, 32)
    assert same(loaded.network, kept)
    assert (loaded.note, loaded.random) == ("ImageNet weights", False)


def test_imagenet_that_cannot_be_had(cache, offline, config):
    with pytest.raises(CxrError) as error:
        weights.load_backbone(config(weights="imagenet"), MOBILENET, 32)
    file = str(cache / MOBILENET.weights_file)
    for part in (file, "no network", "keras.applications.MobileNet", "weights: none", "allow_random_weights"):
        assert part in str(error.value)


def test_the_fall_back_is_noted(cache, offline, config):
    loaded = weights.load_backbone(config(weights="imagenet", allow_random_weights=True), MOBILENET, 32)
    assert loaded.random
    assert loaded.note.startswith("random weights (asked for imagenet: MobileNet: no ImageNet weights")


@pytest.mark.parametrize("name", [MOBILENET.weights_file, "mobilenet_notop.weights.h5", "mobilenet.keras"])
def test_a_local_folder(tmp_path, name, config):
    kept = backbones.build(MOBILENET, 32)
    if name.endswith(".keras"):
        kept.save(tmp_path / name)
    elif name.endswith(".weights.h5"):
        kept.save_weights(tmp_path / name)
    else:
        save_as_keras_does(kept, tmp_path / name)
    loaded = weights.load_backbone(config(weights=str(tmp_path)), MOBILENET, 32)
    assert same(loaded.network, kept)
    assert name in loaded.note


def test_a_folder_without_the_file(tmp_path, config):
    with pytest.raises(CxrError, match="holds none of mobilenet_1_0_224_tf_no_top.h5"):
        weights.load_backbone(config(weights=str(tmp_path)), MOBILENET, 32)
    with pytest.raises(CxrError, match="is no folder"):
        weights.load_backbone(config(weights=str(tmp_path / "none")), MOBILENET, 32)


def test_a_file_of_something_else(tmp_path, config):
    (tmp_path / MOBILENET.weights_file).write_bytes(b"nothing")
    with pytest.raises(CxrError, match="holds no weights of MobileNet"):
        weights.load_backbone(config(weights=str(tmp_path)), MOBILENET, 32)


@pytest.mark.slow
def test_efficientnet_from_a_folder_equals_keras_own_loading(tmp_path, config, monkeypatch):
    backbone = backbones.find("EfficientNetB0")
    kept = backbones.build(backbone, 32)
    normalization = next(layer for layer in kept.layers if isinstance(layer, keras.layers.Normalization))
    normalization.adapt_mean.assign([0.485, 0.456, 0.406])
    normalization.adapt_variance.assign(np.square([0.229, 0.224, 0.225]))
    save_as_keras_does(kept, tmp_path / backbone.weights_file)
    monkeypatch.setattr(file_utils, "get_file", lambda *_, **__: str(tmp_path / backbone.weights_file))
    keras_own = backbones.build(backbone, 32, "imagenet")
    ours = weights.load_backbone(config(weights=str(tmp_path)), backbone, 32).network
    images = np.random.default_rng(0).uniform(0, 255, size=(2, 32, 32, 3)).astype(np.float32)
    np.testing.assert_allclose(ours(images), keras_own(images), rtol=1e-3, atol=1e-6)
    kept.get_layer(normalization.name).finalize_state()
    assert not np.allclose(kept(images), keras_own(images), rtol=1e-3, atol=1e-6)
