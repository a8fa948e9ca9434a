"""Energy inside the lesion beside chance, on maps and lesions of known places."""

import numpy as np
import pytest

from cxr.components.explanation.localisation import energy_inside, localise, points_inside
from cxr.components.explanation.result import Localisation
from cxr.core.intervals import bootstrap_interval, proportion_interval
from cxr.core.resampling import drawn_means, patient_key
from cxr.core.support import quantile

SIDE = 96


def lesion(row, column, side=24):
    mask = np.zeros((SIDE, SIDE), bool)
    mask[row : row + side, column : column + side] = True
    return mask


def heat_at(row, column, cells=8):
    heat = np.zeros((cells, cells), np.float32)
    heat[row, column] = 1
    return heat


def test_energy_and_chance_of_simple_maps():
    mask = lesion(0, 0, 48)[np.newaxis]  # the upper left quarter
    everywhere = np.ones((8, 8), np.float32)
    assert energy_inside(everywhere, mask) == pytest.approx(0.25)  # chance: the lesion's share of the picture
    assert energy_inside(heat_at(1, 1), mask) == pytest.approx(1, abs=0.01)
    assert energy_inside(heat_at(6, 6), mask) == pytest.approx(0, abs=0.01)
    half = heat_at(1, 1) + heat_at(6, 6)
    assert energy_inside(half, mask) == pytest.approx(0.5, abs=0.01)
    assert np.isnan(energy_inside(np.zeros((8, 8), np.float32), mask))


def test_the_pointing_game():
    assert points_inside(heat_at(1, 1), lesion(0, 0, 48))
    assert not points_inside(heat_at(6, 1), lesion(0, 0, 48))
    assert not points_inside(np.zeros((8, 8), np.float32), np.ones((SIDE, SIDE), bool))


def localised(heats, masks, patients, classes=None) -> Localisation:
    found = localise("one", heats, masks, classes or ["sick"] * len(heats), patients)
    assert found is not None
    return found


def low(figure) -> float:
    assert figure.low is not None
    return figure.low


PLACES = [(0, 0), (0, 6), (6, 0), (6, 6), (3, 3)] * 4  # cells of 12 pixels; lesions take two by two of them
PATIENTS = [b"p%d" % (k // 2) for k in range(len(PLACES))]
MASKS = [lesion(12 * row, 12 * column) for row, column in PLACES]


def test_maps_on_their_own_lesion_beat_both_kinds_of_chance():
    heats = [heat_at(row, column) + 0.02 for row, column in PLACES]
    found = localised(heats, MASKS, PATIENTS)
    assert (found.model, found.images, found.patients, found.empty) == ("one", 20, 10, 0)
    assert found.area.value == pytest.approx(1 / 16, abs=0.01)
    assert low(found.energy) > 0.3 > 3 * low(found.elsewhere)
    assert low(found.above_area) > 0.2
    assert found.hits.value == 1
    assert "better than chance, and more than inside the lesions of the same class in other patients" in found.verdict


def test_a_map_that_is_always_the_same_shows_where_lesions_mostly_are():
    same = sum(heat_at(row, column) for row, column in PLACES[:5])
    found = localised([same] * 20, MASKS, PATIENTS)
    assert low(found.above_area) > 0 >= low(found.above_elsewhere)
    assert "the maps show where lesions mostly are" in found.verdict


def test_maps_without_a_place_are_no_better_than_chance():
    found = localised([np.ones((8, 8), np.float32)] * 20, MASKS, PATIENTS)
    assert found.energy.value == pytest.approx(found.area.value, abs=1e-3)
    assert "no better than chance" in found.verdict


def test_empty_maps_are_counted_and_say_nothing():
    heats = [np.zeros((8, 8), np.float32), *(heat_at(row, column) for row, column in PLACES[1:])]
    found = localised(heats, MASKS, PATIENTS)
    assert (found.images, found.empty) == (19, 1)
    assert localise("one", heats[:1], MASKS[:1], ["sick"], PATIENTS[:1]) is None
    assert localise("one", [], [], [], []) is None


def test_few_patients_say_nothing():
    heats = [heat_at(row, column) + 0.02 for row, column in PLACES]
    found = localised(heats[:18], MASKS[:18], PATIENTS[:18])  # nine: one fewer than other intervals need
    assert (found.energy.low, found.above_area.low) == (None, None)
    assert found.verdict.endswith("too few patients for an interval")
    mostly_alone = localised(heats, MASKS, PATIENTS, ["sick"] * 4 + [f"class {k}" for k in range(16)])
    assert mostly_alone.verdict.endswith("of the same class in other patients (0.035): too few patients for an interval")


def test_where_a_patient_has_most_pictures_intervals_are_wider():
    numbers = np.r_[np.zeros(11, np.int64), np.arange(1, 10)]
    heats = [heat_at(row, column) + 0.02 * k for k, (row, column) in enumerate(PLACES)]
    found = localised(heats, MASKS, [b"p%d" % number for number in numbers])
    z = quantile(np.bincount(numbers))
    assert z > 3
    assert found.hits.low == pytest.approx(proportion_interval(1.0, 10, z).low)
    keys, of = np.unique([patient_key(b"p%d" % number) for number in numbers], return_inverse=True)
    energy = np.array([energy_inside(heat, mask[np.newaxis])[0] for heat, mask in zip(heats, MASKS, strict=True)])
    expected = bootstrap_interval(drawn_means(energy, of), len(keys), z)
    assert (found.energy.low, found.energy.high) == pytest.approx((expected.low, expected.high), abs=0.001)
    assert low(found.energy) < bootstrap_interval(drawn_means(energy, of), len(keys)).low - 0.003


def test_one_patient_alone_has_no_others_to_compare_with():
    found = localised([heat_at(0, 0)] * 2, MASKS[:2], [b"a", b"a"])
    assert (found.elsewhere.value, found.above_elsewhere.value) == (None, None)


def test_lesions_of_another_class_are_no_measure():
    heats = [heat_at(0, 0)] * 4
    masks = [lesion(0, 0), lesion(0, 0, 90), lesion(0, 0), lesion(0, 0, 90)]  # large ones hold every map
    found = localised(heats, masks, [b"a", b"b", b"c", b"d"], ["small", "large", "small", "large"])
    assert found.above_elsewhere.value == pytest.approx(0, abs=1e-6)
    alone = localised(heats[:3], masks[:3], [b"a", b"b", b"c"], ["small", "large", "small"])
    (own,) = energy_inside(heats[0], np.stack(masks[:1]))
    assert alone.elsewhere.value == pytest.approx(own, abs=0.02)  # nobody to compare the large one with
