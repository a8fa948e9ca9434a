import contextlib
import csv
import gzip
import hashlib
import json
import os
import signal
import subprocess
import sys

import numpy as np
import pytest
from dicom_files import dicom_bytes
from PIL import Image

from cxr.core import features, replaced_folder
from cxr.core.errors import CxrError
from cxr.data.ingest.dataset import RECORDS_VERSION, read_dataset
from cxr.data.ingest.ingest import ingest
from cxr.data.ingest.ingest_config import Ingest
from cxr.data.ingest.summary import remarks

CONFIG = Ingest(images_per_shard=16)

FEATURES = {
    "image", "format", "height", "width", "mean", "std", "label", "patient_id", "source", "view", "sex", "age", "license", "age_band",
    "content_hash",
}  # fmt: skip


def examples(folder, split):
    import tensorflow as tf

    files = sorted(map(str, (folder / split).glob("*.tfrecord.gz")))
    return [tf.train.Example.FromString(record.numpy()) for record in tf.data.TFRecordDataset(files, "GZIP")]


def value(example, name):
    feature = example.features.feature[name]
    (found,) = getattr(feature, feature.WhichOneof("kind")).value
    return found.decode() if isinstance(found, bytes) and name != features.IMAGE else found


@pytest.fixture
def run(tmp_path, key_file, console):
    """Ingests into tmp_path/records."""

    def call(source, config=CONFIG, **options):
        return ingest(source, tmp_path / "records", config, **({"key_file": key_file, "console": console} | options))

    return call


def shown(console):
    return console.file.getvalue()


