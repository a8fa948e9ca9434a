import resource

import keras
import numpy as np
import pytest
import tensorflow as tf
from killed import killed_at

from cxr.core.errors import CxrError
from cxr.trainer import cached_features
from cxr.trainer.cached_features import BATCH, BatchedModel

COUNT = 2 * BATCH + 5
IMAGES = np.random.default_rng(0).uniform(size=(COUNT, 4, 4, 3)).astype(np.float32)


@pytest.fixture(scope="module")
def model():
    keras.utils.set_random_seed(1)
    image = keras.Input([4, 4, 3])
    return keras.Model(image, keras.layers.Dense(6)(keras.layers.Flatten()(image)))


class Killed(Exception):
    pass


def images(seen, stop_after=COUNT):
    """Images from the first wanted one; raises instead of the one after `stop_after`."""

    def those_from(first):
        def generate():
            for number in range(first, COUNT):
                if number == stop_after:
                    raise Killed
                seen.append(number)
                yield IMAGES[number]

        return tf.data.Dataset.from_generator(generate, output_signature=tf.TensorSpec([4, 4, 3]))

    return those_from


def test_batches_answer_as_the_model_does(model):
    np.testing.assert_allclose(BatchedModel(model).all(images([]), COUNT, "images"), model(IMAGES), atol=1e-5)


def test_a_killed_extraction_goes_on_where_it_was(model, tmp_path):
    file = tmp_path / "state" / "features.float32"
    seen: list[int] = []
    batched = BatchedModel(model)
    with pytest.raises(Exception, match="Killed"):
        batched.all(images([], stop_after=BATCH + 3), COUNT, "images", file)
    assert file.stat().st_size == BATCH * 6 * 4
    with open(file, "ab") as stream:
        stream.write(b"half a row")
    resumed = batched.all(images(seen), COUNT, "images", file)
    assert seen == list(range(BATCH, COUNT))
    np.testing.assert_array_equal(resumed, batched.all(images([]), COUNT, "images"))
    seen.clear()
    np.testing.assert_array_equal(batched.all(images(seen), COUNT, "images", file), resumed)
    assert seen == []


@pytest.mark.parametrize("lost", ["a bit", "a bit of a check", "the order", "the order of both", "the checks"])
def test_what_changed_of_a_killed_extraction_is_computed_again(model, tmp_path, caplog, lost):
    """A training on it would be wrong without a word."""
    file, checks, batched, row = tmp_path / "f.float32", tmp_path / "f.float32.checks", BatchedModel(model), 6 * 4
    whole = np.asarray(batched.all(images([]), COUNT, "images", file))
    for damaged, size in ((file, row), (checks, 8)):
        data = bytearray(damaged.read_bytes())
        if lost == "the order of both" or (lost == "the order" and damaged == file):
            data[3 * size : 4 * size], data[4 * size : 5 * size] = data[4 * size : 5 * size], data[3 * size : 4 * size]
        elif lost == ("a bit" if damaged == file else "a bit of a check"):
            data[3 * size + 2] ^= 1
        elif lost == "the checks" and damaged == checks:  # as killed between rows and their checks: nothing is damaged
            del data[3 * size :]
        damaged.write_bytes(data)
    seen: list[int] = []
    with caplog.at_level("INFO", logger="cxr.progress"):
        again = batched.all(images(seen), COUNT, "images", file)
    assert seen == list(range(3, COUNT))
    np.testing.assert_allclose(again, whole, atol=1e-6)  # other batches
    said = "f.float32: what an interrupted run had kept is damaged after 3 rows; the others are made anew"
    assert (said in caplog.text) == (lost != "the checks")
    seen.clear()
    np.testing.assert_array_equal(batched.all(images(seen), COUNT, "images", file), again)
    assert seen == []


def test_what_is_not_finite_is_refused_and_not_kept(model, tmp_path):
    def broken(first):
        return tf.data.Dataset.from_tensors(tf.fill([4, 4, 3], np.nan))

    with pytest.raises(CxrError, match="features of it: the backbone yields numbers that are not finite"):
        BatchedModel(model).all(broken, 1, "features of it", tmp_path / "f")
    assert (tmp_path / "f").stat().st_size == 0


def test_a_full_disk_of_temporary_files_is_told_with_the_way_to_another(model, tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    batched = BatchedModel(model)
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100, before[1]))  # the next byte is EFBIG, as that of a full disk is ENOSPC
    try:
        with pytest.raises(CxrError, match="TMPDIR=FOLDER"):
            batched.all(images([]), COUNT, "images")
        with pytest.raises(OSError, match="File too large"):  # of the training's own file: the node names its disk
            batched.all(images([]), COUNT, "images", tmp_path / "f")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_arrays_are_made_once_and_keep_their_order(tmp_path):
    made, expected = [], [np.full(number % 3 + 1, number, np.float32) for number in range(12)]

    def make():
        made.append(1)
        return expected

    for _ in range(2):
        arrays = cached_features.cached(tmp_path / "a.npz", make)
        assert [array.tolist() for array in arrays] == [array.tolist() for array in expected]
    assert len(made) == 1


@pytest.mark.seconds
def test_arrays_of_a_call_that_is_killed_at_any_moment_are_whole_or_made_anew(tmp_path, caplog):
    """As the folds, members and answers that `cxr crossval` keeps."""
    file, made, step, again = tmp_path / "kept" / "a.npz", [np.arange(50, dtype=np.float32), np.ones(3, np.float32)], 0, []

    def make():
        again.append(step)
        return made

    with caplog.at_level("INFO", logger="cxr.progress"):
        while killed_at(step, lambda: cached_features.cached(file, lambda: made)):
            for array, expected in zip(cached_features.cached(file, make), made, strict=True):
                np.testing.assert_array_equal(array, expected)
            assert [path.name for path in file.parent.iterdir()] == ["a.npz"]
            file.unlink()
            step += 1
    assert again == list(range(step))  # renaming is the last step
    assert step > 5
    assert caplog.text == ""


@pytest.mark.parametrize("left", [0, 10, 150])
def test_a_damaged_file_of_arrays_is_made_anew(tmp_path, caplog, left):
    file, made = tmp_path / "a.npz", [np.arange(50, dtype=np.float32)]
    cached_features.cached(file, lambda: made)
    file.write_bytes(file.read_bytes()[:left])
    with caplog.at_level("INFO", logger="cxr.progress"):
        (array,) = cached_features.cached(file, lambda: made)
    assert "a.npz: what an interrupted run had kept is damaged; made anew" in caplog.text
    np.testing.assert_array_equal(array, made[0])
