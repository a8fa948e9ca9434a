"""`cxr validate` beside real records; what TFDV measures, and what it cannot."""

import io
import json
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import tensorflow_data_validation as tfdv
from PIL import Image
from rich.console import Console
from scipy.spatial.distance import jensenshannon
from tensorflow_metadata.proto.v0 import anomalies_pb2, schema_pb2
from typer.testing import CliRunner

from cxr.cli.main import app
from cxr.core import features
from cxr.core.errors import UsageError
from cxr.data.ingest.ingest import ingest
from cxr.data.ingest.ingest_config import Ingest
from cxr.pipeline.outside.chance import most_flagged
from cxr.pipeline.outside.drift import Thresholds, anomalies_of, drift
from cxr.pipeline.outside.training import SPLIT, find_training
from cxr.pipeline.outside.validate import _unlike
from cxr.pipeline.schema import curated_schema
from cxr.pipeline.workspace import Workspace

pytestmark = pytest.mark.seconds

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
    assert "30 new images of 15 patients compared with" in shown
    assert "nothing found: the new data look like the training data" in shown


def test_that_nothing_could_be_found_among_so_few_is_said(records, write, tmp_path):
    manifest = write(tmp_path / "there", ["normal", "normal"], first=500, level=120, source="there", sex="f", age="50")
    found, shown = validated(manifest, "--against", records, "--no-near", code=0)
    assert found["patients"] == 1
    assert "nothing found, but this says little: with 1 patient distances reach" in shown
    manifest.write_text(manifest.read_text().replace("DOE-250", ""))
    found, shown = validated(manifest, "--against", records, "--no-near", code=0)
    assert (found["patients_stated"], found["known_patients"]) == (False, None)
    assert "2 new images compared with" in shown
    assert "nothing found, but this says little: with 2 images distances reach" in shown
    assert "; give more" in shown
    assert "2 images without a patient id: each counts as a patient of its own" in shown
    assert "look like the training data" not in shown


def test_labels_that_the_training_data_do_not_know_are_refused_with_a_remedy(records, write, tmp_path):
    manifest = write(tmp_path / "there", ["normal"] * 60, first=500)
    manifest.write_text(manifest.read_text().replace("normal", "ill"))
    others = tmp_path / "others"
    console = Console(file=io.StringIO())
    ingest(manifest, others, Ingest(class_names=("ill", "normal"), only_split="test"), key_file=tmp_path / "key", console=console)
    for data in (manifest, others):
        result = CliRunner().invoke(app, ["validate", str(data), "--against", str(records)])
        assert result.exit_code == 1
        assert "--against to one that knows it, or give the images without labels, which are looked at too" in str(result.exception)


