import hashlib
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from cxr.core import fingerprints


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "b" / "empty").mkdir(parents=True)
    (tmp_path / "b" / "two").write_bytes(b"2")
    (tmp_path / "one").write_bytes(b"1")
    return tmp_path


def test_of_a_file_is_what_sha256sum_prints(folder):
    assert fingerprints.of_file(folder / "one") == "6b86b273ff34fce19d6b804eff5a3f5747ada4eaa22f1d49c01e52ddb7875b4b"
    with pytest.raises(FileNotFoundError):
        fingerprints.of_file(folder / "missing")


def test_stored_values_of_a_folder_stay(folder):
    """As champion.json and the keys of Kubeflow's cache hold them."""
    assert fingerprints.of_folder(folder) == "d6473e72a760f57fb9bbdea892faa5ef7776eec251781008463e9bf720701003"
    assert fingerprints.of_folder(folder, partial(hashlib.blake2b, digest_size=16)) == "3169b762fdbd8d5522462fa3b5e2e2e6"


def test_of_a_folder_knows_names_and_contents_and_nothing_else(folder):
    first = fingerprints.of_folder(folder)
    (folder / "b" / "empty").rmdir()
    (folder / "one").touch()
    assert fingerprints.of_folder(folder) == first
    (folder / "one").write_bytes(b"3")
    second = fingerprints.of_folder(folder)
    (folder / "one").rename(folder / "three")
    assert len({first, second, fingerprints.of_folder(folder)}) == 3


def test_of_parts_is_that_of_their_json_and_bytes_and_stays():
    """As the names of kept features, folds and trainings hold it."""
    array = np.arange(3, dtype=np.float32)
    own = fingerprints.of_parts([{"b": 1, "a": [2]}, "x", array, np.float32(1)])
    assert own == "fa3ed7e7c8ddceb1e4314d2e"
    assert fingerprints.of_parts([{"a": [2], "b": 1}, "x", array[::-1][::-1], np.float32(1)]) == own
    assert fingerprints.of_parts([{"b": 1, "a": [2]}, "x", array + 1, np.float32(1)]) != own
