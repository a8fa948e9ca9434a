import keras
import numpy as np
import pytest
from pydantic import ValidationError

from cxr.trainer.losses import balanced_class_weights, make_loss, make_optimizer
from cxr.trainer.model_config import Loss, Optimizer

TRUTH, ANSWER = np.array([[0, 1, 0]], np.float32), np.array([[0.2, 0.7, 0.1]], np.float32)


@pytest.mark.parametrize(
    ("loss", "value"),
    [
        (Loss(name="mean_squared_error"), (0.04 + 0.09 + 0.01) / 3),
        (Loss(), -np.log(0.7)),
        (Loss(label_smoothing=0.3), -(0.1 * np.log(0.2) + 0.8 * np.log(0.7) + 0.1 * np.log(0.1))),
    ],
)
def test_losses(loss, value):
    assert float(make_loss(loss)(TRUTH, ANSWER)) == pytest.approx(value, rel=1e-4)


def test_settings_without_effect_are_refused():
    with pytest.raises(ValidationError, match="label_smoothing goes with"):
        Loss(name="mean_squared_error", label_smoothing=0.1)
    with pytest.raises(ValidationError, match="weight_decay goes with"):
        Optimizer(weight_decay=0.1)


def test_optimizers():
    adamw = make_optimizer(Optimizer(name="adamw", learning_rate=0.1, weight_decay=0.2))
    assert isinstance(adamw, keras.optimizers.AdamW)
    assert adamw.weight_decay == 0.2
    assert type(make_optimizer(Optimizer())) is keras.optimizers.Adam


def test_class_weights_balance():
    weights = balanced_class_weights(np.array([0, 0, 0, 1, 1, 2]), 3)
    assert weights == {0: pytest.approx(2 / 3), 1: 1.0, 2: 2.0}
