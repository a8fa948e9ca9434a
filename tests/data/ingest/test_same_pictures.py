import csv
import stat
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from scipy.ndimage import gaussian_filter

from cxr.core import features
from cxr.core.errors import CxrError
from cxr.core.features import SYNTHETIC
from cxr.data.duplicates.find import Pair
from cxr.data.duplicates.thumbnails import SIDE, thumbnail
from cxr.data.images import reader
from cxr.data.images.reader import read_image
from cxr.data.ingest import staged
from cxr.data.ingest.ingest import ingest
from cxr.data.ingest.ingest_config import Ingest, dotted
from cxr.data.ingest.same_pictures import compare, settle
from cxr.data.ingest.sources import discover
from cxr.data.ingest.splits import assign
from cxr.data.ingest.staged import keys_of
from cxr.data.ingest.summary import remarks

pytestmark = pytest.mark.seconds

COVID19, PNEUMONIA, NORMAL = features.CLASS_NAMES


def textured(path, seed):
    """A picture that differs from those of other seeds in all its parts."""
    field = gaussian_filter(np.random.default_rng(seed).standard_normal((120, 120)), 4)
    Image.fromarray((127 + 40 * field / field.std()).clip(0, 255).astype(np.uint8)).save(path)


def copied(path, to):
    """A smaller, cropped, recompressed copy."""
    picture = Image.open(path).crop((4, 2, 118, 117)).resize((80, 90))
    picture.save(to, "JPEG", quality=50)


@pytest.fixture
def source(tmp_path, make_manifest):
    """45 textured pictures of 45 patients, the classes in turn, from `here` and `there` in turn."""
    folder = tmp_path / "source"
    folder.mkdir()
    for k in range(45):
        textured(folder / f"{k}.png", k)
    rows = [
        {"image": f"{k}.png", "label": features.CLASS_NAMES[k % 3], "patient_id": f"DOE-{k}", "source": ("here", "there")[k % 2]}
        for k in range(45)
    ]
    return make_manifest(folder, rows, columns=("image", "label", "patient_id", "source"))


@pytest.fixture
def run(tmp_path, key_file, console):
    def call(source, out="records", **settings):
        return ingest(source, tmp_path / out, Ingest(**settings), key_file=key_file, console=console)

    return call


def used(folder):
    """Returns split and pseudonym of each record."""
    import tensorflow as tf

    found = []
    for split in features.SPLITS:
        for record in tf.data.TFRecordDataset(sorted(map(str, (folder / split).glob("*.gz"))), "GZIP"):
            feature = tf.train.Example.FromString(record.numpy()).features.feature
            found.append((split, feature["patient_id"].bytes_list.value[0]))
    return found


def thumbnail_of(row):
    return thumbnail(read_image(row.path).array)


def compared(rows, thumbnail, config, console):
    """Returns the pairs of rows."""
    return compare(rows, keys_of(rows, config, b""), thumbnail, config, console)


def rows_of(source):
    return discover(source, Ingest())[0]


def listed(tmp_path, name, out="records"):
    with (tmp_path / f"{out}.private" / name).open() as stream:
        return list(csv.DictReader(stream))


def test_near_duplicates_stay_on_one_side_and_their_patients_count_as_one(run, source, tmp_path, console):
    rows, _ = assign(rows_of(source), Ingest())
    one = next(row for row in rows if (row.label, row.split) == (NORMAL, "train"))
    other = next(row for row in rows if (row.label, row.split) == (NORMAL, "test"))
    copied(one.path, other.path)

    torn = run(source, out="torn", near_duplicates="list")
    assert (torn.near_duplicates, torn.joined_patients, sum(torn.patients.values())) == (1, 0, 45)
    assert {row["split"] for row in listed(tmp_path, "duplicates.csv", "torn")} == {"train", "test"}
    assert any("several splits" in warning for warning in torn.warnings)

    joined = run(source)
    assert (joined.images, joined.near_duplicates, joined.joined_patients, sum(joined.patients.values())) == (45, 1, 1, 44)
    found = listed(tmp_path, "duplicates.csv")
    assert {row["path"] for row in found} == {one.name, other.name}
    assert [row["copy"] for row in found] == ["near", "near"]
    assert len({row["split"] for row in found}) == 1
    assert len({patient for _, patient in used(tmp_path / "records")}) == 44
    assert "1 patient shares a radiograph" in console.file.getvalue()
    run(source)  # up to date
    said = [*console.file.getvalue().splitlines(), *remarks(joined, tmp_path / "records")]
    assert sum("1 patient shares a radiograph" in line for line in said) == 2  # once in each call


def test_a_label_conflict_fails_and_is_listed(run, source, tmp_path):
    copied(source.parent / "0.png", source.parent / "31.png")  # covid19 and pneumonia
    with pytest.raises(CxrError) as error:
        run(source)
    text = str(error.value)
    assert "1 radiograph stands under several labels" in text
    assert "data.label_conflicts=drop" in text
    assert "covid19 (" in text
    assert "line 2); pneumonia (" in text
    assert ".png" not in text
    assert "DOE" not in text
    assert not (tmp_path / "records").exists()
    (row,) = listed(tmp_path, "problems.csv")
    assert (row["path"], row["label"], row["other_path"], row["other_label"]) == ("0.png", COVID19, "31.png", PNEUMONIA)
    assert float(row["agreement"]) > 0.88
    assert stat.S_IMODE((tmp_path / "records.private" / "problems.csv").stat().st_mode) == 0o600


