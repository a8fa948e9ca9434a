import csv
import errno
import io
import multiprocessing.synchronize
import os
from functools import partial

import numpy as np
import pytest
from killed import killed_at
from main_script import as_main
from PIL import Image
from rich.console import Console

from cxr.core import features
from cxr.core.errors import CxrError, UsageError
from cxr.data.demo import SEVERITY, generate
from cxr.data.demo.generate import Order, _orders, make_demo_data
from cxr.data.ingest.ingest_config import Ingest
from cxr.data.ingest.sources import discover

pytestmark = pytest.mark.seconds

CONSOLE = Console(file=io.StringIO())


def make(out, images=30, image_size=48, seed=5, **options):
    return make_demo_data(out, images=images, image_size=image_size, seed=seed, console=CONSOLE, **options)


def read(manifest):
    with manifest.open() as stream:
        return list(csv.DictReader(stream))


def pixels(manifest):
    return np.stack([np.asarray(Image.open(manifest.parent / row["image"])) for row in read(manifest)])


def test_manifest_and_images(tmp_path):
    manifest = make(tmp_path / "demo", images=31)
    rows = read(manifest)
    assert [sum(row["label"] == name for row in rows) for name in features.CLASS_NAMES] == [11, 10, 10]
    assert pixels(manifest).shape == (31, 48, 48)
    assert {row["source"] for row in rows} == {"synthetic"}
    assert {row["view"] for row in rows} == {"AP", "PA"}
    assert {row["sex"] for row in rows} == {"F", "M"}
    patients = [row["patient_id"] for row in rows]
    assert 1 < len(rows) / len(set(patients)) <= 4
    assert len(discover(tmp_path / "demo", Ingest())[0]) == 31


def test_seed_decides_every_pixel(tmp_path):
    one, same, other = (pixels(make(tmp_path / name, images=9, seed=seed)) for name, seed in (("a", 1), ("b", 1), ("c", 2)))
    np.testing.assert_array_equal(one, same)
    assert (one != other).mean() > 0.5


@pytest.mark.parametrize("fault", [errno.ENOSPC, errno.ENOENT])
def test_threads_draw_where_shared_memory_is_full_or_missing(tmp_path, monkeypatch, fault):
    def refuse(*_, **__):
        raise OSError(fault, os.strerror(fault))

    monkeypatch.setattr(multiprocessing.synchronize.SemLock, "__init__", refuse)
    monkeypatch.setattr(generate, "MANY", 9)
    assert len(read(make(tmp_path / "demo", images=9))) == 9


def test_processes_draw_what_threads_draw(tmp_path, monkeypatch):
    trace = as_main(tmp_path, monkeypatch)
    threads = make(tmp_path / "threads", images=9, masks=True)
    monkeypatch.setattr(generate, "MANY", 9)
    processes = make(tmp_path / "processes", images=9, masks=True)
    assert not trace.exists()
    assert processes.read_text() == threads.read_text()
    for file in threads.parent.rglob("*.png"):
        assert (processes.parent / file.relative_to(threads.parent)).read_bytes() == file.read_bytes()


def test_pictures_of_a_patient_differ_and_resemble_each_other(tmp_path):
    manifest = make(tmp_path / "demo", images=60)
    rows, images = read(manifest), pixels(manifest).astype(float)
    assert len({image.tobytes() for image in images}) == 60
    flat = images.reshape(60, -1)
    likeness = np.corrcoef(flat)
    pairs = [(i, j) for i in range(60) for j in range(i)]
    same = [likeness[i, j] for i, j in pairs if rows[i]["patient_id"] == rows[j]["patient_id"]]
    strangers = [
        likeness[i, j] for i, j in pairs if rows[i]["label"] == rows[j]["label"] and rows[i]["patient_id"] != rows[j]["patient_id"]
    ]
    assert np.mean(same) > np.mean(strangers)


def test_severity_and_masks(tmp_path):
    manifest = make(tmp_path / "demo", severity=(0.6, 0.9), masks=True)
    rows = read(manifest)
    degrees: dict[str, list[float]] = {row["label"]: [] for row in rows}
    for row in rows:
        degrees[row["label"]].append(float(row["severity"]))
        assert row["mask"] == row["image"].replace("images/", "masks/")
        with Image.open(manifest.parent / row["mask"]) as mask:
            assert mask.size == (48, 48)
            assert set(np.unique(np.asarray(mask))) <= {0, 255}
            assert (np.asarray(mask).max() > 0) == (row["label"] != "normal")
    assert set(degrees["normal"]) == {0.0}
    for label in ("covid19", "pneumonia"):
        assert len(set(degrees[label])) > 3
        assert 0.6 <= min(degrees[label]) < max(degrees[label]) <= 0.9
    assert len(discover(manifest.parent, Ingest())[0]) == 30  # the columns are no trouble


