import numpy as np

from cxr.core import features
from cxr.trainer.export.recorded_requests import differences


def answer(label, *probabilities):
    return {
        features.PROBABILITIES: np.array([probabilities], np.float32),
        features.PREDICTED_LABEL: np.array([label], dtype=object),
        features.OUTPUT_CLASS_NAMES: np.array([[b"a", b"b", b"c"]], dtype=object),
    }


def test_a_label_may_differ_only_where_classes_are_as_probable_within_the_tolerance():
    expected = answer(b"a", 0.40002, 0.4, 0.19998)
    assert list(differences(expected, answer(b"b", 0.4, 0.40002, 0.19998), 1e-4)) == []
    assert any("label is" in text for text in differences(expected, answer(b"c", 0.4, 0.40002, 0.19998), 1e-4))
    clear = answer(b"a", 0.5, 0.3, 0.2)
    assert any("label is" in text for text in differences(clear, answer(b"b", 0.5, 0.3, 0.2), 1e-4))
    assert any("label is" in text for text in differences(clear, answer(b"x", 0.5, 0.3, 0.2), 1e-4))
