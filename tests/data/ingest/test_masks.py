"""Masks of the manifest in the records."""

import csv
import io

import numpy as np
import pytest
from PIL import Image

from cxr.core import features
from cxr.core.errors import CxrError
from cxr.data.images import decoders
from cxr.data.images.errors import ImageError, Unreadable
from cxr.data.images.masks import decode_mask, read_mask
from cxr.data.ingest.ingest import ingest
from cxr.data.ingest.ingest_config import Ingest

LESION = (slice(4, 12), slice(10, 30))  # of pictures of 32 by 40 pixels


@pytest.fixture
def masked(tmp_path, make_manifest):
    """Thirty images: every third one has a mask of half its size, another third a black one, the rest none."""
    names = ["masks/lesion.png", "masks/black.png", ""]
    rows = [
        {"image": f"{k}.png", "label": features.CLASS_NAMES[k % 3], "patient_id": str(k), "split": "train", "mask": names[k % 3]}
        for k in range(30)
    ]
    manifest = make_manifest(tmp_path / "source", rows)
    (tmp_path / "source" / "masks").mkdir()
    mask = np.zeros((32, 40), np.uint8)
    Image.fromarray(mask).save(tmp_path / "source" / "masks" / "black.png")
    mask[LESION] = 255
    Image.fromarray(mask[::2, ::2]).save(tmp_path / "source" / "masks" / "lesion.png")
    return manifest


@pytest.fixture
def run(tmp_path, key_file, console):
    def call(source, **options):
        config = Ingest(only_split="train", max_reject_share=0.1)
        dataset = ingest(source, tmp_path / "records", config, key_file=key_file, console=console, **options)
        return dataset, console.file.getvalue()

    return call


def masks_by_label(tmp_path):
    import tensorflow as tf

    found: dict[str, set[bytes]] = {}
    for record in tf.data.TFRecordDataset(sorted(map(str, (tmp_path / "records/train").glob("*.gz"))), "GZIP"):
        values = tf.train.Example.FromString(record.numpy()).features.feature
        label = values[features.LABEL].bytes_list.value[0].decode()
        found.setdefault(label, set()).update(values[features.LESION_MASK].bytes_list.value)
    return found


def test_a_record_has_the_mask_at_the_size_of_its_picture(run, masked, tmp_path):
    run(masked)
    lesions, black, none = (masks_by_label(tmp_path)[name] for name in features.CLASS_NAMES)
    (mask,) = lesions
    expected = np.zeros((32, 40), bool)
    expected[LESION] = True
    np.testing.assert_array_equal(decode_mask(mask), expected)
    assert black == none == set()


def test_another_mask_makes_other_records(run, masked, tmp_path):
    run(masked)
    assert "up to date" in run(masked)[1]
    Image.fromarray(np.full((16, 20), 255, np.uint8)).save(tmp_path / "source/masks/lesion.png")
    with pytest.raises(CxrError, match="holds the records of another source"):
        run(masked)
    run(masked, overwrite=True)
    (mask,) = masks_by_label(tmp_path)[features.CLASS_NAMES[0]]
    assert decode_mask(mask).all()


