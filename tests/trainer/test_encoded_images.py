"""Encoded images on disk."""

import numpy as np

from cxr.trainer.encoded_images import EncodedImages

IMAGES = [b"first", b"", b"third\0\0", b"\0"]


def test_images_come_back_as_they_were():
    images = EncodedImages.of(iter(IMAGES))
    assert len(images) == 4
    assert list(images) == IMAGES
    assert images[np.int64(2)] == IMAGES[2]
    assert images[-1] == IMAGES[3]


def test_some_of_them():
    images = EncodedImages.of(IMAGES)
    assert list(images[np.array([3, 0, 3])]) == [IMAGES[3], IMAGES[0], IMAGES[3]]
    assert list(images[1:3]) == IMAGES[1:3]
    assert list(images[np.array([False, True, True, False])]) == IMAGES[1:3]
    assert list(images[np.array([3, 0])][np.array([1])]) == [IMAGES[0]]
    assert list(EncodedImages.of([])) == []
