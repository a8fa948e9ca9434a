"""`cxr evaluate` on files, by a real SavedModel."""

import csv
import json
import math
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

from cxr.cli.main import app
from cxr.core import features
from cxr.core.errors import CxrError, UsageError
from cxr.core.intervals import share_interval
from cxr.data.duplicates.thumbnails import SIDE
from cxr.pipeline.outside.answers import Answer, measure
from cxr.pipeline.outside.evaluate import known_from
from cxr.pipeline.outside.gathered import Gathered
from cxr.pipeline.outside.versions import find_version
from cxr.pipeline.workspace import Workspace
from cxr.trainer import artifact
from cxr.trainer.scoring import SavedModel

pytestmark = pytest.mark.seconds


def evaluated(*arguments, code=0):
    result = CliRunner().invoke(app, ["evaluate", *map(str, arguments), "--json", "found.json"])
    assert result.exit_code == code, (result.output, result.exception)
    assert "SECRET" not in result.output
    assert "DOE" not in result.output
    text = Path("found.json").read_text()
    assert "SECRET" not in text
    assert "DOE" not in text
    return json.loads(text), " ".join(result.output.split())


def refused(*arguments):
    result = CliRunner().invoke(app, ["evaluate", *map(str, arguments)])
    assert isinstance(result.exception, CxrError), (result.output, result.exception)
    return result.exception


def test_another_hospital_with_two_of_three_classes(version, write, tmp_path):
    manifest = write(tmp_path / "there", ["covid19", "covid19", "normal", "normal", "normal", "normal"], first=100, source="there")
    before = sorted(path for path in tmp_path.rglob("*"))
    found, shown = evaluated("--model", version, "--data", manifest)
    assert sorted(path for path in tmp_path.rglob("*") if path.name != "found.json") == before  # nothing is written beside the data
    assert (found["images"], found["seen"], found["absent_classes"]) == (6, 0, ["pneumonia"])
    e = found["evaluation"]
    assert (e["accuracy"], e["patients"]) == (1.0, 3)
    assert e["accuracy_interval"]["low"] == pytest.approx(share_interval(1.0, [1.0], 3).low)
    absent = e["classes"][1]
    assert (absent["examples"], absent["recall"], absent["precision"], absent["auc"]) == (0, None, None, None)
    assert "balanced accuracy, over covid19, normal" in shown
    assert "no image of pneumonia" in shown
    assert "│ pneumonia │ 0 │ – │ – │ – │" in shown
    assert {(part["feature"], part["value"]) for part in e["slices"]} >= {("label", "normal"), ("source", "there"), ("sex", "unknown")}


def test_images_of_the_training_are_counted_and_left_out(version, records):
    found, shown = evaluated("--model", version, "--data", records, "--split", "all")
    tested = sum(json.loads((records / "dataset.json").read_text())["counts"]["test"].values())
    assert (found["images"], found["seen"], found["seen_included"]) == (tested, 60 - tested, False)
    assert f"{60 - tested} of 60 images were seen in training; they are left out" in shown
    found, shown = evaluated("--model", version, "--data", records, "--split", "all", "--include-seen")
    assert (found["images"], found["seen"], found["seen_included"]) == (60, 60 - tested, True)
    assert "which flatters" in shown
    found, shown = evaluated("--model", version, "--data", records)
    assert (found["images"], found["seen"]) == (tested, 0)
    assert "only 'test' is taken" in shown


def test_copies_and_patients_of_the_training_are_left_out_on_request(version, records, write, tmp_path):
    manifest = write(tmp_path / "there", ["normal", "normal", "covid19", "covid19"], first=200)
    images = manifest.parent / "images"
    source = records.parent / "source"
    from PIL import Image

    trained = _a_training_image(source, records)
    with Image.open(source / "images" / f"SECRET{trained}.png") as picture:
        picture.resize((48, 48), Image.Resampling.BICUBIC).save(images / "SECRET200.png")  # other pixels, the same picture
    manifest.write_text(manifest.read_text().replace("SECRET202.png,covid19,DOE-101", f"SECRET202.png,covid19,DOE-{trained // 2}"))
    found, _ = evaluated("--model", version, "--data", manifest)
    assert (found["images"], found["seen"], found["copies"]) == (4, 0, None)
    for against in (records, version):
        found, shown = evaluated("--model", version, "--data", manifest, "--apart-from", against)
        assert (found["images"], found["copies"], found["known_patients"]) == (2, 1, 1)
        assert "also left out: 1 copy of" in shown


