import os
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from threading import Barrier

import pytest
from killed import killed_at

from cxr.core.errors import CxrError
from cxr.data.ingest import pseudonyms
from cxr.data.ingest.pseudonyms import KEY_FILE_VARIABLE, key_id, key_path, load_key, pseudonym


def test_pseudonyms_depend_on_the_key_and_hide_the_id():
    one, other = pseudonym(b"k" * 32, "patient:DOE"), pseudonym(b"l" * 32, "patient:DOE")
    assert one != other
    assert len(one) == 32
    assert pseudonym(b"k" * 32, "patient:DOE") == one


def test_key_is_made_once_and_for_its_owner_only(tmp_path):
    path = tmp_path / "deep" / "pseudonym.key"
    key = load_key(path)
    assert path.stat().st_mode & 0o777 == 0o600
    assert load_key(path) == key
    assert load_key(tmp_path / "other.key") != key


def test_no_copy_of_the_key_stays_behind_a_killed_process(tmp_path):
    """Who removes the key so that nobody finds the way back must not leave it in a hidden file."""
    step = 0
    while killed_at(step, partial(load_key, tmp_path / str(step) / "pseudonym.key")):
        step += 1
    folders = list(tmp_path.iterdir())
    left = [path for path in tmp_path.glob("*/.*") if path.stat().st_size]
    assert any((path.parent / "pseudonym.key").is_file() for path in left)  # killed between the two names
    for path in left:
        os.utime(path, (0, 0))
    for folder in folders:
        load_key(folder / "pseudonym.key")
    assert [path for path in tmp_path.glob("*/.*") if path.stat().st_size] == []


def test_key_from_the_environment(tmp_path, monkeypatch):
    assert key_path(tmp_path) == tmp_path / "pseudonym.key"
    monkeypatch.setenv(KEY_FILE_VARIABLE, str(tmp_path / "env.key"))
    assert key_path(tmp_path) == tmp_path / "env.key"


def test_an_id_tells_keys_apart_and_is_no_pseudonym():
    one, other = key_id(b"k" * 32), key_id(b"l" * 32)
    assert one == key_id(b"k" * 32) != other
    assert len(one) == 16


def test_many_that_make_a_key_at_once_get_the_same(tmp_path):
    for attempt in range(20):
        path, start = tmp_path / str(attempt) / "pseudonym.key", Barrier(16)

        def call(path=path, start=start):
            start.wait()
            return load_key(path)

        with ThreadPoolExecutor(16) as pool:
            keys = [future.result() for future in [pool.submit(call) for _ in range(16)]]
        assert set(keys) == {load_key(path)}
        assert os.listdir(path.parent) == ["pseudonym.key"]


def test_a_key_never_lies_there_in_part(tmp_path, monkeypatch):
    path = tmp_path / "pseudonym.key"
    seen = []
    link = os.link

    def watched(source, target):
        seen.append((Path(source).read_text(), path.exists()))
        link(source, target)

    monkeypatch.setattr(pseudonyms.os, "link", watched)
    key = load_key(path)
    assert seen == [(key.decode() + "\n", False)]


def test_short_key_is_refused(tmp_path):
    (tmp_path / "k").write_text("short\n")
    with pytest.raises(CxrError, match="16"):
        load_key(tmp_path / "k")
