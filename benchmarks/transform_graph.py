"""What it costs to decode through Transform's graph: images per second, beside the same function mapped directly.

Both are what a trainer does: a tf.data map in parallel. The two take turns in going first; medians are printed.

usage: python benchmarks/transform_graph.py RECORDS [--size 224] [--rounds 20]

RECORDS is a folder that `cxr ingest` wrote. About 3 minutes for 705 images on 2 cores.
"""

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable
from typing import NamedTuple

import tensorflow as tf

from cxr.core import features
from cxr.pipeline.analysis import write_transform_graph
from cxr.trainer import inputs
from cxr.trainer.encoded_images import EncodedImages
from cxr.trainer.model_config import Augmentation
from cxr.trainer.preprocessing import decode_and_resize
from cxr.trainer.transform_graph import TransformGraph


class Pace(NamedTuple):
    """How fast every image was decoded once."""

    images_per_second: float
    cpu_milliseconds: float  # per image, of all threads


def decode_all(images: EncodedImages, decode: Callable[[tf.Tensor], tf.Tensor]) -> Pace:
    """Decodes every image once."""
    data = inputs.in_order(images, decode, augmentation=Augmentation()).batch(32)
    started, used = time.perf_counter(), time.process_time()
    for _ in data:
        pass
    return Pace(len(images) / (time.perf_counter() - started), 1000 * (time.process_time() - used) / len(images))


def main() -> None:
    """Reads the records and measures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("records")
    parser.add_argument("--size", type=int, default=features.IMAGE_SIZE)
    parser.add_argument("--rounds", type=int, default=20)
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
    paces: dict[str, list[Pace]] = {name: [] for name in ways}
    for number in range(args.rounds):
        for name in list(ways)[:: 1 if number % 2 else -1]:  # neither always comes first
            paces[name].append(decode_all(images, ways[name]))
    for name, found in paces.items():
        speed, cpu = (statistics.median(values) for values in zip(*found, strict=True))
        speeds = [pace.images_per_second for pace in found]
        print(f"{name:18} {speed:4.0f} images/s ({min(speeds):.0f} to {max(speeds):.0f}), {cpu:.2f} ms of CPU per image")
    graph, direct = (statistics.median(pace.images_per_second for pace in paces[name]) for name in ways)
    print(f"ratio of the speeds {graph / direct:.2f}")


if __name__ == "__main__":
    main()