def test_copies_to_the_pixel_of_other_training_data_are_left_out_too():
    def gathered(*hashes):
        facts = [{features.CONTENT_HASH: name, features.LABEL: "normal", features.PATIENT_ID: f"of {name}"} for name in hashes]
        return Gathered(pd.DataFrame(facts), np.zeros((len(hashes), SIDE, SIDE), np.uint8))

    found = known_from(gathered("a", "b", "c"), gathered("b", "d"), "", lambda name, total: lambda done: None)
    assert found.copies == {"b"}


@pytest.mark.parametrize("there", [False, True], ids=["no key", "another key"])
def test_patients_that_cannot_be_compared_are_spoken_of(version, records, write, tmp_path, monkeypatch, there):
    """A forgotten key must not make a test of other patients of one of the same."""
    manifest = write(tmp_path / "there", ["normal", "normal", "covid19", "covid19"], first=200)
    asked = ("--model", version, "--data", manifest, "--apart-from", records, "--workspace", tmp_path / "w")
    monkeypatch.delenv("CXR_PSEUDONYM_KEY_FILE")
    if there:
        (tmp_path / "w").mkdir()
        (tmp_path / "w" / "pseudonym.key").write_text("another hospital's key")
    found, shown = evaluated(*asked)
    assert (found["images"], found["copies"], found["known_patients"]) == (4, 0, None)
    assert "patients could not be compared: the key of the training data's pseudonyms is not the one that was used here" in shown
    assert "CXR_PSEUDONYM_KEY_FILE names its file" in shown


def test_the_key_is_that_of_the_workspace(version, records, write, tmp_path, monkeypatch, key_file):
    trained = _a_training_image(records.parent / "source", records)
    manifest = write(tmp_path / "there", ["normal", "normal", "covid19", "covid19"], first=200)
    manifest.write_text(manifest.read_text().replace("DOE-101", f"DOE-{trained // 2}"))
    monkeypatch.delenv("CXR_PSEUDONYM_KEY_FILE")
    (tmp_path / "w").mkdir()
    shutil.copy(key_file, tmp_path / "w" / "pseudonym.key")
    monkeypatch.setenv("CXR_WORKSPACE", str(tmp_path / "w"))
    found, shown = evaluated("--model", version, "--data", manifest, "--apart-from", records)
    assert (found["images"], found["known_patients"]) == (2, 2)
    assert "could not be compared" not in shown


def test_images_without_patients_have_none_to_compare(version, records, write, tmp_path, monkeypatch):
    manifest = write(tmp_path / "there", ["normal", "covid19"], first=200)
    manifest.write_text("".join(",".join(line.split(",")[:2]).strip() + "\n" for line in manifest.read_text().splitlines()))
    monkeypatch.delenv("CXR_PSEUDONYM_KEY_FILE")
    found, shown = evaluated("--model", version, "--data", manifest, "--apart-from", records)
    assert found["known_patients"] == 0
    assert "could not be compared" not in shown


@pytest.mark.parametrize("given", [("--version", 3), ("--label", "canary"), ("--tls",)])
def test_what_only_a_server_knows_is_refused_without_one(version, records, given):
    result = CliRunner().invoke(app, ["evaluate", "-m", str(version), "-d", str(records), *map(str, given)])
    assert isinstance(result.exception, UsageError)
    assert f"{given[0]}: of a model server; name it with --server" in str(result.exception)


def _a_training_image(source, records):
    """The number of an image whose patient stands in the training split."""
    from cxr.data.images.reader import read_image
    from cxr.pipeline.outside.labelled import open_labelled, reading_config

    hashes = {item.content_hash for item in open_labelled(str(records), "train", reading_config(features.CLASS_NAMES, 1024)).images}
    return next(number for number in range(60) if read_image(source / "images" / f"SECRET{number}.png").content_hash in hashes)


