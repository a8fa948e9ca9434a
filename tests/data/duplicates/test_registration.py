import numpy as np
import pytest
from scipy.ndimage import affine_transform, gaussian_filter

from cxr.data.duplicates.registration import COARSE, FINE, MAX_SHEAR, agreement, register, start

SIZE = 64


def texture(seed):
    field = gaussian_filter(np.random.default_rng(seed).standard_normal((SIZE, SIZE)), 2)
    return (127 + 40 * field / field.std()).clip(0, 255).astype(np.uint8)


def moved(picture, matrix):
    """picture(map(x)), with coordinates from -1 to 1."""
    (a, b, c), (d, e, f) = matrix
    centre = (SIZE - 1) / 2
    linear = np.array([[e, d], [b, a]])  # rows are y, x
    offset = np.array([f, c]) * SIZE / 2 + centre - linear @ [centre, centre]
    return affine_transform(picture.astype(float), linear, offset, order=1, mode="nearest").clip(0, 255).astype(np.uint8)


MATRIX = np.array([[0.9, 0.01, 0.04], [-0.015, 0.93, -0.03]])


def test_the_map_is_found():
    picture = texture(1)
    changed = moved(picture, MATRIX)
    maps = start((0.025, 0.075, 0.025, 0.025), mirrored=False)[None]
    found = register(picture[None], changed[None], register(picture[None], changed[None], maps, COARSE, 13), FINE, 4)
    np.testing.assert_allclose(found[0], MATRIX, atol=0.006)


def test_agreement_of_copies_and_of_strangers():
    pictures = np.stack([texture(1), texture(1), texture(1)])
    lettered = texture(1)
    lettered[4:14, 4:24] = 255
    others = np.stack([moved(texture(1), MATRIX), lettered, texture(2)])
    scores = agreement(pictures, others, np.stack([start((0, 0, 0, 0), mirrored=False)] * 3))
    assert scores[0] > 0.9
    assert scores[1] > 0.9
    assert scores[2] == -1


def test_a_mirrored_picture_agrees_only_as_such():
    picture = texture(3)
    upright, mirrored = (
        agreement(picture[None], picture[None, :, ::-1], start((0, 0, 0, 0), mirrored=flag)[None])[0] for flag in (False, True)
    )
    assert upright == -1
    assert mirrored == pytest.approx(1)


def test_no_copy_is_sheared_like_this():
    picture = texture(4)
    matrix = np.array([[1, 2 * MAX_SHEAR, 0], [0, 1, 0]])
    assert agreement(picture[None], moved(picture, matrix)[None], matrix[None])[0] == -1
