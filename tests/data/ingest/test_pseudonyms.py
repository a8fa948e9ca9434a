import pytest

from cxr.core.errors import CxrError
from cxr.data.ingest.pseudonyms import KEY_FILE_VARIABLE, load_key, pseudonym


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


def test_key_from_the_environment(tmp_path, monkeypatch):
    monkeypatch.setenv(KEY_FILE_VARIABLE, str(tmp_path / "env.key"))
    load_key(None)
    assert (tmp_path / "env.key").exists()


def test_short_key_is_refused(tmp_path):
    (tmp_path / "k").write_text("short\n")
    with pytest.raises(CxrError, match="16"):
        load_key(tmp_path / "k")
