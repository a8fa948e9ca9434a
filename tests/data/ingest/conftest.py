import csv
import io

import numpy as np
import pytest
from PIL import Image
from rich.console import Console

from cxr.core import features
from cxr.data.ingest.rows import Row


def write_image(path, seed=0, size=(32, 40), **options):
    """A picture that differs from those of other seeds."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.random.default_rng(seed).integers(0, 255, size).astype(np.uint8)).save(path, **options)
    return path


def write_manifest(folder, rows, name="manifest.csv", columns=None):
    """Rows are dictionaries; images that are not there are made."""
    folder.mkdir(parents=True, exist_ok=True)
    columns = columns or sorted({column for row in rows for column in row}, key=lambda column: column != "image")
    with (folder / name).open("w", newline="") as stream:
        writer = csv.DictWriter(stream, columns, restval="")
        writer.writeheader()
        writer.writerows(rows)
    for seed, row in enumerate(rows):
        if not (folder / row["image"]).exists():
            write_image(folder / row["image"], seed)
    return folder / name


def rows_of(patients, images_each=1, label=None):
    """Rows without files: patients dealt to the classes in turn."""
    return [
        Row(folder="/x", name=f"{p}-{k}.png", place="line", position=p, label=label or features.CLASS_NAMES[p % 3], patient=str(p))
        for p in range(patients)
        for k in range(images_each)
    ]


@pytest.fixture
def source(tmp_path):
    """A manifest with 60 images of 30 patients, two each."""
    facts = {"source": "here", "view": "pa", "sex": "f", "age": "44", "license": "CC BY"}
    rows = [
        {"image": f"{p}-{k}.png", "label": features.CLASS_NAMES[p % 3], "patient_id": f"DOE-{p}"} | facts
        for p in range(30)
        for k in range(2)
    ]
    return write_manifest(tmp_path / "source", rows)


@pytest.fixture
def console():
    return Console(file=io.StringIO(), width=300)


@pytest.fixture
def key_file(tmp_path):
    path = tmp_path / "pseudonym.key"
    path.write_text("0123456789abcdef" * 2)
    return path


@pytest.fixture
def make_rows():
    return rows_of


@pytest.fixture
def make_manifest():
    return write_manifest


@pytest.fixture
def make_image():
    return write_image
