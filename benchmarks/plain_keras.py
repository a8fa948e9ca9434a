"""The alternative: a plain Keras script that trains the same three frozen backbones and heads with `fit`.

It reads the records that `cxr ingest` wrote, decodes each image once (`cache`), prefetches, and does nothing else: no validation of
data, no evaluation, no export. Untrained weights, as in configuration `cpu`.

usage: python benchmarks/plain_keras.py RECORDS [--epochs 16] [--batch 16] [--size 224]
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
    """Yields batches of pictures in [0, 255] and one-hot labels; each picture is decoded once."""
    files = sorted(str(file) for file in (records / split).glob("*.tfrecord.gz"))
    spec = {"image": tf.io.FixedLenFeature([], tf.string), "label": tf.io.FixedLenFeature([], tf.string)}

    def parse(record: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        example = tf.io.parse_single_example(record, spec)
        image = tf.io.decode_image(example["image"], channels=3, expand_animations=False)
        image = tf.image.resize(image, [size, size], antialias=True)
        return image, tf.one_hot(tf.argmax(tf.equal(example["label"], class_names)), len(class_names))

    data = tf.data.TFRecordDataset(files, compression_type="GZIP").map(parse, num_parallel_calls=tf.data.AUTOTUNE).cache()
    return data.shuffle(1024, seed=0).batch(batch).prefetch(tf.data.AUTOTUNE)


def main() -> None:
    """Trains the three models and prints the seconds of every epoch as JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("records", type=Path)
    parser.add_argument("--epochs", type=int, default=16)
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--size", type=int, default=224)
    args = parser.parse_args()
    class_names = json.loads((args.records / "dataset.json").read_text(encoding="utf-8"))["class_names"]
    train, val = (read(args.records, split, class_names, args.size, args.batch) for split in ("train", "val"))
    seconds: dict[str, list[float]] = {}
    for name, (build, preprocess) in BACKBONES.items():
        keras.utils.set_random_seed(2021)
        backbone = build(include_top=False, weights=None, input_shape=(args.size, args.size, 3))
        backbone.trainable = False
        inputs = keras.Input((args.size, args.size, 3))
        features = keras.layers.GlobalAveragePooling2D()(backbone(preprocess(inputs), training=False))
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
