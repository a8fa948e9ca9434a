"""A folder of synthetic chest radiographs with its manifest."""

from __future__ import annotations

import csv
import hashlib
import itertools
import json
import multiprocessing
import os
import signal
from collections.abc import Iterator
from concurrent.futures import Executor, ProcessPoolExecutor, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image
from rich.console import Console
from rich.progress import track

from cxr.core import features, main_module
from cxr.core.errors import CxrError, UsageError
from cxr.core.features import SYNTHETIC
from cxr.core.machine import cores
from cxr.core.replaced_folder import left_alone, replaced
from cxr.core.termination import end_with_parent
from cxr.data.demo import SEVERITY
from cxr.data.demo.confounders import CONFOUNDED, CONFOUNDERS, NO_CONFOUNDER
from cxr.data.demo.person import AP, PA, Person
from cxr.data.demo.radiograph import render
from cxr.data.images.grey_levels import MIN_SIDE
from cxr.data.ingest.sources import MANIFEST

COLUMNS = ("image", "label", "patient_id", "source", "view", "sex", "age", "severity", "mask")
REQUEST = "demo-data.json"  # what the folder was made of; tells an up-to-date folder from any other
VERSION = 2  # raise it when the same seed makes other pictures
MAX_PER_PATIENT = 4
COURSE = 0.1  # standard deviation of the severity among one patient's pictures
PNG_LEVEL = 4  # of compression; 6, the default, takes twice as long for less than 1 %
KEPT = 24 * 2**20  # bytes
MANY = 400  # pictures from which on processes draw, whose start takes as long as the drawing of 30 pictures
THREADS = 2  # that draw fewer; Python's lock lets them use one and a half cores


class Order(NamedTuple):
    """What one picture shall show: a row of the manifest, and what decides its pixels."""

    name: str
    label: str
    patient: str
    person: Person
    age: int
    view: str
    severity: float
    seed: tuple[int, ...]


def make_demo_data(
    out: Path,
    *,
    images: int,
    image_size: int,
    seed: int,
    console: Console,
    confounder: str = NO_CONFOUNDER,
    severity: tuple[float, float] = SEVERITY,
    masks: bool = False,
) -> Path:
    """Writes synthetic radiographs of the three classes as PNG, equally many of each, several per synthetic patient.

    Args:
      out: Folder to write; returned to at once when it holds the same request already.
      images: How many in all.
      image_size: Height and width, pixels.
      seed: The same seed makes the same pictures.
      console: For progress.
      confounder: One of `confounders.CONFOUNDERS`: what is planted in one class, so that it can be told without the lungs.
      severity: Of the sick, drawn evenly between these two, 0 to 1; the manifest's column `severity` has each picture's.
      masks: Writes `masks/<name>.png` beside each image, 255 where the disease shows; the manifest's column `mask` has the path.

    Returns:
      The manifest.

    Raises:
      CxrError: `out` holds something else, or cannot be written.
      UsageError: Fewer images than classes, pictures that ingest would refuse, no such confounder or severity.
    """
    if images < len(features.CLASS_NAMES):
        raise UsageError(f"images {images}: must be {len(features.CLASS_NAMES)} at least, one of each class")
    if image_size < MIN_SIDE:
        raise UsageError(f"image_size {image_size}: must be {MIN_SIDE} pixels at least, fewer are not ingested")
    if confounder not in CONFOUNDERS:
        raise UsageError(f"confounder {confounder!r}: must be one of {', '.join(CONFOUNDERS)}")
    if not 0 <= severity[0] <= severity[1] <= 1:
        raise UsageError(f"severity {severity[0]:g} {severity[1]:g}: must be two numbers from 0 to 1, the lower one first")
    out = Path(os.path.abspath(out))
    request = json.dumps({
        "version": VERSION, "images": images, "image_size": image_size, "seed": seed, "source": SYNTHETIC, "confounder": confounder,
        "severity": list(severity), "masks": masks,
    })  # fmt: skip
    manifest = out / MANIFEST
    with left_alone(out):  # an exchange that was killed is ended first
        if manifest.is_file() and (out / REQUEST).is_file() and (out / REQUEST).read_text(encoding="utf-8") == request:
            return manifest
    if out.exists() and (not out.is_dir() or (any(out.iterdir()) and not (out / REQUEST).is_file())):
        raise CxrError(f"{out}: exists and holds no demo data; name another folder")
    try:
        with replaced(out, durable=False) as partial:
            _draw_all(_orders(images, seed, severity), images, _Draw(partial, image_size, confounder, masks), console)
            (partial / REQUEST).write_text(request, encoding="utf-8")
    except OSError as error:
        raise CxrError(f"{out}: cannot be written ({error.strerror})") from None
    return manifest


