import numpy as np
import pytest
from keras.src.utils import file_utils

from cxr.core.errors import CxrError
from cxr.trainer.models import backbones, weights

pytestmark = pytest.mark.seconds

MOBILENET = backbones.find("MobileNet")
EFFICIENTNET = backbones.find("EfficientNetB0")


def relative(values, expected):
    """Root mean square of the difference, as a share of the expected values'."""
    return float(np.linalg.norm(np.asarray(values) - expected) / np.linalg.norm(expected))


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


def test_imagenet_from_the_cache(cache, offline, config, save_as_keras_does):
    kept = backbones.build(MOBILENET, 32)
    save_as_keras_does(kept, cache / MOBILENET.weights_file)
    loaded = weights.load_backbone(config(weights="imagenet"), MOBILENET, 32)
    assert same(loaded.network, kept)
    assert (loaded.note, loaded.random) == ("ImageNet weights", False)


def test_imagenet_that_cannot_be_had(cache, offline, config):
    with pytest.raises(CxrError) as error:
        weights.load_backbone(config(weights="imagenet"), MOBILENET, 32)
    file = str(cache / MOBILENET.weights_file)
    for part in (file, "no network", "cannot be downloaded", "keras.applications.MobileNet", "weights: none", "allow_random_weights"):
        assert part in str(error.value)


def test_the_fall_back_is_noted(cache, offline, config):
    loaded = weights.load_backbone(config(weights="imagenet", allow_random_weights=True), MOBILENET, 32)
    assert loaded.random
    assert loaded.note.startswith("random weights (asked for imagenet: MobileNet: mobilenet_1_0_224_tf_no_top.h5 is missing")
    assert "//" not in loaded.note


@pytest.mark.parametrize("name", [MOBILENET.weights_file, "mobilenet_notop.weights.h5", "mobilenet.keras"])
def test_a_local_folder(tmp_path, name, config, save_as_keras_does):
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
    with pytest.raises(CxrError, match=r"is no folder.+put one of mobilenet_1_0_224_tf_no_top.h5, .+ there"):
        weights.load_backbone(config(weights=str(tmp_path / "none")), MOBILENET, 32)


def test_a_folder_is_looked_into_without_building_anything(tmp_path, config):
    with pytest.raises(weights.WeightsMissing, match="holds none of mobilenet_1_0_224_tf_no_top.h5"):
        weights.check_folder(config(weights=str(tmp_path)))
    for fine in (config(weights="none"), config(weights="imagenet"), config(weights=str(tmp_path), allow_random_weights=True)):
        weights.check_folder(fine)
    (tmp_path / MOBILENET.weights_file).touch()
    weights.check_folder(config(weights=str(tmp_path)))


def test_a_file_of_something_else(tmp_path, config):
    (tmp_path / MOBILENET.weights_file).write_bytes(b"nothing")
    with pytest.raises(CxrError, match="holds no weights of MobileNet"):
        weights.load_backbone(config(weights=str(tmp_path)), MOBILENET, 32)


@pytest.mark.usefixtures("small_efficientnet")
def test_efficientnet_from_a_folder_equals_keras_own_loading(tmp_path, config, monkeypatch, stand_in_imagenet):
    kept, file = stand_in_imagenet(EFFICIENTNET, tmp_path)
    monkeypatch.setattr(file_utils, "get_file", lambda *_, **__: str(file))
    keras_own = EFFICIENTNET.constructor(include_top=False, weights="imagenet", input_shape=(32, 32, 3))
    images = np.random.default_rng(0).uniform(0, 255, size=(2, 32, 32, 3)).astype(np.float32)
    expected = keras_own(images)
    assert relative(kept(images), expected) > 0.05

    def ours(folder, **more):
        return weights.load_backbone(config(weights=str(folder), **more), EFFICIENTNET, 32).network

    assert relative(ours("imagenet")(images), expected) < 1e-3
    assert relative(ours(tmp_path)(images), expected) < 1e-3
    for form in ("weights.h5", "keras"):
        folder = tmp_path / form
        folder.mkdir()
        if form == "keras":
            keras_own.save(folder / "efficientnetb0.keras")
        else:
            keras_own.save_weights(folder / "efficientnetb0_notop.weights.h5")
        loaded = ours(folder)
        assert relative(loaded(images), expected) < 1e-3, form
        copy = backbones.build(EFFICIENTNET, 32)  # as a trainer copies a network
        weights.copy_weights(loaded, copy)
        assert relative(copy(images), expected) < 1e-3, form
    # A network that was built without the rescaling says so in the configuration; a .keras file says it itself.
    assert relative(ours(tmp_path, imagenet_rescaling=False)(images), kept(images)) < 1e-3
    (tmp_path / "own").mkdir()
    kept.save(tmp_path / "own" / "efficientnetb0.keras")
    assert relative(ours(tmp_path / "own")(images), kept(images)) < 1e-3


def test_the_version_of_weights_is_their_content(cache, tmp_path, config):
    version = lambda **more: weights.weights_version(config(**more))  # noqa: E731
    assert version(weights="none") == ""
    assert version(weights="imagenet") == "absent"
    (cache / MOBILENET.weights_file).write_bytes(b"one")
    first = version(weights="imagenet")
    (cache / MOBILENET.weights_file).write_bytes(b"two")
    assert len({first, version(weights="imagenet"), "absent"}) == 3
    folder = tmp_path / "mine"
    assert version(weights=str(folder)) == "absent"
    folder.mkdir()
    (folder / "mobilenet.keras").write_bytes(b"one")
    assert version(weights=str(folder)) == first
