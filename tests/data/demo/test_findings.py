"""Where the findings are, and what they leave to be seen."""

import numpy as np
import pytest

from cxr.data.demo import findings, thorax
from cxr.data.demo.fields import Canvas
from cxr.data.demo.person import Person, Pose

CANVAS = Canvas(160, 40.0, -5.0)


@pytest.fixture(scope="module")
def lungs():
    rng = np.random.default_rng(4)
    return thorax.lungs(CANVAS, Person.draw(rng, female=False), Pose.draw(rng, "PA"))


def mean_filled(filled, lungs, where):
    return float(filled[where & (lungs.thickness > 2)].mean())


@pytest.mark.parametrize("seed", range(6))
def test_ground_glass_is_bilateral_peripheral_basal_and_faint(lungs, seed):
    filled = findings.ground_glass(CANVAS, lungs, 0.5, np.random.default_rng(seed))
    left, right = (mean_filled(filled, lungs, np.broadcast_to(lungs.side == side, filled.shape)) for side in (-1, 1))
    assert 0.4 < left / right < 2.5
    assert mean_filled(filled, lungs, lungs.across > 0.6) > mean_filled(filled, lungs, lungs.across < 0.4)
    assert mean_filled(filled, lungs, lungs.down > 0.6) > mean_filled(filled, lungs, lungs.down < 0.4)
    assert filled.max() < 0.65  # air is left in every part


@pytest.mark.parametrize("seed", range(6))
def test_consolidation_is_dense_in_a_part_of_one_lung(lungs, seed):
    filled = findings.consolidation(CANVAS, lungs, 0.9, np.random.default_rng(seed))
    sides = [mean_filled(filled, lungs, np.broadcast_to(lungs.side == side, filled.shape)) for side in (-1, 1)]
    assert min(sides) == 0
    sick = np.broadcast_to(lungs.side == (-1 if sides[0] else 1), filled.shape) & (lungs.thickness > 2)
    assert filled[sick].max() > 0.65
    assert 0.05 < (filled[sick] > 0.4).mean() < 0.8


@pytest.mark.parametrize("finding", [findings.ground_glass, findings.consolidation])
def test_severity_goes_down_to_hardly_visible(lungs, finding):
    means = [float(finding(CANVAS, lungs, severity, np.random.default_rng(1)).mean()) for severity in (0.05, 0.3, 0.6, 1.0)]
    assert means == sorted(means)
    assert means[0] < 0.3 * means[-1]
