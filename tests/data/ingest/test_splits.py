import pytest

from cxr.core import features
from cxr.core.errors import CxrError
from cxr.data.ingest.ingest_config import Ingest
from cxr.data.ingest.private_lists import BadRows
from cxr.data.ingest.splits import assign

CONFIG = Ingest()


def by_patient(rows):
    found: dict[str, set[str | None]] = {}
    for row in rows:
        found.setdefault(row.patient, set()).add(row.split)
    return found


def test_a_patient_is_in_one_split_across_classes(make_rows):
    rows = make_rows(2000, 2)
    for row in rows[::7]:
        row.label = "normal"  # some patients stand in several classes
    rows, _ = assign(rows, CONFIG)
    assert all(len(splits) == 1 for splits in by_patient(rows).values())
    shares = {split: sum(row.split == split for row in rows) / len(rows) for split in features.SPLITS}
    assert shares["train"] == pytest.approx(0.70, abs=0.06)
    assert shares["val"] == pytest.approx(0.15, abs=0.06)


def test_nobody_moves_when_images_of_known_patients_are_added_or_reordered(make_rows):
    before = by_patient(assign(make_rows(50), CONFIG)[0])
    assert by_patient(assign(make_rows(50, 7)[::-1], CONFIG)[0]) == before


def test_few_move_when_patients_are_added(make_rows):
    before = by_patient(assign(make_rows(200), CONFIG)[0])
    after = by_patient(assign(make_rows(220)[::-1], CONFIG)[0])
    assert sum(after[patient] != splits for patient, splits in before.items()) <= 10


def test_seed_matters(make_rows):
    one, other = (by_patient(assign(make_rows(200), Ingest(seed=seed))[0]) for seed in (1, 2))
    assert one != other


def test_split_by_image_parts_patients(make_rows):
    rows, _ = assign(make_rows(60, 10), Ingest(split_by="image"))
    assert any(len(splits) > 1 for splits in by_patient(rows).values())


def test_images_without_patient_are_patients_of_their_own(make_rows):
    rows = make_rows(300)
    for row in rows:
        row.patient = ""
    assert {row.split for row in assign(rows, CONFIG)[0]} == set(features.SPLITS)


