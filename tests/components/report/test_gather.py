"""From artifacts as TFX writes them to the page; nothing in it leads to a patient or a file."""

from __future__ import annotations

import base64
import io
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from cxr.components.anomaly_check.anomalies import describe_anomalies
from cxr.components.explanation.result import MAPS, Result, load_maps
from cxr.components.metrics.answers import NO_IMAGE
from cxr.components.report.feature_statistics import read_statistics
from cxr.components.report.gather import gather
from cxr.components.report.page.content import Content
from cxr.components.report.page.render import render
from cxr.components.report.page.sections import data, errors
from cxr.components.report.pictures import SAMPLES
from cxr.components.report.sources import ModelSources, Sources
from cxr.core.errors import CxrError

CLASSES = ("covid19", "pneumonia", "normal")
WRONG = 5  # number of the test image that the model gets wrong (conftest.py)
SECRETS = ("Jane", "Doe", "study7", "patient0", "patient2", "4711")


@pytest.fixture(scope="module")
def content(sources: Sources) -> Content:
    return gather(sources)


def test_counts_are_those_of_the_examples(content: Content) -> None:
    assert content.data is not None
    images = content.data.images
    assert {split: sum(n for (s, _, _), n in images.items() if s == split) for split in ("train", "test")} == {"train": 12, "test": 6}
    assert images["train", "normal", "made up"] == 4
    assert content.data.patients == {"train": 6, "test": 3}


def test_who_stands_in_several_splits_counts_once(content: Content) -> None:
    """As with `data.split_by: image`: the three patients of the test split are among the six that were trained on."""
    shown = data.SECTION.context(content)
    assert shown is not None
    assert [(row[0], row[-1]) for row in shown["counts"]] == [("train", "6"), ("test", "3"), ("all", "6")]


def test_samples_do_not_hang_on_the_order_of_the_records(
    content: Content, sources: Sources, tmp_path: Path, raw_examples: list[bytes]
) -> None:
    (tmp_path / "Split-train").mkdir()
    with tf.io.TFRecordWriter(str(tmp_path / "Split-train" / "data.gz"), "GZIP") as writer:
        for example in reversed(raw_examples):
            writer.write(example)
    again = gather(replace(sources, examples=str(tmp_path), models=()))
    assert content.data is not None
    assert again.data is not None
    assert content.data.samples == again.data.samples
    assert [picture.label for picture in content.data.samples] == [name for name in CLASSES for _ in range(SAMPLES)]
    assert {picture.split for picture in content.data.samples} == {"train"}


def test_the_mistake_comes_with_its_own_picture(content: Content, raw_examples: list[bytes]) -> None:
    assert content.mistakes is not None
    (mistake,) = content.mistakes.shown
    assert (mistake.label, mistake.answers[0].predicted, mistake.source) == ("normal", "covid19", "made up")
    assert mistake.picture is not None
    example = tf.train.Example.FromString(raw_examples[WRONG])
    with Image.open(io.BytesIO(example.features.feature["image"].bytes_list.value[0])) as original:
        expected = np.asarray(original, float)
    with Image.open(io.BytesIO(base64.b64decode(mistake.picture.jpeg))) as shown:
        assert np.abs(np.asarray(shown, float) - expected).mean() < 10  # grey levels; JPEG of noise
        assert not shown.getexif()


def test_the_mistake_comes_with_what_it_rests_on(content: Content, sources: Sources, tmp_path: Path) -> None:
    assert content.mistakes is not None
    overlay = content.mistakes.shown[0].overlay
    assert overlay is not None
    assert (overlay.explained, overlay.empty) == ("covid19", False)
    with Image.open(io.BytesIO(base64.b64decode(overlay.jpeg))) as drawn:
        colours = np.ptp(np.asarray(drawn).astype(int), axis=2)
        assert (drawn.size, drawn.mode) == ((48, 40), "RGB")
    assert colours[:4, :4].mean() > 60 > 20 > colours[20:, 24:].mean()
    page = render(content, (errors.SECTION,))
    for words in (
        "with the regions that support covid19",
        "Grad-CAM of 9 images of the split “test”: 8 images drawn at random (seed 7)",
        "2 maps are empty",
        "0.500 (0.400\N{NO-BREAK SPACE}to\N{NO-BREAK SPACE}0.600)",
        "half of the heat",
    ):
        assert words in page

    result, maps = Result.load(Path(sources.explanation or "")), load_maps(Path(sources.explanation or ""))
    flat = replace(maps, heats=np.zeros_like(maps.heats))
    result.model_copy(update={"localisation": ()}).save(tmp_path / "flat", flat)
    page = render(gather(replace(sources, explanation=str(tmp_path / "flat"))), (errors.SECTION,))
    assert "No region supports covid19: the heat map is empty." in page
    assert "The places of the lesions are not known for these images" in page
    result.model_copy(update={"model": "another"}).save(tmp_path / "another", maps)
    other = gather(replace(sources, explanation=str(tmp_path / "another"))).mistakes
    assert other is not None
    assert other.shown[0].overlay is None  # the map of another model's answer


