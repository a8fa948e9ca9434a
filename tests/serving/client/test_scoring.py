"""Labelled images, answered by a real server."""

import json

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from cxr.cli.main import app
from cxr.core import features
from cxr.core.errors import CxrError
from cxr.serving.client import models
from cxr.serving.client.client import Client
from cxr.serving.client.errors import BadImage, ModelNotFound
from cxr.serving.client.scoring import ServedModel

pytestmark = pytest.mark.seconds


def test_answers_in_order_with_what_the_model_says_about_itself(small_server, png):
    with Client(small_server, "mobilenet", batch_size=3) as client:
        model = ServedModel(client)
        assert (model.name, model.version, model.class_names) == ("mobilenet", "7", features.CLASS_NAMES)
        assert (model.max_side, model.synthetic, model.training_images) == (20, True, None)
        levels = [200, 20, 120, 60, 240, 10, 90]
        answered = list(model.answers(levels, png))
        assert [level for level, *_ in answered] == levels
        assert [shares[1] for _, shares, _ in answered] == pytest.approx([level / 255 for level in levels], abs=0.01)
        with pytest.raises(BadImage, match="image 2"):
            list(model.answers([b"", b"no picture"], lambda data: data or png(100)))


def test_a_busy_server_has_the_clients_time(small_server, monkeypatch):
    given, reading = [], models.reading

    def watched(connection, target, timeout):
        given.append(timeout)
        return reading(connection, target, timeout)

    monkeypatch.setattr(models, "reading", watched)
    with Client(small_server, "mobilenet", timeout=77) as client:
        ServedModel(client)
    assert given == [77]


def test_what_cannot_be_asked(small_server):
    with Client(small_server, "nope") as client, pytest.raises(ModelNotFound):
        ServedModel(client)
    with Client(small_server, "future") as client, pytest.raises(CxrError, match="read by rules 99"):
        ServedModel(client)


def test_the_command_measures_what_a_server_answers(small_server, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for label, level in (("pneumonia", 60), ("normal", 200)):
        (tmp_path / "there" / label).mkdir(parents=True)
        for number in range(3):
            pixels = np.random.default_rng(number).normal(level, 20, (24, 24)).clip(0, 255).astype(np.uint8)
            Image.fromarray(pixels).save(tmp_path / "there" / label / f"SECRET{number}.png")
    called = ["evaluate", "-m", "ensemble", "--server", small_server, "--data", "there", "--json", "found.json"]
    result = CliRunner().invoke(app, called)
    assert result.exit_code == 0, (result.output, result.exception)
    found = json.loads((tmp_path / "found.json").read_text())
    assert (found["model"], found["version"], found["images"], found["absent_classes"]) == ("ensemble", "2", 6, ["covid19"])
    assert (found["evaluation"]["accuracy"], found["synthetic_model"], found["seen"]) == (1.0, None, None)
    assert found["outside"] == 3  # the bright ones
    assert "does not say which images it was trained on" in " ".join(result.output.split())
    assert "SECRET" not in result.output
