"""A SavedModel whose heat maps are known, asked about records of which some have a lesion."""

import io
import json

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from cxr.components.explanation.explain import BATCH, explain_split
from cxr.components.explanation.result import Result, load_maps
from cxr.components.explanation.sample import draw
from cxr.components.metrics.answers import image_number
from cxr.core import features
from cxr.core.errors import CxrError

CLASSES = ("sick", "well")
IMAGES = BATCH + 8


def png(pixels):
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    return file.getvalue()


def record(number):
    """Even ones are sick: the lesion, twice as bright, lies in one of the four quarters."""
    pixels = np.random.default_rng(number).integers(40, 90, (64, 80)).astype(np.uint8)
    mask = np.zeros((64, 80), np.uint8)
    if number % 2 == 0:
        top, left = 32 * (number // 2 % 2), 40 * (number // 4 % 2)
        mask[top : top + 32, left : left + 40] = 255
        pixels[mask > 0] += 120
    values = {
        features.IMAGE: png(pixels),
        features.LABEL: CLASSES[number % 2].encode(),
        features.PATIENT_ID: b"patient%d" % number,
        features.CONTENT_HASH: f"{number:064x}".encode(),
        **({features.LESION_MASK: png(mask)} if number % 2 == 0 else {}),
    }
    feature = {key: tf.train.Feature(bytes_list=tf.train.BytesList(value=[value])) for key, value in values.items()}
    return tf.train.Example(features=tf.train.Features(feature=feature)).SerializeToString()


def write(file, numbers):
    with tf.io.TFRecordWriter(str(file), "GZIP") as writer:
        for number in numbers:
            writer.write(record(number))
    return [str(file)]


@pytest.fixture(scope="module")
def patterns(tmp_path_factory):
    return write(tmp_path_factory.mktemp("records") / "data.gz", range(IMAGES))


class Seeing(tf.Module):
    """Heat for the first class where it is bright; there is none for the second."""

    @tf.function(
        input_signature=[
            tf.TensorSpec([None], tf.string, name=features.SIGNATURE_BYTES),
            tf.TensorSpec([None], tf.int64, name=features.CLASS_INDEX),
        ]
    )
    def gradcam(self, image_bytes, class_index):
        def cells(one):
            grey = tf.cast(tf.ensure_shape(tf.io.decode_png(one), [64, 80, 1]), tf.float32)
            return tf.nn.avg_pool2d(grey[None], (16, 20), (16, 20), "VALID")[0, :, :, 0]

        bright = tf.cast(tf.map_fn(cells, image_bytes, fn_output_signature=tf.TensorSpec([4, 4], tf.float32)) > 100, tf.float32)
        sick = tf.reduce_max(bright, axis=(1, 2)) > 0
        explained = tf.where(class_index < 0, tf.cast(tf.logical_not(sick), tf.int64), class_index)
        heat = bright * tf.cast(explained == 0, tf.float32)[:, None, None]
        member = features.MEMBER_HEAT_MAP.format(member="blind")
        return {features.HEAT_MAP: heat, features.EXPLAINED_CLASS: explained, member: tf.ones_like(heat)}


@pytest.fixture(scope="module")
def saved_model(tmp_path_factory):
    folder, module = tmp_path_factory.mktemp("model"), Seeing()
    tf.saved_model.save(module, str(folder), signatures={features.SIGNATURE_GRADCAM: module.gradcam})
    return str(folder)


def test_the_sample_hangs_on_the_seed_alone(patterns, tmp_path):
    backwards = write(tmp_path / "data.gz", reversed(range(IMAGES)))
    numbers = [one.number for one in draw(patterns, 6, seed=1)]
    assert len(set(numbers)) == 6
    assert [one.number for one in draw(backwards, 6, seed=1)] == numbers
    assert [one.number for one in draw(patterns, 6, seed=2)] != numbers
    wanted = image_number(f"{3:064x}")
    with_it = draw(patterns, 6, seed=1, wanted=[wanted, numbers[0]])
    assert [one.number for one in with_it] == numbers + ([wanted] if wanted not in numbers else [])
    assert [one.drawn for one in with_it[:6]] == [True] * 6


def test_maps_overlays_and_figures(patterns, saved_model, tmp_path):
    out = tmp_path / "explanation"
    result = explain_split("ensemble", saved_model, patterns, CLASSES, out, split="test", samples=IMAGES, seed=0)
    assert Result.load(out) == result
    assert (result.samples, result.explained, result.empty) == (IMAGES, IMAGES, IMAGES // 2)
    seeing, blind = result.localisation
    assert (seeing.model, seeing.images) == ("ensemble", IMAGES // 2)
    assert seeing.energy.low is not None
    assert seeing.energy.low > 0.7  # of cells, drawn out over their neighbours
    assert "better than chance" in seeing.verdict
    assert blind.model == "blind"
    assert blind.energy.value == pytest.approx(blind.area.value, abs=0.01)
    assert "no better than chance" in blind.verdict

    maps = load_maps(out)
    assert set(maps.images.tolist()) == {image_number(f"{number:064x}") for number in range(IMAGES)}
    drawn = sorted((out / "overlays").iterdir())
    assert len(drawn) == IMAGES
    for number, heat in zip(maps.images, maps.heats, strict=True):
        with Image.open(out / "overlays" / f"{int(number) & (2**64 - 1):016x}.jpg") as picture:
            assert picture.size == (80, 64)
            coloured = (np.ptp(np.asarray(picture).astype(int), axis=2) > 60).any()
        assert coloured == heat.any()
    text = json.dumps(result.model_dump(mode="json")) + "".join(file.name for file in drawn)
    assert "patient" not in text.replace("patients", "")


def test_wrong_answers_are_explained_besides(patterns, saved_model, tmp_path):
    drawn = {one.number for one in draw(patterns, 4, seed=0)}
    wanted = next(number for k in range(IMAGES) if (number := image_number(f"{k:064x}")) not in drawn)
    result = explain_split("one", saved_model, patterns, CLASSES, tmp_path, split="test", samples=4, seed=0, wanted=[wanted])
    assert (result.samples, result.explained) == (4, 5)
    assert load_maps(tmp_path).images.tolist()[-1] == wanted


def test_where_no_lesion_is_known_nothing_is_claimed(saved_model, tmp_path):
    well = write(tmp_path / "data.gz", range(1, 9, 2))
    result = explain_split("one", saved_model, well, CLASSES, tmp_path / "out", split="test", samples=8, seed=0)
    assert result.localisation == ()
    assert result.empty == 4


def test_records_that_do_not_fit_are_named(patterns, saved_model, tmp_path):
    with pytest.raises(CxrError, match="no records; make them with `cxr ingest`"):
        explain_split("one", saved_model, [f"{tmp_path}/*"], CLASSES, tmp_path, split="test", samples=4, seed=0)
    with pytest.raises(CxrError, match="label 'well' is none of sick; set data.class_names"):
        explain_split("one", saved_model, patterns, ("sick",), tmp_path, split="test", samples=IMAGES, seed=0)
    with pytest.raises(CxrError, match="run again with --no-cache"):
        Result.load(tmp_path / "nothing")
