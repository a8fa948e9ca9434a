"""Which batch normalisation statistics serve a random backbone best, by five folds of patients; the test split is never read.

For each model of a configuration and each value of `bn_recalibration`: features of the training and validation images are computed once,
then the configuration's own head is trained five times, each time without the patients of one fold (a sixth part of the others stops it
early), and asked about them. Statistics are taken from images alone, labels play no part in them, so they are measured once on all images.

usage: python benchmarks/bn_recalibration.py RECORDS [--config cpu] [--folds 5] [--models NAME …]

RECORDS is a folder that `cxr ingest` wrote. About 15 minutes for 834 images at 224×224 on 2 cores.
"""

import argparse
import glob
import tempfile
from collections.abc import Sequence
from typing import get_args

import keras
import numpy as np
import tensorflow as tf
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import balanced_accuracy_score
from sklearn.model_selection import StratifiedGroupKFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from cxr.core import features
from cxr.core.figures import Answers, Measure
from cxr.core.intervals import Interval, bootstrap_interval
from cxr.core.resampling import resampled
from cxr.pipeline.analysis import write_transform_graph
from cxr.pipeline.pipeline_config import Config, load
from cxr.trainer import inputs
from cxr.trainer.cached_features import BatchedModel
from cxr.trainer.model_config import Augmentation, Model, Stage
from cxr.trainer.models import bn_recalibration
from cxr.trainer.models.assembly import assemble
from cxr.trainer.models.heads import build_head
from cxr.trainer.stages import StageData, run_stage
from cxr.trainer.transform_graph import TransformGraph

READ = ("train", "val")


def patients_of(files: list[str]) -> dict[str, str]:
    """Returns the patient's pseudonym of each content hash."""
    spec = {key: tf.io.FixedLenFeature([], tf.string) for key in (features.CONTENT_HASH, features.PATIENT_ID)}
    parsed = (tf.io.parse_single_example(record, spec) for record in tf.data.TFRecordDataset(files, "GZIP"))
    return {row[features.CONTENT_HASH].numpy().decode(): row[features.PATIENT_ID].numpy().decode() for row in parsed}


