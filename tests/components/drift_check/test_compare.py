"""Statistics are TFDV's own, of real tables."""

import numpy as np
import pandas as pd
import pytest
import tensorflow_data_validation as tfdv

from cxr.components.drift_check import distances
from cxr.components.drift_check.compare import NO_RUN_BEFORE, UNREADABLE, compare
from cxr.components.drift_check.drift_config import Drift
from cxr.core import features


def table(count, seed, **facts):
    random = np.random.default_rng(seed)
    columns = {
        "height": random.choice([512, 1024], count, p=[0.1, 0.9]), "width": 512, "mean": random.normal(120, 20, count),
        "label": random.choice(features.CLASS_NAMES, count), "source": "here", "view": random.choice(["PA", "AP"], count),
        "patient_id": [str(number) for number in range(count)], "age": np.where(np.arange(count) < 20, 50.0, np.nan),
    }  # fmt: skip
    return pd.DataFrame(columns | facts)


@pytest.fixture
def write(tmp_path):
    def write(name, **splits):
        for split, frame in splits.items():
            folder = tmp_path / name / f"Split-{split}"
            folder.mkdir(parents=True)
            statistics = tfdv.generate_statistics_from_dataframe(frame)
            (folder / "FeatureStats.pb").write_bytes(statistics.SerializeToString())
        return str(tmp_path / name)

    return write


def test_two_draws_from_one_set_have_not_drifted(write):
    found = compare(write("new", train=table(400, 1)), write("old", train=table(700, 2)), Drift())
    assert found.compared
    assert found.findings == []
    distances = {one.feature: one.distance for one in found.distances}
    assert set(distances) == {"height", "width", "mean", "age", "label", "source", "view"}  # nothing that tells patients apart
    assert distances["width"] == distances["source"] == 0  # one value only
    assert max(distances.values()) < 0.06
    assert found.lines == ["none of 6 features has drifted from the previous run's data"]  # age: 20 state it


def test_what_has_moved_is_found(write):
    """Brighter pictures of another size, from another place, with another mix of classes; the same age, which few state."""
    label = np.random.default_rng(5).choice(features.CLASS_NAMES, 400, p=[0.7, 0.2, 0.1])
    moved = table(400, 1, width=600, source="there", label=label, mean=np.random.default_rng(3).normal(160, 20, 400))
    found = compare(write("new", train=moved), write("old", train=table(700, 2)), Drift())
    assert {one.feature for one in found.distances if one.drifted} == {"width", "source", "label", "mean"}
    distances = {one.feature: one.distance for one in found.distances}
    assert distances["width"] == pytest.approx(1)
    assert distances["source"] == 1
    assert distances["label"] == pytest.approx(np.mean(label == "covid19") - np.mean(table(700, 2)["label"] == "covid19"), abs=1e-6)
    assert any("source has drifted from the previous run's data, split train: L-infinity 1.000" in line for line in found.findings)
    assert not found.stops
    assert compare(write("a", train=moved), write("b", train=table(700, 2)), Drift(fail=True)).stops
    assert compare(write("c", train=moved), write("d", train=table(700, 2)), Drift(jensen_shannon=1, l_infinity=1)).findings == []


def test_few_images_are_shown_and_not_judged(write):
    found = compare(write("new", val=table(60, 1, source="there")), write("old", val=table(700, 2)), Drift())
    assert next(one for one in found.distances if one.feature == "source").distance == 1
    assert not any(one.judged or one.drifted for one in found.distances)
    few = "fewer than 200 images in this run or in the previous one (drift.min_images)"
    assert found.lines == [f"nothing was judged: {few}"]  # not: none has drifted
    new, old = {"train": table(400, 1), "val": table(60, 3)}, {"train": table(700, 2), "val": table(700, 4)}
    both = compare(write("more", **new), write("before", **old), Drift())
    assert both.lines == [f"none of 6 features has drifted from the previous run's data; splits not judged: val, {few}"]
    assert compare(write("a", val=table(60, 1, source="there")), write("b", val=table(700, 2)), Drift(min_images=60)).findings


def test_a_split_that_was_not_there_is_told(write):
    found = compare(write("new", train=table(200, 1), test=table(200, 3)), write("old", train=table(200, 2)), Drift())
    assert {one.split for one in found.distances} == {"train"}
    assert found.lines[0] == "not compared, because the previous run did not have this split: test"


def test_without_a_run_before_nothing_is_compared(write, tmp_path):
    own = write("new", train=table(20, 1))
    assert compare(own, None, Drift(fail=True)).lines == [NO_RUN_BEFORE]
    broken = tmp_path / "old" / "Split-train"
    broken.mkdir(parents=True)
    (broken / "FeatureStats.pb").write_bytes(b"\xff\xff\xff")
    for previous in (tmp_path / "old", tmp_path / "gone"):
        found = compare(own, str(previous), Drift(fail=True))
        assert (found.compared, found.stops, found.lines) == (False, False, [UNREADABLE])
    with pytest.raises(FileNotFoundError, match="not the output of StatisticsGen"):
        compare(str(tmp_path / "gone"), own, Drift())


@pytest.mark.parametrize("factor", [1.01, 3])
def test_the_same_shares_of_other_counts_are_no_distance(factor):
    """SciPy takes the root of a sum that rounding may make less than 0: of masses between quantiles, as here, in every second draw."""
    for seed in range(50):
        counts = np.random.default_rng(seed).uniform(0, 100, 10)
        assert distances.divergence(counts, counts * factor) == pytest.approx(0, abs=1e-12)
