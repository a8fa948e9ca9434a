import hashlib
from functools import partial
from pathlib import Path

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