def test_records(run, source, tmp_path):
    dataset = run(source)
    out = tmp_path / "records"
    assert dataset == read_dataset(out)
    assert dataset.splits == features.SPLITS
    assert (dataset.images, dataset.rejects, dataset.duplicates, dataset.synthetic) == (60, 0, 0, False)
    patients: dict[str, set[str]] = {}
    of_class: dict[str, dict[str, set[str]]] = {split: {name: set() for name in CONFIG.class_names} for split in features.SPLITS}
    for split in features.SPLITS:
        found = examples(out, split)
        assert len(found) == sum(dataset.counts[split].values())
        assert len(list((out / split).iterdir())) == -(-len(found) // CONFIG.images_per_shard)
        for one in found:
            assert set(one.features.feature) == FEATURES
            assert (value(one, "format"), value(one, "height"), value(one, "width")) == ("png", 32, 40)
            assert value(one, "mean") == pytest.approx(127, abs=15)
            assert (value(one, "view"), value(one, "sex"), value(one, "age"), value(one, "age_band")) == ("PA", "F", 44, "40-64")
            assert value(one, "license") == "CC BY"
            patients.setdefault(value(one, "patient_id"), set()).add(split)
            of_class[split][value(one, "label")].add(value(one, "patient_id"))
    assert len(patients) == 30
    assert all(len(splits) == 1 for splits in patients.values())
    assert dataset.class_patients == {split: {name: len(own) for name, own in classes.items()} for split, classes in of_class.items()}
    assert dataset.patients == {split: len(set().union(*classes.values())) for split, classes in of_class.items()}


def test_no_patient_id_in_any_output(run, source, tmp_path):
    run(source)
    for path in (tmp_path / "records").rglob("*.*"):
        data = path.read_bytes()
        assert b"DOE" not in (gzip.decompress(data) if path.suffix == ".gz" else data)


def test_no_path_of_an_image_in_any_output_or_message(run, source, tmp_path, console):
    (source.parent / "0-0.png").rename(source.parent / "SECRET.png")
    (source.parent / "SECRET.png").write_bytes(b"no image")
    (source.parent / "SECRET2.png").write_bytes((source.parent / "4-0.png").read_bytes())  # patient 1 has the same label
    source.write_text(source.read_text().replace("0-0.png", "SECRET.png", 1).replace("1-0.png", "SECRET2.png", 1))
    dataset = run(source)
    assert (dataset.rejects, dataset.reject_reasons, dataset.duplicates) == (1, {"not an image": 1}, 1)
    for path in (tmp_path / "records").rglob("*"):
        assert "SECRET" not in path.name
        assert path.is_dir() or b"SECRET" not in path.read_bytes()
    assert "SECRET" not in shown(console)
    with pytest.raises(CxrError, match="not an image") as error:
        run(source, CONFIG.model_copy(update={"max_reject_share": 0, "max_side": 64}), overwrite=True)
    assert "SECRET" not in str(error.value)


def test_killed_ingest_leaves_no_path(run, source, tmp_path, monkeypatch):
    """What lies in the output folder while workers are busy."""
    from cxr.data.ingest import summary

    def look(outcomes, groups):
        found = [path.read_bytes() for path in tmp_path.rglob("*.jsonl")]
        assert found
        assert not any(b".png" in data or b"DOE" in data for data in found)
        return real(outcomes, groups)

    real = summary.tally
    monkeypatch.setattr(summary, "tally", look)
    run(source)


@pytest.mark.seconds
def test_second_call_is_up_to_date_until_something_changes(run, source, tmp_path, console, make_image, key_file):
    run(source)
    inode = (tmp_path / "records").stat().st_ino
    run(source)
    assert "up to date" in shown(console)
    assert (tmp_path / "records").stat().st_ino == inode
    run(source, CONFIG.model_copy(update={"workers": 1}))  # makes no difference to the records
    with pytest.raises(CxrError, match="--overwrite"):
        run(source, CONFIG.model_copy(update={"max_side": 64}))
    make_image(source.parent / "0-0.png", 999)
    with pytest.raises(CxrError, match="--overwrite"):
        run(source)
    run(source, overwrite=True)
    assert (tmp_path / "records").stat().st_ino != inode
    next((tmp_path / "records" / "train").iterdir()).unlink()
    with pytest.raises(CxrError, match="--overwrite"):
        run(source)
    run(source, overwrite=True)
    key_file.write_text("another key, long enough")
    with pytest.raises(CxrError, match=r"whose pseudonyms another key made than .+pseudonym\.key; name that key .+--overwrite"):
        run(source)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["pseudonym.key", "records", "source"]


def test_a_call_that_finds_all_up_to_date_leaves_another_ones_work_alone(run, source, tmp_path, console):
    """That one reads the same images into the same folder with another setting: hours, of many."""
    run(source)
    read = tmp_path / "records.private" / "staged" / "read"
    with contextlib.suppress(KeyboardInterrupt), replaced_folder.replaced(tmp_path / "records"):
        read.parent.mkdir(parents=True)
        read.touch()
        run(source)
        assert "up to date" in shown(console)
        assert read.exists()
        raise KeyboardInterrupt
    run(source)
    assert not read.exists()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["pseudonym.key", "records", "source"]


def test_no_time_goes_to_compressing_pictures_again(run, source, tmp_path):
    run(source)
    shards = list(tmp_path.glob("records/*/*.gz"))
    assert len(shards) >= 3
    for shard in shards:
        whole = len(gzip.decompress(shard.read_bytes()))
        assert whole < shard.stat().st_size < whole + 100


def test_same_request_makes_the_same_bytes(source, tmp_path, key_file, console):
    for name in ("a", "b"):
        ingest(source, tmp_path / name, CONFIG, key_file=key_file, console=console)
    files = [sorted(path.relative_to(tmp_path / name) for path in (tmp_path / name).rglob("*.gz")) for name in ("a", "b")]
    assert files[0] == files[1]
    assert all((tmp_path / "a" / file).read_bytes() == (tmp_path / "b" / file).read_bytes() for file in files[0])


def test_a_foreign_folder_is_never_replaced(run, source, tmp_path):
    (tmp_path / "records").mkdir()
    (tmp_path / "records" / "thesis.tex").write_text("years of work")
    with pytest.raises(CxrError, match="no output of `cxr ingest`"):
        run(source, overwrite=True)
    assert (tmp_path / "records" / "thesis.tex").exists()


def test_rejects_are_listed(run, source, tmp_path, make_image):
    (source.parent / "0-0.png").write_bytes(b"no image")
    (source.parent / "1-1.png").write_bytes((source.parent / "1-1.png").read_bytes()[:500])
    dataset = run(source)
    assert dataset.rejects == 2
    assert dataset.images == 58
    path = tmp_path / "records.private" / "rejects.csv"
    with path.open() as stream:
        found = [(row["where"], row["path"], row["reason"]) for row in csv.DictReader(stream)]
    assert found == [(f"{source} line 2", "0-0.png", "not an image"), (f"{source} line 5", "1-1.png", "truncated")]
    assert (path.stat().st_mode & 0o777, path.parent.stat().st_mode & 0o777) == (0o600, 0o700)
    make_image(source.parent / "0-0.png", 500)
    make_image(source.parent / "1-1.png", 501)
    run(source, overwrite=True)
    assert not path.parent.exists()


def test_what_may_be_no_frontal_chest_x_ray_is_told_and_listed(run, source, tmp_path, console, make_manifest):
    noise = np.random.default_rng(0).integers(0, 255, (2, 40, 48)).astype(np.uint8)
    (source.parent / "0-0.png").write_bytes(dicom_bytes(noise[0], ViewPosition="LL", BodyPartExamined="DOE JANE"))
    (source.parent / "1-0.png").write_bytes(dicom_bytes(noise[1]))
    with source.open() as stream:
        rows = list(csv.DictReader(stream))
    rows[4]["view"], rows[10]["view"] = "lat", "AP supine"
    make_manifest(source.parent, rows)
    dataset = run(source)
    assert dataset.images == 60
    header = "ViewPosition is LL, not AP or PA; BodyPartExamined is not CHEST"
    assert dataset.doubts == {header: 1, "view is LAT": 1}
    told = f"2 images may be no frontal chest X-rays ({header}: 1; view is LAT: 1), see not_frontal.csv"
    assert told in dataset.warnings
    assert f"warning: {told}\n" in console.file.getvalue()
    path = tmp_path / "records.private" / "not_frontal.csv"
    with path.open() as stream:
        found = [tuple(row.values()) for row in csv.DictReader(stream)]
    assert found == [(f"{source} line 2", "0-0.png", "covid19", header), (f"{source} line 6", "2-0.png", "normal", "view is LAT")]
    assert f"2 images that may be no frontal chest X-rays: {path}" in remarks(dataset, tmp_path / "records")
    assert "JANE" not in (tmp_path / "records" / "dataset.json").read_text() + path.read_text() + console.file.getvalue()
    rows[4]["view"] = "pa"
    make_manifest(source.parent, rows)
    (source.parent / "0-0.png").write_bytes(dicom_bytes(noise[0]))
    assert run(source, overwrite=True).doubts == {}
    assert not path.exists()


def test_a_drawing_and_a_strip_are_told_and_listed(run, source, tmp_path):
    Image.fromarray(np.random.default_rng(0).random((40, 48)) > 0.5).save(source.parent / "0-0.png")
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (17, 400)).astype(np.uint8)).save(source.parent / "1-0.png")
    doubts = {"no more than 16 grey levels": 1, "one side is more than 3 times as long as the other": 1}
    assert run(source).doubts == doubts
    with (tmp_path / "records.private" / "not_frontal.csv").open() as stream:
        assert [(row["path"], row["why"]) for row in csv.DictReader(stream)] == list(zip(("0-0.png", "1-0.png"), doubts, strict=True))