def _draw_all(orders: Iterator[Order], images: int, draw: _Draw, console: Console) -> None:
    (draw.folder / "images").mkdir()
    if draw.masks:
        (draw.folder / "masks").mkdir()
    with (draw.folder / MANIFEST).open("w", newline="", encoding="utf-8") as stream, _workers(images) as pool:
        writer = csv.writer(stream)
        writer.writerow(COLUMNS)
        # a person's pictures one after the other in one worker: the vessels, once grown, are cached
        persons = (list(some) for _, some in itertools.groupby(orders, lambda order: order.patient))
        with main_module.left_out():
            drawn = pool.map(draw, persons)  # starts the processes
        rows = itertools.chain.from_iterable(drawn)
        writer.writerows(track(rows, "drawing synthetic images", images, console=console, transient=True, disable=not console.is_terminal))


@dataclass(frozen=True)
class _Draw:
    """Writes pictures, in whatever process; a call draws those of one person and returns their rows of the manifest."""

    folder: Path
    image_size: int
    confounder: str
    masks: bool

    def __call__(self, orders: list[Order]) -> list[tuple[str, ...]]:
        return [self._write(order) for order in orders]

    def _write(self, order: Order) -> tuple[str, ...]:
        picture = render(order.label, order.person, order.severity, order.view, self.image_size, np.random.default_rng(order.seed))
        pixels = CONFOUNDERS[self.confounder](picture.image) if order.label == CONFOUNDED else picture.image
        image, mask = f"images/{order.name}", f"masks/{order.name}" if self.masks else ""
        Image.fromarray(pixels).save(self.folder / image, compress_level=PNG_LEVEL)
        if self.masks:
            Image.fromarray(picture.mask.astype(np.uint8) * 255).save(self.folder / mask, compress_level=PNG_LEVEL)
        sex = "F" if order.person.female else "M"
        return (
            image, order.label, order.patient, SYNTHETIC, order.view, sex, str(order.age), f"{picture.severity:.3f}", mask,
        )  # fmt: skip


def _workers(images: int) -> Executor:
    if images >= MANY:
        with suppress(OSError):  # /dev/shm is full, or not there: threads take longer, and draw the same
            return ProcessPoolExecutor(cores(), multiprocessing.get_context("spawn"), initializer=_begin_process)
    return ThreadPoolExecutor(THREADS, initializer=_keep_freed_memory)


def _begin_process() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # a terminal interrupts all; the process that waits for this one ends it
    end_with_parent()
    _keep_freed_memory()


def _keep_freed_memory() -> None:
    """Has glibc keep the memory of arrays for the next ones; it gave it back 2,000 pages a picture, which took a tenth of the time.

    How much it keeps follows the largest block that was freed so far, up to 32 MiB (mallopt(3), M_MMAP_THRESHOLD).
    """
    np.empty(KEPT, np.uint8)


def _orders(images: int, seed: int, severity: tuple[float, float]) -> Iterator[Order]:
    patient = 0
    for k, label in enumerate(features.CLASS_NAMES):
        missing = images // len(features.CLASS_NAMES) + (k < images % len(features.CLASS_NAMES))
        while missing:
            # nothing but the label and the severity differs between the classes
            rng = np.random.default_rng([seed, patient])
            count = min(missing, int(rng.integers(1, MAX_PER_PATIENT + 1)))
            age = int(np.clip(rng.normal(54, 17), 18, 95))
            person = Person.draw(rng, female=bool(rng.integers(2)), age=age)
            typical = rng.uniform(*severity)
            for number in range(count):
                # a name that says nothing of the class: nobody shall learn from file names or their order
                name = hashlib.blake2b(f"{seed} {patient} {number}".encode(), digest_size=6).hexdigest()
                degree = float(np.clip(typical + rng.normal(0, COURSE), *severity))
                view = AP if rng.random() < 0.5 else PA
                yield Order(f"{name}.png", label, f"{SYNTHETIC}-{patient:04d}", person, age, view, degree, (seed, patient, number))
            patient += 1
            missing -= count
