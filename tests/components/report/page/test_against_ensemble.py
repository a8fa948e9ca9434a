import numpy as np

from cxr.components.answers.image_answers import AnsweredImages
from cxr.components.report.page.sections.evaluation import _right


def test_an_answer_that_is_none_is_wrong_for_the_first_class_too():
    probabilities = np.array([[0.9, 0.1], [np.nan, np.nan], [1.5, 0.1], [0.4, 0.6]], np.float32)
    assert _right(AnsweredImages(np.arange(4), np.array([0, 0, 0, 1]), probabilities)).tolist() == [True, False, False, True]