def test_too_many_rejects_leave_nothing(run, source, tmp_path):
    for k in range(7):
        (source.parent / f"{k}-0.png").write_bytes(b"")
    with pytest.raises(CxrError) as error:
        run(source)
    text = str(error.value)
    assert text.startswith(
        "7 of 60 files cannot be used (7 not an image), more than data.max_reject_share=0.05 allows; no records were written:"
    )
    assert f"{source} line 2: not an image\n" in text
    assert text.endswith(f"\n  and 2 more\nall of them with their paths: {tmp_path}/records.private/problems.csv")
    with (tmp_path / "records.private" / "problems.csv").open() as stream:
        assert [row["path"] for row in csv.DictReader(stream)] == [f"{k}-0.png" for k in range(7)]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["pseudonym.key", "records.private", "source"]


def test_records_with_more_rejects_than_are_allowed_now_are_refused_and_stay(run, source, tmp_path):
    for k in range(7):
        (source.parent / f"{k}-0.png").write_bytes(b"")
    made = run(source, CONFIG.model_copy(update={"max_reject_share": 0.2}))
    with pytest.raises(CxrError, match=r"7 of 60 files could not be used, more than data\.max_reject_share=0\.05 allows; .*rejects\.csv"):
        run(source)
    assert read_dataset(tmp_path / "records") == made


