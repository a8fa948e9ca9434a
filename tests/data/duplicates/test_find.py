"""Synthetic radiographs, changed in every way of benchmarks/picture_changes.py, are found again; other patients' are not taken for them."""

import numpy as np
import pytest
from picture_changes import CHANGES

from cxr.core import features
from cxr.core.stored_rows import StoredRows
from cxr.data.demo.person import Person
from cxr.data.demo.radiograph import draw, render
from cxr.data.duplicates import find, search
from cxr.data.duplicates.thumbnails import thumbnail

pytestmark = pytest.mark.seconds

PATIENTS = 40


def drawn(patient, size=320):
    return draw(900 + patient, features.CLASS_NAMES[patient % 3], size, 0.6, ("AP", "PA")[patient % 2]).image


@pytest.fixture(scope="module")
def pictures():
    return [drawn(patient) for patient in range(PATIENTS)]


@pytest.fixture(scope="module")
def strangers(pictures):
    return np.stack([thumbnail(picture) for picture in pictures])


def test_different_patients_are_not_joined(strangers):
    assert find.near_duplicates(strangers, 2) == []


def test_two_views_of_one_patient_are_no_duplicates():
    """Follow-up images in the same view: benchmarks/duplicates.py asks real ones. Drawn lungs never change, and some look the same."""
    thumbnails = []
    for seed in range(8):
        rng = np.random.default_rng(seed)
        person = Person.draw(rng, female=bool(seed % 2))
        thumbnails += [thumbnail(render("normal", person, 0.5, view, 320, rng).image) for view in ("PA", "AP")]
    assert find.near_duplicates(np.stack(thumbnails), 2) == []


@pytest.mark.parametrize("name", CHANGES)
def test_a_changed_picture_is_found(pictures, strangers, name):
    rng, several = np.random.default_rng(0), "," in name
    count = 20 if several else 5
    changed = np.stack([thumbnail(np.ascontiguousarray(CHANGES[name](pictures[patient], rng))) for patient in range(count)])
    found = {(pair.first, pair.second) for pair in find.near_duplicates(np.concatenate([strangers, changed]), 2)}
    wanted = {(patient, PATIENTS + patient) for patient in range(count)}
    assert found <= wanted
    assert len(found) >= (0.8 * count if several else count)  # several changes at once may hide one


def test_copies_to_the_pixel_are_paired_with_the_first(strangers):
    thumbnails = np.concatenate([strangers[:5], strangers[[2, 2, 4]]])
    found = find.near_duplicates(thumbnails, 1)
    assert found == [(2, 5, 1.0), (2, 6, 1.0), (4, 7, 1.0)]
    stored = StoredRows.empty(len(thumbnails), thumbnails.shape[1:], np.uint8)
    stored[:] = thumbnails
    assert find.near_duplicates(stored, 1) == found


def test_what_cannot_be_read_is_no_duplicate(strangers):
    thumbnails = strangers[:4].copy()
    thumbnails[1:3] = 0
    assert find.near_duplicates(thumbnails, 1) == []


@pytest.mark.parametrize("count", [0, 1, 2])
def test_few_pictures(strangers, count):
    assert find.near_duplicates(strangers[:count], 1) == []


def test_blocks_do_not_matter(strangers, monkeypatch):
    thumbnails = np.concatenate([strangers, strangers[:6, :, ::-1]])
    whole = search.candidates(thumbnails, 2)
    for name in ("ROWS", "COLUMNS", "PAIRS"):
        monkeypatch.setattr(search, name, 7)
    blocks = search.candidates(thumbnails, 2)
    pairs = {tuple(sorted((pair["first"], pair["second"]))) for pair in whole}
    assert pairs == {tuple(sorted((pair["first"], pair["second"]))) for pair in blocks}
    assert {(patient, PATIENTS + patient) for patient in range(6)} <= pairs
    assert all(pair["mirrored"] for pair in whole if abs(int(pair["first"]) - int(pair["second"])) == PATIENTS)


def test_progress_is_told(strangers):
    told = {}

    def stage(name, total):
        told[name] = [total]
        return told[name].append

    find.near_duplicates(np.concatenate([strangers, strangers[:3, :, ::-1]]), 2, stage)
    assert list(told) == ["comparing", "confirming"]
    assert told["comparing"][0] == PATIENTS + 3
    assert told["confirming"][0] >= 3
    assert all(sum(done) == total for total, *done in told.values())
