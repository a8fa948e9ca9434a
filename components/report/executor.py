"""What the component runs: artifacts to sources, then `write_page`."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

from tfx import types
from tfx.dsl.components.base import base_executor
from tfx.types import artifact_utils

from cxr.components.checks.read import read_checks
from cxr.components.report.gather import gather
from cxr.components.report.page.content import Artifact, Step, Verdict
from cxr.components.report.page.render import render
from cxr.components.report.parameters import STEPS
from cxr.components.report.redaction import place
from cxr.components.report.sources import ModelSources, Sources
from cxr.trainer.model_config import MOST_MEMBERS

# Inputs of the n-th model, from 1.
MODEL, MODEL_RUN, EVALUATION = "model_{}", "model_run_{}", "evaluation_{}"
INFRA_BLESSING, SHORTCUT_BLESSING = "infra_blessing_{}", "shortcut_blessing_{}"
MOST_MODELS = MOST_MEMBERS + 1  # and their ensemble
PAGE = "page"


class Executor(base_executor.BaseExecutor):
    """Writes the page of a run."""

    def Do(
        self,
        input_dict: dict[str, list[types.Artifact]],
        output_dict: dict[str, list[types.Artifact]],
        exec_properties: dict[str, Any],
    ) -> None:
        """Reads and writes the artifacts that component.py names.

        Raises:
          CxrError: An artifact is damaged.
        """
        settings = json.loads(exec_properties["settings"])
        sources = Sources(
            pipeline=settings["pipeline"],
            class_names=tuple(settings["class_names"]),
            split=settings["split"],
            models=tuple(_model(name, number, input_dict) for number, name in enumerate(settings["models"], 1)),
            pictures=settings["pictures"],
            examples=_uri(input_dict, "examples"),
            statistics=_uri(input_dict, "statistics"),
            anomalies=_uri(input_dict, "anomalies"),
            drift=_uri(input_dict, "drift"),
            audit=_uri(input_dict, "audit"),
            explanation=_uri(input_dict, "explanation"),
            configuration=settings["configuration"],
            made=datetime.now(UTC),
            steps=tuple(Step(**step) for step in json.loads(exec_properties.get(STEPS) or "[]")),
            artifacts=tuple(artifacts(settings["models"], input_dict)),
        )
        artifact_utils.get_single_instance(output_dict[PAGE]).write(render(gather(sources)))


def _model(name: str, number: int, input_dict: dict[str, list[types.Artifact]]) -> ModelSources:
    evaluation = _uri(input_dict, EVALUATION.format(number))
    infra_check = _uri(input_dict, INFRA_BLESSING.format(number))
    shortcut_check = _uri(input_dict, SHORTCUT_BLESSING.format(number))
    checked = read_checks(evaluation=evaluation, infra_check=infra_check, shortcut_check=shortcut_check)
    return ModelSources(
        name,
        evaluation=evaluation,
        model_run=_uri(input_dict, MODEL_RUN.format(number)),
        model=_uri(input_dict, MODEL.format(number)),
        shortcut_check=shortcut_check,
        verdict=Verdict(blessed=checked.blessed, servable=checked.servable, refusals=checked.refusals, demands=checked.demands),
    )


def artifacts(models: list[str], input_dict: dict[str, list[types.Artifact]]) -> list[Artifact]:
    """Returns what the page was made from; the nodes are told by the ends of the URIs."""
    keys = (MODEL, MODEL_RUN, EVALUATION, INFRA_BLESSING, SHORTCUT_BLESSING)
    names = {key.format(number): name for number, name in enumerate(models, 1) for key in keys}
    return [
        Artifact(names.get(key, ""), key.rsplit("_", 1)[0] if key in names else key, artifact.type_name, artifact.id, place(artifact.uri))
        for key, found in input_dict.items()
        for artifact in found
    ]


def _uri(input_dict: dict[str, list[types.Artifact]], key: str) -> str | None:
    found = input_dict.get(key)
    return artifact_utils.get_single_uri(found) if found else None