def test_a_split_that_one_row_states_and_that_lacks_a_class_is_named(run, source):
    """A split that gets no share, so that nothing is dealt to it."""
    head, first, *lines = source.read_text().splitlines()
    source.write_text("\n".join([f"{head},split", f"{first},val", *(f"{line}," for line in lines)]) + "\n")
    with pytest.raises(CxrError, match="class '.*' has no image in the given split 'val'"):
        run(source, Ingest.model_validate({"images_per_shard": 16, "splits": {"train": 0.8, "val": 0, "test": 0.2}}))


def test_a_patient_in_two_splits_counts_once_among_all(run, source):
    found = run(source, CONFIG.model_copy(update={"split_by": "image"}))
    assert found.all_patients is not None
    assert found.all_patients < sum(found.patients.values())


def test_rows_of_an_error_are_listed_with_their_paths(run, source, tmp_path):
    text = source.read_text().splitlines()
    source.write_text(
        "\n".join([text[0] + ",split", *(f"{line},{'test' if k == 1 else 'train'}" for k, line in enumerate(text[1:]))]) + "\n"
    )
    with pytest.raises(CxrError, match=r"1 patient stands in two splits(.|\n)*train \(.* line 2\) and test \(.* line 3\)") as error:
        run(source)
    assert "DOE" not in str(error.value)
    assert str(error.value).endswith(f"{tmp_path}/records.private/problems.csv")
    with (tmp_path / "records.private" / "problems.csv").open() as stream:
        listed = list(csv.DictReader(stream))
    assert [(row["where"], row["path"]) for row in listed] == [(f"{source} line 2", "0-0.png"), (f"{source} line 3", "0-1.png")]
    assert all(row["why"].startswith("1 patient stands in two splits") for row in listed)