def test_the_list_goes_when_the_conflict_does(run, source, tmp_path):
    copied(source.parent / "0.png", source.parent / "31.png")
    with pytest.raises(CxrError):
        run(source)
    textured(source.parent / "31.png", 31)
    run(source)
    assert not (tmp_path / "records.private").exists()


def test_what_a_refused_call_left_goes_when_the_records_turn_out_to_be_up_to_date(run, source, tmp_path, key_file, console):
    run(source)
    copied(source.parent / "0.png", source.parent / "31.png")
    with pytest.raises(CxrError, match="several labels"):
        ingest(source, tmp_path / "records", Ingest(), key_file=key_file, console=console, overwrite=True)
    assert {path.name for path in (tmp_path / "records.private").iterdir()} == {"problems.csv", "staged"}
    textured(source.parent / "31.png", 31)
    run(source)
    assert "up to date" in console.file.getvalue()
    assert not (tmp_path / "records.private").exists()


def test_a_call_that_fails_keeps_the_list_of_the_records_that_stay(run, source, tmp_path, key_file, console):
    copied(source.parent / "0.png", source.parent / "31.png")
    run(source, label_conflicts="drop")
    before = listed(tmp_path, "conflicts.csv")
    for k in (2, 5):
        (source.parent / f"{k}.png").write_text("no image")
    for more in ({}, {"label_conflicts": "drop", "max_reject_share": 0.01}):
        with pytest.raises(CxrError):
            ingest(source, tmp_path / "records", Ingest(**more), key_file=key_file, console=console, overwrite=True)
        assert listed(tmp_path, "conflicts.csv") == before


def test_conflicts_dropped_or_kept_by_source(run, source, tmp_path):
    copied(source.parent / "0.png", source.parent / "31.png")  # here, there
    copied(source.parent / "1.png", source.parent / "3.png")  # there, there: contradicts itself
    dropped = run(source, out="dropped", label_conflicts="drop")
    assert (dropped.images, dropped.label_conflicts, dropped.left_out) == (41, 2, 4)
    assert {row["used"] for row in listed(tmp_path, "conflicts.csv", "dropped")} == {"no"}
    kept = run(source, out="kept", label_conflicts="keep_by_source", source_priority=("there", "here"))
    assert (kept.images, kept.label_conflicts, kept.left_out) == (42, 2, 3)
    by_path = {row["path"]: (row["used"], row["other_used"]) for row in listed(tmp_path, "conflicts.csv", "kept")}
    assert by_path == {"0.png": ("no", "yes"), "1.png": ("no", "no")}
    counts = {name: sum(split[name] for split in kept.counts.values()) for name in features.CLASS_NAMES}
    assert counts == {COVID19: 13, PNEUMONIA: 14, NORMAL: 15}  # lost: 0 and 3; 1; none


def test_one_file_under_two_labels_is_a_conflict(run, source, tmp_path):
    with source.open("a") as stream:
        stream.write("0.png,normal,DOE-0,here\n")
    with pytest.raises(CxrError, match="several labels"):
        run(source)
    (row,) = listed(tmp_path, "problems.csv")
    assert row["path"] == row["other_path"] == "0.png"
    dataset = run(source, label_conflicts="drop")
    assert (dataset.images, dataset.left_out) == (44, 2)


def test_a_second_call_with_a_policy_is_up_to_date(run, source, tmp_path, console):
    copied(source.parent / "0.png", source.parent / "31.png")
    first = run(source, label_conflicts="drop")
    assert run(source, label_conflicts="drop") == first
    text = console.file.getvalue()
    assert "up to date" in text
    assert text.count("1 radiograph stands under several labels, 2 images are left out") == 2  # once in each call
    out = tmp_path / "records"
    assert f"radiographs under several labels: {tmp_path}/records.private/conflicts.csv" in remarks(first, out)
    assert not any("left out" in line for line in remarks(first, out))


def test_given_splits_that_part_a_radiograph_are_an_error(tmp_path, make_rows):
    rows = make_rows(12)
    rows[0].split, rows[3].split = "train", "test"
    settled = settle(rows, [Pair(0, 3, 0.95)], Ingest(), tmp_path / "records", dotted)
    with pytest.raises(CxrError, match="shares a radiograph counts as one; data.near_duplicates=list"):
        assign(settled.rows, Ingest())


