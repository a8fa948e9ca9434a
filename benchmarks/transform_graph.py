"""What it costs to decode through Transform's graph: images per second, beside the same function mapped directly.

Both are what a trainer does: a tf.data map in parallel. The two take turns; medians are printed.

usage: python benchmarks/transform_graph.py RECORDS [--size 224] [--rounds 5]

RECORDS is a folder that `cxr ingest` wrote. About 1 minute for 705 images on 2 cores.
"""

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from cxr.core import features
from cxr.pipeline.analysis import write_transform_graph
from cxr.trainer import inputs
from cxr.trainer.model_config import Augmentation
from cxr.trainer.preprocessing import decode_and_resize
from cxr.trainer.transform_graph import TransformGraph


def images_per_second(images: npt.NDArray[np.object_], decode: Callable[[tf.Tensor], tf.Tensor]) -> float:
    """Decodes every image once."""
    data = inputs.in_order(images, decode, augmentation=Augmentation()).batch(32)
    started = time.perf_counter()
    for _ in data:
        pass
    return len(images) / (time.perf_counter() - started)


def main() -> None:
    """Reads the records and measures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("records")
    parser.add_argument("--size", type=int, default=features.IMAGE_SIZE)
    parser.add_argument("--rounds", type=int, default=5)
    args = parser.parse_args()
    pattern = f"{args.records}/train/*.tfrecord.gz"
    with tempfile.TemporaryDirectory() as folder:
        names = features.CLASS_NAMES
        config = {"class_names": list(names), "image_size": args.size, "preprocessing": {}}
        write_transform_graph([pattern], folder, config)
        transform = TransformGraph(folder, names)
    images = inputs.read_split([pattern], transform).images

    def directly(encoded: tf.Tensor) -> tf.Tensor:
        return tf.repeat(decode_and_resize(encoded[tf.newaxis], args.size)[0], 3, axis=2)

    ways = {"Transform's graph": transform.image, "the same function": directly}
    speeds: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(args.rounds):
        for name, decode in ways.items():
            speeds[name].append(images_per_second(images, decode))
    graph, direct = (statistics.median(speeds[name]) for name in ways)
    for name, speed in speeds.items():
        print(f"{name:18} {statistics.median(speed):6.0f} images/s  ({min(speed):.0f} to {max(speed):.0f})")
    print(f"ratio              {graph / direct:6.2f}")


if __name__ == "__main__":
    main()
