"""Fine-tuning on the device at hand: a step beside its arithmetic, how busy the input pipeline keeps it, what an export differs by.

usage: python benchmarks/gpu_steps.py RECORDS [--config full] [--models densenet201,mobilenet] [--steps 50] [--json FILE] [key=value …]

RECORDS is a folder that `cxr ingest` wrote, with a validation split. The floor of a step is its floating-point operations (those of the
forward pass, counted in the graph, times three: forward, gradients of features, gradients of weights) by the speed of a large matrix
product in the same precision. Busy is a step on the same batch again and again, by one on what the input pipeline yields.
The export is that of a head with one epoch, on features in the precision of the training; differences are means over the validation images.

It runs without a GPU too, in float32, as a test does in 20 seconds with tiny pictures; what it says then is of the CPU. On an H200 it takes
two to six minutes for a model, most of it tracing. Weights that are not there: defaults.weights=none.
"""

import argparse
import json
import math
import platform
import statistics
import tempfile
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from types import SimpleNamespace

import keras
import numpy as np
import tensorflow as tf
from rich.console import Console
from rich.table import Table
from trainer_settings import trainer_settings

from cxr.core import features
from cxr.core.places import records_in
from cxr.pipeline.analysis import write_transform_graph
from cxr.pipeline.pipeline_config import Config, load
from cxr.trainer import artifact, devices, image_epochs, predictions, splits
from cxr.trainer.export.trained_answers import GPU_TOLERANCE, MIXED_TOLERANCE, TOLERANCE
from cxr.trainer.fine_tuning import set_trainable
from cxr.trainer.model_config import FineTuning, Model, Stage
from cxr.trainer.models.assembly import assemble
from cxr.trainer.models.backbones import LAYER
from cxr.trainer.models.heads import build_head
from cxr.trainer.run_fn import run_fn
from cxr.trainer.stages import StageData, run_stage
from cxr.trainer.transform_graph import TransformGraph

BACKWARD = 2  # a convolution's gradients, of its input and of its kernel, cost as much as itself each
ASKED = 32  # images of one call


@dataclass(frozen=True)
class Measured:
    """What one model came to."""

    model: str
    precision: str
    batch_size: int
    floor: float  # seconds of a step, by arithmetic
    step: float  # seconds, on a batch that is decoded already
    fed: float  # seconds, with the input pipeline
    export_here: float  # mean difference of probabilities between training and SavedModel, on the same device
    export_cpu: float  # the same, the SavedModel on the CPU
    allowed: float  # by the export check

    @property
    def busy(self) -> float:
        """Share of the time with the input pipeline that the arithmetic needs."""
        return min(1.0, self.step / self.fed)


def device() -> str:
    """Returns the name of what is computed on."""
    names = [tf.config.experimental.get_device_details(gpu).get("device_name", gpu.name) for gpu in tf.config.list_physical_devices("GPU")]
    return ", ".join(names) or f"CPU ({platform.machine()}, {len(tf.config.list_logical_devices('CPU'))} device)"


def flops(model: keras.Model) -> int:
    """Counts the floating-point operations of a forward pass of one image; a multiplication and its addition are two."""
    spec = tf.TensorSpec([1, *model.input.shape[1:]])
    graph = tf.function(lambda image: model(image, training=False), autograph=False).get_concrete_function(spec).graph
    options = tf.compat.v1.profiler.ProfileOptionBuilder(tf.compat.v1.profiler.ProfileOptionBuilder.float_operation())
    return int(tf.compat.v1.profiler.profile(graph, options=options.with_empty_output().build()).total_float_ops)


def peak(dtype: str, size: int) -> float:
    """Measures floating-point operations per second of the product of two square matrices; the best of five."""
    matrix = tf.cast(tf.random.normal([size, size]), dtype)
    multiply = tf.function(lambda: tf.reduce_max(tf.linalg.matmul(matrix, matrix)), autograph=False)
    seconds = []
    for _ in range(6):
        begin = time.perf_counter()
        multiply().numpy()
        seconds.append(time.perf_counter() - begin)
    return 2 * size**3 / min(seconds[1:])


def step_seconds(model: Model, network: keras.Model, stage: FineTuning, data: tf.data.Dataset, steps: int) -> list[float]:
    """Trains; returns the seconds of a step in each epoch but the first, which traces."""
    rows = run_stage("steps", network, stage, model.loss, StageData(lambda _: data, steps, None)).rows
    return [row["seconds"] / steps for row in rows[1:]]