def test_patients_are_joined_through_others(tmp_path, make_rows):
    rows = make_rows(30, images_each=2)  # patient 0: 0, 1; patient 3: 6, 7; patient 6: 12, 13
    settled = settle(rows, [Pair(1, 6, 0.95), Pair(7, 12, 0.95)], Ingest(), tmp_path / "records", dotted)
    assert settled.joined == 2
    assert {settled.rows[k].unit for k in (0, 1, 6, 7, 12, 13)} == {"patient:0"}
    assert settled.rows[2].unit == "patient:1"
    assigned, _ = assign(settled.rows, Ingest())
    assert len({assigned[k].split for k in (0, 1, 6, 7, 12, 13)}) == 1


def test_a_conflict_through_a_third_picture(tmp_path, make_rows):
    rows = make_rows(30)
    pairs = [Pair(0, 3, 0.95), Pair(3, 4, 0.93)]  # 0 and 3 are of one class, 4 is not; 0 and 4 were not found to agree
    with pytest.raises(CxrError, match="1 radiograph stands"):
        settle(rows, pairs, Ingest(), tmp_path / "records", dotted)
    found = listed(tmp_path, "problems.csv")
    told = [(row["path"], row["other_path"], row["agreement"]) for row in found]
    assert told == [("0-0.png", "4-0.png", ""), ("3-0.png", "4-0.png", "0.930")]
    assert settle(rows, pairs, Ingest(label_conflicts="drop"), tmp_path / "records", dotted).left_out == 3


def test_one_file_in_several_rows_is_one_picture_though_nobody_can_read_it(source, console):
    rows = rows_of(source)
    keys = keys_of(rows, Ingest(), b"")
    keys[4] = keys[7] = keys[2]
    black = np.zeros((SIDE, SIDE), np.uint8)
    assert compare(rows, keys, lambda row: black, Ingest(), console) == [Pair(2, 4, 1.0), Pair(2, 7, 1.0)]


def test_equal_pictures_with_too_little_contrast_to_be_compared_are_one(run, source, tmp_path):
    faint = np.full((120, 120), 120, np.uint8)
    faint[10:13] += 10  # a picture, with a spread of 1.6 grey levels
    for name in ("0.png", "31.png"):
        Image.fromarray(faint).save(source.parent / name)
    with pytest.raises(CxrError, match="1 radiograph stands under several labels"):
        run(source)


def test_synthetic_pictures_are_not_compared(source, console):
    rows = rows_of(source)
    copied(rows[0].path, rows[3].path)
    assert [pair[:2] for pair in compared(rows, thumbnail_of, Ingest(), console)] == [(0, 3)]
    rows[3].source = SYNTHETIC
    assert compared(rows, thumbnail_of, Ingest(), console) == []
    rows[3].source, rows[1].source = "here", SYNTHETIC  # places count among all rows
    assert [pair[:2] for pair in compared(rows, thumbnail_of, Ingest(), console)] == [(0, 3)]
    assert compared(rows, thumbnail_of, Ingest(near_duplicates="ignore"), console) == []


def test_what_a_refused_call_has_read_is_not_read_again(run, source, tmp_path, monkeypatch, console):
    """Also where labels were corrected since; a file that was changed since is read again."""
    copied(source.parent / "0.png", source.parent / "31.png")
    (source.parent / "5.png").write_bytes(b"no image")
    with pytest.raises(CxrError, match="several labels"):
        run(source)
    kept = tmp_path / "records.private" / "staged"
    assert stat.S_IMODE(kept.stat().st_mode) == 0o700
    assert not any(b".png" in path.read_bytes() or b"DOE" in path.read_bytes() for path in kept.glob("*.jsonl"))
    with next(kept.glob("*.jsonl")).open("ab") as stream:
        stream.write(b'["half a li')  # a worker was killed

    expected = run(source, out="anew", label_conflicts="drop")
    textured(source.parent / "7.png", 700)
    read = []
    real = staged.StageWriter.read

    def watched(writer, key, path, *limits):
        read.append(path)
        real(writer, key, path, *limits)

    monkeypatch.setattr(staged.StageWriter, "read", watched)
    dataset = run(source, label_conflicts="drop")
    assert sorted(Path(path).name for path in read) == ["5.png", "7.png"]
    assert "43 images were read by an earlier call" in console.file.getvalue()
    assert (dataset.counts, dataset.rejects) == (expected.counts, 1)
    assert not kept.exists()
    assert len(used(tmp_path / "records")) == dataset.images == 42


def test_each_file_is_decoded_once(run, source, monkeypatch):
    (source.parent / "5.png").write_bytes(b"no image")
    with source.open("a") as stream:
        stream.write("8.png,normal,DOE-8,here\n")
    decoded = []
    real = reader._read_with_pillow

    def watched(stream, *limits):
        decoded.append(stream.name)
        return real(stream, *limits)

    monkeypatch.setattr(reader, "_read_with_pillow", watched)
    assert run(source, listed_twice="merge", split_by="image", per_class=None).images == 44
    assert len(decoded) == len(set(decoded)) == 45
    decoded.clear()
    numbers = {split: dict.fromkeys(features.CLASS_NAMES, 4) for split in ("train", "test")}
    assert run(source, out="exact", listed_twice="merge", split_by="image", per_class=numbers).images == 24
    assert len(decoded) == len(set(decoded)) == 45
