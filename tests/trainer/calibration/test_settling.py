import numpy as np
import pytest

from cxr.core.errors import CxrError
from cxr.trainer.calibration.settling import settle
from cxr.trainer.model_config import Ensemble

NAMES = ("a", "b", "c")
LABELS = np.arange(60) % 3
TOO_SURE = np.where(np.eye(3)[np.where(np.arange(60) % 4, LABELS, 0)] == 1, 0.98, 0.01).astype(np.float32)


def test_one_temperature_for_all_splits_and_thresholds_on_calibrated_probabilities():
    settled = settle(Ensemble(), NAMES, {"train": TOO_SURE[:30], "val": TOO_SURE}, {"train": LABELS[:30], "val": LABELS})
    assert settled.calibration.temperature > 1.5
    assert settled.probabilities["val"].max() < 0.95
    np.testing.assert_array_equal(settled.probabilities["train"], settled.probabilities["val"][:30])
    assert settled.conformal is not None
    assert settled.conformal.coverage == Ensemble().conformal_coverage
    for _, by_sensitivity in settled.operating_points.values():
        assert np.isclose(settled.probabilities["val"], by_sensitivity.threshold).any()
    assert set(settled.info()) == {"calibration", "conformal", "operating_points"}


def test_what_is_not_wanted_or_cannot_be_fitted_is_left_out():
    off = settle(Ensemble(calibration="none", conformal_coverage=None), NAMES, {"val": TOO_SURE}, {"val": LABELS})
    np.testing.assert_array_equal(off.probabilities["val"], TOO_SURE)
    assert off.calibration.temperature == 1
    assert "configured" in off.calibration.note
    assert off.conformal is None
    alone = settle(Ensemble(), NAMES, {"train": TOO_SURE}, {"train": LABELS})
    np.testing.assert_array_equal(alone.probabilities["train"], TOO_SURE)
    assert "no validation split" in alone.calibration.note
    assert (alone.conformal, alone.operating_points) == (None, {})


def test_answers_that_are_no_numbers_are_an_error():
    with pytest.raises(CxrError, match="not finite"):
        settle(Ensemble(), NAMES, {"val": np.full((60, 3), np.nan, np.float32)}, {"val": LABELS})
