import keras
import numpy as np

from cxr.trainer.head_stage import LabelledFeatures, answers_of, train_head
from cxr.trainer.model_config import Model, Stage

STAGE = Stage.model_validate({"epochs": 40, "batch_size": 64, "optimizer": {"learning_rate": 0.1}})
# The first feature tells the source, the second the class. Of class 0 nearly all images come from source "a", of class 1 from "b".
LABELS = np.repeat([0, 0, 1, 1], [50, 4, 4, 50])
SOURCES = np.repeat(["a", "b", "a", "b"], [50, 4, 4, 50])


def leaning(source_weights):
    """How far the head's answer moves with the source, for images between the classes."""
    features = np.stack([np.where(SOURCES == "a", -1, 1), np.where(LABELS == 0, -0.5, 0.5)], axis=1).astype(np.float32)
    config = Model(backbone="MobileNet", source_weights=source_weights, head={"l2": 0.01})
    keras.utils.set_random_seed(1)
    head, history = train_head(config, STAGE, 2, LabelledFeatures(features[np.newaxis], LABELS, SOURCES), None)
    assert np.isfinite(history.rows[-1]["loss"])
    a, b = answers_of(head, np.array([[-1, 0], [1, 0]], np.float32))[:, 1]
    return b - a


def test_balanced_sources_keep_a_head_from_telling_the_class_by_the_source():
    assert leaning(source_weights=False) > 0.2
    assert abs(leaning(source_weights=True)) < 0.05
