"""What the component runs: TFX's Evaluator, to which answers on record are the model."""

from __future__ import annotations

import logging
from typing import Any

from tfx import types
from tfx.components.evaluator import executor
from tfx.types import artifact_utils, standard_component_specs

from cxr.components.ensemble_trainer.executor import MEMBER
from cxr.components.evaluator import shared_model
from cxr.components.evaluator.joined import joined_answers
from cxr.components.evaluator.kept import kept_answers
from cxr.components.evaluator.recorded_model import Record, stand_in
from cxr.trainer import artifact
from cxr.trainer.feature_cache.setting import told
from cxr.trainer.feature_cache.store import Store
from cxr.trainer.model_config import MOST_MEMBERS

FEATURE_CACHE = "feature_cache"


class Executor(executor.Executor):
    """Evaluates without running a network on an image a second time."""

    def Do(
        self, input_dict: dict[str, list[types.Artifact]], output_dict: dict[str, list[types.Artifact]], exec_properties: dict[str, Any]
    ) -> None:
        """Reads and writes the artifacts that component.py names.

        Raises:
          CxrError: The evaluations of an ensemble's members do not fit together.
        """
        place = told(exec_properties.get(FEATURE_CACHE))
        store = Store(place.folder, place.max_bytes) if place.folder else None
        model, *baseline = [
            artifact.serving_dir(artifact_utils.get_single_uri(input_dict[key]))
            for key in (standard_component_specs.MODEL_KEY, standard_component_specs.BASELINE_MODEL_KEY)
            if input_dict.get(key)
        ]
        inputs = [MEMBER.format(number) for number in range(1, MOST_MEMBERS + 1)]
        members = [artifact_utils.get_single_uri(input_dict[key]) for key in inputs if input_dict.get(key)]
        kept = {saved_model: kept_answers(store, saved_model) for saved_model in (model, *baseline)} if store else {}
        records: dict[str, Record] = {**kept}
        if members:
            records[model] = joined_answers(artifact_utils.get_single_uri(input_dict[standard_component_specs.MODEL_KEY]), members)
        with stand_in(records):
            super().Do(input_dict, output_dict, {**exec_properties, standard_component_specs.MODULE_PATH_KEY: shared_model.__name__})
        if store:
            kept[model].add(artifact_utils.get_single_uri(output_dict[standard_component_specs.EVALUATION_KEY]))
            for note in store.notes:
                logging.warning(note)
