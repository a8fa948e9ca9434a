"""TFX's Evaluator with the members' evaluations as further inputs."""

from __future__ import annotations

from collections.abc import Sequence

import tensorflow_model_analysis as tfma
from tfx import types
from tfx.dsl.components.base import base_beam_component, executor_spec
from tfx.types import component_spec, standard_artifacts, standard_component_specs
from tfx.utils import json_utils

from cxr.components.ensemble_evaluator.executor import Executor
from cxr.components.ensemble_trainer.executor import MEMBER, MOST_MEMBERS


class EnsembleEvaluatorSpec(component_spec.ComponentSpec):
    """The Evaluator's, and one optional input per member: a channel that joins several producers cannot be expressed for Kubeflow."""

    PARAMETERS = standard_component_specs.EvaluatorSpec.PARAMETERS
    INPUTS = {
        **standard_component_specs.EvaluatorSpec.INPUTS,
        **{
            MEMBER.format(number): component_spec.ChannelParameter(type=standard_artifacts.ModelEvaluation, optional=True)
            for number in range(1, MOST_MEMBERS + 1)
        },
    }
    OUTPUTS = standard_component_specs.EvaluatorSpec.OUTPUTS
    TYPE_ANNOTATION = standard_component_specs.EvaluatorSpec.TYPE_ANNOTATION


class EnsembleEvaluator(base_beam_component.BaseBeamComponent):
    """Evaluates an ensemble by what its members' Evaluators have kept of each image; outputs are those of TFX's Evaluator."""

    SPEC_CLASS = EnsembleEvaluatorSpec
    EXECUTOR_SPEC = executor_spec.BeamExecutorSpec(Executor)

    def __init__(
        self,
        members: Sequence[types.BaseChannel],
        examples: types.BaseChannel,
        model: types.BaseChannel,
        baseline_model: types.BaseChannel | None,
        example_splits: Sequence[str],
        eval_config: tfma.EvalConfig,
        schema: types.BaseChannel,
    ) -> None:
        """Makes the node.

        Args:
          members: ModelEvaluation artifacts of the members, in the order in which they were joined, on the same examples and splits.
          examples: As TFX's Evaluator has it, and so the others.
          model: The ensemble.
          baseline_model: What it is compared with; it is asked about every image.
          example_splits: Names of the splits.
          eval_config: What is measured and demanded.
          schema: Of the examples.
        """
        super().__init__(
            EnsembleEvaluatorSpec(
                examples=examples,
                model=model,
                baseline_model=baseline_model,
                schema=schema,
                eval_config=eval_config,
                example_splits=json_utils.dumps(list(example_splits)),
                fairness_indicator_thresholds=json_utils.dumps(None),
                **{MEMBER.format(number): channel for number, channel in enumerate(members, 1)},
                evaluation=types.Channel(type=standard_artifacts.ModelEvaluation),
                blessing=types.Channel(type=standard_artifacts.ModelBlessing),
            )
        )
