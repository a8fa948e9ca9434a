import numpy as np
import pytest

from cxr.core.measurement import Measurement

THREE = np.arange(3)


@pytest.mark.parametrize(
    ("patients", "labels", "probabilities", "said"),
    [
        (THREE, THREE, np.ones(3), r"probabilities must be numbers \[images, classes\], not float64 \[3\]"),
        (THREE, THREE, np.full((3, 3), "1"), "probabilities must be numbers"),
        (THREE, THREE[:2], np.eye(3), r"labels must be whole numbers \[3\], as there are probabilities, not int64 \[2\]"),
        (THREE, THREE.astype(float), np.eye(3), "labels must be whole numbers .* not float64"),
        (THREE, np.eye(3, dtype=int), np.eye(3), r"labels .* not int64 \[3, 3\]"),
        (np.array([b"a", b"b", b"c"]), THREE, np.eye(3), "patients must be whole numbers"),
        (THREE, THREE - 1, np.eye(3), "labels must be from 0 to 2, the number of a class; found -1 to 1"),
        (THREE, THREE + 1, np.eye(3), "labels must be from 0 to 2, .* found 1 to 3"),
        (THREE - 1, THREE, np.eye(3), "without a gap"),
        (THREE * 2 % 5, THREE, np.eye(3), "without a gap"),
        (THREE * 10**12, THREE, np.eye(3), "without a gap"),
        (np.array([0, 2, 2]), THREE, np.eye(3), "without a gap"),
    ],
)
def test_arrays_of_another_kind_are_refused(patients, labels, probabilities, said):
    with pytest.raises(ValueError, match=said):
        Measurement(patients, labels, probabilities)


def test_the_order_of_patients_does_not_matter():
    assert Measurement(np.array([1, 0, 1]), THREE, np.eye(3, dtype=np.float32)).patients == 2
