"""TFX's Evaluator with the evaluations of an ensemble's members, and where answers are kept, as further inputs."""

from __future__ import annotations

from collections.abc import Sequence

import tensorflow_model_analysis as tfma
from tfx import types
from tfx.dsl.components.base import base_beam_component, executor_spec
from tfx.types import component_spec, standard_artifacts, standard_component_specs
from tfx.utils import json_utils

from cxr.components.ensemble_trainer.executor import MEMBER
from cxr.components.evaluator.executor import FEATURE_CACHE, Executor
from cxr.trainer.model_config import MOST_MEMBERS


class EvaluatorSpec(component_spec.ComponentSpec):
    """The Evaluator's, and one optional input per member: a channel that joins several producers cannot be expressed for Kubeflow."""

    PARAMETERS = {
        **standard_component_specs.EvaluatorSpec.PARAMETERS,
        FEATURE_CACHE: component_spec.ExecutionParameter(type=str, optional=True),
    }
    INPUTS = {
        **standard_component_specs.EvaluatorSpec.INPUTS,
        **{
            MEMBER.format(number): component_spec.ChannelParameter(type=standard_artifacts.ModelEvaluation, optional=True)
            for number in range(1, MOST_MEMBERS + 1)
        },
    }
    OUTPUTS = standard_component_specs.EvaluatorSpec.OUTPUTS
    TYPE_ANNOTATION = standard_component_specs.EvaluatorSpec.TYPE_ANNOTATION


class Evaluator(base_beam_component.BaseBeamComponent):
    """Asks a model about each image once: an ensemble by what its members' Evaluators have of it, a pushed version by its own evaluation.

    Outputs are those of TFX's Evaluator.
    """

    SPEC_CLASS = EvaluatorSpec
    EXECUTOR_SPEC = executor_spec.BeamExecutorSpec(Executor)

    def __init__(
        self,
        *,
        examples: types.BaseChannel,
        model: types.BaseChannel,
        baseline_model: types.BaseChannel | None,
        example_splits: Sequence[str],
        eval_config: tfma.EvalConfig,
        schema: types.BaseChannel,
        members: Sequence[types.BaseChannel] = (),
        feature_cache: str | None = None,
    ) -> None:
        """Makes the node.

        Args:
          examples: As TFX's Evaluator has it, and so the others.
          model: What is evaluated.
          baseline_model: What it is compared with.
          example_splits: Names of the splits.
          eval_config: What is measured and demanded.
          schema: Of the examples.
          members: Of an ensemble: ModelEvaluation artifacts, in the order in which they were joined, on the same examples and splits.
          feature_cache: File that says where answers are kept, see trainer/feature_cache/setting.py.
        """
        super().__init__(
            EvaluatorSpec(
                examples=examples,
                model=model,
                baseline_model=baseline_model,
                schema=schema,
                eval_config=eval_config,
                example_splits=json_utils.dumps(list(example_splits)),
                fairness_indicator_thresholds=json_utils.dumps(None),
                feature_cache=feature_cache,
                **{MEMBER.format(number): channel for number, channel in enumerate(members, 1)},
                evaluation=types.Channel(type=standard_artifacts.ModelEvaluation),
                blessing=types.Channel(type=standard_artifacts.ModelBlessing),
            )
        )
