import json
import shutil
from dataclasses import replace

import pytest
import tensorflow as tf

from cxr.components.baseline.push_record import RECORD, read_record
from cxr.components.baseline.rule import JudgedOn, choose, read_judged_on
from cxr.components.pusher.known import Known
from cxr.components.pusher.push import record_of
from cxr.core.errors import CxrError
from cxr.core.intervals import Interval
from cxr.data.images.reader import MAX_SIDE
from cxr.trainer.model_info import INFO
from cxr.trainer.training_data import image_keys

CLASSES = ("covid19", "pneumonia", "normal")
REAL = JudgedOn(CLASSES, image_keys("xyz"), synthetic=False)


def test_before_the_first_push_there_is_nothing_to_compare_with(models):
    choice = choose(models.pointer, REAL)
    assert (choice.champion, choice.baseline, choice.reasons) == (None, None, ())


def test_the_champion_is_the_baseline(models):
    pushed = models.version(17)
    choice = choose(models.pointer, REAL)
    assert (choice.baseline, choice.reasons) == (pushed, ())
    assert choice.champion is not None
    assert choice.champion.source == "/runs/17"


def test_the_floor_does_not_slide(models):
    """Three pushes, each a little worse than the first and within the tolerance: the first stays the measure."""
    best = models.version(17)
    models.version(18, baseline=17, floor=17)
    models.version(19, baseline=17, floor=17)
    choice = choose(models.pointer, REAL)
    assert choice.champion is not None
    assert choice.champion.version == "19"
    assert choice.baseline == best
    assert choice.previous == best


@pytest.mark.parametrize(
    ("compared", "step"),
    [
        (("accuracy",), {"accuracy": -0.0125}),
        # accuracy rises all the while: a floor that followed it would let the other sink
        (("accuracy", "balanced_accuracy"), {"accuracy": 0.001, "balanced_accuracy": -0.0125}),
        (("accuracy", "log_loss"), {"accuracy": 0.001, "log_loss": 0.0125}),
    ],
)
def test_many_runs_within_the_tolerance_do_not_add_up_to_a_decline(models, compared, step):
    """Each run is a step worse than the one before, which the tolerance allows, until the distance from the first one exceeds it."""
    tolerance = 0.02
    measured = {"17": dict.fromkeys(compared, 0.5)}
    models.version(17)
    for number in range(18, 30):
        baseline = choose(models.pointer, REAL).baseline
        assert baseline is not None
        ours = {name: value + step[name] for name, value in measured[str(number - 1)].items()}
        theirs = measured[baseline.name]
        if any((theirs[name] - ours[name]) * (-1 if name == "log_loss" else 1) > tolerance for name in compared):
            break  # what the gate refuses
        known = Known(pipeline="tiny", split="test", baseline=baseline.name, compared=compared)
        surely = {"accuracy": Interval(0.0005, 0.002)}  # whatever else falls behind
        record = record_of(str(number), "f", known=known, run="r", source="/runs/1", ours=ours, theirs=theirs, changes=surely)
        models.version(number, baseline=int(baseline.name), floor=int(record.floor))
        measured[str(number)] = ours
    assert list(measured) == ["17", "18"]


def test_where_the_best_version_is_gone_the_champion_is_the_measure_and_that_is_said(models):
    best = models.version(17)
    last = models.version(18, baseline=17, floor=17)
    shutil.rmtree(best)
    choice = choose(models.pointer, REAL)
    assert choice.baseline == last
    assert choice.reasons == ("version 17 is gone",)
    assert choice.previous is None


@pytest.mark.parametrize(
    ("version", "judged_on", "reason"),
    [
        ({"classes": ("covid19", "normal")}, REAL, "is for the classes covid19, normal, not covid19, pneumonia, normal"),
        ({"classes": ("normal", "pneumonia", "covid19")}, REAL, "is for the classes normal, pneumonia, covid19, not covid19"),
        ({"seen": "az"}, REAL, "has seen 1 of the 3 images that the gate judges on"),
        ({"synthetic": True}, REAL, "was trained on synthetic images, but these are real"),
        ({}, JudgedOn(CLASSES, REAL.images, synthetic=True), "was trained on real images, but these are synthetic"),
        ({"preprocessing": None}, REAL, "does not state the numbers of its labels"),
        ({"synthetic": None}, REAL, "does not say what it was trained on"),
        ({"seen": None}, REAL, "does not say which images"),
        ({"max_side": 512}, REAL, "was trained on images that were read in another way"),
        ({}, replace(REAL, max_side=None), "was trained on images that were read in another way"),
        ({"reading_rules": 99}, REAL, "was trained on images that were read in another way"),
    ],
)
def test_an_unfair_baseline_is_none(models, version, judged_on, reason):
    models.version(17, **version)
    choice = choose(models.pointer, judged_on)
    assert choice.baseline is None
    (found,) = choice.reasons
    assert found.startswith(f"version 17 {reason}")


