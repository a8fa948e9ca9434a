"""What the component runs: artifacts to paths, JSON to objects, then `train_ensemble`."""

from __future__ import annotations

import json
from typing import Any

from tfx import types
from tfx.dsl.components.base import base_executor
from tfx.types import artifact_utils

from cxr.core.features import VAL
from cxr.trainer.ensemble.ensemble_run import train_ensemble
from cxr.trainer.model_config import Ensemble

MEMBER = "member_{}"  # input of the n-th member, from 1


class Executor(base_executor.BaseExecutor):
    """Trains and exports the ensemble."""

    def Do(
        self,
        input_dict: dict[str, list[types.Artifact]],
        output_dict: dict[str, list[types.Artifact]],
        exec_properties: dict[str, Any],
    ) -> None:
        """Reads and writes the artifacts that component.py names.

        Raises:
          CxrError: Members that do not fit together or the configuration, or an export that fails its check.
        """
        names = json.loads(exec_properties["member_names"])
        examples = input_dict["examples"]
        train_ensemble(
            Ensemble.model_validate_json(exec_properties["ensemble"]),
            members={name: artifact_utils.get_single_uri(input_dict[MEMBER.format(number)]) for number, name in enumerate(names, 1)},
            has_validation=VAL in artifact_utils.decode_split_names(artifact_utils.get_single_instance(examples).split_names),
            transform_graph=artifact_utils.get_single_uri(input_dict["transform_graph"]),
            class_names=json.loads(exec_properties["class_names"]),
            model_uri=artifact_utils.get_single_uri(output_dict["model"]),
            run_uri=artifact_utils.get_single_uri(output_dict["model_run"]),
        )