def steps_of(model: Model, transform: TransformGraph, train: splits.Split, wanted: int) -> tuple[str, int, float, float, float]:
    """Returns precision, batch size, and the seconds of floor, step on one batch, step with the pipeline."""
    tuning = model.fine_tuning or FineTuning()
    steps = image_epochs.steps_per_epoch(len(train), tuning.batch_size)
    each = 1 + math.ceil(wanted / steps)  # epochs, of which the first may wait for the pipeline to begin
    stage = tuning.model_copy(update={"epochs": 1 + 2 * each, "early_stopping": None, "reduce_on_plateau": None})
    precision = devices.precision(model.mixed_precision)
    with devices.computing_in(precision):
        assembly = assemble(model, transform.image_size)
        network = assembly.with_head(build_head(model.head, assembly.width, len(transform.class_names)))
        set_trainable(network.get_layer(LAYER), tuning.last_layers, from_scratch=False)
        dtype = keras.config.dtype_policy().compute_dtype
        arithmetic = (1 + BACKWARD) * flops(network) * stage.batch_size / peak(dtype, 8192 if devices.has_gpu() else 1024)
        order = image_epochs.EpochOrder(1 + each, stage.epochs, stage.batch_size, model.seed, full=True)
        fed = image_epochs.image_epochs(train, len(transform.class_names), transform.image, model.augmentation, order)
        decoded = tf.data.Dataset.from_tensors(next(iter(fed))).repeat((1 + each) * steps).prefetch(2)
        seconds = step_seconds(model, network, stage, decoded.concatenate(fed), steps)  # one after the other: tracing takes a minute
    return precision, stage.batch_size, arithmetic, statistics.median(seconds[:each]), statistics.median(seconds[each:])


def export_differences(name: str, config: Config, arguments: Mapping[str, object], val: splits.Split) -> tuple[float, float]:
    """Trains and exports as a run does; returns by how much the SavedModel differs from the training, here and on the CPU."""
    settings = trainer_settings(
        config.models[name].model_copy(update={"head_training": Stage(epochs=1), "fine_tuning": None}),
        name=name,
        class_names=list(config.class_names),
        preprocessing=config.preprocessing.model_dump(mode="json"),
        max_side=config.data.max_side,
    )
    with tempfile.TemporaryDirectory() as folder:
        places = {"serving_model_dir": artifact.serving_dir(f"{folder}/model"), "model_run_dir": f"{folder}/run"}
        run_fn(SimpleNamespace(**arguments, **places, custom_config=settings))
        trained = predictions.load(f"{folder}/model", "val").probabilities
        differences = []
        for place in (None, "CPU:0"):
            with tf.device(place):
                ask = tf.saved_model.load(artifact.serving_dir(f"{folder}/model")).signatures[features.SIGNATURE_BYTES]
                asked = [tf.constant(list(val.images[i : i + ASKED]), tf.string) for i in range(0, len(val), ASKED)]
                answers = np.concatenate([ask(**{features.SIGNATURE_BYTES: batch})[features.PROBABILITIES] for batch in asked])
            differences.append(float(np.mean(np.abs(answers - trained))))
    return differences[0], differences[1]


def measure(config: Config, records: Path, names: list[str], steps: int) -> list[Measured]:
    """Measures models of a configuration, one after the other."""
    found = []
    with tempfile.TemporaryDirectory() as folder:
        patterns = {split: records_in(f"{records}/{split}") for split in ("train", "val")}
        write_transform_graph([patterns["train"]], folder, config.transform_settings())
        transform = TransformGraph(folder, config.class_names)
        train, val = (splits.read_split([pattern], transform) for pattern in patterns.values())
        arguments = {"train_files": [patterns["train"]], "eval_files": [patterns["val"]], "transform_output": folder}
        for name in names:
            model = config.models[name]
            timed = steps_of(model, transform, train, steps)
            allowed = GPU_TOLERANCE if devices.has_gpu() else TOLERANCE
            exported = export_differences(name, config, arguments, val)
            found.append(Measured(name, *timed, *exported, allowed if timed[0] == devices.FLOAT32 else MIXED_TOLERANCE))
    return found


def main() -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("records", type=Path)
    parser.add_argument("overrides", nargs="*", metavar="key=value")
    parser.add_argument("--config", default="full")
    parser.add_argument("--models", help="comma-separated; all of the configuration where not given")
    parser.add_argument("--steps", type=int, default=50, help="measured, at least")
    parser.add_argument("--json", type=Path, help="file for the figures")
    options = parser.parse_intermixed_args()
    config = load(options.config, options.overrides)
    names = options.models.split(",") if options.models else list(config.models)
    if unknown := set(names) - set(config.models):
        parser.error(f"--models {min(unknown)}: not one of {', '.join(config.models)}")
    found = measure(config, options.records, names, options.steps)
    table = Table(title=f"fine-tuning on {device()}")
    for heading in (
        "model",
        "precision",
        "batch",
        "floor",
        "step",
        "of the floor",
        "with input",
        "busy",
        "export here",
        "on CPU",
        "allowed",
    ):
        table.add_column(heading)
    for one in found:
        times = [f"{1000 * seconds:.1f} ms" for seconds in (one.floor, one.step)]
        fed = [f"{one.step / one.floor:.1f}", f"{1000 * one.fed:.1f} ms", f"{one.busy:.0%}"]
        exported = [f"{one.export_here:.2g}", f"{one.export_cpu:.2g}", f"{one.allowed:g}"]
        table.add_row(one.model, one.precision, str(one.batch_size), *times, *fed, *exported)
    Console().print(table)
    if options.json:
        figures = [{**asdict(one), "busy": one.busy} for one in found]
        options.json.write_text(json.dumps({"device": device(), "models": figures}, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
