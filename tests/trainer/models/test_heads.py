import keras
import numpy as np
import pytest

from cxr.core.errors import CxrError
from cxr.trainer.model_config import Head
from cxr.trainer.models.heads import build_head, pooling_layers
from cxr.trainer.models.weights import copy_weights


def test_the_papers_head():
    config = Head(pooling="average", pool_size=4, hidden_units=8, dropout=0.5)
    kinds = [type(layer).__name__ for layer in [*pooling_layers(config, (7, 7)), *build_head(config, 6, 3).layers[1:]]]
    assert kinds == ["AveragePooling2D", "Flatten", "Dense", "Dropout", "Dense"]


def test_a_window_larger_than_the_feature_map():
    with pytest.raises(CxrError, match="pool_size: 4 is more than the feature map's 3x3"):
        pooling_layers(Head(pooling="average", pool_size=4), (3, 3))


def test_normalize_standardises_and_a_dead_feature_does_no_harm(tmp_path):
    features = np.random.default_rng(0).normal(5, 2, size=(50, 4)).astype(np.float32)
    features[:, 2] = 0
    config = Head(normalize=True, l2=0.1)
    head = build_head(config, 4, 3, features)
    standardised = head.get_layer("normalize")(features).numpy()
    np.testing.assert_allclose(standardised[:, [0, 1, 3]].mean(axis=0), 0, atol=1e-4)
    np.testing.assert_allclose(standardised[:, [0, 1, 3]].std(axis=0), 1, atol=1e-3)
    alive_later = head.get_layer("normalize")(np.ones((1, 4), np.float32)).numpy()
    assert np.abs(alive_later).max() < 10
    assert head.get_layer("probabilities").kernel_regularizer.l2 == pytest.approx(0.1)

    copy = build_head(config, 4, 3)
    copy_weights(head, copy)
    np.testing.assert_allclose(copy(features), head(features), atol=1e-6)
    head.save(tmp_path / "head.keras")
    np.testing.assert_allclose(keras.saving.load_model(tmp_path / "head.keras")(features), head(features), atol=1e-6)


def test_normalize_does_not_hide_tiny_features():
    features = np.random.default_rng(0).normal(0, 1e-7, size=(50, 4)).astype(np.float32)
    standardised = build_head(Head(normalize=True), 4, 3, features).get_layer("normalize")(features).numpy()
    np.testing.assert_allclose(standardised.std(axis=0), 1, atol=0.02)
