"""Encoded images on disk."""

import errno
import resource

import numpy as np
import pytest

from cxr.core.errors import CxrError
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


def test_a_full_disk_is_that_of_temporary_files_and_not_the_one_that_images_are_read_from(tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, before[1]))  # the next byte is EFBIG, as that of a full disk is ENOSPC
    try:
        with pytest.raises(CxrError, match=f"{tmp_path}: File too large; .*TMPDIR=FOLDER"):
            EncodedImages.of([b"a" * 2000])
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)

    def failing():
        yield b"a"
        raise OSError(errno.EIO, "Input/output error")

    with pytest.raises(OSError, match="Input/output error"):
        EncodedImages.of(failing())
