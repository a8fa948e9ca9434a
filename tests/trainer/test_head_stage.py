import keras
import numpy as np
import pytest

from cxr.core.folds import deal
from cxr.core.stored_rows import ROWS_IN_MEMORY, StoredRows
from cxr.trainer.head_stage import LabelledFeatures, answers_of, train_head
from cxr.trainer.model_config import Model, Stage
from cxr.trainer.out_of_fold import out_of_fold

pytestmark = pytest.mark.seconds

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


def test_features_on_disk_train_the_same_heads_and_are_never_in_memory_whole(monkeypatch):
    count, width = 3000, 8
    rng = np.random.default_rng(0)
    labels, patients = np.arange(count) % 2, np.array([f"p{number // 2}" for number in range(count)])
    array = (rng.normal(size=(1, count, width)) + labels[:, np.newaxis]).astype(np.float32)
    stored = StoredRows.empty(count, (width,), np.float32)
    stored[:] = array[0]
    config, stage = Model(backbone="MobileNet", head={"normalize": True}), Stage(epochs=1, batch_size=32)
    sources = np.full(count, "a")

    def learnt(features):
        data = LabelledFeatures(features, labels, sources)
        train, val = data.take(np.arange(2400)), data.take(np.arange(2400, count))
        keras.utils.set_random_seed(1)
        head, history = train_head(config, stage, 2, train, val)
        folds = deal(train.labels, patients[:2400], 2, 1)
        told = [answers_of(head, val.features[0]), out_of_fold(config, stage, 2, train, val, folds)]
        return [*head.get_weights(), *told], history.rows[0]["val_loss"]

    read = []
    real = StoredRows.__array__

    def watched(rows, *how, **named):
        read.append(len(rows))
        return real(rows, *how, **named)

    monkeypatch.setattr(StoredRows, "__array__", watched)
    expected, loss = learnt(array)
    found, same_loss = learnt(stored.reshape(1, count))
    for ours, theirs in zip(found, expected, strict=True):
        np.testing.assert_array_equal(ours, theirs)
    assert loss == same_loss
    assert max(read) == ROWS_IN_MEMORY
