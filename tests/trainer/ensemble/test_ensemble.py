import keras
import numpy as np
import pytest

from cxr.core.errors import CxrError
from cxr.trainer.ensemble.joining import Votes, align, join, joint_model, possible_shares
from cxr.trainer.ensemble.voting import TIE_SHARE, HardVote, Stacking, WeightedVote
from cxr.trainer.model_config import EarlyStopping, Ensemble, Optimizer, Stage
from cxr.trainer.predictions import Predictions

pytestmark = pytest.mark.seconds

A = np.array([[0.6, 0.4, 0.0], [0.2, 0.5, 0.3]], np.float32)
B = np.array([[0.1, 0.2, 0.7], [0.1, 0.8, 0.1]], np.float32)
C = np.array([[0.8, 0.1, 0.1], [0.3, 0.3, 0.4]], np.float32)
NAMES = ["a", "b", "c"]


def split(images, good, seed=0):
    """Members that are right with the probabilities of `good`."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 3, images)
    members = []
    for share in good:
        logits = rng.normal(0, 1, (images, 3)) + np.eye(3)[labels] * np.where(rng.random(images) < share, 3, -1)[:, None]
        p = np.exp(logits)
        members.append((p / p.sum(axis=1, keepdims=True)).astype(np.float32))
    return Votes(members, np.eye(3, dtype=np.float32)[labels], np.arange(images))


def accuracy(p, votes):
    return np.mean(np.asarray(p).argmax(1) == votes.labels.argmax(1))


def test_soft_vote_is_the_mean():
    np.testing.assert_allclose(WeightedVote([1 / 3] * 3)([A, B, C]), (A + B + C) / 3, atol=1e-6)


def test_hard_vote_counts_members_and_breaks_ties_by_the_mean():
    answer = np.asarray(HardVote()([A, B, C]))
    np.testing.assert_allclose(answer[0], (1 - TIE_SHARE) * np.array([2 / 3, 0, 1 / 3]) + TIE_SHARE * (A + B + C)[0] / 3, atol=1e-6)
    np.testing.assert_allclose(answer.sum(axis=1), 1, atol=1e-6)
    tied = np.asarray(HardVote()([A, B]))[0]  # one vote each: classes 0 and 2; the mean says 0.35 to 0.35, so make it plain
    assert set(np.argsort(tied)[1:]) == {0, 2}
    assert np.asarray(HardVote()([A, C * [1, 1, 0.5] + [0, 0, 0.05], B]))[0].argmax() == 0


def test_stacking_starts_at_the_soft_vote():
    layer = Stacking(3)
    np.testing.assert_allclose(layer([A, B, C]), (A + B + C) / 3, atol=1e-6)


def test_stacking_stays_among_probabilities_whatever_its_weights():
    layer = Stacking(3)
    layer([A, B])
    layer.set_weights([np.full((6, 3), -5.0), np.array([0.0, 1.0, 0.0])])
    answer = np.asarray(layer([A, B]))
    assert (answer > 0).all()
    np.testing.assert_allclose(answer.sum(axis=1), 1, atol=1e-6)


def test_the_papers_start_is_random_with_softmax():
    answer = np.asarray(Stacking(3, "random", seed=1)([A, B, C]))
    assert not np.allclose(answer, (A + B + C) / 3, atol=0.01)
    np.testing.assert_allclose(answer.sum(axis=1), 1, atol=1e-6)


def test_possible_shares_hold_equal_ones_and_every_member_alone():
    shares = list(possible_shares(3))
    assert len(shares) == 16
    assert shares[0] == (1 / 3, 1 / 3, 1 / 3)
    assert {(1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0)} <= set(shares)
    assert all(sum(s) == pytest.approx(1) for s in shares)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(6))
def test_auto_is_at_least_as_accurate_as_the_best_member_on_the_validation_split(seed):
    train, val = split(60, [0.9, 0.5, 0.4], seed), split(40, [0.9, 0.5, 0.4], seed + 100)
    joined = join(Ensemble(stage=Stage(epochs=2)), NAMES, train, val)
    best = max(accuracy(p, val) for p in val.probabilities)
    assert accuracy(joined.layer(val.probabilities), val) >= best
    assert set(joined.methods) == {"soft", "hard", "weighted", "stacking", "best"}
    chosen = joined.methods[joined.method]
    assert chosen.loss == min(s.loss for s in joined.methods.values() if s.accuracy >= best)
    assert joined.report()["validation"]["members"]["a"]["accuracy"] == pytest.approx(accuracy(val.probabilities[0], val))


def test_concat_is_never_worse_than_the_soft_vote_on_the_validation_split():
    train, val = split(60, [1.0, 0.0, 0.0], 1), split(40, [0.0, 1.0, 1.0], 2)  # what training teaches is wrong here
    stage = Stage(epochs=5, optimizer=Optimizer(learning_rate=0.1))
    soft = join(Ensemble(method="soft"), NAMES, train, val)
    stacked = join(Ensemble(method="stacking", stage=stage), NAMES, train, val)
    assert stacked.methods["stacking"].loss <= soft.methods["soft"].loss + 1e-6
    np.testing.assert_allclose(stacked.layer(val.probabilities), soft.layer(val.probabilities), atol=1e-5)
    assert len(stacked.stages[0].rows) == 5
    assert stacked.stages[0].best_epoch == 0


@pytest.mark.slow
def test_concat_learns_from_the_average():
    train, val = split(200, [0.95, 0.3, 0.3], 3), split(60, [0.95, 0.3, 0.3], 4)
    stage = Stage(epochs=20, optimizer=Optimizer(learning_rate=0.02))
    joined = join(Ensemble(method="stacking", stage=stage), NAMES, train, val)
    soft = join(Ensemble(method="soft"), NAMES, train, val)
    assert joined.methods["stacking"].loss < soft.methods["soft"].loss - 0.05


def test_without_validation_the_method_must_be_stated():
    train = split(20, [0.9, 0.5, 0.5])
    with pytest.raises(CxrError, match="ensemble.method: 'auto' needs a validation split"):
        join(Ensemble(), NAMES, train, None)
    with pytest.raises(CxrError, match="ensemble.stage.early_stopping.monitor"):
        join(Ensemble(method="stacking", stage=Stage(early_stopping=EarlyStopping())), NAMES, train, None)
    paper = join(Ensemble(method="stacking", start="random", stage=Stage(epochs=2)), NAMES, train, None)
    assert paper.methods == paper.members == {}
    assert len(paper.stages[0].rows) == 2


def test_align_brings_rows_into_one_order():
    one = Predictions(np.array(["x", "y", "x"]), np.array([0, 1, 2]), np.eye(3, dtype=np.float32), np.array([0, 1, 0]))
    two = Predictions(np.array(["x", "x", "y"]), np.array([2, 0, 1]), np.eye(3, dtype=np.float32)[[2, 0, 1]], np.array([0, 0, 1]))
    votes = align({"one": one, "two": two}, "train")
    np.testing.assert_array_equal(votes.probabilities[0], votes.probabilities[1])
    np.testing.assert_array_equal(votes.labels, votes.probabilities[0])
    np.testing.assert_array_equal(votes.patients, [0, 0, 1])


def test_members_of_different_data_are_refused():
    one = Predictions(np.array(["x"]), np.array([0]), np.ones((1, 3), np.float32), np.array([0]))
    two = Predictions(np.array(["y"]), np.array([0]), np.ones((1, 3), np.float32), np.array([0]))
    with pytest.raises(CxrError, match="split 'val': two and one were not trained on the same images"):
        align({"one": one, "two": two}, "val")


@pytest.mark.parametrize("layer", [WeightedVote([0.25, 0.75]), HardVote(), Stacking(3)])
def test_the_joint_model_is_saved_and_loaded_with_its_members(layer, tmp_path):
    def member():
        image = keras.Input([8, 8, 3])
        backbone = keras.Sequential([keras.layers.Conv2D(4, 3)], name="backbone")
        pooled = keras.layers.GlobalAveragePooling2D()(backbone(image))
        return keras.Model(image, keras.layers.Dense(3, activation="softmax")(pooled), name="same")

    members = {"a": member(), "b": member()}
    images = np.random.default_rng(0).random((2, 8, 8, 3), np.float32)
    alone = [np.asarray(m(images)) for m in members.values()]
    joint = joint_model(members, layer, 8)
    np.testing.assert_allclose(joint(images), layer(alone), atol=1e-6)
    assert not joint.get_layer("a").trainable_variables
    joint.save(tmp_path / "joint.keras")
    loaded = keras.saving.load_model(tmp_path / "joint.keras", compile=False)
    np.testing.assert_allclose(loaded(images), joint(images), atol=1e-6)
    assert loaded.get_layer("probabilities_b").output.shape == (None, 3)


def test_stacking_does_not_end_at_a_lost_loss_without_a_word():
    train = split(20, [0.9, 0.5, 0.5])
    train.probabilities[0][3] = np.nan
    with pytest.raises(CxrError, match="stacking: loss is nan"):
        join(Ensemble(method="stacking", stage=Stage(epochs=2)), NAMES, train, None)


def test_the_history_of_stacking_is_that_of_any_stage():
    train, val = split(20, [0.9, 0.5, 0.5]), split(12, [0.9, 0.5, 0.5], 1)
    rows = join(Ensemble(method="stacking", stage=Stage(epochs=2)), NAMES, train, val).stages[0].rows
    assert set(rows[0]) == {"loss", "accuracy", "val_loss", "val_accuracy", "learning_rate", "seconds"}
