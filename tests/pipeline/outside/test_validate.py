"""`cxr validate` beside real records; what TFDV measures, and what it cannot."""

import json
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from scipy.spatial.distance import jensenshannon
from typer.testing import CliRunner

from cxr.cli.main import app
from cxr.core import features
from cxr.core.errors import UsageError
from cxr.pipeline.outside.drift import Thresholds, anomalies_of, divergence, drift
from cxr.pipeline.outside.training import find_training
from cxr.pipeline.schema import curated_schema
from cxr.pipeline.workspace import Workspace

SCHEMA = curated_schema(features.CLASS_NAMES)


def validated(*arguments, code):
    result = CliRunner().invoke(app, ["validate", *map(str, arguments), "--json", "found.json"])
    assert result.exit_code == code, (result.output, result.exception)
    text = Path("found.json").read_text()
    assert "SECRET" not in result.output + text
    assert "DOE" not in result.output + text
    return json.loads(text), " ".join(result.output.split())


def test_data_like_those_of_the_training(records, write, tmp_path):
    labels = [features.CLASS_NAMES[number // 2 % 3] for number in range(30)]
    manifest = write(tmp_path / "there", labels, first=500, source="there", sex="f", age="50")
    found, shown = validated(manifest, "--against", records, code=0)
    assert (found["images"], found["patients"], found["copies"], found["near_copies"], found["known_patients"]) == (30, 15, 0, 0, 0)
    assert found["anomalies"] == []
    assert not any(one["drifted"] for one in found["drift"])
    source = next(one for one in found["drift"] if one["feature"] == "source")
    assert (source["l_infinity"], source["judged"]) == (1.0, False)  # another place is another source
    assert "nothing found" in shown


@pytest.mark.slow
def test_all_kinds_of_findings(records, version, write, tmp_path):
    manifest = write(tmp_path / "there", ["normal"] * 20, first=500, level=60, sex="m", age="120")
    images, trained = manifest.parent / "images", records.parent / "source" / "images"
    train = [number for number in range(60) if _split_of(number, records) == "train"]
    shutil.copy(trained / f"SECRET{train[0]}.png", images / "SECRET500.png")
    with Image.open(trained / f"SECRET{train[1]}.png") as picture:
        picture.resize((48, 48), Image.Resampling.BICUBIC).save(images / "SECRET501.png")
    manifest.write_text(manifest.read_text().replace("DOE-251,", f"DOE-{train[0] // 2},"))
    found, shown = validated(manifest, "-a", version, code=3)
    assert (found["copies"], found["near_copies"], found["known_patients"]) == (1, 1, 1)
    assert found["other_label"] == sum(number // 2 % 3 != 2 for number in train[:2])
    drifted = {one["feature"] for one in found["drift"] if one["drifted"]}
    assert drifted == {"mean", "sex", "age", "age_band"}
    assert "4 features have drifted: mean, age, sex, age_band" in shown
    found, _ = validated(manifest, "-a", records, "--no-near", "--js", 1, "--l-infinity", 1, code=3)
    assert (found["copies"], found["near_copies"]) == (1, None)
    assert not any(one["drifted"] for one in found["drift"])


def _split_of(number, records):
    from cxr.data.images.reader import read_image
    from cxr.pipeline.outside.labelled import open_labelled, reading_config

    key = read_image(records.parent / "source" / "images" / f"SECRET{number}.png").content_hash
    for split in features.SPLITS:
        if key in {item.content_hash for item in open_labelled(str(records), split, reading_config(features.CLASS_NAMES, 1024)).images}:
            return split
    raise AssertionError(number)


def test_the_training_data_are_found_from_records_run_and_model(records, version, tmp_path):
    workspace = Workspace(version.parents[3], "demo")
    for against in (records, version.parents[2] / "runs" / "1", version, version.parent, "tiny"):
        assert find_training(str(against), workspace).folder == records
    alone = shutil.copytree(version, tmp_path / "a" / "b" / "c")
    with pytest.raises(UsageError, match="no run beside it says what it was trained on"):
        find_training(str(alone), workspace)
    with pytest.raises(UsageError, match="--apart-from nope: no such folder"):
        find_training("nope", workspace, "--apart-from")


def table(count, seed, **facts):
    random = np.random.default_rng(seed)
    columns = {
        "format": "png", "height": 512, "width": 512, "mean": random.normal(120, 20, count), "std": random.normal(50, 5, count),
        "view": random.choice(["PA", "AP"], count), "sex": "F", "age": random.normal(50, 10, count), "age_band": "40-64",
        "label": random.choice(features.CLASS_NAMES, count), "source": "here", "patient_id": [str(k // 2) for k in range(count)],
        "content_hash": "",
    }  # fmt: skip
    return pd.DataFrame(columns | facts)


def test_chance_is_no_drift_and_a_shift_is():
    training = table(400, 0)
    same = {one.feature: one for one in drift(table(40, 1), training, SCHEMA, Thresholds(jensen_shannon=0.01, l_infinity=0.01))}
    assert not any(one.drifted for one in same.values())
    assert (same["view"].l_infinity or 0) > 0.01  # chance alone lies above the limits here
    moved = drift(table(40, 1, view="AP", mean=np.random.default_rng(3).normal(200, 20, 40)), training, SCHEMA, Thresholds())
    assert {one.feature for one in moved if one.drifted} == {"view", "mean"}


def test_what_is_not_stated_has_no_distance():
    new = table(40, 1).drop(columns="age").assign(sex=features.UNKNOWN)
    found = {one.feature: one for one in drift(new, table(400, 0), SCHEMA, Thresholds())}
    assert (found["age"].stated, found["age"].jensen_shannon, found["age"].drifted) == (0.0, None, False)
    assert (found["sex"].stated, found["sex"].stated_in_training, found["sex"].drifted) == (0.0, 1.0, True)


def test_the_distances():
    new, training = table(40, 1, view=["PA"] * 30 + ["AP"] * 10), table(400, 0, view=["PA"] * 100 + ["AP"] * 300)
    view = next(one for one in drift(new, training, SCHEMA, Thresholds()) if one.feature == "view")
    assert view.l_infinity == pytest.approx(0.5)
    assert view.jensen_shannon == pytest.approx(jensenshannon([0.75, 0.25], [0.25, 0.75], base=2) ** 2, rel=1e-4)
    # TFDV's own is 1 here, and 0.7 between draws from one set
    constant = np.full(50, 512.0)
    assert divergence(constant, constant) == 0
    assert divergence(constant, np.r_[np.full(80, 512.0), np.arange(300.0, 320)]) < 0.15
    assert divergence(np.zeros(9), np.ones(9)) == pytest.approx(1)


def test_what_breaks_the_schema():
    assert anomalies_of(table(20, 0), SCHEMA) == []
    found = anomalies_of(table(20, 0, sex="x").drop(columns="view").assign(age=200.0), SCHEMA)
    assert [line.split(":")[0] for line in found] == [f"the new data, feature {name}" for name in ("age", "sex", "view")]
