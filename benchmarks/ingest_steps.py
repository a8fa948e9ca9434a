"""What the steps of `cxr ingest` cost an image: milliseconds of processor time, which other work on the machine changes little.

usage: python benchmarks/ingest_steps.py IMAGES [--count 150]       a folder of images; seconds

Whatever is not listed is Beam's, the search for duplicates, and starting. `make bench` has ingest as a whole.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeVar

import numpy as np
from PIL import Image
from tensorflow.io import TFRecordWriter

from cxr.core import fingerprints
from cxr.data.duplicates.thumbnails import thumbnail
from cxr.data.images import reader
from cxr.data.images.grey_levels import mean_and_deviation
from cxr.data.ingest.records import example, record_options
from cxr.data.ingest.rows import Row
from cxr.data.ingest.staged import Picture

ROUNDS = 3  # the cheapest counts
T = TypeVar("T")
R = TypeVar("R")


def step(name: str, work: Callable[[T], R], things: Sequence[T]) -> list[R]:
    """Does a step with all things, prints what it cost each of them, and returns what it made."""
    costs = []
    for _ in range(ROUNDS):
        began = time.process_time()
        made = [work(thing) for thing in things]
        costs.append(time.process_time() - began)
    print(f"{name:44}{1000 * min(costs) / len(things):8.2f} ms")
    return made


def main() -> None:
    """Goes through the steps in the order of ingest."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("images", type=Path)
    parser.add_argument("--count", type=int, default=150)
    options = parser.parse_args()
    files = sorted(file for file in options.images.rglob("*") if file.suffix.lower() in reader.SUFFIXES)[: options.count]
    if not files:
        raise SystemExit(f"{options.images}: no images")
    step("(decoding alone, by Pillow)", lambda file: np.asarray(Image.open(file)), files)
    step("hash of the file", fingerprints.of_file, files)
    images = step("read_image: decode, grey, check", reader.read_image, files)
    step("thumbnail, for the search for duplicates", lambda image: thumbnail(image.array), images)
    step("mean and spread of the grey levels", lambda image: mean_and_deviation(image.histogram), images)
    step("hash of the pixels", lambda image: image.content_hash, images)
    step("encode: JPEG of JPEG, else PNG", reader.encode, images)
    pictures = [Picture.of(image) for image in images]
    row = Row("", "", "", 0, "")
    made = step("tf.Example", lambda picture: example(row, picture).SerializeToString(deterministic=True), pictures)
    with tempfile.TemporaryDirectory() as folder, TFRecordWriter(f"{folder}/x.gz", record_options()) as writer:
        step("record", writer.write, made)


if __name__ == "__main__":
    main()
