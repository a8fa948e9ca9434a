import numpy as np
import pytest

from cxr.pipeline.outside.chance import DIVISIONS, LEVEL, borders, divisions, most_flagged
from cxr.trainer.calibration.ranks import conformal_quantile


def test_patients_are_divided_with_all_that_a_place_takes():
    new, training = np.array([0, 0, 1]), np.array([0, 1, 1, 1, 2])
    one, other = (np.concatenate(sides) for sides in zip(*divisions(new, training), strict=True))
    assert one.shape == other.shape == (1 + DIVISIONS, 8)
    assert one[0].tolist() == [1, 1, 1, 0, 0, 0, 0, 0]
    assert other[0].tolist() == [0, 0, 0, 1, 1, 1, 1, 1]
    assert not np.any(one * other)
    patients = np.array([0, 0, 1, 2, 3, 3, 3, 4])
    of_patient = np.stack([one[:, patients == patient].sum(axis=1) for patient in range(5)], axis=1)
    assert set((of_patient > 0).sum(axis=1)) == {2}  # as many patients as are new
    assert of_patient.max() == 2  # the places of the new ones are of two images and one
    assert one[:, 3].mean() == pytest.approx(2 / 5, abs=0.05)  # everyone is new equally often
    assert other[:, 4].mean() == pytest.approx(other[:, 6].mean(), abs=0.05)  # so is each image of a patient


def test_in_few_divisions_only_any_distance_lies_beyond_its_border():
    """A long tail, which a maximum of studentised distances would be all of, is looked at as hard as the others."""
    random = np.random.default_rng(1)
    found = np.stack(
        [random.standard_t(1, 2000), random.normal(0, 1, 2000), random.integers(0, 2, 2000), random.normal(0, 9, 2000)], axis=1
    )
    judged = np.array([True, True, True, False])
    limits = borders(found, judged)
    beyond = (found > limits)[:, judged]
    assert 0.8 * LEVEL < beyond.any(axis=1).mean() <= LEVEL
    assert beyond.mean(axis=0)[:2] == pytest.approx(LEVEL / 2, abs=0.003)
    assert limits[2] == 1  # that something is one of two values is never far


def test_what_is_found_lies_beyond_a_border_as_seldom():
    """The division that was found is one of them where both sets are alike."""
    random = np.random.default_rng(2)
    found = random.normal(0, 1, (3000, 200, 3))
    beyond = [(each[0] > borders(each, np.ones(3, bool), 0.1)).any() for each in found]
    assert np.mean(beyond) == pytest.approx(0.1, abs=0.015)


@pytest.mark.parametrize(("validation", "new"), [(40, 500), (160, 2000), (1000, 100), (10, 30)])
def test_a_border_from_few_images_is_not_taken_for_exact(validation, new):
    """That the share of new images is above 0.05 by its own interval alone was so in up to 0.29 of these."""
    random, most = np.random.default_rng(3), most_flagged(0.05, validation, new)
    alarms = []
    for _ in range(2000):
        scores = random.normal(size=validation)
        border = conformal_quantile(scores, 0.95)
        flagged = (random.normal(size=new) > (scores.max() if border is None else border)).sum()
        alarms.append(flagged > most)
    assert 0.005 < np.mean(alarms) < LEVEL + 0.01


def test_many_validation_images_make_a_border_exact():
    assert most_flagged(0.05, 10_000_000, 100) == 10  # 97.5 % of binomial counts
    assert most_flagged(0.05, 160, 100) == 11


def test_few_images_are_left_out_where_both_sets_have_as_many_of_a_patient():
    new, training = np.repeat(np.arange(30), [1, 2, 3] * 10), np.repeat(np.arange(120), [3, 2, 1] * 40)
    one = np.concatenate([side for side, _ in divisions(new, training)])
    assert one[0].sum() == 60
    assert 56 < one.sum(axis=1).mean() <= 60  # 47 with places in any order
    single = np.concatenate([side for side, _ in divisions(np.arange(30), training)])
    assert set(single.sum(axis=1)) == {30}
