"""How well `preprocessing.crop: thorax` finds the lungs: beside boxes drawn by hand, and how often it keeps the whole picture.

thorax_boxes.csv has the smallest box that holds both lungs of 32 pictures of the project's test data, 16 of each collection drawn at
random, estimated by eye to about a twentieth of a side, after the template had been made.

usage: python benchmarks/thorax.py MANIFEST

MANIFEST is the manifest.csv of these data, beside its images. Half a minute on 2 cores.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import tensorflow as tf

from cxr.core.features import IMAGE_SIZE, WHOLE
from cxr.data.images.reader import encode, read_image
from cxr.trainer.preprocessing import decode_and_crop

BOXES = Path(__file__).with_name("thorax_boxes.csv")
SIDES = ["top", "left", "bottom", "right"]
BATCH = 32
Boxes = np.ndarray  # [pictures, 4], top, left, bottom, right, shares of height and width


def found(images: Sequence[Path]) -> Boxes:
    """Returns the boxes that pictures are cut to."""
    parts = [images[i : i + BATCH] for i in range(0, len(images), BATCH)]
    crop = tf.function(lambda encoded: decode_and_crop(encoded, IMAGE_SIZE, crop="thorax")[1], autograph=False)
    return np.concatenate([crop(tf.constant([encode(read_image(path)) for path in part])).numpy() for part in parts])


def area(boxes: Boxes) -> np.ndarray:
    """Returns their areas, 0 for what is inside out."""
    height, width = (boxes[:, 2:] - boxes[:, :2]).clip(0).T
    return height * width


def main() -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("manifest", type=Path)
    options = parser.parse_args()
    table = pd.read_csv(options.manifest).drop_duplicates("image").merge(pd.read_csv(BOXES), on="image", how="left")
    for source, rows in table.groupby("source"):
        boxes = found([options.manifest.parent / image for image in rows["image"]])
        whole = (boxes == WHOLE).all(axis=1)
        print(f"{source}: {len(rows)} pictures, whole kept {whole.mean():.3f}, area left of the others {area(boxes[~whole]).mean():.3f}")
        drawn = rows[SIDES].notna().all(axis=1).to_numpy()
        if not drawn.any():
            continue
        by_hand, cut = rows.loc[drawn, SIDES].to_numpy(), boxes[drawn]
        common = area(np.concatenate([np.maximum(by_hand, cut)[:, :2], np.minimum(by_hand, cut)[:, 2:]], axis=1))
        held, overlap = common / area(by_hand), common / (area(by_hand) + area(cut) - common)
        print(
            f"  {drawn.sum()} by hand: box of the lungs held {held.mean():.3f} (least {held.min():.2f}), intersection over union "
            f"{overlap.mean():.3f} (of the whole picture {area(by_hand).mean():.3f}), whole kept {whole[drawn].sum()}"
        )


if __name__ == "__main__":
    main()
