"""The bootstrap over patients."""

import numpy as np
import pytest

from cxr.core import resampling
from cxr.core.figures import Answers, Measure

PATIENTS = np.repeat(np.arange(40), [1, 2, 3, 4] * 10)
VALUES = np.random.default_rng(0).uniform(size=len(PATIENTS))


@pytest.mark.parametrize("cells", [1, 7 * len(PATIENTS), 10**9])
def test_draws_do_not_hang_on_how_many_are_held_at_once(monkeypatch, cells):
    probabilities = np.stack([VALUES, 1 - VALUES], axis=1)
    answers = Answers(PATIENTS, np.arange(len(PATIENTS)) % 2, probabilities)

    def found():
        figures = np.concatenate([part.accuracy for part in resampling.resampled(answers, Measure(answers, 1))])
        return resampling.drawn_means(VALUES, PATIENTS), figures

    expected = found()
    monkeypatch.setattr(resampling, "_CELLS", cells)
    for ours, theirs in zip(found(), expected, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-12)
        assert len(ours) == resampling.DRAWS


def test_nothing_is_drawn_of_nobody():
    nobody = Answers(np.empty(0, np.int64), np.empty(0, np.int64), np.empty((0, 2)))
    assert list(resampling.resampled(nobody, Measure(nobody, 1))) == []