def test_unusable_files_are_listed_for_their_owner(records, write, tmp_path):
    manifest = write(tmp_path / "there", [features.CLASS_NAMES[number // 2 % 3] for number in range(30)], first=500, sex="f", age="50")
    (tmp_path / "there" / "images" / "SECRET503.png").write_bytes(b"no picture")
    found, shown = validated(manifest, "--against", records, code=0)
    listed = tmp_path / "workspace" / "validate.private" / "rejects.csv"
    assert found["rejects"] == {"not an image": 1}
    assert f"all of them with their paths: {listed}" in shown
    assert f"{manifest.name} line 5,images/SECRET503.png,not an image," in listed.read_text()
    (tmp_path / "there" / "images" / "SECRET503.png").write_bytes((tmp_path / "there" / "images" / "SECRET504.png").read_bytes())
    _, shown = validated(manifest, "--against", records, code=0)
    assert "with their paths" not in shown
    assert not listed.parent.exists()  # the call before's


def test_patients_under_another_key_are_not_said_to_be_others(records, write, tmp_path, monkeypatch):
    manifest = write(tmp_path / "there", [features.CLASS_NAMES[number // 2 % 3] for number in range(30)], first=500, sex="f", age="50")
    monkeypatch.delenv("CXR_PSEUDONYM_KEY_FILE")
    found, shown = validated(manifest, "--against", records, code=0)
    assert found["known_patients"] is None
    assert "patients could not be compared" in shown


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


def unlabelled(manifest):
    """The same data without the column `label`."""
    rows = [line.split(",") for line in manifest.read_text().splitlines()]
    manifest.write_text("\n".join(",".join([image, *rest]) for image, _, *rest in rows))
    return manifest


def test_data_without_labels(records, write, tmp_path):
    manifest = unlabelled(write(tmp_path / "there", ["normal"] * 20, first=500, source="there", sex="f", age="50"))
    train = next(number for number in range(60) if _split_of(number, records) == "train")
    shutil.copy(records.parent / "source" / "images" / f"SECRET{train}.png", manifest.parent / "images" / "SECRET500.png")
    found, shown = validated(manifest, "--against", records, code=3)
    assert (found["images"], found["copies"], found["other_label"], found["unlike"]) == (20, 1, None, None)
    assert found["anomalies"] == []  # the schema does not ask for what the data cannot state
    by_name = {one["feature"]: one for one in found["drift"]}
    assert (by_name["label"]["stated"], by_name["label"]["l_infinity"]) == (0, None)
    assert (by_name["mean"]["drifted"], by_name["sex"]["drifted"]) == (True, False)  # bright ones only
    assert "no labels (no column 'label', no folder named like a class): the labels, and copies" in shown
    assert "no model says which images are unlike its training images" in shown

    manifest.unlink()
    (manifest.parent / "images").rename(manifest.parent / "DOE^JANE")  # a folder of any name
    found, shown = validated(manifest.parent, "--against", records, "--no-near", code=3)
    assert (found["images"], found["copies"], found["other_label"]) == (20, 1, None)
    assert "20 new images compared with" in shown
    assert "no labels (no column 'label'" in shown


def test_to_measure_labels_are_needed_and_the_remedy_is_said(records, version, write, tmp_path):
    manifest = unlabelled(write(tmp_path / "there", ["normal"] * 4, first=500))
    (tmp_path / "logs").mkdir()
    (tmp_path / "logs" / "a.tfrecord").touch()
    missing = "no column 'label', and figures need labels"
    for data, words in ((manifest, missing), (manifest.parent, missing), (tmp_path / "logs", "logs of requests have no labels")):
        result = CliRunner().invoke(app, ["evaluate", "--model", str(version), "--data", str(data)])
        assert isinstance(result.exception, UsageError)
        assert words in str(result.exception)
        assert "`cxr validate`" in str(result.exception)


def test_a_typing_error_in_a_tree_of_classes_stays_an_error(records, write, tmp_path):
    images = write(tmp_path / "there", ["normal"] * 4, first=500).parent / "images"
    for name in ("normal", "pnuemonia"):
        (tmp_path / "tree" / name).mkdir(parents=True)
        shutil.copy(images / "SECRET500.png", tmp_path / "tree" / name)
    result = CliRunner().invoke(app, ["validate", str(tmp_path / "tree"), "--against", str(records)])
    assert "did you mean 'pneumonia'" in str(result.exception)


def test_a_model_says_which_images_are_unlike_its_training(records, version, write, tmp_path):
    """The fixture's model flags pictures brighter than 215."""
    manifest = unlabelled(write(tmp_path / "there", ["normal"] * 20, first=500, level=250))
    found, shown = validated(manifest, "-a", version, "--no-near", code=3)
    assert (found["unlike"]["model"], found["unlike"]["images"], found["unlike"]["outside"]) == ("tiny", 20, 20)
    assert found["unlike"]["share"]["low"] > 0.05 == found["unlike"]["of_training"]
    assert 0.5 < found["unlike"]["by_chance"] < 1  # the border was found on the images of three patients
    assert "model tiny version 17 found 20 of 20 images unlike the training images: 1.000" in shown
    assert "more images than by chance are unlike the training images: 1.000" in shown
    manifest = write(tmp_path / "dark", ["covid19"] * 4, first=600, level=60)
    found, shown = validated(manifest, "-a", records, "-m", version, "--no-near", code=3)
    assert found["unlike"]["outside"] == 0
    assert "more images than by chance" not in shown


def test_a_patient_with_many_flagged_images_counts_once():
    """One of eleven patients has 30 images, all flagged: of 40 images 30 are, of a patient's images a share of 1 in 11 in the mean."""
    new = pd.DataFrame(
        {features.PATIENT_ID: ["a"] * 30 + [f"p{number}" for number in range(10)], features.OUTSIDE: [True] * 30 + [False] * 10}
    )
    trained = pd.DataFrame({features.PATIENT_ID: [f"q{number}" for number in range(100)], SPLIT: [features.VAL] * 100})
    found = _unlike(new, trained, None, None)
    assert found is not None
    assert (found.images, found.outside) == (40, 30)
    assert found.share.value == pytest.approx(1 / 11)
    assert not found.finding


def test_a_model_of_other_data_says_how_many_images_its_border_is_of(records, version, write, tmp_path):
    other = shutil.copytree(version, tmp_path / "other" / "17")
    file = other / "assets.extra" / "model.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), "outside": {"share": 0.1, "split": "val", "images": 5000}}))
    manifest = write(tmp_path / "there", ["normal"] * 20, first=500, level=250)
    found, _ = validated(manifest, "-a", records, "-m", other, "--no-near", code=3)
    assert (found["unlike"]["of_training"], found["unlike"]["by_chance"]) == (0.1, most_flagged(0.1, 5000, 10) / 10)


@pytest.mark.slow
def test_what_a_server_was_asked(records, version, write, tmp_path):
    """Requests to a real server, one with several images, kept by it and compared; what the model answered stands in the log."""
    import grpc
    import tensorflow as tf
    from tensorflow_serving.apis import predict_pb2, prediction_service_pb2_grpc

    from cxr.serving.server import Server

    source = write(tmp_path / "there", ["normal"] * 8, first=500, level=250).parent / "images"
    train = next(number for number in range(60) if _split_of(number, records) == "train")
    known = records.parent / "source" / "images" / f"SECRET{train}.png"
    files = [*sorted(source.iterdir()), known]
    folder = tmp_path / "logs"
    log = {"folder": folder, "sampling": 1.0, "file_bytes": 5_000, "total_bytes": 10_000_000}
    with (
        Server.start(version.parents[1], port=0, rest_port=None, request_log=log) as server,
        grpc.insecure_channel(server.address) as channel,
    ):
        stub = prediction_service_pb2_grpc.PredictionServiceStub(channel)
        for some in (files[:3], files[3:4], files[4:], files[:3], *[files[:1]] * 5):
            request = predict_pb2.PredictRequest()
            request.model_spec.name, request.model_spec.signature_name = "tiny", features.SIGNATURE_BYTES
            request.inputs[features.SIGNATURE_BYTES].CopyFrom(tf.make_tensor_proto([file.read_bytes() for file in some]))
            stub.Predict(request, timeout=60)
    assert len(list(folder.iterdir())) > 1  # it was rotated
    found, shown = validated(folder, "--against", records, code=3)
    assert (found["images"], found["copies"], found["other_label"]) == (9, 1, None)
    assert (found["unlike"]["model"], found["unlike"]["images"], found["unlike"]["outside"]) == (None, 9, 8)
    assert found["anomalies"] == []
    assert {one["feature"] for one in found["drift"] if one["drifted"]} == {"mean", "std"}
    assert "9 new images compared with" in shown
    assert (
        "logs hold only pictures and answers: label, source, view, sex and age were not checked; each picture counts as a patient" in shown
    )
    assert "found 8 of 9 images unlike the training images: 0.889" in shown
    assert " of all images; of images like the training images 0.05 " in shown
    assert "17 pictures in the requests, 9 different: a picture that was sent again counts once" in shown
    found, _ = validated(next(iter(sorted(folder.iterdir()))), "-a", version, "--no-near", code=3)
    assert found["unlike"]["model"] == "tiny"

    broken = next(iter(folder.iterdir()))
    broken.write_bytes(broken.read_bytes()[:-5])
    empty = tmp_path / "empty.tfrecord"
    empty.touch()
    for file, words in (
        (broken, "is damaged (truncated record at "),
        (empty, "holds no picture; a server shows a log once it is full"),
        (records / "dataset.json", "no column 'image'"),
    ):
        result = CliRunner().invoke(app, ["validate", str(file), "--against", str(records)])
        assert words in str(result.exception)


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
    with pytest.raises(UsageError, match="--apart-from nope: no such file or folder"):
        find_training("nope", workspace, "--apart-from")
    moved = shutil.copytree(version.parents[2], tmp_path / "demo")
    (moved / "runs" / "1" / "report.json").write_text("{")
    with pytest.raises(UsageError, match=r"was trained on \(report.json of run 1 cannot be read: Invalid JSON.*\); name its records"):
        find_training(str(moved / version.relative_to(version.parents[2])), workspace)


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
    same = {one.feature: one for one in drift(table(40, 1), training, Thresholds(jensen_shannon=0.01, l_infinity=0.01))}
    assert not any(one.drifted for one in same.values())
    assert (same["view"].l_infinity or 0) > 0.01  # chance alone lies above the limits here
    moved = drift(table(40, 1, view="AP", mean=np.random.default_rng(3).normal(200, 20, 40)), training, Thresholds())
    assert {one.feature for one in moved if one.drifted} == {"view", "mean"}


def test_what_is_not_stated_has_no_distance():
    new = table(40, 1).drop(columns="age").assign(sex=features.UNKNOWN)
    found = {one.feature: one for one in drift(new, table(400, 0), Thresholds())}
    assert (found["age"].stated, found["age"].jensen_shannon, found["age"].drifted) == (0.0, None, False)
    assert (found["sex"].stated, found["sex"].stated_in_training, found["sex"].drifted) == (0.0, 1.0, True)


def test_the_distances():
    new, training = table(40, 1, view=["PA"] * 30 + ["AP"] * 10), table(400, 0, view=["PA"] * 100 + ["AP"] * 300)
    view = next(one for one in drift(new, training, Thresholds()) if one.feature == "view")
    assert view.l_infinity == pytest.approx(0.5)
    assert view.jensen_shannon == pytest.approx(jensenshannon([0.75, 0.25], [0.25, 0.75], base=2) ** 2, rel=1e-4)
    # TFDV's own is 1 here, and 0.7 between draws from one set
    constant = np.full(50, 512.0)
    assert divergence_of(constant, constant) == 0
    assert divergence_of(constant, np.r_[np.full(80, 512.0), np.arange(300.0, 320)]) < 0.15
    assert divergence_of(np.zeros(9), np.ones(9)) == pytest.approx(1)


def divergence_of(new, training):
    found = drift(table(len(new), 1, width=new), table(len(training), 0, width=training), Thresholds())
    return next(one.jensen_shannon for one in found if one.feature == "width")


def test_distances_of_categories_are_those_of_tfdv():
    """The draws are too many to have statistics of each made by it."""
    new, training = table(40, 1).assign(sex=["F", "M", "unknown", None] * 10), table(400, 0).assign(sex=["F", "F", "M", "M"] * 100)
    schema = schema_pb2.Schema()
    for name in features.VALUES:
        feature = schema.feature.add(name=name, type=schema_pb2.BYTES)
        feature.drift_comparator.jensen_shannon_divergence.threshold = feature.drift_comparator.infinity_norm.threshold = 1
    new_statistics, before = (
        tfdv.generate_statistics_from_dataframe(data[list(features.VALUES)], stats_options=tfdv.StatsOptions(schema=schema))
        for data in (new, training)
    )
    theirs = {}
    for info in tfdv.validate_statistics(new_statistics, schema, previous_statistics=before).drift_skew_info:
        theirs[info.path.step[0]] = {measurement.type: measurement.value for measurement in info.drift_measurements}
    kinds = anomalies_pb2.DriftSkewInfo.Measurement
    ours = {one.feature: one for one in drift(new, training, Thresholds())}
    assert set(theirs) == set(features.VALUES)
    for name, values in theirs.items():
        assert ours[name].l_infinity == pytest.approx(values[kinds.L_INFTY], abs=1e-6)
        assert ours[name].jensen_shannon == pytest.approx(values[kinds.JENSEN_SHANNON_DIVERGENCE], abs=1e-4)


def test_new_patients_of_the_same_kind_are_seldom_a_finding():
    """With the largest of 20 draws as the border of each distance by itself a third of such comparisons had one."""
    limits = Thresholds(jensen_shannon=0, l_infinity=0)
    found = [drift(table(16, 1000 + seed), table(120, seed), limits) for seed in range(12)]
    assert sum(any(one.drifted for one in features_of) for features_of in found) <= 1


def test_new_data_with_fewer_images_of_a_patient_are_no_drift():
    """Logs know no patients: each image is of its own. Whole patients drawn in their place would be twice as many images, and surer."""
    random, findings = np.random.default_rng(5), 0
    for _ in range(20):
        one, many = (
            pd.DataFrame({"mean": random.normal(0, 1, images), "patient_id": np.arange(images) // each})
            for images, each in ((20, 1), (480, 8))
        )
        findings += any(feature.drifted for feature in drift(one, many, Thresholds(jensen_shannon=0)))
    assert findings <= 1


def test_what_breaks_the_schema():
    assert anomalies_of(table(20, 0), SCHEMA) == []
    found = anomalies_of(table(20, 0, sex="x").drop(columns="view").assign(age=200.0), SCHEMA)
    assert [line.split(":")[0] for line in found] == [f"the new data, feature {name}" for name in ("age", "sex", "view")]