def test_without_masks_there_are_none(tmp_path):
    manifest = make(tmp_path / "demo", images=6)
    assert not (tmp_path / "demo" / "masks").exists()
    assert {row["mask"] for row in read(manifest)} == {""}


def test_nothing_but_the_disease_hangs_on_the_class():
    orders: dict[str, list[Order]] = {label: [] for label in features.CLASS_NAMES}
    for order in _orders(6000, 3, SEVERITY):
        orders[order.label].append(order)
    for fact in (
        lambda order: order.view == "AP", lambda order: order.person.female, lambda order: order.age / 100,
        lambda order: order.person.fat / 5, lambda order: order.person.heart / 10,
    ):  # fmt: skip
        assert np.ptp([np.mean([fact(order) for order in some]) for some in orders.values()]) < 0.06


def test_second_call_returns_at_once_and_another_request_replaces(tmp_path):
    manifest = make(tmp_path / "demo", images=6)
    inode = manifest.stat().st_ino
    assert make(tmp_path / "demo", images=6).stat().st_ino == inode
    assert make(tmp_path / "demo", images=6, seed=6).stat().st_ino != inode
    assert [path.name for path in tmp_path.iterdir()] == ["demo"]


def test_a_kill_at_any_moment_leaves_what_the_same_call_makes_whole(tmp_path):
    """Where other pictures lie there, too: they are replaced at the end, in one step."""

    def tree(folder):
        return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}

    old, new = tree(make(tmp_path / "old", images=3, seed=1).parent), tree(make(tmp_path / "new", images=3, seed=2).parent)
    step, stood = 0, set()
    while True:
        place = tmp_path / str(step)
        make(place / "demo", images=3, seed=1)
        if not killed_at(step, partial(make, place / "demo", images=3, seed=2)):
            break
        left = tree(place / "demo")
        assert left in ({}, old, new)  # none: between two names; the next call has it back
        stood.add(len(left))
        assert tree(make(place / "demo", images=3, seed=2).parent) == new
        assert [path.name for path in place.iterdir()] == ["demo"]
        step += 1
    assert stood == {0, len(new)}


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        ({"images": 2}, "images 2: must be 3 at least"),
        ({"image_size": 15}, "image_size 15: must be 16 pixels"),
        ({"confounder": "letters"}, "confounder 'letters': must be one of none, .*marker"),
        ({"severity": (1.0, 0.8)}, "severity 1 0.8: must be two numbers from 0 to 1, the lower one first"),
        ({"severity": (0.2, 1.5)}, "severity 0.2 1.5"),
    ],
)
def test_what_cannot_be_drawn_is_refused_and_leaves_what_is_there(tmp_path, wrong, told):
    manifest = make(tmp_path / "demo", images=3, image_size=16)
    before = manifest.read_bytes()
    with pytest.raises(UsageError, match=told):
        make(tmp_path / "demo", **wrong)
    assert manifest.read_bytes() == before


def test_foreign_folder_is_refused(tmp_path):
    (tmp_path / "photo.jpg").write_text("mine")
    with pytest.raises(CxrError, match="no demo data"):
        make(tmp_path)
    assert (tmp_path / "photo.jpg").exists()


@pytest.mark.slow
def test_a_linear_model_on_pixels_is_not_enough(tmp_path):
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import GroupKFold, cross_val_score
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    manifest = make(tmp_path / "demo", images=480, image_size=64, seed=2021)
    rows = read(manifest)
    small = pixels(manifest).reshape(480, 16, 4, 16, 4).mean(axis=(2, 4)).reshape(480, -1)
    for strength in (0.01, 1.0):
        model = make_pipeline(StandardScaler(), LogisticRegression(C=strength, max_iter=500))
        patients = [row["patient_id"] for row in rows]
        scores = cross_val_score(model, small, [row["label"] for row in rows], groups=patients, cv=GroupKFold(4))
        assert scores.mean() < 0.7  # 0.63 when this was written; benchmarks/demo_difficulty.py has the models beside it
