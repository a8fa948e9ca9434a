"""Evaluation beside Keras's predict of the same network on the same images."""

from __future__ import annotations

import tempfile
from contextlib import ExitStack
from pathlib import Path

import tensorflow as tf

from bench.data import SPLIT, Data
from bench.row import FLOOR, Done, Round, Row, Side, timed
from cxr.core import beam_options, features
from cxr.core.places import split_folder
from cxr.trainer import artifact, decoded_images, splits
from cxr.trainer.encoded_images import EncodedImages
from cxr.trainer.model_config import Augmentation
from cxr.trainer.scoring import BATCH, SavedModel
from cxr.trainer.transform_graph import TransformGraph


def answers(data: Data, stack: ExitStack) -> Round:
    """As `cxr evaluate` asks a SavedModel, loaded: encoded images in, probabilities out."""
    model, images = SavedModel(artifact.serving_dir(str(data.model()))), _images(data)
    return lambda: timed(lambda: list(model.answers(range(len(images)), lambda number: images[number])), len(images))


def predict(data: Data, stack: ExitStack) -> Round:
    """model.predict, loaded."""
    import keras

    model = keras.models.load_model(artifact.keras_path(str(data.model())))
    images = _images(data)
    batches = decoded_images.in_order(images, _transform(data).image, augmentation=Augmentation()).batch(BATCH).prefetch(tf.data.AUTOTUNE)
    return lambda: timed(lambda: model.predict(batches, verbose=0), len(images))


def evaluator(data: Data, stack: ExitStack) -> Round:
    """The pipeline's node Evaluator: loads the model, reads the records, asks, makes figures with intervals in every slice, judges."""
    from tfx.components.evaluator.executor import Executor
    from tfx.components.util import tfxio_utils  # noqa: F401 (imported, not while it is measured)
    from tfx.dsl.components.base.base_beam_executor import BaseBeamExecutor
    from tfx.types import artifact_utils, standard_artifacts
    from tfx.utils import json_utils, proto_utils

    from cxr.pipeline.gate import Gate, eval_config
    from cxr.pipeline.schema import curated_schema, write_schema

    root = Path(stack.enter_context(tempfile.TemporaryDirectory(dir=data.folder)))
    (root / "examples").mkdir()
    split_folder(root / "examples", SPLIT).symlink_to(data.records() / SPLIT)
    schema = write_schema(curated_schema(features.CLASS_NAMES), root / "schema")
    count = len(_images(data))
    gate = Gate(split=SPLIT, min_accuracy=0, above_chance=False)

    def of(kind: type, place: Path) -> list:
        made = kind()
        made.uri = str(place)
        return [made]

    examples = of(standard_artifacts.Examples, root / "examples")
    examples[0].split_names = artifact_utils.encode_split_names([SPLIT])
    given = {
        "examples": examples,
        "model": of(standard_artifacts.Model, data.model()),
        "schema": of(standard_artifacts.Schema, schema if schema.is_dir() else schema.parent),
    }
    properties = {
        "eval_config": proto_utils.proto_to_json(eval_config(gate, "mobilenet", code_version="")),
        "example_splits": json_utils.dumps([SPLIT]),
    }

    def work() -> Done:
        with tempfile.TemporaryDirectory(dir=root) as folder:
            made = {
                "evaluation": of(standard_artifacts.ModelEvaluation, Path(folder) / "evaluation"),
                "blessing": of(standard_artifacts.ModelBlessing, Path(folder) / "blessing"),
            }
            context = BaseBeamExecutor.Context(beam_pipeline_args=[*beam_options.local(1)], tmp_dir=folder, unique_id="1")
            return timed(lambda: Executor(context).Do(given, made, properties), count)

    return work


def load_and_predict(data: Data, stack: ExitStack) -> Round:
    """load_model, then model.predict from the records; no figures."""
    import keras

    transform, path = _transform(data), artifact.keras_path(str(data.model()))
    pattern = f"{data.records()}/{SPLIT}/*"

    def work() -> None:
        model = keras.models.load_model(path)
        images = splits.read_split([pattern], transform).images
        model.predict(decoded_images.in_order(images, transform.image, augmentation=Augmentation()).batch(BATCH).prefetch(2), verbose=0)

    return lambda: timed(work, len(_images(data)))


def _transform(data: Data) -> TransformGraph:
    return TransformGraph(str(data.transform()), features.CLASS_NAMES)


def _images(data: Data) -> EncodedImages:
    return splits.read_split([f"{data.records()}/{SPLIT}/*"], _transform(data)).images


SCORING_ROW = Row(
    "scoring",
    "a loaded MobileNet asked about encoded images",
    "images/s",
    Data.model,
    Side("cxr evaluate: the SavedModel", answers),
    (Side("model.predict", predict, 0.9),),
)
EVALUATOR_ROW = Row(
    "evaluator",
    "from a model on disk to figures",
    "images/s",
    Data.model,
    Side("node Evaluator (TFMA)", evaluator),
    (Side("load_model and predict, no figures", load_and_predict, FLOOR),),
    warm_up=False,
)