def features_of(model: Model, images: inputs.Split, transform: TransformGraph) -> np.ndarray:
    """Returns the pooled features, float32 [images, width], of a backbone with the statistics that the model asks for."""
    keras.utils.set_random_seed(model.seed)
    assembly = assemble(model, transform.image_size)
    network = assembly.backbone.network
    chosen = np.random.default_rng(model.seed).permutation(len(images))[: bn_recalibration.MAX_IMAGES]
    data = inputs.in_order(images.images[chosen], transform.image, augmentation=Augmentation()).batch(
        bn_recalibration.BATCH, drop_remainder=True
    )
    if model.bn_recalibration == "per_layer":
        bn_recalibration.recalibrate_layers(assembly.extractor, network, next(iter(data)))
    elif model.bn_recalibration == "per_channel":
        bn_recalibration.recalibrate_channels(assembly.extractor, network, data, len(chosen) // bn_recalibration.BATCH)

    def every(first: int) -> tf.data.Dataset:
        return inputs.in_order(images.images, transform.image, augmentation=Augmentation(), first=first)

    return BatchedModel(assembly.extractor).all(every, len(images), model.backbone)


def fold_predictions(model: Model, table: np.ndarray, labels: np.ndarray, patients: np.ndarray, classes: int, folds: int) -> np.ndarray:
    """Returns the class that a head trained on the other folds predicts for each image, int [images]."""
    stage = model.head_training or Stage()
    predicted = np.empty(len(labels), int)
    eye = np.eye(classes, dtype=np.float32)
    for rest, held_out in StratifiedGroupKFold(folds, shuffle=True, random_state=0).split(table, labels, patients):
        inner = StratifiedGroupKFold(6, shuffle=True, random_state=0).split(table[rest], labels[rest], patients[rest])
        train, stop = (rest[part] for part in next(inner))
        keras.utils.set_random_seed(model.seed)
        head = build_head(model.head, table.shape[1], classes, table[train])

        def epochs_from(first: int, train: np.ndarray = train) -> tf.data.Dataset:
            order = inputs.Order(first, stage.epochs, stage.batch_size, model.seed)
            return inputs.feature_epochs(table[train][np.newaxis], labels[train], classes, order)

        validation = tf.data.Dataset.from_tensor_slices((table[stop], eye[labels[stop]])).batch(256)
        run_stage("head", head, stage, model.loss, StageData(epochs_from, inputs.steps_per_epoch(len(train), stage.batch_size), validation))
        predicted[held_out] = head.predict(table[held_out], batch_size=256, verbose=0).argmax(axis=1)
    return predicted


def logistic_predictions(table: np.ndarray, labels: np.ndarray, patients: np.ndarray, folds: int) -> np.ndarray:
    """The same folds with scikit-learn's logistic regression, which has nothing to stop early."""
    predicted = np.empty(len(labels), int)
    for rest, held_out in StratifiedGroupKFold(folds, shuffle=True, random_state=0).split(table, labels, patients):
        fitted = make_pipeline(StandardScaler(), LogisticRegression(C=0.001, max_iter=2000)).fit(table[rest], labels[rest])
        predicted[held_out] = fitted.predict(table[held_out])
    return predicted


def interval(predicted: np.ndarray, labels: np.ndarray, patients: np.ndarray, classes: int) -> Interval:
    """Returns the 95 % interval of the accuracy by bootstrap over patients."""
    answers = Answers(np.unique(patients, return_inverse=True)[1], labels, np.eye(classes)[predicted])
    return bootstrap_interval(np.concatenate([part.accuracy for part in resampled(answers, Measure(answers, bins=1))]))


def report(config: Config, names: Sequence[str], images: inputs.Split, transform: TransformGraph, patients: np.ndarray, folds: int) -> None:
    """Prints one line per model and kind of statistics."""
    for name in names:
        model = config.models[name]
        for kind in get_args(Model.model_fields["bn_recalibration"].annotation):
            chosen = model.model_copy(update={"bn_recalibration": kind})
            table = features_of(chosen, images, transform)
            predicted = fold_predictions(chosen, table, images.labels, patients, len(config.class_names), folds)
            within = interval(predicted, images.labels, patients, len(config.class_names))
            logistic = np.mean(logistic_predictions(table, images.labels, patients, folds) == images.labels)
            mark = " (as configured)" if kind == model.bn_recalibration else ""
            print(
                f"{name:15} {kind:12} accuracy {np.mean(predicted == images.labels):.3f} ({within})  "
                f"balanced {balanced_accuracy_score(images.labels, predicted):.3f}  logistic regression {logistic:.3f}{mark}",
                flush=True,
            )
            keras.backend.clear_session()


def main() -> None:
    """Reads the records and measures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("records")
    parser.add_argument("--config", default="cpu")
    parser.add_argument("--folds", type=int, default=5)
    parser.add_argument("--models", nargs="*", help="only these of the configuration")
    args = parser.parse_args()
    config = load(args.config)
    patterns = [f"{args.records}/{split}/*.tfrecord.gz" for split in READ]
    with tempfile.TemporaryDirectory() as folder:
        shared = {"class_names": list(config.class_names), "image_size": config.image_size}
        write_transform_graph(patterns, folder, {**shared, "preprocessing": config.preprocessing.model_dump(mode="json")})
        transform = TransformGraph(folder, config.class_names)
    images = inputs.read_split(patterns, transform)
    patient = patients_of([file for pattern in patterns for file in sorted(glob.glob(pattern))])
    patients = np.array([patient[content] for content in images.content_hash])
    print(f"{len(images)} images of {len(set(patients))} patients, {args.folds} folds by patient; the test split is not read", flush=True)
    report(config, args.models or tuple(config.models), images, transform, patients, args.folds)


if __name__ == "__main__":
    main()