def test_where_the_champion_is_unfair_the_best_one_may_be_fair(models):
    best = models.version(17)
    models.version(18, baseline=17, floor=17, seen="x")
    assert choose(models.pointer, REAL).baseline == best


def test_a_version_of_another_pipeline_and_one_without_a_record(models):
    pushed = models.version(17, record=False)
    choice = choose(models.pointer, REAL)
    assert (choice.baseline, choice.record) == (pushed, None)
    (pushed / INFO).unlink()
    assert choose(models.pointer, REAL).reasons == ("version 17 has no assets.extra/model.json: it was not trained by this pipeline",)


def test_a_damaged_record_is_named(models):
    (models.version(17) / RECORD).write_text("{}")
    with pytest.raises(CxrError, match=r"17/assets\.extra/push\.json"):
        choose(models.pointer, REAL)


def test_a_later_version_s_record_may_say_more(models):
    pushed = models.version(17)
    before = read_record(pushed)
    assert before is not None
    (pushed / RECORD).write_text(json.dumps(before.model_dump(mode="json") | {"of_the_future": 1}))
    assert read_record(pushed) == before
    choose(models.pointer, REAL)


def test_a_record_with_a_share_beyond_one_is_damaged(models):
    file = models.version(17) / RECORD
    record = json.loads(file.read_text())
    file.write_text(json.dumps(record | {"figures": {"log_loss": {"value": 7.5}}}))
    choose(models.pointer, REAL)
    file.write_text(json.dumps(record | {"figures": {"accuracy": {"value": 0.9, "low": 0.8, "high": 7.5}}}))
    with pytest.raises(CxrError, match=r"push\.json: cannot be read \(figures: must be from 0 to 1, as shares are\)"):
        choose(models.pointer, REAL)


@pytest.fixture
def written(tmp_path):
    def write(name, examples):
        file = tmp_path / f"{name}.tfrecord.gz"
        file.parent.mkdir(parents=True, exist_ok=True)
        with tf.io.TFRecordWriter(str(file), "GZIP") as writer:
            for example in examples:
                writer.write(example)

    return write


def keys(*numbers):
    return image_keys(f"{number:064x}" for number in numbers)


def test_what_the_gate_judges_on_is_read_from_the_records(tmp_path, written, raw_examples):
    written("real/test/a", raw_examples[:3])
    written("real/test/b", raw_examples[3:5])
    real = read_judged_on(str(tmp_path / "real"), "test", CLASSES, MAX_SIDE)
    assert real.images.tolist() == keys(*range(5)).tolist()
    assert not real.synthetic
    made_up = tf.train.Example.FromString(raw_examples[0])
    made_up.features.feature["source"].bytes_list.value[:] = [b"synthetic"]
    written("mixed/test/c", [raw_examples[1], made_up.SerializeToString()])
    assert read_judged_on(str(tmp_path / "mixed"), "test", CLASSES, MAX_SIDE).synthetic
    (tmp_path / "mixed/test/d.tfrecord.gz").write_bytes(b"no records")
    with pytest.raises(CxrError, match=r"d\.tfrecord\.gz"):
        read_judged_on(str(tmp_path / "mixed"), "test", CLASSES, MAX_SIDE)
    with pytest.raises(CxrError, match="no records of the split 'val'"):
        read_judged_on(str(tmp_path / "mixed"), "val", CLASSES, MAX_SIDE)


def test_a_picture_that_stands_in_two_splits_of_the_data_is_nobodys_advantage(models, tmp_path, written, raw_examples):
    written("data/test/a", raw_examples[:3])
    written("data/train/a", raw_examples[2:6])  # number 2 is in both
    judged_on = read_judged_on(str(tmp_path / "data"), "test", CLASSES, MAX_SIDE)
    pushed = models.version(17, seen=[f"{number:064x}" for number in (2, 3, 4, 5)])
    assert choose(models.pointer, judged_on).baseline == pushed
    models.version(18, seen=[f"{number:064x}" for number in (1, 2, 3)])
    assert choose(models.pointer, judged_on).reasons == ("version 18 has seen 1 of the 3 images that the gate judges on",)
