"""The embedded server beside the SavedModel called in the same process: images/s at saturation, latency at half that load, payloads.

Targets: at least 0.9 of the best images/s in process, for mobilenet and ensemble; p99 below 3 times p50 at half the saturation load.
Server and clients share the machine, as on a laptop; the in-process numbers have it for themselves.

`make bench` has images/s at saturation beside those in process, in turns; here is the rest.

usage: python benchmarks/serving.py [MODELS_DIR] [--models mobilenet ensemble] [--seconds 20] [--json FILE]
       python benchmarks/serving.py --build DIR      writes models of the real architectures with untrained weights first (minutes)
MODELS_DIR is what the Pusher pushed into: <model>/<version>/saved_model.pb. Takes about 3 minutes per model.
"""

import argparse
import json
from collections.abc import Callable
from pathlib import Path

from bench.rows.serving import BATCHES, LEAST, START_SECONDS, InProcess, saturated
from rich.console import Console
from rich.table import Table

from cxr.core import features
from cxr.serving.client.bench import Result
from cxr.serving.client.bench_table import table
from cxr.serving.client.connection import Connection
from cxr.serving.client.models import Target, metadata
from cxr.serving.client.payloads import payload, pictures
from cxr.serving.models_config import versions_in
from cxr.serving.server.process import start_server

PER_REQUEST = (1, 8)  # images per request at saturation
MAX_SPREAD = 3.0


def in_process(path: Path, images: list[bytes], seconds: float) -> dict[int, float]:
    """Calls the loaded image_bytes signature in this process, one call after the other; returns images/s by batch size."""
    model = InProcess(path, images)
    try:
        return {batch: model.rate(batch, seconds) for batch in BATCHES}
    finally:
        model.close()


def served(base: Path, images: list[bytes], seconds: float) -> dict[str, list[Result]]:
    """Measures a server in a process of its own."""
    target = Target(base.name)
    with start_server({base.name: base}, START_SECONDS) as server, Connection(server.address) as connection:
        described = metadata(connection, target, timeout=60)

        def run(signature: str, batch: int, seconds: float, rate: float = 0.0) -> Result:
            return saturated(connection, payload(signature, images, batch, target, described), batch, seconds, base.name, rate)

        full = [run(features.SIGNATURE_BYTES, batch, seconds) for batch in PER_REQUEST]
        half = run(features.SIGNATURE_BYTES, 1, 2 * seconds, max(result.images_per_second for result in full) / 2)
        tensors = run(features.SIGNATURE_TENSOR, 8, seconds)
    return {"saturation": full, "half load": [half], "float tensors": [tensors]}


def build(folder: Path, names: list[str]) -> None:
    """Writes models with untrained weights: the real architectures at 224 x 224, signatures image_bytes and image_tensor."""
    import keras
    import tensorflow as tf

    def backbone(make: Callable[..., keras.Model]) -> keras.Model:
        pooled = make(weights=None, include_top=False, input_shape=(features.IMAGE_SIZE, features.IMAGE_SIZE, 3), pooling="avg")
        return keras.Model(pooled.input, keras.layers.Dense(len(features.CLASS_NAMES), activation="softmax")(pooled.output))

    apps = keras.applications
    members = {"mobilenet": apps.MobileNet, "densenet201": apps.DenseNet201, "efficientnetb7": apps.EfficientNetB7}
    for name in names:
        chosen = members.values() if name == features.ENSEMBLE else [members[name]]
        models = [backbone(make) for make in chosen]

        class Served(tf.Module):
            def __init__(self, models: list[keras.Model]):
                self.models = models
                self.values = [variable.value for model in models for variable in model.variables]

            @tf.function(input_signature=[tf.TensorSpec([None, features.IMAGE_SIZE, features.IMAGE_SIZE, 3], tf.float32)])
            def image_tensor(self, image_tensor: tf.Tensor) -> dict[str, tf.Tensor]:
                return {features.PROBABILITIES: tf.add_n([model(image_tensor, training=False) for model in self.models]) / len(self.models)}

            @tf.function(input_signature=[tf.TensorSpec([None], tf.string)])
            def image_bytes(self, image_bytes: tf.Tensor) -> dict[str, tf.Tensor]:
                def one(image: tf.Tensor) -> tf.Tensor:
                    pixels = tf.cast(tf.io.decode_image(image, channels=3, expand_animations=False), tf.float32) / 255.0
                    return tf.image.resize(pixels, [features.IMAGE_SIZE, features.IMAGE_SIZE], antialias=True)

                return self.image_tensor(tf.map_fn(one, image_bytes, fn_output_signature=tf.float32))

        served = Served(models)
        signatures = {features.SIGNATURE_BYTES: served.image_bytes, features.SIGNATURE_TENSOR: served.image_tensor}
        tf.saved_model.save(served, str(folder / name / "1"), signatures=signatures)


def main() -> None:
    """Runs the benchmark and prints its tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models_dir", type=Path, nargs="?", help="such as workspace/cpu/serving_models; not needed with --build")
    parser.add_argument("--models", nargs="+", default=["mobilenet", features.ENSEMBLE])
    parser.add_argument("--images", type=Path, help="folder of images; default: made-up ones")
    parser.add_argument("--seconds", type=float, default=20.0, help="per measurement")
    parser.add_argument("--build", type=Path, help="write untrained models here and measure those")
    parser.add_argument("--json", type=Path, help="write all numbers here")
    arguments = parser.parse_args()
    if (arguments.models_dir is None) == (arguments.build is None):
        parser.error("name the folder of pushed models, or a folder to --build some in")
    if arguments.build:
        build(arguments.build, [name for name in arguments.models if not (arguments.build / name).exists()])
        arguments.models_dir = arguments.build
    console, images, numbers = Console(), pictures(arguments.images), {}
    if not console.is_terminal:
        console.width = 160
    summary = Table(title="Embedded server beside the same model called in process", title_justify="left")
    for heading in ("model", "in process, images/s (batch)", "served, images/s", "ratio", "p50 ms at half load", "p99 ms", "p99 / p50"):
        summary.add_column(heading, justify="left" if heading == "model" else "right")
    for name in arguments.models:
        base = arguments.models_dir / name
        alone = in_process(base / str(versions_in(base)[-1]), images, arguments.seconds / 2)
        results = served(base, images, arguments.seconds)
        batch, best = max(alone.items(), key=lambda item: item[1])
        top, half = max(r.images_per_second for r in results["saturation"]), results["half load"][0]
        ratio, spread = top / best, half.p99 / half.p50
        summary.add_row(
            name,
            f"{best:.1f} ({batch})",
            f"{top:.1f}",
            f"[{'green' if ratio >= LEAST else 'red'}]{ratio:.2f}",
            f"{half.p50 * 1e3:.1f}",
            f"{half.p99 * 1e3:.1f}",
            f"[{'green' if spread < MAX_SPREAD else 'red'}]{spread:.2f}",
        )
        numbers[name] = {"in_process": alone, **{key: [r.to_json() for r in found] for key, found in results.items()}}
        console.print(f"{name} in process, images/s by batch: " + ", ".join(f"{b}: {rate:.1f}" for b, rate in alone.items()))
        for key, found in results.items():
            console.print(table(f"{name}, {key}", found))
    console.print(summary)
    if arguments.json:
        arguments.json.write_text(json.dumps(numbers, indent=1), encoding="utf-8")


if __name__ == "__main__":
    main()