def test_given_splits_are_kept_and_take_the_patient_along(make_rows):
    rows = make_rows(90, 2)
    for row in rows[::2]:
        row.split = features.SPLITS[(int(row.patient) // 3) % 3]
    given = {row.patient: row.split for row in rows[::2]}
    rows, warnings = assign(rows, CONFIG)
    assert all(row.split == given[row.patient] for row in rows)
    assert not warnings


def test_patient_in_two_given_splits_is_told_by_lines(make_rows):
    rows = make_rows(90, 2)
    for row in rows:
        row.split, row.patient = "train", f"SECRET-{row.patient}"
    rows[5].split = "test"
    with pytest.raises(BadRows, match=r"1 patient stands in two splits.*\n  train \(line 2\) and test \(line 2\)$") as error:
        assign(rows, CONFIG)
    assert "SECRET" not in str(error.value)
    assert error.value.rows == (rows[4], rows[5])


def test_given_split_without_a_class(make_rows):
    rows = make_rows(90)
    for row in rows:
        row.split = "test" if row.label == "normal" else "train"
    with pytest.raises(CxrError, match="'normal' has no image in the given split 'train'"):
        assign(rows, CONFIG)


@pytest.mark.parametrize("patients", [9, 10, 12, 18, 31])
def test_small_sets_need_no_luck_with_the_seed(make_rows, patients):
    for seed in range(10):
        rows, warnings = assign(make_rows(patients), Ingest(seed=seed))
        assert len({(row.split, row.label) for row in rows}) == 9
        assert not warnings or patients < 12  # of three patients one is in train


def test_too_few_patients_of_a_class(make_rows):
    with pytest.raises(
        CxrError, match=r"class 'normal' has no image in split 'val': 2 patients of this class .*data\.splits=\{train: 0.8"
    ) as error:
        assign(make_rows(8), CONFIG)
    assert "add images of more patients" in str(error.value)
    rows, _ = assign(make_rows(8), Ingest(splits={"train": 0.8, "val": 0, "test": 0.2}))  # the remedy works
    assert len({(row.split, row.label) for row in rows}) == 6


def test_an_anonymised_id_that_all_share_is_named_as_the_cause(make_rows):
    rows = make_rows(9, 4)
    for row in rows[:24]:
        row.patient = "ANONYMOUS"
    with pytest.raises(CxrError, match=r"24 of 36 images name the same patient.*manifest's column patient_id.*data\.split_by=image"):
        assign(rows, CONFIG)
    for k, row in enumerate(rows):
        row.split = features.SPLITS[k // 3 % 3]
    with pytest.raises(BadRows, match="24 of 36 images name the same patient"):
        assign(rows, CONFIG)


def test_rounded_ids_are_named_as_the_cause(make_rows):
    rows = make_rows(9, 4)
    for row in rows:
        row.patient = f"2.0191{int(row.patient) % 6}E+11"
    with pytest.raises(CxrError, match=r"2 patients of this class .*; 6 patient ids look rounded \(as 2\.01912E\+11\)"):
        assign(rows, CONFIG)


def test_patients_with_many_images_are_told(make_rows):
    rows = make_rows(60)
    rows += [_fresh(row) for row in rows[:1] for _ in range(40)]
    _, warnings = assign(rows, CONFIG)
    assert warnings[0].startswith("uneven numbers of images: ")
    assert "/covid19" in warnings[0]
    assert "/normal" not in warnings[0]
    assert warnings[1:] == ["one patient has 41 of the 100 images; if several patients share that id, write each one's own"]
    for row in rows:
        row.split = row.split or "train"
    assert assign(rows, CONFIG)[1] == warnings[1:]  # given splits are no reason to be silent
    assert not any("one patient has" in warning for warning in assign(make_rows(9, 4), CONFIG)[1])  # of few patients each has much


def test_given_test_patients_and_free_others(make_rows):
    rows = make_rows(12)
    for row in rows[:3]:
        row.split = "test"
    rows, _ = assign(rows, Ingest(splits={"train": 0.8, "val": 0.2, "test": 0}))
    assert {row.split for row in rows[:3]} == {"test"}
    assert len({(row.split, row.label) for row in rows}) == 9


def _fresh(row):
    import dataclasses

    return dataclasses.replace(row, split="")


@pytest.fixture
def images(make_rows):
    return make_rows(60)


def test_exact_numbers(images):
    numbers = {"train": dict.fromkeys(features.CLASS_NAMES, 10), "test": dict.fromkeys(features.CLASS_NAMES, 4)}
    config = Ingest(per_class=numbers, split_by="image")
    rows, _ = assign([_fresh(row) for row in images], config)
    counts = {(split, name): sum(r.split == split and r.label == name for r in rows) for split in numbers for name in features.CLASS_NAMES}
    assert counts == {(split, name): numbers[split][name] for split in numbers for name in features.CLASS_NAMES}
    assert {r.name: r.split for r in assign([_fresh(row) for row in images[::-1]], config)[0]} == {r.name: r.split for r in rows}
    with pytest.raises(CxrError, match="'covid19' has 10 usable images, 14 are asked for"):
        assign([_fresh(row) for row in images[:30]], config)


def test_exact_numbers_are_of_usable_images(images):
    numbers = {"train": dict.fromkeys(features.CLASS_NAMES, 10), "test": dict.fromkeys(features.CLASS_NAMES, 4)}
    config = Ingest(per_class=numbers, split_by="image")
    spoilt = {row.name for row in assign([_fresh(row) for row in images], config)[0][::5]}

    def usable(row):
        return row.name not in spoilt

    rows, _ = assign([_fresh(row) for row in images], config, usable=usable)
    for split, counts in numbers.items():
        for name, count in counts.items():
            assert sum(r.split == split and r.label == name and r.name not in spoilt for r in rows) == count
    assert spoilt <= {row.name for row in rows}  # they become rejects
    twenty = Ingest(per_class={"train": dict.fromkeys(features.CLASS_NAMES, 20)}, split_by="image")
    with pytest.raises(CxrError, match="1[0-9] usable images, 20 are asked for"):
        assign([_fresh(row) for row in images], twenty, usable=usable)


def test_one_split_for_all_takes_any_of_the_classes(make_rows):
    rows = make_rows(9, 2, label="normal")
    rows[0].split = "test"
    assert {row.split for row in assign(rows, Ingest(only_split="test"))[0]} == {"test"}
    with pytest.raises(CxrError, match="states the split 'test', and data.only_split=val puts all images into one"):
        assign(rows, Ingest(only_split="val"))
    for row in rows:
        row.split = ""
    with pytest.raises(CxrError, match="has no image in split"):  # without it nothing has changed
        assign(rows, CONFIG)


@pytest.mark.parametrize("seed", range(8))
def test_copies_stay_on_one_side_where_images_are_dealt(make_rows, seed):
    rows = make_rows(60)
    one, other, third = rows[0], rows[30], rows[6]
    for row in (one, other, third):
        row.picture = one.image_unit
    config = Ingest(split_by="image", seed=seed)
    assert len({row.split for row in assign(rows, config)[0] if row.picture}) == 1
    rows = [_fresh(row) for row in rows]
    other = next(row for row in rows if row.name == other.name)
    other.split = "val"
    assert {row.split for row in assign(rows, config)[0] if row.picture} == {"val"}  # a given split holds for all copies
    rows = [_fresh(row) for row in rows]
    numbers = {"train": dict.fromkeys(features.CLASS_NAMES, 10), "test": dict.fromkeys(features.CLASS_NAMES, 8)}
    found, _ = assign(rows, Ingest(per_class=numbers, split_by="image", seed=seed))
    assert len(found) == 54
    assert len({row.split for row in found if row.picture}) <= 1  # those that would be torn are not taken


def test_copies_in_two_given_splits_are_an_error_where_images_are_dealt(make_rows):
    rows = make_rows(60)
    rows[0].picture = rows[3].picture = rows[0].image_unit
    rows[0].split, rows[3].split = "train", "test"
    with pytest.raises(CxrError, match=r"1 radiograph stands in two splits \(copies count as one; data.near_duplicates=list"):
        assign(rows, Ingest(split_by="image"))
