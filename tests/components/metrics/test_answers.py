from __future__ import annotations

import json

import apache_beam as beam
import numpy as np
from apache_beam.testing.util import assert_that
from tensorflow_model_analysis.metrics import metric_specs
from tensorflow_model_analysis.metrics.metric_types import MetricKey, StandardMetricInputs
from tensorflow_model_analysis.proto import config_pb2

from cxr.components.metrics import names
from cxr.components.metrics.answers import NO_IMAGE, image_number
from cxr.core import beam_options, features
from cxr.trainer.training_data import image_keys

ARRAYS = (names.ANSWERED_IMAGES, names.ANSWERED_LABELS, names.ANSWERED_PROBABILITIES)


def computation() -> metric_specs.metric_types.MetricComputation:
    metric = config_pb2.MetricConfig(
        class_name="ImageAnswers", module="cxr.components.metrics.answers", config=json.dumps({"classes": 2, "code_version": "1"})
    )
    eval_config = config_pb2.EvalConfig(
        model_specs=[config_pb2.ModelSpec(prediction_key="probabilities", label_key="label_index")],
        metrics_specs=[config_pb2.MetricsSpec(metrics=[metric])],
    )
    (only,) = metric_specs.to_computations(eval_config.metrics_specs, eval_config)
    return only


def inputs(content_hash: bytes | None, label: int, probabilities: list[float]) -> StandardMetricInputs:
    given = {"labels": np.array([label]), "predictions": {"probabilities": np.array(probabilities)}}
    return StandardMetricInputs(**given, features={} if content_hash is None else {features.CONTENT_HASH: np.array([content_hash])})


def test_images_labels_and_probabilities_stay_together_through_beam() -> None:
    given = {image_number(f"{n:x}"): (n % 2, [n / 8, 1 - n / 8]) for n in range(8)}
    examples = [inputs(f"{n:x}".encode(), n % 2, [n / 8, 1 - n / 8]) for n in range(8)]

    def check(found: list[dict]) -> None:
        (result,) = found
        images, labels, probabilities = (result[MetricKey(name, example_weighted=None)].tolist() for name in ARRAYS)
        assert images == sorted(given)
        assert dict(zip(images, zip(labels, probabilities, strict=True), strict=True)) == given

    with beam.Pipeline(argv=list(beam_options.local(1))) as pipeline:
        assert_that(pipeline | beam.Create(examples) | beam.CombineGlobally(computation().combiner), check)


def test_the_order_of_the_parts_does_not_matter() -> None:
    combiner = computation().combiner
    parts = []
    for examples in ([(b"a", 0, [0.9, 0.1]), (b"b", 1, [0.9, 0.1])], [(b"a", 0, [0.8, 0.2])]):
        parts.append(combiner.create_accumulator())
        for example in examples:
            combiner.add_input(parts[-1], inputs(*example))
    results = [combiner.extract_output(combiner.merge_accumulators(order)) for order in (parts, parts[::-1])]
    for name in ARRAYS:
        one, other = (result[MetricKey(name, example_weighted=None)] for result in results)
        np.testing.assert_array_equal(one, other)
        assert len(one) == 3


def test_the_number_is_that_of_the_training_images() -> None:
    assert np.int64(image_number("abc")).view(np.uint64) == image_keys(["abc"])[0]
    assert image_number(b"abc") == image_number("abc")


def test_an_example_without_a_content_hash_stops_nothing() -> None:
    combiner = computation().combiner
    accumulator = combiner.create_accumulator()
    for content_hash in (b"a", None):
        combiner.add_input(accumulator, inputs(content_hash, 0, [1, 0]))
    found = combiner.extract_output(accumulator)[MetricKey(names.ANSWERED_IMAGES, example_weighted=None)]
    assert set(found.tolist()) == {image_number("a"), NO_IMAGE}
