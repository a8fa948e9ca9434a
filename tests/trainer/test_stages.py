import functools
import shutil

import keras
import numpy as np
import pytest
import tensorflow as tf

from cxr.core.errors import CxrError
from cxr.trainer.feature_epochs import Examples, FeatureEpochs
from cxr.trainer.image_epochs import steps_per_epoch
from cxr.trainer.model_config import Loss, Stage
from cxr.trainer.stages import StageData, run_stage

pytestmark = pytest.mark.seconds

RNG = np.random.default_rng(0)
LABELS = np.arange(30) % 3
FEATURES = (RNG.normal(size=(30, 6)) + 2 * np.eye(3, 6)[LABELS]).astype(np.float32)
VALIDATION = ((RNG.normal(size=(12, 6)) + 2 * np.eye(3, 6)[LABELS[:12]]).astype(np.float32), np.eye(3, dtype=np.float32)[LABELS[:12]])


class Interrupted(Exception):
    pass


def model():
    keras.utils.set_random_seed(5)
    return keras.Sequential([keras.Input([6]), keras.layers.Dropout(0.3), keras.layers.Dense(3, "softmax")])


def stage(**more):
    return Stage.model_validate({"epochs": 8, "batch_size": 7, "optimizer": {"learning_rate": 0.05}, **more})


def of_features(config, validation=VALIDATION, labels=LABELS):
    asked = validation and Examples(validation[0][None], validation[1])
    return FeatureEpochs(Examples(FEATURES[None], np.eye(3, dtype=np.float32)[labels]), asked, config.batch_size, 1)


def of_batches(config, validation=VALIDATION):
    """The same batches, with which Keras trains."""
    order, one_hot = of_features(config).order, np.eye(3, dtype=np.float32)[LABELS]

    def batches(first):
        for epoch in range(first, config.epochs):
            for rows in np.split(order(epoch), range(config.batch_size, 30, config.batch_size)):
                yield FEATURES[rows], one_hot[rows]

    spec = (tf.TensorSpec([None, 6]), tf.TensorSpec([None, 3]))
    return StageData(
        lambda first: tf.data.Dataset.from_generator(lambda: batches(first), output_signature=spec),
        steps_per_epoch(30, config.batch_size),
        tf.data.Dataset.from_tensor_slices(validation).batch(32) if validation else None,
    )


def run(config, folder=None, stop_after=None, data=of_features, **more):
    def on_epoch(name, epoch, row):
        if epoch == stop_after:
            raise Interrupted

    network = model()
    return network, run_stage("head", network, config, Loss(), data(config, **more), state_dir=folder, on_epoch=on_epoch)


def figures(history):
    return [{key: value for key, value in row.items() if key != "seconds"} for row in history.rows]


CALLBACKS = {
    "early_stopping": {"monitor": "val_accuracy", "patience": 3},
    "reduce_on_plateau": {"monitor": "val_accuracy", "factor": 0.5, "patience": 1},
}


KINDS = pytest.mark.parametrize("data", [of_features, of_batches])


