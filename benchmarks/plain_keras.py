"""The alternative: a plain Keras script that trains the same three frozen backbones and heads with `fit`.

It reads the records that `cxr ingest` wrote, decodes each image once (`cache`), prefetches, and does nothing else: no validation of
data, no evaluation, no export. Untrained weights, as in configuration `cpu`.

With `--passes` it trains nothing, and measures one pass of all images through each backbone, building and tracing left out: what no
pipeline can do without.

usage: python benchmarks/plain_keras.py RECORDS [--epochs 16] [--batch 16] [--size 224] [--passes]
"""

import argparse
import json
import time
from pathlib import Path

import keras
import tensorflow as tf

BACKBONES = {
    "densenet201": (keras.applications.DenseNet201, keras.applications.densenet.preprocess_input),
    "efficientnetb7": (keras.applications.EfficientNetB7, keras.applications.efficientnet.preprocess_input),
    "mobilenet": (keras.applications.MobileNet, keras.applications.mobilenet.preprocess_input),
}


def read(records: Path, split: str, class_names: list[str], size: int, batch: int) -> tf.data.Dataset:
    """Yields batches of pictures in [0, 255] and one-hot labels; each picture is decoded once. `split` may be a pattern."""
    files = sorted(str(file) for file in records.glob(f"{split}/*.tfrecord.gz"))
    spec = {"image": tf.io.FixedLenFeature([], tf.string), "label": tf.io.FixedLenFeature([], tf.string)}

    def parse(record: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        example = tf.io.parse_single_example(record, spec)
        image = tf.io.decode_image(example["image"], channels=3, expand_animations=False)
        image = tf.image.resize(image, [size, size], antialias=True)
        return image, tf.one_hot(tf.argmax(tf.equal(example["label"], class_names)), len(class_names))

    data = tf.data.TFRecordDataset(files, compression_type="GZIP").map(parse, num_parallel_calls=tf.data.AUTOTUNE).cache()
    return data.shuffle(1024, seed=0).batch(batch).prefetch(tf.data.AUTOTUNE)


def frozen(name: str, size: int) -> tuple[keras.KerasTensor, keras.KerasTensor]:
    """Returns the input and the pooled features of a backbone that does not learn."""
    build, preprocess = BACKBONES[name]
    keras.utils.set_random_seed(2021)
    backbone = build(include_top=False, weights=None, input_shape=(size, size, 3))
    backbone.trainable = False
    inputs = keras.Input((size, size, 3))
    return inputs, keras.layers.GlobalAveragePooling2D()(backbone(preprocess(inputs), training=False))


def passes(data: tf.data.Dataset, size: int) -> dict[str, float]:
    """Returns the seconds that one pass of all images takes in each backbone, decoded before."""
    pictures = data.map(lambda image, label: image)
    print(f"{sum(1 for _ in pictures)} batches", flush=True)  # decodes them all
    seconds = {}
    for name in BACKBONES:
        model = keras.Model(*frozen(name, size))
        model.predict(pictures.take(1), verbose=0)  # traces
        began = time.monotonic()
        model.predict(pictures, verbose=0)
        seconds[name] = time.monotonic() - began
        print(f"{name}: one pass {seconds[name]:.1f} s", flush=True)
        keras.backend.clear_session()
    return seconds


def main() -> None:
    """Trains the three models and prints the seconds of every epoch as JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("records", type=Path)
    parser.add_argument("--epochs", type=int, default=16)
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--size", type=int, default=224)
    parser.add_argument("--passes", action="store_true", help="measure one pass through each backbone instead")
    args = parser.parse_args()
    class_names = json.loads((args.records / "dataset.json").read_text(encoding="utf-8"))["class_names"]
    if args.passes:
        print(json.dumps({"pass_seconds": passes(read(args.records, "*", class_names, args.size, args.batch), args.size)}))
        return
    train, val = (read(args.records, split, class_names, args.size, args.batch) for split in ("train", "val"))
    seconds: dict[str, list[float]] = {}
    for name in BACKBONES:
        inputs, features = frozen(name, args.size)
        model = keras.Model(inputs, keras.layers.Dense(len(class_names), activation="softmax")(features))
        model.compile(optimizer=keras.optimizers.Adam(1e-3), loss="categorical_crossentropy", metrics=["accuracy"])
        for _ in range(args.epochs):
            begin = time.monotonic()
            model.fit(train, validation_data=val, epochs=1, verbose=0)
            seconds.setdefault(name, []).append(time.monotonic() - begin)
            print(f"{name}: epoch {len(seconds[name])}/{args.epochs} {seconds[name][-1]:.1f} s", flush=True)
        keras.backend.clear_session()
    print(json.dumps({"epoch_seconds": seconds}))


if __name__ == "__main__":
    main()
