"""Frozen backbones in bfloat16: what is read, and where there is nothing to measure."""

import re
import sys

import bfloat16
import numpy as np
import pytest
from PIL import Image

from cxr.core import machine
from cxr.core.errors import CxrError
from cxr.trainer import devices


@pytest.fixture
def images(tmp_path):
    """A folder with one batch of pictures at two depths, in two formats, and a file that is none."""
    rng = np.random.default_rng(5)
    for number in range(bfloat16.BATCH):
        file = tmp_path / f"folder{number % 2}" / f"{number}.{'PNG' if number % 2 else 'jpg'}"
        file.parent.mkdir(exist_ok=True)
        Image.fromarray(rng.integers(0, 256, (40, 48), np.uint8)).save(file)
    (tmp_path / "notes.txt").write_text("none")
    return tmp_path


def test_pictures_become_a_batch(images):
    batch = bfloat16.read(images, 32).numpy()
    assert (batch.shape, batch.dtype) == ((bfloat16.BATCH, 32, 32, 3), np.float32)
    assert 0 <= batch.min() < 0.2 < 0.8 < batch.max() <= 1
    next(images.rglob("*.jpg")).unlink()
    with pytest.raises(CxrError, match=f"{bfloat16.BATCH} PNG or JPEG files are wanted, there are {bfloat16.BATCH - 1}"):
        bfloat16.read(images, 32)


def test_without_instructions_it_says_so(monkeypatch, tmp_path):
    monkeypatch.setattr(machine, "processor", dict)
    monkeypatch.setattr(sys, "argv", ["bfloat16.py", str(tmp_path)])
    with pytest.raises(SystemExit, match="no instructions for bfloat16"):
        bfloat16.main()


@pytest.mark.slow
@pytest.mark.skipif(devices.possible(mixed=True) != devices.BFLOAT16, reason="this processor has no instructions for bfloat16")
def test_features_move_a_little(images, monkeypatch, capsys):
    arguments = [str(images), "--rounds", "1", "--models", "mobilenet", "--size", "96"]
    monkeypatch.setattr(sys, "argv", ["bfloat16.py", *arguments])
    bfloat16.main()
    (row,) = [line for line in capsys.readouterr().out.splitlines() if "mobilenet" in line]
    moved = re.search(r"([0-9.]+)%", row)
    assert moved is not None
    assert 0 < float(moved[1]) < 20
