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


def flagged(score, *probabilities, inside):
    return {
        features.PROBABILITIES: np.array([probabilities], np.float32),
        features.UNLIKE_TRAINING: np.array([score], np.float32),
        features.OUTSIDE: np.array([score > features.UNLIKE_BORDER]),
        features.CONFORMAL_SET: np.array([inside]),
    }


def test_a_flag_may_differ_only_where_its_number_lies_on_the_border():
    expected = flagged(0.50002, 0.7, 0.2, 0.1, inside=[True, True, False])
    assert list(differences(expected, flagged(0.49999, 0.7, 0.2, 0.1, inside=[True, True, False]), 1e-4)) == []
    wrong = flagged(0.6, 0.7, 0.2, 0.1, inside=[True, True, False])
    answered = {**wrong, features.OUTSIDE: np.array([False])}
    assert any("outside is" in text for text in differences(wrong, answered, 1e-4))


def test_a_class_may_leave_a_set_only_where_one_bound_explains_both():
    expected = flagged(0.2, 0.7, 0.20001, 0.09999, inside=[True, True, False])
    assert list(differences(expected, flagged(0.2, 0.7, 0.2, 0.1, inside=[True, False, False]), 1e-4)) == []
    same_numbers = flagged(0.2, 0.7, 0.20001, 0.09999, inside=[True, False, False])
    assert any("conformal_set is" in text for text in differences(expected, same_numbers, 1e-4))
    never = flagged(0.2, 0.7, 0.2, 0.1, inside=[False, True, False])
    assert any("conformal_set is" in text for text in differences(expected, never, 1e-4))
