from __future__ import annotations

import json
from typing import Any

import apache_beam as beam
import numpy as np
import pytest
from apache_beam.testing.util import assert_that
from tensorflow_model_analysis.metrics import metric_specs
from tensorflow_model_analysis.metrics.metric_types import MetricKey, StandardMetricInputs, SubKey
from tensorflow_model_analysis.proto import config_pb2

from cxr.components.metrics import names
from cxr.components.metrics.classification import ClassificationMetrics, _changes
from cxr.core import beam_options
from cxr.core.figure_table import ACCURACY, LOG_LOSS, PRECISION, RECALL
from cxr.core.intervals import Z
from cxr.core.resampling import DRAWS

CLASS_NAMES = ["covid19", "pneumonia", "normal"]


def inputs(label: int, probabilities: list[float], **features: np.ndarray) -> StandardMetricInputs:
    given = {"labels": np.array([label]), "predictions": {"probabilities": np.array(probabilities)}}
    return StandardMetricInputs(**given, features=features)


def config(models: list[str]) -> config_pb2.EvalConfig:
    metric = config_pb2.MetricConfig(
        class_name="ClassificationMetrics",
        module="cxr.components.metrics.classification",
        config=json.dumps({names.CLASS_NAMES: CLASS_NAMES, "calibration_bins": 5}),
    )
    return config_pb2.EvalConfig(
        model_specs=[config_pb2.ModelSpec(name=model, prediction_key="probabilities", label_key="label_index") for model in models],
        metrics_specs=[config_pb2.MetricsSpec(metrics=[metric], model_names=models)],
    )


def test_built_from_the_configuration_one_computation_per_model() -> None:
    eval_config = config(["candidate", "baseline"])
    computations = metric_specs.to_computations(eval_config.metrics_specs, eval_config)
    assert len(computations) == len(set(computations)) == 2


def test_names_and_values_through_beam() -> None:
    eval_config = config([""])
    (computation,) = metric_specs.to_computations(eval_config.metrics_specs, eval_config)
    examples = [
        inputs(0, [0.6, 0.4, 0.0], patient_id=np.array([b"0"])),
        inputs(0, [0.2, 0.1, 0.7], patient_id=np.array([b"0"])),
        inputs(2, [0.1, 0.2, 0.7], patient_id=np.array([b"1"])),
        inputs(1, [0.2, 0.7, 0.1], patient_id=np.array([b"1"])),
    ]
    with beam.Pipeline(argv=list(beam_options.local(1))) as pipeline:

        def check(found: list[dict]) -> None:
            (result,) = found
            assert result[MetricKey(names.EXAMPLE_COUNT, example_weighted=None)] == 4
            assert result[MetricKey(names.PATIENT_COUNT, example_weighted=None)] == 2
            assert result[MetricKey(ACCURACY, example_weighted=None)] == 0.75
            assert result[MetricKey(RECALL, sub_key=SubKey(class_id=0), example_weighted=None)] == 0.5
            assert result[MetricKey(PRECISION, sub_key=SubKey(class_id=2), example_weighted=None)] == 0.5
            expected = [[1, 0, 1, 0], [0, 1, 0, 0], [0, 0, 1, 0]]  # rows: true classes
            assert result[MetricKey(names.CONFUSION_MATRIX, example_weighted=None)].tolist() == expected
            assert result[MetricKey(names.CALIBRATION_BINS, example_weighted=None)].shape == (5, 3)
            assert result[MetricKey(names.PATIENTS, example_weighted=None)].tolist() == [[1, 1, 1], [1, 1, 2]]
            draws = result[MetricKey(names.DRAWS, example_weighted=None)]
            assert draws.shape == (DRAWS, len(names.FIGURES) + 3 * len(names.CLASS_FIGURES))
            assert set(draws[:, names.FIGURES.index(ACCURACY)].tolist()) == {0.5, 0.75, 1.0}  # one patient twice, or both

        found = pipeline | beam.Create(examples) | beam.CombineGlobally(computation.combiner)
        assert_that(found, check)


def changes(quantiles: tuple[float, float] = (Z, Z)) -> dict[str, float]:
    """Of all classes, where both models' figures are the same in each draw."""
    columns = names.columns(len(CLASS_NAMES))
    given: dict[MetricKey, Any] = {}
    for model, value, quantile in (("candidate", 0.85, quantiles[0]), ("baseline", 0.8, quantiles[1])):
        for array, content in (
            (names.DRAWS, np.full((1000, len(columns)), value, np.float32)),
            (names.PATIENT_COUNT, 40),
            (names.PATIENTS, np.full((2, len(CLASS_NAMES)), 13)),
            (names.QUANTILES, np.full((4, len(CLASS_NAMES)), quantile)),
        ):
            given[MetricKey(array, model_name=model, example_weighted=None)] = content
        for name, class_id in columns:
            sub_key = None if class_id is None else SubKey(class_id=class_id)
            given[MetricKey(name, model_name=model, sub_key=sub_key, example_weighted=None)] = value
    found = _changes(given, candidate="candidate", baseline="baseline", output_name="", classes=len(CLASS_NAMES))
    return {key.name: value for key, value in found.items() if key.sub_key is None}


def test_a_change_of_exactly_the_margin_is_that_though_draws_are_float32() -> None:
    found = changes()
    assert found[names.change(LOG_LOSS, names.UPPER)] == pytest.approx(0.05, abs=1e-12)
    assert found[names.change(ACCURACY, names.LOWER)] < 0.05 < found[names.change(ACCURACY, names.UPPER)]


def test_a_change_is_as_unsure_as_the_weaker_of_both_models() -> None:
    both = changes((3.0, 3.0))
    assert changes((3.0, Z)) == changes((Z, 3.0)) == both
    assert both[names.change(ACCURACY, names.LOWER)] < changes()[names.change(ACCURACY, names.LOWER)]


def test_no_patient() -> None:
    (computation,) = ClassificationMetrics(CLASS_NAMES).computations(eval_config=config([""]))
    with pytest.raises(ValueError, match="no patient_id; ingest it again"):
        computation.combiner.add_input(computation.combiner.create_accumulator(), inputs(0, [1, 0, 0]))


def test_unknown_label() -> None:
    (computation,) = ClassificationMetrics(CLASS_NAMES).computations(eval_config=config([""]))
    with pytest.raises(ValueError, match="none of the classes covid19, pneumonia, normal"):
        computation.combiner.add_input(computation.combiner.create_accumulator(), inputs(-1, [1, 0, 0]))
