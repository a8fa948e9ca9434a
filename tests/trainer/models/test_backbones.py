import keras
import numpy as np
import pytest

from cxr.core.errors import CxrError
from cxr.trainer.models import adapters, backbones

pytestmark = pytest.mark.seconds


@pytest.mark.parametrize("name", backbones.names())
def test_adapter_does_what_preprocess_input_does(name):
    backbone = backbones.find(name)
    images = np.random.default_rng(0).uniform(size=(2, 4, 4, 3)).astype(np.float32)
    adapted = images
    for layer in backbone.adapter():
        adapted = layer(adapted)
    np.testing.assert_allclose(adapted, backbone.preprocess_input(255 * images), atol=1e-4)


@pytest.mark.parametrize("name", ["EfficientNetB0", "EfficientNetV2B0", "ConvNeXtTiny", "MobileNetV3Small"])
def test_where_the_network_rescales_it_gets_255(name):
    backbone = backbones.find(name)
    (layer,) = backbone.adapter()
    assert (layer.scale, layer.offset) == (255, 0)
    network = backbones.build(backbone, 32)
    assert any(isinstance(layer, (keras.layers.Rescaling, keras.layers.Normalization)) for layer in backbones.all_layers(network))


def test_an_adapter_that_mixes_channels_is_refused():
    def grey(x):
        return np.repeat(x.mean(axis=-1, keepdims=True), 3, axis=-1)

    with pytest.raises(ValueError, match="mixes channels"):
        adapters.adapter_layers(grey)


def test_case_does_not_matter_and_unknown_names_are_refused():
    assert backbones.find("densenet201") is backbones.find("DenseNet201")
    assert backbones.find("resnet50v2").name == "ResNet50V2"
    with pytest.raises(CxrError, match="DenseNet200.*MobileNetV2"):
        backbones.find("DenseNet200")


def test_too_small_images():
    with pytest.raises(CxrError, match="InceptionV3: images of 40 pixels.*image_size"):
        backbones.build(backbones.find("InceptionV3"), 40)


# One of each family, the smaller ones; the rest shares its family's template.
FAMILIES = ["MobileNet", "MobileNetV2", "MobileNetV3Small", "DenseNet121", "ResNet50", "ResNet50V2", "VGG16", "Xception", "InceptionV3"]
FAMILIES += ["InceptionResNetV2", "EfficientNetB0", "EfficientNetV2B0", "EfficientNetV2S", "ConvNeXtTiny", "NASNetMobile"]


@pytest.mark.slow
@pytest.mark.parametrize("name", FAMILIES)
def test_weights_files_are_named_as_keras_names_them(name, monkeypatch):
    class Asked(Exception):
        pass

    def get_file(fname, *args, **kwargs):
        raise Asked(fname)

    monkeypatch.setattr(keras.src.utils.file_utils, "get_file", get_file)
    backbone = backbones.find(name)
    with pytest.raises(Asked) as asked:
        backbone.constructor(include_top=False, input_shape=(backbone.native_size, backbone.native_size, 3))
    assert asked.value.args[0] == backbone.weights_file


@pytest.mark.slow
def test_reversed_channels_survive_saving(tmp_path):
    backbone = backbones.find("ResNet50")
    image = x = keras.Input((8, 8, 3))
    for layer in backbone.adapter():
        x = layer(x)
    keras.Model(image, x).save(tmp_path / "m.keras")
    images = np.random.default_rng(0).uniform(size=(1, 8, 8, 3)).astype(np.float32)
    loaded = keras.saving.load_model(tmp_path / "m.keras")
    np.testing.assert_allclose(loaded(images), backbone.preprocess_input(255 * images), atol=1e-4)
