"""The TFX component that takes the members' Model artifacts and yields the ensemble's."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence

from tfx import types
from tfx.dsl.components.base import base_component, executor_spec
from tfx.types import component_spec, standard_artifacts

from cxr.components.ensemble_trainer.executor import MEMBER, Executor
from cxr.trainer.model_config import MOST_MEMBERS, Ensemble


class EnsembleTrainerSpec(component_spec.ComponentSpec):
    """One optional input per member: a channel that joins several producers cannot be expressed for Kubeflow."""

    PARAMETERS = {
        "member_names": component_spec.ExecutionParameter(type=str),  # JSON list, in the order of the member inputs
        "ensemble": component_spec.ExecutionParameter(type=str),  # JSON of trainer.model_config.Ensemble
        "class_names": component_spec.ExecutionParameter(type=str),  # JSON list
        "code_version": component_spec.ExecutionParameter(type=str),  # not read: changed code must not be served from the cache
    }
    INPUTS = {
        "examples": component_spec.ChannelParameter(type=standard_artifacts.Examples),
        "transform_graph": component_spec.ChannelParameter(type=standard_artifacts.TransformGraph),
        **{
            MEMBER.format(number): component_spec.ChannelParameter(type=standard_artifacts.Model, optional=True)
            for number in range(1, MOST_MEMBERS + 1)
        },
    }
    OUTPUTS = {
        "model": component_spec.ChannelParameter(type=standard_artifacts.Model),
        "model_run": component_spec.ChannelParameter(type=standard_artifacts.ModelRun),
    }


class EnsembleTrainer(base_component.BaseComponent):
    """Joins trained, frozen members by their saved predictions; writes a Model artifact like a Trainer's."""

    SPEC_CLASS = EnsembleTrainerSpec
    EXECUTOR_SPEC = executor_spec.ExecutorClassSpec(Executor)

    def __init__(
        self,
        members: Mapping[str, types.BaseChannel],
        examples: types.BaseChannel,
        transform_graph: types.BaseChannel,
        ensemble: Ensemble,
        class_names: Sequence[str],
        code_version: str,
    ) -> None:
        """Makes the node.

        Args:
          members: Name to channel of Model artifacts; 2 to MOST_MEMBERS.
          examples: Raw tf.Examples; some are recorded with the model.
          transform_graph: The Transform component's, as the members used it.
          ensemble: How to join them.
          class_names: In the order of the probabilities.
          code_version: Of this project.

        Raises:
          ValueError: Too few or too many members.
        """
        if not 2 <= len(members) <= MOST_MEMBERS:
            raise ValueError(f"an ensemble has 2 to {MOST_MEMBERS} members, {len(members)} were given")
        super().__init__(
            EnsembleTrainerSpec(
                member_names=json.dumps(list(members)),
                ensemble=ensemble.model_dump_json(),
                class_names=json.dumps(list(class_names)),
                code_version=code_version,
                examples=examples,
                transform_graph=transform_graph,
                **{MEMBER.format(number): channel for number, channel in enumerate(members.values(), 1)},
                model=types.Channel(type=standard_artifacts.Model),
                model_run=types.Channel(type=standard_artifacts.ModelRun),
            )
        )
