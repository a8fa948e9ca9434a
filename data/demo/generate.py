"""A folder of synthetic chest radiographs with its manifest."""

from __future__ import annotations

import csv
import hashlib
import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image
from rich.console import Console
from rich.progress import track

from cxr.core import features
from cxr.core.errors import CxrError
from cxr.data.demo.anatomy import Anatomy
from cxr.data.demo.confounders import CONFOUNDED, CONFOUNDERS, NO_CONFOUNDER
from cxr.data.demo.radiograph import NORMAL, render
from cxr.data.ingest.dataset import SYNTHETIC
from cxr.data.ingest.sources import MANIFEST

COLUMNS = ("image", "label", "patient_id", "source", "view", "sex", "age")
REQUEST = "demo-data.json"  # what the folder was made of; tells an up-to-date folder from any other
VERSION = 1  # raise it when the same seed makes other pictures
MAX_PER_PATIENT = 4


class Picture(NamedTuple):
    """One row of the manifest, and its pixels (uint8 [size, size])."""

    values: tuple[str, ...]
    pixels: np.ndarray


def make_demo_data(
    out: Path, *, images: int, image_size: int, seed: int, console: Console, confounder: str = NO_CONFOUNDER, matched: bool = False
) -> Path:
    """Writes synthetic radiographs of the three classes as PNG, equally many of each, several per synthetic patient.

    Args:
      out: Folder to write; returned to at once when it holds the same request already.
      images: How many in all.
      image_size: Height and width, pixels.
      seed: The same seed makes the same pictures.
      console: For progress.
      confounder: One of `confounders.CONFOUNDERS`: what is planted in one class, so that it can be told without the lungs.
      matched: See `radiograph.render`.

    Returns:
      The manifest.

    Raises:
      CxrError: `out` holds something else.
    """
    out = Path(os.path.abspath(out))
    about = {"version": VERSION, "images": images, "image_size": image_size, "seed": seed, "source": SYNTHETIC}
    if confounder != NO_CONFOUNDER or matched:
        about |= {"confounder": confounder, "matched": matched}
    request = json.dumps(about)
    manifest = out / MANIFEST
    if manifest.is_file() and (out / REQUEST).is_file() and (out / REQUEST).read_text() == request:
        return manifest
    if out.exists() and (not out.is_dir() or (any(out.iterdir()) and not (out / REQUEST).is_file())):
        raise CxrError(f"{out}: exists and holds no demo data; name another folder")
    partial = out.with_name(f".{out.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    plant = CONFOUNDERS[confounder]
    try:
        (partial / "images").mkdir(parents=True)
        with (partial / MANIFEST).open("w", newline="", encoding="utf-8") as stream:
            writer = csv.writer(stream)
            writer.writerow(COLUMNS)
            pictures = _pictures(images, image_size, seed, matched)
            for picture in track(
                pictures, "drawing synthetic images", images, console=console, transient=True, disable=not console.is_terminal
            ):
                pixels = plant(picture.pixels) if picture.values[COLUMNS.index("label")] == CONFOUNDED else picture.pixels
                Image.fromarray(pixels).save(partial / picture.values[0])
                writer.writerow(picture.values)
        (partial / REQUEST).write_text(request)
        if out.exists():
            shutil.rmtree(out)
        partial.rename(out)
    except BaseException as error:
        shutil.rmtree(partial, ignore_errors=True)
        if isinstance(error, OSError):
            raise CxrError(f"{out}: cannot be written ({error.strerror})") from None
        raise
    return manifest


def _pictures(images: int, size: int, seed: int, matched: bool) -> Iterator[Picture]:
    patient = 0
    for k, label in enumerate(features.CLASS_NAMES):
        missing = images // len(features.CLASS_NAMES) + (k < images % len(features.CLASS_NAMES))
        while missing:
            rng = np.random.default_rng([seed, patient])
            count = min(missing, int(rng.integers(1, MAX_PER_PATIENT + 1)))
            yield from _patient(f"{SYNTHETIC}-{patient:04d}", label, count, size, [seed, patient, 1], rng, matched)
            patient += 1
            missing -= count


def _patient(
    name: str, label: str, count: int, size: int, finding_seed: list[int], rng: np.random.Generator, matched: bool
) -> Iterator[Picture]:
    sex = str(rng.choice(["F", "M"]))
    age = int(np.clip(rng.normal(56 if label != NORMAL else 50, 17), 1, 95))
    anatomy = Anatomy.draw(rng, female=sex == "F")
    extent = rng.uniform(0.3, 1.0)
    for k in range(count):
        view = str(rng.choice(["AP", "PA"]))
        pixels = render(label, anatomy, float(np.clip(extent + rng.normal(0, 0.1), 0.2, 1)), view, size, finding_seed, rng, matched)
        # a name that says nothing of the class: nobody shall learn from file names or their order
        file_name = hashlib.blake2b(f"{finding_seed} {k}".encode(), digest_size=6).hexdigest()
        yield Picture((f"images/{file_name}.png", label, name, SYNTHETIC, view, sex, str(age)), pixels)
