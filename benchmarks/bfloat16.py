"""Frozen backbones in bfloat16 beside float32 on a CPU: images a second, in turns, and how far the features move.

usage: python benchmarks/bfloat16.py IMAGES [--rounds 5] [--models mobilenet] [--size 224]       two minutes on 2 cores

IMAGES is a folder with at least 32 PNG or JPEG files at any depth. The backbones are those of the configuration `cpu`: random weights, 224
pixels. The distance is the root mean square of the difference, as a share of the features' spread over the images. What it costs in
accuracy: `cxr crossval --config cpu --data RECORDS defaults.mixed_precision=true` beside the same with false.
"""

from __future__ import annotations

import argparse
import sys
import time
from itertools import islice
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf
from PIL import Image
from rich.console import Console
from rich.table import Table

from cxr.core.errors import CxrError
from cxr.pipeline.pipeline_config import load
from cxr.trainer import devices
from cxr.trainer.cached_features import BATCH, BatchedModel
from cxr.trainer.models import bn_recalibration
from cxr.trainer.models.assembly import assemble


def read(folder: Path, size: int) -> tf.Tensor:
    """Returns a batch of pictures, float32 [BATCH, size, size, 3] in [0, 1].

    Raises:
      CxrError: There are fewer.
    """
    files = islice(sorted(file for file in folder.rglob("*") if file.suffix.lower() in {".png", ".jpg", ".jpeg"}), BATCH)
    pictures = [np.asarray(Image.open(file).convert("RGB").resize((size, size)), np.float32) / 255 for file in files]
    if len(pictures) < BATCH:
        raise CxrError(f"{folder}: {BATCH} PNG or JPEG files are wanted, there are {len(pictures)}")
    return tf.constant(np.stack(pictures))


def main() -> None:
    """Measures and prints a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("images", type=Path)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--models", help="comma-separated; all of the configuration where not given")
    parser.add_argument("--size", type=int, default=224, help="pixels")
    given = parser.parse_args()
    if devices.precision(mixed=True) != devices.BFLOAT16:
        sys.exit("this processor has no instructions for bfloat16, or oneDNN is switched off: nothing to measure")
    images = read(given.images, given.size)
    config = load("cpu")
    names = given.models.split(",") if given.models else list(config.models)
    table = Table("model", "float32, images/s", "bfloat16", "ratio", "from", "to", "features moved by")
    for name in names:
        model = config.models[name]
        keras.utils.set_random_seed(model.seed)
        assembly = assemble(model, given.size)
        if model.bn_recalibration == "per_layer":
            bn_recalibration.recalibrate_layers(assembly.extractor, assembly.backbone.network, images)
        extractor = BatchedModel(assembly.extractor)
        took: dict[str, list[float]] = {devices.FLOAT32: [], devices.BFLOAT16: []}
        found = {}
        for number in range(given.rounds + 1):
            for precision, seconds in took.items():
                with devices.frozen_in(precision):
                    begin = time.perf_counter()
                    found[precision] = extractor.batch(images)
                if number:  # the first one traces and optimises
                    seconds.append(time.perf_counter() - begin)
        ratios = np.divide(took[devices.FLOAT32], took[devices.BFLOAT16])
        speeds = [f"{BATCH / np.median(seconds):.1f}" for seconds in took.values()]
        plain = found[devices.FLOAT32]
        moved = np.sqrt(np.mean(np.square(found[devices.BFLOAT16] - plain)) / np.mean(np.square(plain - plain.mean(axis=0))))
        table.add_row(name, *speeds, *(f"{r:.2f}" for r in (np.median(ratios), ratios.min(), ratios.max())), f"{moved:.1%}")
    Console().print(table)


if __name__ == "__main__":
    main()
