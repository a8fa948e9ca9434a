import numpy as np
import pytest

from cxr.data.duplicates import turned
from cxr.data.duplicates.turned import FORMS, invariants

PICTURES = np.kron(np.random.default_rng(0).integers(0, 256, (40, 16, 16)), np.ones((4, 4))).astype(np.uint8)


@pytest.mark.parametrize("mirrored", [False, True])
@pytest.mark.parametrize("form", range(FORMS))
def test_every_form_is_found_and_undone(form, mirrored):
    changed = turned.turned(PICTURES[:, :, :: -1 if mirrored else 1], np.full(len(PICTURES), form))
    np.testing.assert_allclose(invariants(changed), invariants(PICTURES), atol=0.02)
    found = turned.candidates(np.concatenate([PICTURES, changed]), 1)
    assert sorted((int(pair["first"]), int(pair["second"])) for pair in found) == [(k, k + 40) for k in range(40) if form]
    undone = turned.turned(PICTURES[found["first"]], found["form"])
    undone = np.where(found["mirrored"][:, None, None], undone[:, :, ::-1], undone)
    np.testing.assert_array_equal(undone, changed[found["second"] - 40])


def test_each_picture_has_a_form_of_its_own():
    assert [int(picture[0, 0]) for picture in turned.turned(PICTURES[:2], np.array([0, 1]))] == [
        PICTURES[0, 0, 0],
        255 - PICTURES[1, 0, 0],
    ]
