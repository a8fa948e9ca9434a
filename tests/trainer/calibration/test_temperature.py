import keras
import numpy as np
import pytest
from scipy.special import softmax

from cxr.core.figures import CALIBRATION_BINS
from cxr.trainer.calibration.layers import Temperature
from cxr.trainer.calibration.reliability import measure
from cxr.trainer.calibration.temperature import HIGHEST, LOWEST, apply, fit, scale_logits


def drawn(images, too_sure, seed=0):
    """Answers whose logits are `too_sure` times those that the labels were drawn from."""
    rng = np.random.default_rng(seed)
    logits = rng.normal(0, 1.5, (images, 3))
    labels = np.array([rng.choice(3, p=p) for p in softmax(logits, axis=1)])
    return softmax(too_sure * logits, axis=1).astype(np.float32), labels


@pytest.mark.parametrize("too_sure", [0.5, 1.0, 3.0])
def test_the_temperature_by_which_the_logits_are_too_large_is_found(too_sure):
    probabilities, labels = drawn(4000, too_sure)
    fitted = fit(probabilities, labels)
    assert fitted.temperature == pytest.approx(too_sure, rel=0.08)
    assert (fitted.split, fitted.images, fitted.note) == ("val", 4000, "")
    assert fitted.before is not None
    assert fitted.after is not None
    assert fitted.after.log_loss <= fitted.before.log_loss
    assert fitted.after.calibration_error < 0.03
    if too_sure != 1:
        assert fitted.after.calibration_error < fitted.before.calibration_error / 2
    np.testing.assert_array_equal(apply(probabilities, fitted.temperature).argmax(axis=1), probabilities.argmax(axis=1))


def test_labels_do_not_change_where_probabilities_end():
    certain = np.array([[1, 0, 0], [0.5, 0.5, 0], [1 - 1e-7, 1e-7, 0]], np.float32)
    for temperature in (LOWEST, HIGHEST):
        answers = apply(certain, temperature)
        np.testing.assert_allclose(answers.sum(axis=1), 1, atol=1e-6)
        assert answers.argmax(axis=1).tolist() == [0, 0, 0]
        np.testing.assert_allclose(Temperature(temperature)(certain), answers, atol=1e-6)


def test_a_split_answered_without_a_fault_does_not_sharpen():
    timid = np.full((9, 3), 0.2, np.float32) + 0.4 * np.eye(3, dtype=np.float32)[np.arange(9) % 3]
    fitted = fit(timid, np.arange(9) % 3)
    assert fitted.temperature == 1
    assert "all 9 answers" in fitted.note


def test_few_images_and_a_missing_class_give_a_temperature_within_its_bounds():
    probabilities, labels = drawn(4000, 30.0)
    hopeless = fit(probabilities, labels)
    assert hopeless.temperature == pytest.approx(HIGHEST, rel=1e-3)
    assert "held at the bound" in hopeless.note
    wrong = np.array([[0.999, 0.0005, 0.0005]], np.float32)
    assert 1 < fit(wrong, [1]).temperature < HIGHEST  # one image alone does not carry it to the bound
    two_classes = fit(probabilities[:60], labels[:60] % 2)
    assert LOWEST <= two_classes.temperature <= HIGHEST


def test_calibration_error_by_hand():
    found = measure(np.array([[0.9, 0.1], [0.9, 0.1], [0.4, 0.6], [1, 0]]), [0, 1, 1, 0])
    assert found.calibration_error == pytest.approx((2 * abs(0.9 - 0.5) + abs(0.6 - 1) + 0) / 4)
    assert found.log_loss == pytest.approx(-np.mean(np.log([0.9, 0.1, 0.6, 1])))
    assert [(one.images, one.accuracy) for one in found.bins] == [(1, 1), (2, 0.5), (1, 1)]
    assert found.bins[0].low < 0.6 <= found.bins[0].high == pytest.approx(9 / CALIBRATION_BINS)


def network(nested):
    keras.utils.set_random_seed(3)
    head = keras.Sequential([keras.Input([4]), keras.layers.Dense(3, "softmax")]) if nested else keras.layers.Dense(3, "softmax")
    inputs = keras.Input([4])
    return keras.Model(inputs, head(inputs))


@pytest.mark.parametrize("nested", [False, True])
def test_the_temperature_goes_into_the_last_layer(nested):
    model, x = network(nested), np.random.default_rng(0).normal(0, 3, (20, 4)).astype(np.float32)
    before = np.asarray(model(x))
    scale_logits(model, 2.5)
    np.testing.assert_allclose(model(x), apply(before, 2.5), atol=1e-6)
    assert np.abs(np.asarray(model(x)) - before).max() > 0.05


def test_a_model_without_logits_cannot_be_scaled():
    inputs = keras.Input([4])
    with pytest.raises(ValueError, match="not in a Dense layer with softmax"):
        scale_logits(keras.Model(inputs, keras.layers.Dense(3, "sigmoid")(inputs)), 2.0)
