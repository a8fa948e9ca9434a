"""The TFX component around `explain_split`."""

import json
from pathlib import Path

from tfx import v1 as tfx
from tfx.types import artifact_utils
from tfx.utils import path_utils

from cxr.components.answers.image_answers import read_image_answers
from cxr.components.answers.most_confident import most_confident
from cxr.components.explanation.explain import explain_split


@tfx.dsl.components.component
def Explanation(
    model: tfx.dsl.components.InputArtifact[tfx.types.standard_artifacts.Model],
    evaluation: tfx.dsl.components.InputArtifact[tfx.types.standard_artifacts.ModelEvaluation],
    examples: tfx.dsl.components.InputArtifact[tfx.types.standard_artifacts.Examples],
    # one of TFX's own types: its entry point on Kubeflow knows no others
    explanation: tfx.dsl.components.OutputArtifact[tfx.types.standard_artifacts.InferenceResult],
    model_name: tfx.dsl.components.Parameter[str],
    class_names: tfx.dsl.components.Parameter[str],  # JSON list
    split: tfx.dsl.components.Parameter[str],  # the gate's
    samples: tfx.dsl.components.Parameter[int],
    seed: tfx.dsl.components.Parameter[int],
    code_version: tfx.dsl.components.Parameter[str],  # not read: changed code must not be served from the cache
) -> None:
    """Explains a fixed sample of the split, and the wrong answers that report.html shows."""
    answers = read_image_answers(evaluation.uri, patients={})
    mistakes = most_confident({model_name: answers}) if answers else None
    explain_split(
        model_name,
        path_utils.serving_model_path(model.uri),
        [f"{artifact_utils.get_split_uri([examples], split)}/*"],
        json.loads(class_names),
        Path(explanation.uri),
        split=split,
        samples=samples,
        seed=seed,
        wanted=mistakes.images if mistakes else (),
    )