def test_masks_that_do_not_fit_or_cannot_be_decoded_are_rejects(tmp_path, run, masked):
    rows = list(csv.DictReader(io.StringIO(masked.read_text())))
    Image.fromarray(np.zeros((40, 32), np.uint8)).save(tmp_path / "source/masks/turned.png")
    whole = (tmp_path / "source/masks/lesion.png").read_bytes()
    (tmp_path / "source/masks/cut.png").write_bytes(whole[: len(whole) - 30])
    (tmp_path / "source/masks/text.png").write_text("no picture")
    for row, name in zip((2, 5, 8), ("turned", "cut", "text"), strict=True):
        rows[row]["mask"] = f"masks/{name}.png"
    with masked.open("w", newline="") as stream:
        writer = csv.DictWriter(stream, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    dataset, _ = run(masked)
    assert dataset.reject_reasons == {"unreadable": 2, "mask of other proportions": 1}
    rejects = (tmp_path / "records.private/rejects.csv").read_text()
    assert "the mask has 32x40 pixels, its picture 40x32" in rejects


def test_a_mask_in_the_alpha_in_fractions_or_turned_shows_the_same_place(tmp_path):
    there = np.zeros((32, 40), bool)
    there[LESION] = True
    layer = Image.new("RGBA", (40, 32), (255, 255, 255, 0))
    layer.putalpha(Image.fromarray(there.astype(np.uint8) * 255))
    layer.save(tmp_path / "alpha.png")
    Image.fromarray(there.astype(np.float32) * 0.7).save(tmp_path / "fraction.tiff")
    Image.fromarray(np.where(there, np.float32(0.7), np.float32("nan"))).save(tmp_path / "numbers.tiff")
    turned = Image.fromarray(np.rot90(there, 2).astype(np.uint8) * 255)
    exif = Image.Exif()
    exif[0x0112] = 3
    turned.save(tmp_path / "turned.png", exif=exif)
    for name in ("alpha.png", "fraction.tiff", "numbers.tiff", "turned.png"):
        found = read_mask(tmp_path / name, 32, 40)
        assert found is not None
        np.testing.assert_array_equal(decode_mask(found), there, err_msg=name)


def test_a_mask_of_thousands_of_scans_is_refused_undecoded(tmp_path):
    Image.fromarray(np.full((32, 40), 255, np.uint8)).save(tmp_path / "mask.jpg", progressive=True)
    data = (tmp_path / "mask.jpg").read_bytes()
    last = data.rindex(b"\xff\xda")
    (tmp_path / "mask.jpg").write_bytes(data[:last] + (decoders.MAX_SCANS + 1) * data[last:-2] + data[-2:])
    with pytest.raises(Unreadable, match=r"mask\.jpg: the mask cannot be decoded: a JPEG of more than 500 scans"):
        read_mask(tmp_path / "mask.jpg", 32, 40)


@pytest.mark.parametrize(
    ("mask", "message"),
    [("masks/none.png", "the masks of 1 image are not there"), ("../outside.png", "1 mask lies outside")],
)
def test_masks_that_cannot_be_read_are_told_before_anything_is(run, make_manifest, tmp_path, mask, message):
    (tmp_path / "outside.png").touch()
    rows = [{"image": f"{name}.png", "label": name, "mask": mask if name == "normal" else ""} for name in features.CLASS_NAMES]
    with pytest.raises(CxrError, match=message):
        run(make_manifest(tmp_path / "source", rows))


def test_a_mask_of_zeros_and_ones_shows_where_the_ones_are(tmp_path):
    levels = np.zeros((32, 40), np.uint8)
    levels[LESION] = 1
    Image.fromarray(levels).save(tmp_path / "mask.png")
    found = read_mask(tmp_path / "mask.png", 32, 40)
    assert found is not None
    np.testing.assert_array_equal(decode_mask(found), levels > 0)
    levels[0, 0] = 2
    Image.fromarray(levels).save(tmp_path / "mask.png")
    for dark in (levels, levels + 20, np.full_like(levels, 16)):
        Image.fromarray(dark).save(tmp_path / "mask.png")
        with pytest.raises(ImageError, match="above 127, and it is not black with one other; draw white on black"):
            read_mask(tmp_path / "mask.png", 32, 40)


@pytest.mark.parametrize("case", ["PostScript", "more pixels than any mask has", "a place beyond every file"])
def test_a_hostile_mask_is_refused_unread(tmp_path, monkeypatch, case):
    file = tmp_path / "mask.png"
    Image.new("RGB", (40, 32)).save(file, "EPS" if case == "PostScript" else "PNG")
    if case == "more pixels than any mask has":
        monkeypatch.setattr("cxr.data.images.masks.MAX_PIXELS", 1000)
    if case == "a place beyond every file":
        file.write_bytes(b"II+\0\x08\0\0\0" + b"\xff" * 8)
    with pytest.raises(ImageError, match="the mask (cannot be decoded|has 40x32 pixels)"):
        read_mask(file, 32, 40)
