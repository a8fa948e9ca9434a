import os
from dataclasses import fields, replace

from cxr.data.ingest import fingerprint
from cxr.data.ingest.ingest_config import Ingest
from cxr.data.ingest.rows import Row

# Where a row stands; and what ingest finds out by itself, after records are known not to be up to date.
WITHOUT_EFFECT = {"folder", "place", "position", "person", "picture", "number"}
BY_CONTENT = {"mask"}


def test_every_fact_of_a_row_decides_whether_records_are_up_to_date(tmp_path):
    assert {*fingerprint.STATED, *fingerprint.LATER, *BY_CONTENT, *WITHOUT_EFFECT} == {field.name for field in fields(Row)}
    (tmp_path / "a").touch()
    (tmp_path / "other").hardlink_to(tmp_path / "a")  # of the same size and time
    row = Row(folder=str(tmp_path), name="a", place="line", position=1, label="normal")
    plain = fingerprint.state([row], Ingest(), b"key")
    changed = dict.fromkeys((*fingerprint.STATED, *fingerprint.LATER), "other") | {"age": 7.0, "mask": __file__}
    found = []
    for name, value in changed.items():
        other = replace(row)
        setattr(other, name, value)
        found.append(fingerprint.state([other], Ingest(), b"key"))
    assert len({plain, *found}) == len(changed) + 1
    elsewhere = replace(row, position=2, number=3, person="p", picture="q")
    assert fingerprint.state([elsewhere], Ingest(), b"key") == plain


def test_every_setting_decides_it_but_those_without_effect():
    names = set(Ingest.model_fields)
    assert names >= fingerprint.WITHOUT_EFFECT | fingerprint.LATER_SETTINGS
    plain = fingerprint.state([], Ingest(), b"key")
    assert fingerprint.state([], Ingest(workers=7, max_reject_share=0.5), b"key") == plain
    assert fingerprint.state([], Ingest(max_side=512), b"key") != plain
    assert fingerprint.state([], Ingest(), b"other") != plain


def test_masks_of_one_size_and_time_that_were_swapped_decide_it(tmp_path):
    for name in ("a.bmp", "b.bmp"):
        (tmp_path / name).write_text(name)
        os.utime(tmp_path / name, (1, 1))

    def state(*masks):
        named = zip(("a.bmp", "b.bmp"), masks, strict=True)
        rows = [Row(str(tmp_path), name, "line", 1, label="normal", mask=f"{tmp_path}/{mask}") for name, mask in named]
        return fingerprint.state(rows, Ingest(), b"key")

    assert state("a.bmp", "b.bmp") != state("b.bmp", "a.bmp")
