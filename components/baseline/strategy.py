"""The resolver strategy behind the gate's baseline on a local run."""

from __future__ import annotations

import ml_metadata as mlmd
from tfx import types
from tfx import v1 as tfx
from tfx.components.evaluator import constants


class LatestOtherBlessedModel(tfx.dsl.experimental.ResolverStrategy):
    """The latest blessed model that is not the candidate itself.

    TFX's LatestBlessedModelStrategy would hand a cached candidate to the Evaluator as its own baseline: the second of two identical runs
    would then have new inputs, evaluate anew and push the same model twice. Inputs: `candidate` (this run's model), `model` (all models
    of the pipeline) and `model_blessing` (those that this candidate's Evaluator gave: they tell which models are earlier versions of it).
    """

    def resolve_artifacts(
        self, store: mlmd.MetadataStore, input_dict: dict[str, list[types.Artifact]]
    ) -> dict[str, list[types.Artifact]] | None:
        """Returns one model with its blessing, or none; the candidate is never passed on."""
        candidates = {artifact.id for artifact in input_dict["candidate"]}
        blessed = {
            blessing.get_int_custom_property(constants.ARTIFACT_PROPERTY_CURRENT_MODEL_ID_KEY): blessing
            for blessing in sorted(input_dict["model_blessing"], key=lambda artifact: artifact.id)
            if blessing.get_int_custom_property(constants.ARTIFACT_PROPERTY_BLESSED_KEY) == constants.BLESSED_VALUE
        }
        for model in sorted(input_dict["model"], key=lambda artifact: artifact.id, reverse=True):
            if model.id in blessed and model.id not in candidates:
                return {"candidate": [], "model": [model], "model_blessing": [blessed[model.id]]}
        return {"candidate": [], "model": [], "model_blessing": []}
