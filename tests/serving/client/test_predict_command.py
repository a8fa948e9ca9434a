"""`cxr predict` and `cxr serving status|bench` as a user runs them, against an embedded server."""

import csv
import functools
import json
from dataclasses import replace
from pathlib import Path

import here
import numpy as np
import pytest
from dicom_files import dicom_bytes
from PIL import Image

from cxr.core import exit_codes
from cxr.serving.client.client import CONTACT_TIMEOUT, Client
from cxr.serving.client.predictions import Prediction

pytestmark = pytest.mark.seconds


@pytest.fixture
def cxr(capfd):
    return functools.partial(here.cxr, capfd)


@pytest.fixture
def folder(tmp_path: Path, png) -> Path:
    for level in (10, 240):
        (tmp_path / f"{level}.png").write_bytes(png(level, 64))
    return tmp_path


def test_table_for_people(cxr, small_server, folder):
    done = cxr("predict", folder, "--server", small_server)
    assert done.returncode == exit_codes.OK, done.stderr
    assert "ensemble version 2" in done.stdout
    assert "not a diagnostic device" in done.stdout
    rows = {line.split()[0]: line for line in done.stdout.splitlines() if ".png" in line}
    assert "pneumonia" in rows[str(folder / "10.png")]
    assert "normal" in rows[str(folder / "240.png")]
    assert "outside of" not in rows[str(folder / "10.png")]
    assert "outside of" in rows[str(folder / "240.png")]  # the words may be folded


def test_a_dicom_header_that_tells_of_something_else_is_noted(cxr, small_server, folder):
    pixels = np.arange(64 * 64, dtype=np.uint16).reshape(64, 64)
    (folder / "hand.dcm").write_bytes(dicom_bytes(pixels, Modality="DX", BodyPartExamined="HAND"))
    (folder / "chest.dcm").write_bytes(dicom_bytes(pixels, Modality="DX", BodyPartExamined="CHEST"))
    done = cxr("predict", folder, "--server", small_server, "--json")
    assert done.returncode == exit_codes.OK, done.stderr
    remarks = {Path(line["path"]).name: line["remarks"] for line in map(json.loads, done.stdout.splitlines())}
    assert remarks == {"10.png": [], "240.png": [], "chest.dcm": [], "hand.dcm": ["BodyPartExamined is HAND, not CHEST"]}
    table = cxr("predict", folder / "hand.dcm", "--server", small_server).stdout
    assert "HAND" in table
    assert "HAND" not in cxr("predict", folder / "chest.dcm", "--server", small_server).stdout
    cxr("predict", folder / "hand.dcm", folder / "chest.dcm", "--server", small_server, "--explain", folder / "maps")
    with open(folder / "maps" / "explanations.csv") as file:
        assert {row["remarks"] for row in csv.DictReader(file)} == {"BodyPartExamined is HAND, not CHEST", ""}


def test_files_of_a_folder_that_are_not_asked_about_are_counted(cxr, small_server, folder):
    assert "passed over" not in cxr("predict", folder, "--server", small_server).stderr
    Image.linear_gradient("L").save(folder / "moving.gif")
    (folder / "notes").write_text("x")
    done = cxr("predict", folder, "--server", small_server)
    assert done.returncode == exit_codes.OK
    assert "note: 2 files of the folders are no PNG, JPEG, BMP, TIFF or DICOM, and passed over; name one" in done.stderr
    assert "not a PNG, JPEG, BMP, TIFF or DICOM file" in cxr("predict", folder / "moving.gif", "--server", small_server).stderr


def test_that_another_version_took_over_is_told(cxr, small_server, folder, monkeypatch):
    real = Client.predict_files

    def swapped(self, *args, **options):
        for number, answer in enumerate(real(self, *args, **options)):
            assert isinstance(answer, Prediction)
            yield replace(answer, version=2 + number)

    monkeypatch.setattr(Client, "predict_files", swapped)
    done = cxr("predict", folder, "--server", small_server, "--explain", folder / "maps")
    assert done.returncode == exit_codes.OK, done.stderr
    assert "note: ensemble version 3 answered in place of version 2 from image 2 on\n" in done.stderr
    assert done.stderr.count("answered in place of") == 1
    with open(folder / "maps" / "explanations.csv") as file:
        assert [row["version"] for row in csv.DictReader(file)] == ["2", "3"]


def test_json_lines_for_scripts_and_a_failed_image(cxr, small_server, folder):
    (folder / "99.png").write_bytes(b"no image")
    done = cxr("predict", folder, "--server", small_server, "--json", "--model", "mobilenet", "--version", "7")
    assert done.returncode == exit_codes.FAILED
    first, second, bad = (json.loads(line) for line in done.stdout.splitlines())
    assert [first["label"], second["label"]] == ["covid19", "pneumonia"]
    assert (first["model"], first["version"], first["members"]) == ("mobilenet", 7, {})
    assert sum(first["probabilities"].values()) == pytest.approx(1, abs=1e-4)
    assert "99.png" in bad["error"]
    assert "1 of 3 images failed" in done.stderr


