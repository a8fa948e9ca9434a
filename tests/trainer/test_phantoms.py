import numpy as np

from cxr.data.images.reader import read_image
from cxr.trainer.phantoms import KINDS, phantoms


def test_phantoms_are_pictures_as_ingest_stores_them_and_always_the_same():
    pictures = [read_image(data) for data in phantoms()]
    assert [picture.format for picture in pictures] == list(KINDS)
    assert phantoms() == phantoms()
    for i, picture in enumerate(pictures):
        assert picture.array.std() > 40
        for other in pictures[:i]:
            assert np.abs(picture.array.astype(int) - other.array).mean() > 5
