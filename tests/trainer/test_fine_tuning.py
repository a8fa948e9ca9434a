"""Fine-tuning of backbones at their full size, from files of weights as users have them."""

import keras
import pytest

from cxr.trainer.models import backbones
from cxr.trainer.training import Training


@pytest.mark.slow
@pytest.mark.parametrize(
    "name", [pytest.param("DenseNet201", marks=pytest.mark.long), pytest.param("EfficientNetB7", marks=pytest.mark.long), "MobileNet"]
)
def test_every_layer_learns_but_batch_normalisation(name, quick_splits, config, weights_folder):
    folder = weights_folder(name)
    stage = {"epochs": 2, "batch_size": 12, "optimizer": {"learning_rate": 1e-3}}
    chosen = config(backbone=name, weights=str(folder), bn_recalibration="none", head={}, head_training=None, fine_tuning=stage)
    trained = Training(chosen, quick_splits.transform, quick_splits.train, None).run()
    (tuned,) = trained.stages
    assert (tuned.name, trained.kept_stage) == ("fine-tuning", "fine-tuning")
    assert tuned.rows[-1]["loss"] < tuned.rows[0]["loss"]

    given = backbones.build(backbones.find(name), 32)
    given.load_weights(folder / backbones.find(name).weights_file)
    network = trained.model.get_layer(backbones.LAYER)
    moved: dict[type, list[bool]] = {}
    for layer, before in zip(network.layers, given.layers, strict=True):
        if layer.get_weights():
            pairs = zip(layer.get_weights(), before.get_weights(), strict=True)
            moved.setdefault(type(layer), []).append(any((a != b).any() for a, b in pairs))
    assert not any(moved.pop(keras.layers.BatchNormalization))
    moved.pop(keras.layers.Normalization, None)  # of pixels, by numbers that are given
    assert all(all(kind) for kind in moved.values())
