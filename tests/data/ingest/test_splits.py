import pytest

from cxr.core import features
from cxr.core.errors import CxrError
from cxr.data.ingest.ingest_config import Ingest
from cxr.data.ingest.splits import assign, balanced_seed, split_of

CONFIG = Ingest()


def by_patient(rows):
    found = {}
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


def test_nobody_moves_when_images_are_added_or_reordered(make_rows):
    before = by_patient(assign(make_rows(200), CONFIG)[0])
    after = by_patient(assign(make_rows(320)[::-1], CONFIG)[0])
    assert all(after[patient] == splits for patient, splits in before.items())


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


def test_patient_in_two_given_splits_is_named(make_rows):
    rows = make_rows(90, 2)
    for row in rows:
        row.split = "train"
    rows[5].split = "test"
    with pytest.raises(CxrError, match=r"1 patients stand in two splits.*\n  2: train and test \(line 2\)"):
        assign(rows, CONFIG)


def test_given_split_without_a_class(make_rows):
    rows = make_rows(90)
    for row in rows:
        row.split = "test" if row.label == "normal" else "train"
    with pytest.raises(CxrError, match="'normal' has no image in the given split 'train'"):
        assign(rows, CONFIG)


def test_empty_class_in_a_split_names_a_seed_that_works(make_rows):
    rows = make_rows(18)
    seed = next(s for s in range(100) if len({(split_of(row.unit, s, CONFIG), row.label) for row in rows}) < 9)
    with pytest.raises(CxrError, match=r"--seed \d+ balances best") as error:
        assign(rows, Ingest(seed=seed))
    named = int(str(error.value).split("--seed ")[1].split()[0])
    assert len({(row.split, row.label) for row in assign(make_rows(18), Ingest(seed=named))[0]}) == 9


def test_too_few_patients_for_any_seed(make_rows):
    with pytest.raises(CxrError, match="no seed mends it"):
        assign(make_rows(6), CONFIG)


def test_uneven_shares_are_a_warning_with_a_better_seed(make_rows):
    rows = make_rows(60)
    free = [(row.label, row.unit) for row in rows]
    seed = next(s for s in range(200) if _uneven(rows, s))
    _, warnings = assign(make_rows(60), Ingest(seed=seed))
    assert "uneven splits" in warnings[0]
    assert f"--seed {balanced_seed(free, Ingest(seed=seed))} balances best" in warnings[0]


def _uneven(rows, seed):
    try:
        return bool(assign([_fresh(row) for row in rows], Ingest(seed=seed))[1])
    except CxrError:
        return False


def _fresh(row):
    import dataclasses

    return dataclasses.replace(row, split="")


def test_exact_numbers(make_rows):
    numbers = {"train": dict.fromkeys(features.CLASS_NAMES, 10), "test": dict.fromkeys(features.CLASS_NAMES, 4)}
    config = Ingest(per_class=numbers, split_by="image")
    rows, _ = assign(make_rows(60), config)
    counts = {(split, name): sum(r.split == split and r.label == name for r in rows) for split in numbers for name in features.CLASS_NAMES}
    assert counts == {(split, name): numbers[split][name] for split in numbers for name in features.CLASS_NAMES}
    assert {r.name: r.split for r in assign(make_rows(60)[::-1], config)[0]} == {r.name: r.split for r in rows}
    with pytest.raises(CxrError, match="'covid19' has 10 images, 14 are asked for"):
        assign(make_rows(30), config)
