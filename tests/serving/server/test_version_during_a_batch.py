"""A version takes over while `Client.predict_files` asks about a batch of images."""

from pathlib import Path

import pytest

from cxr.serving.client import models
from cxr.serving.client.client import Client
from cxr.serving.client.errors import ModelNotFound, SignatureMismatch
from cxr.serving.client.predictions import Prediction

pytestmark = pytest.mark.seconds


@pytest.fixture
def asked(start, until, write_model, png, tmp_path: Path):
    """Returns a function that asks about images; a version 2, described by what it is given, takes over after the second answer."""

    def run(**of_the_second):
        base = tmp_path / "models" / "mobilenet"
        write_model(base / "1", members=(), max_side=20, synthetic=False)
        write_model(tmp_path / "next", members=(), **of_the_second)
        (tmp_path / "x.png").write_bytes(png(9, 64))
        found = []
        with Client(start(tmp_path / "models").address, "mobilenet", batch_size=1, max_in_flight=1) as client:
            for answer in client.predict_files([tmp_path / "x.png"] * 20):
                assert isinstance(answer, Prediction)
                found.append((answer.version, answer.synthetic))
                if len(found) == 2:
                    (tmp_path / "next").rename(base / "2")
                    until(lambda: client.metadata().version == 2, "version 2")
        assert found == sorted(found)
        assert len(found) == 20
        return set(found)

    return run


def test_it_is_asked_about_itself(asked):
    assert asked(max_side=20, synthetic=True) == {(1, False), (2, True)}


def test_it_may_not_want_images_read_otherwise(asked):
    message = r"mobilenet.* version 2.* took over from version 1, .*\(30 pixels at most in place of 20\); ask again"
    with pytest.raises(SignatureMismatch, match=message):
        asked(max_side=30)


def test_its_answers_stand_where_it_is_gone_again(asked, monkeypatch):
    real = models.reading

    def gone(connection, target, timeout):
        if target.version is not None:
            raise ModelNotFound("gone")
        return real(connection, target, timeout)

    monkeypatch.setattr(models, "reading", gone)
    assert asked(max_side=20, synthetic=True) == {(1, False), (2, None)}