def test_what_the_model_finds_unlike_its_training_is_counted(version, write, tmp_path):
    manifest = write(tmp_path / "there", ["normal"] * 4, first=100)
    write(tmp_path / "bright", ["normal"] * 3, first=200, level=240)
    for file in (tmp_path / "bright" / "images").iterdir():
        file.rename(manifest.parent / "images" / file.name)
    with manifest.open("a") as stream:
        stream.writelines(f"images/SECRET{number}.png,normal,DOE-{number}\n" for number in (200, 201, 202))
    found, shown = evaluated("-m", version, "-d", manifest)
    assert (found["images"], found["outside"]) == (7, 3)
    assert "finds 3 of 7 images unlike its training images" in shown


def test_demands_have_their_exit_code(version, records):
    found, _ = evaluated("-m", version, "-d", records, "--min-accuracy", 0.5, "--min-low", 0.3)
    assert found["evaluation"]["accuracy"] >= 0.5
    _, shown = evaluated("-m", version, "-d", records, "--min-low", 1, code=3)
    assert "the interval of accuracy begins at" in shown


def test_a_list_of_files_that_cannot_be_written_is_told(version, write, tmp_path):
    """An older one may lie there, of another user's call."""
    write(tmp_path / "there", ["normal"] * 40, first=100)
    (tmp_path / "there" / "images" / "SECRET103.png").write_bytes(b"no picture")
    (tmp_path / "workspace").mkdir()
    (tmp_path / "workspace" / "evaluate.private").write_text("a file where the folder belongs")
    found, shown = evaluated("-m", version, "-d", tmp_path / "there")
    assert (found["images"], found["rejects"]) == (39, {"not an image": 1})
    assert "files that could not be used: their list could not be written (File exists)" in shown


def test_unusable_files_are_counted_and_told_by_place(version, write, tmp_path):
    manifest = write(tmp_path / "there", ["normal"] * 40, first=100)
    (tmp_path / "there" / "images" / "SECRET103.png").write_bytes(b"no picture")
    found, shown = evaluated("-m", version, "-d", tmp_path / "there")
    assert (found["images"], found["rejects"]) == (39, {"not an image": 1})
    listed = tmp_path / "workspace" / "evaluate.private" / "rejects.csv"
    assert f"all of them with their paths: {listed}" in shown
    assert listed.stat().st_mode & 0o077 == listed.parent.stat().st_mode & 0o077 == 0  # the owner's alone
    for number in range(104, 110):
        (tmp_path / "there" / "images" / f"SECRET{number}.png").write_bytes(b"no picture")
    text = str(refused("-m", version, "-d", tmp_path / "there"))
    assert f"7 of 40 files cannot be used, more than 5%; mend or remove them:\n  {manifest} line 5: not an image" in text
    assert text.endswith(f"\n  and 2 more\nall of them with their paths: {listed}")
    assert "SECRET" not in text
    with listed.open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert [row["path"] for row in rows] == [f"images/SECRET{number}.png" for number in range(103, 110)]
    assert {row["reason"] for row in rows} == {"not an image"}


def test_what_does_not_fit_the_model(version, records, tmp_path):
    other = tmp_path / "other"
    (other / "assets.extra").mkdir(parents=True)
    info = json.loads((version / "assets.extra" / "model.json").read_text())
    for name in ("saved_model.pb", "variables"):
        (other / name).symlink_to(version / name)

    def model_says(**facts):
        (other / "assets.extra" / "model.json").write_text(json.dumps(info | facts))

    model_says(max_side=512)
    assert str(refused("-m", other, "-d", records)) == (
        "longer images of the data were scaled down to 1024 pixels, those that the model was trained on were scaled down to 512 pixels; "
        "give the images themselves, or ingest them with --max-side 512"
    )
    model_says(max_side=0)
    assert str(refused("-m", other, "-d", records)).endswith(
        "those that the model was trained on were not scaled down; give the images themselves, or ingest them with `data.max_side: null` "
        "in a file for --config"
    )
    model_says(reading_rules=99)
    assert "were read by rules 99" in str(refused("-m", other, "-d", records))
    model_says(class_names=["covid19", "pneumonia", "healthy"])
    assert "has images of the class 'normal'" in str(refused("-m", other, "-d", records))
    model_says(synthetic=True)
    assert "SYNTHETIC images: the numbers say nothing about patients" in evaluated("-m", other, "-d", records)[1]
    wrong = tmp_path / "wrong" / "healthy"
    wrong.mkdir(parents=True)
    assert "rename it, or set --model to one that knows it" in str(refused("-m", other, "-d", wrong.parent))
    model_says()
    assert "does not say which images it was trained on" in evaluated("-m", other, "-d", records)[1]
    for arguments in (["-m", other], ["-d", records], [], ["-m", other, "-d", "nowhere"], ["-m", other, "-d", records, "--split", "x"]):
        assert isinstance(refused(*arguments), UsageError)


