"""What a model answered to each image, as a TFMA metric: for looking at single errors, where `classification` gives figures only."""

from __future__ import annotations

from array import array
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import tensorflow_model_analysis as tfma
from tensorflow_model_analysis.metrics import metric_types, metric_util
from tensorflow_model_analysis.proto import config_pb2

from cxr.components.metrics import names
from cxr.components.metrics.merging import MergingCombiner
from cxr.core import features, fingerprints

NO_IMAGE = 0  # number of an example without a content hash: its answer cannot be shown, which is no reason to stop an evaluation


class ImageAnswers(tfma.metrics.Metric):
    """Each example's image, label and probabilities, in arrays (names.ANSWERED_IMAGES and the two after it).

    An image is known by a number made of its content hash: who has the records finds the picture, nobody finds a path or a patient.
    Labels and predictions are those that `ClassificationMetrics` takes.
    """

    def __init__(self, classes: int, code_version: str = "", name: str = "image_answers"):
        """Sets what TFMA writes into, and builds again from, EvalConfig's JSON.

        Args:
            classes: how many probabilities a prediction has.
            code_version: not read; in EvalConfig it keeps TFX's cache from answering with what other code wrote.
            name: TFMA wants one; it shows up in no output.
        """
        super().__init__(metric_util.merge_per_key_computations(_computations), classes=classes, code_version=code_version, name=name)


def image_number(content_hash: bytes | str) -> int:
    """Returns the number that stands for an image: eight bytes, signed.

    Args:
      content_hash: feature CONTENT_HASH.
    """
    return int.from_bytes(fingerprints.of_image(content_hash), "little", signed=True)


@dataclass
class Answered:
    """The examples so far, packed. Mergeable."""

    images: array[int] = field(default_factory=lambda: array("q"))
    labels: array[int] = field(default_factory=lambda: array("q"))
    probabilities: array[float] = field(default_factory=lambda: array("f"))

    def merge(self, other: Answered) -> None:
        """Adds another one's examples."""
        self.images += other.images
        self.labels += other.labels
        self.probabilities += other.probabilities

    def sorted(self, classes: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Returns images, labels (int64 [examples]) and probabilities (float32 [examples, classes]), whatever order they came in."""
        images, labels = np.array(self.images, np.int64), np.array(self.labels, np.int64)
        probabilities = np.array(self.probabilities, np.float32).reshape(-1, classes)
        order = np.lexsort((*probabilities.T, labels, images))
        return images[order], labels[order], probabilities[order]


class AnswersCombiner(MergingCombiner[Answered]):
    """Collects a slice's examples."""

    def __init__(self, classes: int, eval_config: config_pb2.EvalConfig | None, model_name: str, output_name: str):
        self._classes = classes
        self._eval_config = eval_config
        self._model_name = model_name
        self._output_name = output_name

    def create_accumulator(self) -> Answered:
        """Returns none."""
        return Answered()

    def add_input(self, accumulator: Answered, element: metric_types.StandardMetricInputs) -> Answered:
        """Adds one example."""
        for label, prediction, _ in metric_util.to_label_prediction_example_weight(
            element, eval_config=self._eval_config, model_name=self._model_name, output_name=self._output_name, flatten=False
        ):
            accumulator.images.append(_number(element))
            accumulator.labels.append(int(np.asarray(label).reshape(-1)[0]))
            accumulator.probabilities.extend(np.asarray(prediction, np.float32).reshape(-1).tolist())
        return accumulator

    def extract_output(self, accumulator: Answered) -> dict[metric_types.MetricKey, Any]:
        """Returns the arrays, which TFMA writes as ArrayValue."""
        found = accumulator.sorted(self._classes)
        keys = (names.ANSWERED_IMAGES, names.ANSWERED_LABELS, names.ANSWERED_PROBABILITIES)
        return {
            metric_types.MetricKey(name=name, model_name=self._model_name, output_name=self._output_name, example_weighted=None): values
            for name, values in zip(keys, found, strict=True)
        }


def _computations(
    classes: int,
    code_version: str,
    name: str,
    eval_config: config_pb2.EvalConfig | None = None,
    model_name: str = "",
    output_name: str = "",
) -> metric_types.MetricComputations:
    key = metric_types.MetricKey(name=name, model_name=model_name, output_name=output_name)
    combiner = AnswersCombiner(classes, eval_config, model_name, output_name)
    return [
        metric_types.MetricComputation(
            keys=[key], preprocessors=[metric_types.FeaturePreprocessor([features.CONTENT_HASH])], combiner=combiner
        )
    ]


def _number(element: metric_types.StandardMetricInputs) -> int:
    found = np.asarray((element.features or {}).get(features.CONTENT_HASH, [])).reshape(-1)
    return image_number(found[0]) if len(found) else NO_IMAGE