@pytest.mark.slow
def test_heads_learn_what_they_would_with_keras():
    config = stage(**CALLBACKS)
    networks, histories = zip(*(run(config, data=data) for data in (of_batches, of_features)), strict=True)
    assert figures(histories[0]) == figures(histories[1])
    for one, other in zip(networks[0].get_weights(), networks[1].get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.fixture(scope="module")
def uninterrupted():
    """Returns a function that trains a stage of so many epochs, once for all tests."""

    @functools.cache
    def trained(epochs=8, callbacks=False, data=of_features):
        return run(stage(epochs=epochs, **(CALLBACKS if callbacks else {})), data=data)

    return trained


@pytest.fixture(scope="module")
def interrupted(tmp_path_factory):
    """Folder of the state of three epochs of which the last one was not finished."""
    folder = tmp_path_factory.mktemp("state")
    with pytest.raises(Interrupted):
        run(stage(epochs=3), folder, 3)
    return folder


@pytest.mark.slow
@pytest.mark.parametrize("stop_after", [2, 4])
@pytest.mark.parametrize("callbacks", [False, True], ids=["plain", "callbacks"])
@KINDS
def test_resumed_training_equals_uninterrupted_training(tmp_path, uninterrupted, stop_after, callbacks, data):
    config = stage(**(CALLBACKS if callbacks else {}))
    whole, expected = uninterrupted(8, callbacks, data)
    with pytest.raises(Interrupted):
        run(config, tmp_path, stop_after, data)
    resumed, history = run(config, tmp_path, data=data)
    assert history.resumed_from == stop_after - 1  # the interrupted epoch was not finished
    assert len(history.rows) == len(expected.rows)
    for row, other in zip(figures(history), figures(expected), strict=True):
        assert row == pytest.approx(other, rel=1e-5)
    assert history.best_epoch == expected.best_epoch
    for a, b in zip(resumed.get_weights(), whole.get_weights(), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6)


@KINDS
def test_a_finished_stage_is_not_trained_again(tmp_path, data):
    config = stage(**CALLBACKS)
    first, expected = run(config, tmp_path, data=data)
    again, history = run(config, tmp_path, data=data)
    assert figures(history) == figures(expected)
    assert (history.resumed_from, history.stopped_early) == (len(expected.rows), expected.stopped_early)
    for a, b in zip(first.get_weights(), again.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


def test_a_half_written_state_is_ignored(tmp_path):
    (tmp_path / "unfinished").mkdir()
    (tmp_path / "unfinished" / "state.json").write_text("{")
    assert run(stage(epochs=2), tmp_path)[1].resumed_from == 0
    assert [p.name for p in tmp_path.iterdir()] == ["epoch-00002"]


@pytest.mark.parametrize(("file", "left"), [("state.json", 0), ("state.json", 9), ("variables.npz", 0), ("variables.npz", 300)])
def test_a_damaged_state_is_dropped_and_said(interrupted, uninterrupted, tmp_path, caplog, file, left):
    """A machine that loses power may name a file and lose what it holds."""
    state = shutil.copytree(interrupted, tmp_path / "state")
    damaged = state / "epoch-00002" / file
    damaged.write_bytes(damaged.read_bytes()[:left])
    with caplog.at_level("INFO", logger="cxr.progress"):
        network, history = run(stage(epochs=3), state)
    assert "what an interrupted run had kept of epoch-00002 is damaged; this stage begins anew" in caplog.text
    assert history.resumed_from == 0
    np.testing.assert_array_equal(network.get_weights()[0], uninterrupted(3)[0].get_weights()[0])


def test_a_state_of_other_variables_is_dropped_and_said(tmp_path, uninterrupted, caplog):
    """Keras's mixed_float16 gives the optimizer variables of its own, with which a float32 one could never go on."""
    config = stage(epochs=3)
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy("mixed_float16")
    try:
        with pytest.raises(Interrupted):
            run(config, tmp_path, 3)
    finally:
        keras.config.set_dtype_policy(before)
    with caplog.at_level("INFO", logger="cxr.progress"):
        network, history = run(config, tmp_path)
    assert "what an interrupted run had kept of epoch-00002 is of another network or optimizer; this stage begins anew" in caplog.text
    assert history.resumed_from == 0
    np.testing.assert_array_equal(network.get_weights()[0], uninterrupted(3)[0].get_weights()[0])


def test_a_flipped_bit_in_a_kept_state_is_found(interrupted, tmp_path):
    state = shutil.copytree(interrupted, tmp_path / "state")
    damaged = state / "epoch-00002" / "variables.npz"
    content = bytearray(damaged.read_bytes())
    content[200] ^= 1  # among the numbers: the header of a member is shorter
    damaged.write_bytes(content)
    assert run(stage(epochs=3), state)[1].resumed_from == 0


@KINDS
def test_early_stopping_restores_the_best_epoch(data):
    config = stage(epochs=60, early_stopping={"monitor": "val_loss", "patience": 2}, optimizer={"learning_rate": 0.5})
    network, history = run(config, data=data)
    assert history.stopped_early
    best = min(range(len(history.rows)), key=lambda i: history.rows[i]["val_loss"])
    assert history.best_epoch == best + 1
    loss = network.evaluate(*VALIDATION, verbose=0)[0]
    assert loss == pytest.approx(history.rows[best]["val_loss"], rel=1e-5)


def test_the_learning_rate_falls_on_a_plateau():
    _, history = run(stage(**{**CALLBACKS, "early_stopping": None}))
    rates = [row["learning_rate"] for row in history.rows]
    assert rates[0] == pytest.approx(0.05)
    assert rates[-1] < rates[0]


def test_monitors_need_their_split():
    with pytest.raises(CxrError, match="early_stopping.monitor: val_loss needs a validation split"):
        run(stage(early_stopping={}), validation=None)
    _, history = run(stage(early_stopping={"monitor": "loss"}), validation=None)
    assert set(history.rows[0]) == {"loss", "accuracy", "learning_rate", "seconds"}


def test_a_lost_loss_stops_training(monkeypatch):
    monkeypatch.setitem(globals(), "FEATURES", np.full_like(FEATURES, np.nan))
    with pytest.raises(CxrError, match=r"head: loss is nan, .+ in epoch 1; lower the learning_rate"):
        run(stage())


@KINDS
def test_what_is_lost_is_named(data):
    """The images that a stage learns from are whole."""
    lost = (np.full_like(VALIDATION[0], np.nan), VALIDATION[1])
    with pytest.raises(CxrError, match="head: val_loss is nan in epoch 1"):
        run(stage(), data=data, validation=lost)


def test_progress_is_reported(caplog):
    with caplog.at_level("INFO", logger="cxr.progress"):
        run(stage(epochs=2))
    steps = [(record.cxr.done, record.cxr.total) for record in caplog.records]
    assert steps == [(0, 2), (1, 2), (2, 2)]
    assert "validation accuracy" in caplog.records[-1].getMessage()


@pytest.mark.parametrize("data", [of_features, of_batches])
def test_a_step_is_traced_once(data, monkeypatch):
    traced, step = [], keras.Model.train_step

    def counted(self, batch):
        traced.append(batch)
        return step(self, batch)

    monkeypatch.setattr(keras.Model, "train_step", counted)
    run(stage(epochs=2), data=data)
    assert len(traced) == 1
