import inspect
import io

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from cxr.trainer import decoding, preprocessing, thorax
from cxr.trainer.preprocessing import decode_and_crop, decode_and_resize, label_to_index

GRADIENT = np.linspace(0, 255, 40 * 48).reshape(40, 48).astype(np.uint8)


def encoded(pixels, kind="png", **options):
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, kind, **options)
    return file.getvalue()


@pytest.mark.seconds
@pytest.mark.parametrize("wrap", [lambda f: f, lambda f: tf.function(f, autograph=False)], ids=["eager", "graph"])
def test_all_kinds_give_the_same_grey_levels(wrap):
    wide = GRADIENT.astype(np.uint16) * 257
    colour = np.stack([GRADIENT] * 3, axis=-1)
    images = [encoded(pixels) for pixels in (GRADIENT, wide, colour)]
    images += [encoded(pixels, "jpeg", quality=100) for pixels in (GRADIENT, colour)]
    result = wrap(lambda batch: decode_and_resize(batch, 32))(tf.constant(images)).numpy()
    assert result.shape == (5, 32, 32, 1)
    assert result.dtype == np.float32
    for image in result[1:]:
        np.testing.assert_allclose(image, result[0], atol=0.01)
    assert 0 <= result.min() < 0.02 < 0.98 < result.max() <= 1


def test_shrinking_averages():
    checks = np.indices((64, 64)).sum(axis=0) % 2 * 255
    result = decode_and_resize(tf.constant([encoded(checks.astype(np.uint8))]), 8).numpy()
    np.testing.assert_allclose(result[0, 2:-2, 2:-2], 0.5, atol=0.02)


def test_a_border_is_cut_off_at_each_side():
    framed = np.full((60, 80), 255, np.uint8)  # a white frame, a tenth of each side
    framed[6:54, 8:72] = 100
    whole = decode_and_resize(tf.constant([encoded(framed)]), 40).numpy()[0, ..., 0]
    inner = decode_and_resize(tf.constant([encoded(framed)]), 40, border=0.1).numpy()[0, ..., 0]
    assert inner.shape == (40, 40)
    assert whole[:3].min() > 0.9
    np.testing.assert_allclose(inner[1:-1, 1:-1], 100 / 255, atol=0.01)  # at the very edge the frame's pixels are averaged in


def test_empty_batch():
    assert decode_and_resize(tf.constant([], tf.string), 32).shape == (0, 32, 32, 1)


def test_autograph_rewrites_nothing_of_it(monkeypatch):
    """It would be called by way of generated source, each function again and again: most of the time of a picture outside a graph."""
    files: list[str] = []

    def decode(image, side):
        files.extend(frame.filename for frame in inspect.stack())
        return tf.zeros([side, side, 1])

    monkeypatch.setattr(preprocessing, "decode_grey", decode)
    decode_and_resize(tf.constant([b""]), 8)
    assert inspect.getsourcefile(decode_and_resize) in files
    assert [file for file in files if "__autograph_generated_file" in file] == []


BAD = {
    "empty": b"",
    "text": b"not an image",
    "gif": b"GIF89a",
    "cut png": encoded(GRADIENT)[:60],
    "cut png header": encoded(GRADIENT)[:12],
    "cut jpeg header": encoded(GRADIENT, "jpeg")[:20],
}


@pytest.mark.parametrize("data", BAD.values(), ids=BAD)
def test_what_is_no_image_is_an_error(data):
    with pytest.raises(tf.errors.InvalidArgumentError):
        tf.function(lambda batch: decode_and_resize(batch, 32), autograph=False)(tf.constant([data]))


@pytest.mark.parametrize("kind", ["png", "jpeg"])
def test_too_many_pixels_are_refused_before_decoding(kind, monkeypatch):
    monkeypatch.setattr(decoding, "MAX_PIXELS", 40 * 48 - 1)
    with pytest.raises(tf.errors.InvalidArgumentError, match="more than 1919"):
        tf.function(lambda batch: decode_and_resize(batch, 32), autograph=False)(tf.constant([encoded(GRADIENT, kind)]))


def test_a_png_that_claims_to_be_huge_is_refused():
    data = bytearray(encoded(GRADIENT))
    data[16:24] = (2**31 - 1).to_bytes(4, "big") * 2  # the product would overflow 64 bits were the sides not limited
    with pytest.raises(tf.errors.InvalidArgumentError, match="more than"):
        tf.function(lambda batch: decode_and_resize(batch, 32), autograph=False)(tf.constant([bytes(data)]))


def test_labels():
    names = ("covid19", "pneumonia", "normal")
    index = label_to_index(tf.constant([["normal"], ["covid19"], ["flu"]]), names)
    assert index.dtype == tf.int64
    assert index.numpy().tolist() == [[2], [0], [-1]]


@pytest.mark.seconds
def test_a_crop_is_taken_from_the_picture_inside_the_border(drawn_chest):
    picture, lungs = drawn_chest(3, 120)
    framed = np.pad(picture, 15, constant_values=255)  # a tenth of each side
    images, seen = (part.numpy() for part in decode_and_crop(tf.constant([encoded(framed)]), 64, 0.1, "thorax"))
    inner = decode_and_resize(tf.constant([encoded(framed)]), 2 * 64, 0.1)
    box = thorax.find(inner).numpy()[0]
    np.testing.assert_allclose(seen[0], 0.1 + 0.8 * box, atol=0.005)
    np.testing.assert_allclose(images[0], thorax.cut_out(inner[0], tf.constant(box), 64), atol=1e-5)
    top, left, bottom, right = np.round(seen[0] * 150).astype(int)
    where = np.pad(lungs, 15)
    assert where[top:bottom, left:right].sum() > 0.9 * where.sum()
    assert (bottom - top) * (right - left) < 0.6 * 150 * 150


def test_what_is_seen_without_a_crop():
    both = tf.constant([encoded(GRADIENT)] * 2)
    np.testing.assert_array_equal(decode_and_crop(both, 32)[1], [[0, 0, 1, 1]] * 2)
    np.testing.assert_allclose(decode_and_crop(both, 32, 0.1)[1], [[0.1, 0.1, 0.9, 0.9]] * 2, atol=0.02)
