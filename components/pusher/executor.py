"""What the component runs: TFX's Pusher, with `push` in place of its copy."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tfx import types
from tfx.components.pusher import executor as tfx_pusher
from tfx.proto import pusher_pb2
from tfx.types import artifact_utils, standard_component_specs
from tfx.utils import io_utils, proto_utils

from cxr.components.infra_check import checked
from cxr.components.pusher.known import Known
from cxr.components.pusher.push import push

EVALUATION = "evaluation"  # input: the ModelEvaluation artifact
SHORTCUT_BLESSING = "shortcut_blessing"  # input: an InfraBlessing artifact, as the infrastructure check's


class Executor(tfx_pusher.Executor):
    """Pushes where all blessings say so."""

    def Do(
        self,
        input_dict: dict[str, list[types.Artifact]],
        output_dict: dict[str, list[types.Artifact]],
        exec_properties: dict[str, Any],
    ) -> None:
        """Reads and writes the artifacts that component.py names.

        Raises:
          ChampionChangedError: The champion is another one than when the baseline was chosen.
          CxrError: The model's files are no longer those that were checked.
        """
        self._log_startup(input_dict, output_dict, exec_properties)
        pushed = artifact_utils.get_single_instance(output_dict[standard_component_specs.PUSHED_MODEL_KEY])
        shortcuts = artifact_utils.get_single_instance(input_dict[SHORTCUT_BLESSING])
        if not (self.CheckBlessing(input_dict) and shortcuts.get_int_custom_property("blessed")):
            self._MarkNotPushed(pushed)
            return
        destination = pusher_pb2.PushDestination()
        proto_utils.json_to_proto(exec_properties[standard_component_specs.PUSH_DESTINATION_KEY], destination)
        known = Known.model_validate_json(exec_properties[standard_component_specs.CUSTOM_CONFIG_KEY])
        version = push(
            Path(destination.filesystem.base_directory),
            Path(self.GetModelPath(input_dict)),
            artifact_utils.get_single_uri(input_dict[EVALUATION]),
            known,
            checked=checked.noted(Path(artifact_utils.get_single_uri(input_dict[standard_component_specs.INFRA_BLESSING_KEY]))),
            run=known.run or (self._context.pipeline_run_id if self._context else "") or "",
            source=known.source or artifact_utils.get_single_uri(input_dict[standard_component_specs.MODEL_KEY]),
            shortcut_check=shortcuts.uri,
        )
        io_utils.copy_dir(str(version), pushed.uri)  # as TFX's does: the artifact holds what was pushed
        self._MarkPushed(pushed, pushed_destination=str(version), pushed_version=version.name)