def test_a_model_of_the_latest_run_is_found_in_a_workspace_that_was_moved(make_run, tmp_path):
    run = make_run("20261126-1", record={}, report={})  # which has it under /gone
    (run.parent / "latest").symlink_to(run.name)
    workspace = Workspace(tmp_path, "cpu")
    with pytest.raises(UsageError, match="--model ensemble: the model of run .* is gone"):
        find_version("ensemble", workspace)
    model = tmp_path / "cpu" / "tfx" / "Trainer-ensemble" / "model" / "9"
    model.mkdir(parents=True)
    assert find_version("ensemble", workspace) == Path(artifact.serving_dir(str(model)))


def test_a_model_is_found_by_folder_and_by_name(version):
    workspace = Workspace(version.parents[3], "demo")
    for name in (version, version.parent, "tiny"):
        assert find_version(str(name), workspace) == version
    (version.parent / "champion.json").write_text(json.dumps({"version": "17", "fingerprint": "", "source": "", "pushed_at": ""}))
    try:
        assert find_version("tiny", workspace) == version
    finally:
        (version.parent / "champion.json").unlink()
    with pytest.raises(UsageError, match="nope: no such file or folder"):
        find_version("nope", workspace)
    with pytest.raises(UsageError, match="holds no saved_model.pb and no versions"):
        find_version(str(version.parent.parent), workspace)


def test_answers_come_in_order_whatever_the_batches(version, records):
    files = sorted((records.parent / "source" / "images").iterdir())[:7]
    model = SavedModel(str(version))
    alone = [model.answers([file], Path.read_bytes, 1) for file in files]
    expected = np.stack([next(answer)[1] for answer in alone])
    for batch_size in (1, 3, 100):
        answered = list(model.answers(files, Path.read_bytes, batch_size))
        assert [file for file, *_ in answered] == files
        np.testing.assert_allclose(np.stack([shares for _, shares, _ in answered]), expected, rtol=1e-5)


def test_the_figures_are_scikit_learns():
    from sklearn import metrics

    random = np.random.default_rng(0)
    shares = random.dirichlet(np.ones(3), 60).astype(np.float32)
    labels = random.integers(0, 3, 60)
    answers = [
        Answer(features.CLASS_NAMES[k], p, f"{n // 3}", {"sex": "F" if n % 2 else "M"})
        for n, (k, p) in enumerate(zip(labels, shares, strict=True))
    ]
    found = measure(answers, features.CLASS_NAMES, 15)
    predicted = shares.argmax(axis=1)
    assert found.accuracy == pytest.approx(metrics.accuracy_score(labels, predicted))
    assert found.balanced_accuracy == pytest.approx(metrics.balanced_accuracy_score(labels, predicted))
    assert found.log_loss == pytest.approx(metrics.log_loss(labels, shares), rel=1e-5)
    assert found.patients == 20
    women = next(part for part in found.slices if (part.feature, part.value) == ("sex", "F"))
    assert women.accuracy == pytest.approx(metrics.accuracy_score(labels[1::2], predicted[1::2]))
    assert not math.isnan(found.accuracy_interval.low)


def test_a_number_that_no_server_can_load_is_no_version(tmp_path):
    for name in ("7", "99999999999999999999"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "saved_model.pb").touch()
    assert find_version(str(tmp_path), Workspace(tmp_path, "demo")) == tmp_path / "7"
