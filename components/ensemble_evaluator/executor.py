"""What the component runs: TFX's Evaluator, to which the members' joined answers are the model."""

from __future__ import annotations

from typing import Any

from tfx import types
from tfx.components.evaluator import executor
from tfx.types import artifact_utils, standard_component_specs

from cxr.components.ensemble_evaluator import shared_model
from cxr.components.ensemble_evaluator.joined import joined_answers
from cxr.components.ensemble_evaluator.recorded_model import stands_for
from cxr.components.ensemble_trainer.executor import MEMBER, MOST_MEMBERS
from cxr.trainer import artifact


class Executor(executor.Executor):
    """Evaluates without running the members a second time."""

    def Do(
        self, input_dict: dict[str, list[types.Artifact]], output_dict: dict[str, list[types.Artifact]], exec_properties: dict[str, Any]
    ) -> None:
        """Reads and writes the artifacts that component.py names.

        Raises:
          CxrError: The members' evaluations do not fit together.
        """
        model = artifact_utils.get_single_uri(input_dict[standard_component_specs.MODEL_KEY])
        inputs = [MEMBER.format(number) for number in range(1, MOST_MEMBERS + 1)]
        members = [artifact_utils.get_single_uri(input_dict[key]) for key in inputs if input_dict.get(key)]
        with stands_for(artifact.serving_dir(model), joined_answers(model, members)):
            super().Do(input_dict, output_dict, {**exec_properties, standard_component_specs.MODULE_PATH_KEY: shared_model.__name__})