@pytest.mark.parametrize(("model", "synthetic"), [("mobilenet", True), ("real", False), ("older", None)])
def test_answers_of_a_model_that_learnt_from_synthetic_images_are_marked(cxr, small_server, folder, model, synthetic):
    done = cxr("predict", folder, "--server", small_server, "--json", "--model", model)
    assert done.returncode == exit_codes.OK, done.stderr
    assert [json.loads(line)["synthetic"] for line in done.stdout.splitlines()] == [synthetic] * 2
    note = "note: mobilenet version 7 was trained on SYNTHETIC images: its answers say nothing about patients\n"
    assert done.stderr.count(note) == done.stderr.count("SYNTHETIC") == (1 if synthetic else 0)


def test_overlays_beside_the_answers(cxr, small_server, folder, tmp_path_factory):
    out = tmp_path_factory.mktemp("explained") / "maps"
    done = cxr("predict", folder, "--server", small_server, "--explain", out, "--json")
    assert done.returncode == exit_codes.OK, done.stderr
    dark, bright = map(json.loads, done.stdout.splitlines())
    assert (dark["explained"], dark["heat_map_empty"]) == ("pneumonia", False)
    assert (bright["explained"], bright["heat_map_empty"]) == ("normal", True)
    assert sum(dark["probabilities"].values()) == pytest.approx(1, abs=1e-4)
    with Image.open(out / dark["overlay"]) as picture:
        drawn = np.asarray(picture).astype(int)
    assert drawn.shape == (64, 64, 3)
    assert np.ptp(drawn[4, 4]) > 50  # red
    assert np.ptp(drawn[60, 60]) < 5  # grey
    assert "1 of 2 maps is empty" in done.stderr
    with open(out / "explanations.csv") as file:
        rows = list(csv.DictReader(file))
    told = [(row["explained"], row["empty"], row["outside"]) for row in rows]
    assert told == [("pneumonia", "False", "False"), ("normal", "True", "True")]

    asked = cxr("predict", folder / "240.png", "--server", small_server, "--explain", out, "--class", "covid19")
    assert asked.returncode == exit_codes.OK, asked.stderr
    assert (out / "240_ensemble_covid19_0.00.png").is_file()


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["--class", "normal"], exit_codes.USAGE, "--class says what to explain: give --explain DIR too"),
        (["--explain", "maps", "--class", "flu"], exit_codes.USAGE, "--class flu: the model knows covid19, pneumonia, normal"),
        (
            ["--explain", "maps", "-m", "mobilenet"],
            exit_codes.FAILED,
            "has no signature 'gradcam': an older release exported it; train and push it again",
        ),
        (["--explain", "10.png"], exit_codes.USAGE, "--explain 10.png: File exists"),
    ],
)
def test_what_cannot_be_explained_is_said(cxr, small_server, folder, monkeypatch, arguments, code, message):
    monkeypatch.chdir(folder)
    done = cxr("predict", "10.png", "--server", small_server, *arguments)
    assert (done.returncode, done.stdout) == (code, "")
    assert message in done.stderr


def test_no_server_says_how_to_start_one(cxr, folder):
    done = cxr("predict", folder, "--server", "127.0.0.1:1")
    assert done.returncode == exit_codes.FAILED
    assert "cxr serve MODELS_DIR --port 1" in done.stderr
    assert done.stdout == ""


@pytest.mark.parametrize(("arguments", "seconds"), [([], CONTACT_TIMEOUT), (["--timeout", "77"], 77.0), (["--timeout", "2"], 2.0)])
def test_the_timeout_holds_for_the_first_contact_too(cxr, small_server, folder, monkeypatch, arguments, seconds):
    asked, metadata = [], Client.metadata

    def watched(client, timeout=None):
        asked.append(timeout)
        return metadata(client, timeout)

    monkeypatch.setattr(Client, "metadata", watched)
    assert cxr("predict", folder, "--server", small_server, *arguments).returncode == exit_codes.OK
    assert asked == [seconds]


def test_status_without_a_models_config(cxr, small_server, tmp_path: Path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("CXR_SERVER", small_server)
    done = cxr("serving", "status", "--json")
    assert done.returncode == exit_codes.OK, done.stderr
    rows = {row["model"]: row for row in map(json.loads, done.stdout.splitlines())}
    assert (rows["ensemble"]["version"], rows["ensemble"]["state"]) == (2, "AVAILABLE")
    assert rows["densenet201"]["state"] == "not served"


def test_status_of_a_models_config_that_is_not_there(cxr, tmp_path: Path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert cxr("serving", "status", "--config", "nope.config").returncode == exit_codes.USAGE
    monkeypatch.setenv("CXR_MODELS_CONFIG", "nope.config")
    done = cxr("serving", "status")
    assert done.returncode == exit_codes.USAGE
    assert "nope.config: cannot be read" in done.stderr
    assert done.stdout == ""


def test_bench_measures_both_payloads(cxr, small_server):
    done = cxr("serving", "bench", "--server", small_server, "--duration", "0.5", "--requests", "20", "--concurrency", "2", "--json")
    assert done.returncode == exit_codes.OK, done.stderr
    rows = [json.loads(line) for line in done.stdout.splitlines()]
    assert [row["signature"] for row in rows] == ["image_bytes", "image_tensor"]
    assert all(row["images"] > 0 and not row["errors"] for row in rows)


@pytest.mark.parametrize("version", ["99999999999999999999", "-1"])
def test_a_version_that_no_server_can_have_is_a_wrong_argument(cxr, folder, version):
    done = cxr("predict", folder, "--version", version)
    assert done.returncode == exit_codes.USAGE
    assert "--version" in done.stderr
