import io

import numpy as np
import pytest

from cxr.core.errors import CxrError
from cxr.trainer import files
from cxr.trainer.model_info import ModelInfo, TrainingData
from cxr.trainer.splits import read_split
from cxr.trainer.training_data import (
    TRAINING_IMAGES,
    hash_of,
    image_keys,
    joint_data,
    joint_training_images,
    load_training_images,
    save_training_images,
    training_data,
)

CLASSES = ("covid19", "pneumonia", "normal")


def test_keys_come_back_sorted_and_each_once(tmp_path):
    keys = image_keys(["b", "a", "b"])
    assert len(keys) == 2
    assert (np.diff(keys.astype(object)) > 0).all()
    save_training_images(str(tmp_path), keys)
    np.testing.assert_array_equal(load_training_images(str(tmp_path), None), keys)
    assert load_training_images(str(tmp_path / "elsewhere"), None) is None


@pytest.mark.seconds
def test_the_kept_keys_hold_nothing_that_is_in_the_records(tmp_path, splits):
    save_training_images(str(tmp_path), image_keys(splits.train.content_hash))
    kept = (tmp_path / TRAINING_IMAGES).read_bytes()
    assert len(kept) < 128 + 8 * len(splits.train) + 1
    assert not any(value.encode() in kept or bytes.fromhex(value) in kept for value in splits.train.content_hash)


def archive(array: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    np.savez(buffer, array)
    return buffer.getvalue()


def array_file(array: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, array)
    return buffer.getvalue()


KEYS = image_keys("abc")


@pytest.mark.parametrize(
    "contents",
    [
        b"no array",
        b"",
        array_file(KEYS)[:-8],
        array_file(KEYS.astype("<i8")),
        array_file(KEYS.astype("<f8")),
        array_file(KEYS[None]),
        array_file(KEYS[::-1]),
        array_file(KEYS[[0, 0, 1]]),
        archive(KEYS),
    ],
)
def test_damaged_keys_are_named(tmp_path, contents):
    files.write_bytes(f"{tmp_path}/{TRAINING_IMAGES}", contents)
    with pytest.raises(CxrError, match=r"training_images\.npy: not a list of image keys \(.*put a copy back"):
        load_training_images(str(tmp_path), None)


def test_a_folder_in_the_place_of_the_keys_is_named(tmp_path):
    (tmp_path / TRAINING_IMAGES).mkdir(parents=True)
    with pytest.raises(CxrError, match=r"training_images\.npy: not a list of image keys \(.*put a copy back"):
        load_training_images(str(tmp_path), None)


@pytest.mark.seconds
def test_no_flipped_bit_of_the_keys_goes_unnoticed(tmp_path, splits):
    """One other key makes an image that was trained on a new one: `cxr evaluate` would measure the model on it."""
    known = training_data({"train": splits.train}, CLASSES)
    whole = image_keys(splits.train.content_hash)
    save_training_images(str(tmp_path), whole)
    np.testing.assert_array_equal(load_training_images(str(tmp_path), known), whole)
    contents = (tmp_path / TRAINING_IMAGES).read_bytes()
    for bit in range(8 * len(contents)):
        damaged = bytearray(contents)
        damaged[bit // 8] ^= 1 << bit % 8
        (tmp_path / TRAINING_IMAGES).write_bytes(damaged)
        try:
            found = load_training_images(str(tmp_path), known)
        except CxrError:
            continue
        assert bit // 8 < len(contents) - whole.nbytes  # in the header, where some bits mean nothing
        np.testing.assert_array_equal(found, whole)


def test_keys_of_a_version_that_states_no_hash_are_read(tmp_path):
    save_training_images(str(tmp_path), KEYS)
    known = TrainingData(fingerprint="f", images={}, synthetic=0)
    np.testing.assert_array_equal(load_training_images(str(tmp_path), known), KEYS)


def test_data_are_told_apart_by_images_labels_and_splits(tmp_path, make_example, write, splits, transform):
    facts = training_data({"train": splits.train, "val": splits.val}, CLASSES)
    assert facts.images == {"train": dict.fromkeys(CLASSES, 8), "val": dict.fromkeys(CLASSES, 3)}
    assert facts.synthetic == 0
    assert training_data({"train": splits.train, "val": splits.val}, CLASSES) == facts
    assert training_data({"train": splits.val, "val": splits.train}, CLASSES).fingerprint != facts.fingerprint
    labels = [CLASSES[i % 3] for i in range(24)]
    labels[0] = CLASSES[1]
    other = write(tmp_path / "other" / "a.gz", [make_example(i, labels[i]) for i in range(24)])
    relabelled = training_data({"train": read_split([other], transform), "val": splits.val}, CLASSES)
    assert relabelled.fingerprint != facts.fingerprint


def test_made_up_images_are_counted(tmp_path, make_example, write, transform):
    import tensorflow as tf

    def of_source(number, source):
        example = tf.train.Example.FromString(make_example(number))
        example.features.feature["source"].bytes_list.value.append(source)
        return example.SerializeToString()

    pattern = write(tmp_path / "mixed" / "a.gz", [of_source(0, b"synthetic"), of_source(1, b"clinic"), make_example(2)])
    assert training_data({"train": read_split([pattern], transform)}, CLASSES).synthetic == 1


def test_collections_and_their_licenses_are_counted(tmp_path, make_example, write, transform):
    import tensorflow as tf

    def licensed(number, terms):
        example = tf.train.Example.FromString(make_example(number))
        example.features.feature["source"].bytes_list.value[:] = [b"clinic"]
        example.features.feature["license"].bytes_list.value.append(terms)
        return example.SerializeToString()

    pattern = write(tmp_path / "licensed" / "a.gz", [licensed(0, b"CC0"), licensed(1, b"CC BY"), licensed(2, b"CC0"), make_example(3)])
    found = training_data({"train": read_split([pattern], transform)}, CLASSES).sources
    assert found["clinic"] == {"CC BY": 1, "CC0": 2}
    assert sum(images for licenses in found.values() for images in licenses.values()) == 4
    assert {"unknown": 1} in found.values()


def test_an_ensemble_is_as_synthetic_as_any_member():
    assert joint_data([info(synthetic=False), info(synthetic=True)], None)["synthetic"] is True
    assert joint_data([info(), info(synthetic=True)], None)["synthetic"] is True
    assert "synthetic" not in joint_data([info(synthetic=False), info()], None)


def info(**more):
    return ModelInfo(name="m", class_names=CLASSES, image_size=32, **more)


def test_an_ensembles_images_are_all_its_members(tmp_path):
    members = {}
    for name, hashes in {"one": "ab", "two": "bc"}.items():
        own = image_keys(hashes)
        save_training_images(str(tmp_path / name), own)
        members[str(tmp_path / name)] = info(data=TrainingData(fingerprint="f", images={}, synthetic=0, keys_hash=hash_of(own)))
    keys = joint_training_images(members)
    assert keys is not None
    np.testing.assert_array_equal(keys, image_keys("abc"))
    save_training_images(str(tmp_path), keys)
    data = TrainingData.model_validate(joint_data(list(members.values()), keys)["data"])
    np.testing.assert_array_equal(load_training_images(str(tmp_path), data), keys)
    assert joint_training_images({**members, str(tmp_path / "old"): info()}) is None
    assert joint_data(list(members.values()), None)["data"]["keys_hash"] == ""