def test_statistics_by_feature_then_split(content: Content) -> None:
    assert content.data is not None
    assert [(row.feature, row.split, row.mean) for row in content.data.numbers] == [("height", "train", 40), ("height", "test", 40)]
    assert [(row.feature, row.split) for row in content.data.values] == [("source", "train"), ("source", "test")]
    counts = content.data.values[0].counts
    assert (len(counts), counts["hospital 00"], counts["others"]) == (13, 20, 8 + 7)


def test_gate_training_and_evaluation_are_read(content: Content) -> None:
    mobilenet, ensemble = content.models
    assert mobilenet.verdict.blessed is False
    assert mobilenet.verdict.reasons[0] == "gate: accuracy 0.833 is below 0.900"
    assert mobilenet.evaluation is not None
    assert mobilenet.evaluation.correct == 5
    assert mobilenet.training is not None
    assert mobilenet.training.facts["backbone"] == "MobileNet"
    assert (ensemble.training, ensemble.evaluation, ensemble.verdict.blessed) == (None, None, None)


def test_answers_to_images_that_cannot_be_told_apart_are_left_out(sources: Sources, monkeypatch: pytest.MonkeyPatch) -> None:
    known, labels, probabilities = np.array([NO_IMAGE, 7, NO_IMAGE]), np.array([0, 1, 2]), np.eye(3, dtype=np.float32)
    monkeypatch.setattr("cxr.components.answers.image_answers.read_answers", lambda uri: (known, labels, probabilities))
    answers = gather(replace(sources, examples=None)).models[0].answers
    assert answers is not None
    assert (answers.images.tolist(), answers.labels.tolist(), answers.probabilities.tolist()) == ([7], [1], [[0, 1, 0]])
    known[:] = NO_IMAGE
    assert gather(replace(sources, examples=None)).models[0].answers is None


def test_no_patient_and_no_path_on_the_page(content: Content, sources: Sources) -> None:
    page = render(content)
    for secret in (*SECRETS, str(Path(sources.examples or "").parent)):
        assert secret not in page, secret
    for shown in ("not an image", "Unexpected value", "hospital 00"):  # what stood beside them is there
        assert shown in page


def test_pictures_can_be_left_out(sources: Sources) -> None:
    without = gather(replace(sources, pictures=False))
    assert without.data is not None
    assert without.mistakes is not None
    assert not without.data.samples
    assert without.mistakes.shown[0].picture is None
    assert without.mistakes.shown[0].overlay is None
    assert without.mistakes.shown[0].source == "made up"
    assert "data:image/jpeg" not in render(without, (data.SECTION, errors.SECTION))


def test_a_run_that_broke_before_its_first_node_ended(sources: Sources) -> None:
    bare = gather(Sources("demo", CLASSES, "test", (ModelSources("ensemble"),), steps=sources.steps))
    assert (bare.data, bare.mistakes) == (None, None)
    assert "Trainer-ensemble" in render(bare)


def test_a_damaged_history_says_so(tmp_path: Path) -> None:
    (tmp_path / "history.json").write_text("{}")
    with pytest.raises(CxrError, match="not the history of a training"):
        gather(Sources("demo", CLASSES, "test", (ModelSources("mobilenet", model_run=str(tmp_path)),)))


def cut(contents: bytes) -> bytes:
    return contents[:-1]


def empty(_: bytes) -> bytes:
    return b""


def changed(contents: bytes) -> bytes:
    middle = len(contents) // 2
    return contents[:middle] + bytes(byte ^ 0xFF for byte in contents[middle:])


@pytest.mark.parametrize(
    ("artifact", "file", "read", "damage"),
    [
        ("statistics", "Split-test/FeatureStats.pb", read_statistics, cut),
        ("statistics", "Split-test/FeatureStats.pb", read_statistics, changed),
        ("anomalies", "Split-train/SchemaDiff.pb", describe_anomalies, cut),
        ("anomalies", "Split-train/SchemaDiff.pb", describe_anomalies, changed),
        ("explanation", MAPS, load_maps, cut),
        ("explanation", MAPS, load_maps, empty),
        ("explanation", MAPS, load_maps, changed),
    ],
)
def test_a_damaged_artifact_is_told_with_a_remedy(
    sources: Sources, tmp_path: Path, artifact: str, file: str, read: Callable[[Any], object], damage: Callable[[bytes], bytes]
) -> None:
    folder = tmp_path / "artifact"
    shutil.copytree(getattr(sources, artifact), folder)
    read(folder)
    (folder / file).write_bytes(damage((folder / file).read_bytes()))
    with pytest.raises(CxrError, match=r"artifact: cannot be read \(.*\); remove this folder, and the next run makes it anew"):
        read(folder)