def test_the_list_has_a_reason_for_each_row_of_a_manifest(run, source, tmp_path):
    with source.open() as stream:
        rows = list(csv.DictReader(stream))
    ages = {2: "old", 5: "-3", 6: "200"}
    for number, age in ages.items():
        rows[number]["age"] = age
    with source.open("w") as stream:
        writer = csv.DictWriter(stream, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    with pytest.raises(CxrError, match="3 rows of"):
        run(source)
    with (tmp_path / "records.private" / "problems.csv").open() as stream:
        listed = list(csv.DictReader(stream))
    assert [row["where"] for row in listed] == [f"{source} line {k + 2}" for k in ages]
    assert all("age" in row["why"] and "line" not in row["why"] for row in listed)


def test_the_list_has_rows_that_do_not_fit_the_header_too(run, source, tmp_path):
    """The first of them ended the reading, and no list was written."""
    lines = source.read_text().splitlines()
    lines[3] += ",DOE"
    lines[5] = lines[5].replace("normal", "nothing").replace("covid19", "nothing").replace("pneumonia", "nothing")
    lines[7] = "3-1.png,covid19"
    source.write_text("\n".join(lines) + "\n")
    with pytest.raises(CxrError, match=r"3 rows of (.|\n)*line 4: has not 8 fields as the header does, but 9") as error:
        run(source)
    assert "DOE" not in str(error.value)
    with (tmp_path / "records.private" / "problems.csv").open() as stream:
        listed = [(row["where"], row["path"], row["why"].split(" ")[0]) for row in csv.DictReader(stream)]
    assert listed == [
        (f"{source} line 4", lines[3].split(",")[0], "has"),
        (f"{source} line 6", lines[5].split(",")[0], "the"),
        (f"{source} line 8", "3-1.png", "has"),
    ]


def test_the_list_of_problems_is_the_last_calls(run, source, tmp_path):
    """It goes where the records turn out to be up to date, and where the next error is about no rows."""
    run(source)
    text = source.read_text()
    listed = tmp_path / "records.private" / "problems.csv"
    for after in ("good", "another error"):
        source.write_text(text.replace("0-1.png", "nowhere.png"))
        with pytest.raises(CxrError, match=r"problems\.csv"):
            run(source)
        assert "nowhere.png" in listed.read_text()
        if after == "good":
            source.write_text(text)
            run(source)
            assert not listed.parent.exists()
        else:
            source.write_text(text.replace("label", "lable"))
            with pytest.raises(CxrError, match="no column"):
                run(source)
            assert not listed.exists()


def test_touched_and_moved_files_change_nothing(run, source, tmp_path, console):
    before = run(source)
    inode = (tmp_path / "records").stat().st_ino
    for path in source.parent.iterdir():
        os.utime(path)
    after = run(source)
    assert shown(console).count("up to date") == 1
    assert after.state != before.state
    assert after == read_dataset(tmp_path / "records") == before.model_copy(update={"state": after.state})
    (tmp_path / "source").rename(tmp_path / "elsewhere")
    run(tmp_path / "elsewhere" / "manifest.csv")
    assert (tmp_path / "records").stat().st_ino == inode


def test_a_web_address_is_no_folder(run, tmp_path, key_file, console):
    for source, out in (("gs://bucket/images", tmp_path / "records"), (str(tmp_path), "s3://bucket/records")):
        with pytest.raises(CxrError, match=r"(gs|s3)://bucket/\w+: is no path of this machine"):
            ingest(source, out, CONFIG, key_file=key_file, console=console)


def test_failure_keeps_the_old_records(run, source, tmp_path):
    before = run(source)
    for k in range(4):
        (source.parent / f"{k}-0.png").write_bytes(b"")
    with pytest.raises(CxrError):
        run(source, overwrite=True)
    assert read_dataset(tmp_path / "records") == before


def test_a_class_whose_images_are_all_rejected(run, tmp_path, make_manifest, key_file):
    rows = [
        {"image": f"{split}-{name}-{k}.png", "label": name, "split": split}
        for split in features.SPLITS
        for name in features.CLASS_NAMES
        for k in range(2)
    ]
    source = make_manifest(tmp_path / "source", rows)
    for k in range(2):
        (source.parent / f"val-normal-{k}.png").write_bytes(b"")
    with pytest.raises(CxrError, match=r"'normal' has no usable image in split 'val'.*mend or remove it") as error:
        run(source, Ingest(max_reject_share=0.5))
    lists = tmp_path / "records.private" / "problems.csv"
    assert f"manifest.csv line 12: not an image\n  {source} line 13: not an image\nall of them with their paths: {lists}" in str(
        error.value
    )
    assert "val-normal-1.png" in lists.read_text()


def test_records_go_where_a_link_leads(run, source, tmp_path):
    (tmp_path / "disk" / "records").mkdir(parents=True)
    (tmp_path / "records").symlink_to(tmp_path / "disk" / "records")
    first = run(source)
    assert (tmp_path / "records").is_symlink()
    assert read_dataset(tmp_path / "disk" / "records") == first
    assert run(source) == first
    assert os.listdir(tmp_path / "disk") == ["records"]


def test_only_images_that_stand_for_a_patient_are_said_to(run, tmp_path, make_manifest, console):
    rows = [{"image": f"{k}.png", "label": features.CLASS_NAMES[k % 3], "patient_id": f"p{k}" if k > 2 else ""} for k in range(30)]
    source = make_manifest(tmp_path / "source", rows)
    (source.parent / "0.png").write_bytes(b"")
    assert run(source, Ingest(max_reject_share=0.5)).own_patients == 2


def test_copies_to_the_pixel(run, tmp_path, make_manifest, console):
    rows = [{"image": f"{k}.png", "label": features.CLASS_NAMES[k % 3], "patient_id": str(k)} for k in range(60)]
    source = make_manifest(tmp_path / "source", rows)
    (source.parent / "9.png").write_bytes((source.parent / "6.png").read_bytes())
    dataset = run(source)
    assert (dataset.duplicates, dataset.near_duplicates, dataset.joined_patients) == (1, 0, 1)
    assert dataset.images == 60
    assert sum(dataset.patients.values()) == 59
    assert any("1 patient shares a radiograph" in warning for warning in dataset.warnings)
    with (tmp_path / "records.private" / "duplicates.csv").open() as stream:
        rows = list(csv.DictReader(stream))
    listed = [(row["picture"], row["path"], row["patient"], row["copy"]) for row in rows]
    assert listed == [("1", "6.png", "1", "exact"), ("1", "9.png", "2", "exact")]
    pseudonyms = {value(one, "patient_id") for split in features.SPLITS for one in examples(tmp_path / "records", split)}
    assert not any(pseudonym in str(rows) for pseudonym in pseudonyms)


def test_patient_ids_that_are_likely_the_same_are_warned_of(run, tmp_path, make_manifest, console):
    rows = [{"image": f"{k}.png", "label": features.CLASS_NAMES[k % 3], "patient_id": f"DOE-{k}"} for k in range(60)]
    rows[1]["patient_id"], rows[2]["patient_id"], rows[4]["patient_id"] = "doe-0", "Doe -0", " DOE-3 "  # the last is stripped
    source = make_manifest(tmp_path / "source", rows)
    dataset = run(source)
    assert dataset.all_patients == 59
    (told,) = (note for note in dataset.warnings if "patient ids" in note)
    assert told.startswith("3 patient ids equal others but for case, blanks, leading zeros or a '.0' at the end, and count as different")
    assert shown(console).count(f"warning: {told}\n") == 1
    run(source)
    assert shown(console).count(f"warning: {told}\n") == 2  # of records that are there already too
    assert "doe" not in shown(console).lower()


def test_what_is_odd_about_ids_is_told_before_a_deal_fails(run, tmp_path, make_manifest, console):
    """It may be why: here a class has two ids left of twelve."""
    rows = [{"image": f"{k}.png", "label": features.CLASS_NAMES[k % 3], "patient_id": f"2.0191{k % 6}E+11"} for k in range(12)]
    with pytest.raises(CxrError, match="6 patient ids look rounded"):
        run(make_manifest(tmp_path / "source", rows))
    assert "warning: 12 images have a patient id that looks rounded" in shown(console)


def test_what_is_odd_about_a_source_is_told_by_every_call(run, tmp_path, make_image, console):
    for k in range(12):
        make_image(tmp_path / "tree" / features.CLASS_NAMES[k % 3] / f"{k}.png", k)
    make_image(tmp_path / "tree" / "beside.png", 20)
    assert any("1 image stands beside" in warning for warning in run(tmp_path / "tree").warnings)
    run(tmp_path / "tree")
    assert "up to date" in shown(console)
    assert shown(console).count("warning: ") == 2
    assert shown(console).count(f"warning: {tmp_path}/tree: 1 image stands beside the folders in it") == 2


def test_rows_that_where_leaves_out_are_counted(run, tmp_path, make_manifest):
    rows = [{"image": f"{k}.png", "label": features.CLASS_NAMES[k % 3], "view": ("pa", "PA", "AP")[k // 3 % 3]} for k in range(30)]
    manifest, config = make_manifest(tmp_path / "source", rows), Ingest(where={"view": "PA"})
    dataset = run(manifest, config)
    assert (dataset.images, dataset.other_rows) == (21, 9)
    assert "9 rows of the manifest left out that do not say view=PA" in remarks(dataset, tmp_path / "records")
    make_manifest(manifest.parent, [*rows, {"image": "31.png", "label": "normal", "view": "AP"}])
    again = run(manifest, config)  # up to date: nothing that is taken has changed
    assert (again.images, again.other_rows, again.fingerprint) == (21, 10, dataset.fingerprint)
    assert read_dataset(tmp_path / "records") == again


def test_copies_that_nobody_looked_for_are_warned_of(run, tmp_path, make_manifest):
    rows = [{"image": f"{k}.png", "label": features.CLASS_NAMES[k % 3], "patient_id": str(k)} for k in range(60)]
    source = make_manifest(tmp_path / "source", rows)
    (source.parent / "7.png").write_bytes((source.parent / "6.png").read_bytes())
    dataset = run(source, CONFIG.model_copy(update={"near_duplicates": "ignore"}))
    assert (dataset.duplicates, dataset.joined_patients, dataset.label_conflicts) == (1, 0, 0)
    assert any("several labels" in warning for warning in dataset.warnings)
    assert any("several patients" in warning for warning in dataset.warnings)


def test_synthetic_data_are_called_so(run, tmp_path, make_manifest):
    rows = [{"image": f"{k}.png", "label": features.CLASS_NAMES[k % 3], "source": "synthetic"} for k in range(60)]
    assert run(make_manifest(tmp_path / "source", rows)).synthetic


@pytest.mark.parametrize("out", ["source", "source/records", "."])
def test_out_and_source_are_apart(source, tmp_path, key_file, console, out):
    with pytest.raises(CxrError, match="inside each other"):
        ingest(source.parent, tmp_path / out, CONFIG, key_file=key_file, console=console)


def test_leftovers_of_a_killed_process_are_cleaned_up(run, source, tmp_path):
    left = tmp_path / ".records.partial" / "train"
    left.mkdir(parents=True)
    (left / "examples-00000-of-00001.tfrecord.gz").write_bytes(b"half")
    assert run(source).images == 60
    assert sorted(path.name for path in tmp_path.iterdir()) == ["pseudonym.key", "records", "source"]


def test_an_exchange_killed_halfway_is_undone(run, source, tmp_path, console):
    run(source)
    (tmp_path / "records").rename(tmp_path / ".records.old")
    run(source)
    assert "up to date" in shown(console)


def test_two_at_a_time_are_refused(run, source, tmp_path):
    with replaced_folder.replaced(tmp_path / "records"), pytest.raises(CxrError, match="another process"):
        run(source)


@pytest.mark.slow
def test_killed_in_the_middle(tmp_path, source, key_file, run):
    code = (
        "import os, signal, sys; from pathlib import Path; from rich.console import Console\n"
        "from cxr.data.ingest import summary; from cxr.data.ingest.ingest import ingest; from cxr.data.ingest.ingest_config import Ingest\n"
        "summary.tally = lambda outcomes, groups: os.kill(os.getpid(), signal.SIGKILL)\n"  # when all is read, and nothing written
        "ingest(sys.argv[1], Path(sys.argv[2]), Ingest(images_per_shard=16), "
        "key_file=Path(sys.argv[3]), console=Console(stderr=True))"
    )
    killed = subprocess.run([sys.executable, "-c", code, str(source), str(tmp_path / "records"), str(key_file)])
    assert killed.returncode == -signal.SIGKILL
    assert any((tmp_path / "records.private").glob("staged/*.pictures"))
    assert not (tmp_path / "records").exists()
    assert run(source).images == 60
    assert not (tmp_path / ".records.partial").exists()
    assert not (tmp_path / "records.private").exists()


@pytest.mark.slow
def test_records_pass_the_curated_schema(run, source, tmp_path):
    from importlib import resources

    import tensorflow_data_validation as tfdv
    from google.protobuf import text_format
    from tensorflow_metadata.proto.v0 import schema_pb2

    run(source)
    schema = text_format.Parse((resources.files("cxr.pipeline") / "schema.pbtxt").read_text(), schema_pb2.Schema())
    next(f for f in schema.feature if f.name == "label").string_domain.value.extend(features.CLASS_NAMES)
    for split in features.SPLITS:
        statistics = tfdv.generate_statistics_from_tfrecord(str(tmp_path / "records" / split / "*.tfrecord.gz"))
        assert not tfdv.validate_statistics(statistics, schema).anomaly_info


def test_data_to_measure_on_have_one_split_and_any_of_the_classes(run, make_manifest, tmp_path):
    manifest = make_manifest(tmp_path / "there", [{"image": f"{k}.png", "label": "normal", "patient_id": f"p{k // 2}"} for k in range(6)])
    with pytest.raises(CxrError, match="the classes 'covid19', 'pneumonia' have no images; add some"):
        run(manifest)
    dataset = run(manifest, Ingest(only_split="test"))
    assert dataset.counts == {"test": {"covid19": 0, "pneumonia": 0, "normal": 6}}
    assert (dataset.splits, dataset.patients) == (("test",), {"test": 3})
    assert len(examples(tmp_path / "records", "test")) == 6
    assert run(manifest, Ingest(only_split="test")) == dataset  # up to date
    with pytest.raises(CxrError, match="--overwrite"):
        run(manifest, Ingest(only_split="val"))
    for k in range(6):
        (tmp_path / "there" / f"{k}.png").write_bytes(b"no picture")
    with pytest.raises(CxrError, match=r"no image can be used; all of them were rejected \(6 not an image\)"):
        run(manifest, Ingest(only_split="test", max_reject_share=1), overwrite=True)


def test_records_of_before_only_split_stay_up_to_date():
    from cxr.data.ingest import fingerprint

    key = b"key"
    plain = fingerprint.state([], CONFIG, key)
    before = CONFIG.model_dump(mode="json", exclude=fingerprint.WITHOUT_EFFECT | {"only_split"})
    digest = hashlib.sha256(hashlib.sha256(key).digest())
    digest.update(json.dumps([RECORDS_VERSION, before], sort_keys=True).encode())
    assert plain == digest.hexdigest()
    assert fingerprint.state([], CONFIG.model_copy(update={"only_split": "test"}), key) != plain
