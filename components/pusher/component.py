"""The Pusher, in place of TFX's: on one machine and on Kubeflow."""

from __future__ import annotations

from tfx import types
from tfx.dsl.components.base import base_component, executor_spec
from tfx.proto import pusher_pb2
from tfx.types import component_spec, standard_artifacts, standard_component_specs

from cxr.components.pusher.executor import EVALUATION, SHORTCUT_BLESSING, Executor
from cxr.components.pusher.known import Known


class PusherSpec(standard_component_specs.PusherSpec):
    """TFX's, with the evaluation whose numbers are kept beside the model, and a third blessing."""

    INPUTS = {
        **standard_component_specs.PusherSpec.INPUTS,
        EVALUATION: component_spec.ChannelParameter(type=standard_artifacts.ModelEvaluation),
        SHORTCUT_BLESSING: component_spec.ChannelParameter(type=standard_artifacts.InfraBlessing),
    }


class Pusher(base_component.BaseComponent):
    """Pushes a blessed model in one step, with its record, and makes it the champion."""

    SPEC_CLASS = PusherSpec
    EXECUTOR_SPEC = executor_spec.ExecutorClassSpec(Executor)

    def __init__(
        self,
        model: types.BaseChannel,
        model_blessing: types.BaseChannel,
        infra_blessing: types.BaseChannel,
        shortcut_blessing: types.BaseChannel,
        evaluation: types.BaseChannel,
        models_folder: str,
        known: Known,
    ) -> None:
        """Makes the node.

        Args:
          model: Model artifact.
          model_blessing: The gate's.
          infra_blessing: The infrastructure check's.
          shortcut_blessing: The shortcut check's.
          evaluation: The Evaluator's.
          models_folder: Folder of the model's versions.
          known: Of the run. Part of the cache's key: after another push this node runs again.
        """
        filesystem = pusher_pb2.PushDestination.Filesystem(base_directory=models_folder)
        super().__init__(
            PusherSpec(
                model=model,
                model_blessing=model_blessing,
                infra_blessing=infra_blessing,
                shortcut_blessing=shortcut_blessing,
                evaluation=evaluation,
                push_destination=pusher_pb2.PushDestination(filesystem=filesystem),
                custom_config=known.model_dump_json(),
                pushed_model=types.Channel(type=standard_artifacts.PushedModel),
            )
        )
