"""The TFX component that makes the page of a run, for runners that have no end of a run of their own (Kubeflow)."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from tfx import types
from tfx.dsl.components.base import base_component, executor_spec
from tfx.types import component_spec, standard_artifacts

from cxr.components.report.executor import EVALUATION, INFRA_BLESSING, MODEL, MODEL_RUN, MOST_MODELS, PAGE, SHORTCUT_BLESSING, Executor
from cxr.components.report.parameters import STEPS


class ReportSpec(component_spec.ComponentSpec):
    """One optional input per model and kind: a channel that joins several producers cannot be expressed for Kubeflow."""

    PARAMETERS = {
        "settings": component_spec.ExecutionParameter(type=str),  # JSON, see Report
        STEPS: component_spec.ExecutionParameter(type=str, optional=True),
        "code_version": component_spec.ExecutionParameter(type=str),  # not read: changed code must not be served from the cache
    }
    INPUTS = {
        "examples": component_spec.ChannelParameter(type=standard_artifacts.Examples),
        "statistics": component_spec.ChannelParameter(type=standard_artifacts.ExampleStatistics),
        "anomalies": component_spec.ChannelParameter(type=standard_artifacts.ExampleAnomalies),
        "drift": component_spec.ChannelParameter(type=standard_artifacts.ExampleAnomalies),
        "audit": component_spec.ChannelParameter(type=standard_artifacts.ExampleAnomalies),
        "explanation": component_spec.ChannelParameter(type=standard_artifacts.InferenceResult),
        **{
            key.format(number): component_spec.ChannelParameter(type=kind, optional=True)
            for key, kind in (
                (MODEL, standard_artifacts.Model),
                (EVALUATION, standard_artifacts.ModelEvaluation),
                (MODEL_RUN, standard_artifacts.ModelRun),
                (INFRA_BLESSING, standard_artifacts.InfraBlessing),
                (SHORTCUT_BLESSING, standard_artifacts.InfraBlessing),
            )
            for number in range(1, MOST_MODELS + 1)
        },
    }
    # A value, because TFX's compiler for Kubeflow takes no type of ours there. Its URI is the HTML file.
    OUTPUTS = {PAGE: component_spec.ChannelParameter(type=standard_artifacts.String)}


@dataclass(frozen=True)
class Candidate:
    """What a model's nodes yield."""

    model: types.BaseChannel
    model_run: types.BaseChannel
    evaluation: types.BaseChannel
    infra_blessing: types.BaseChannel
    shortcut_blessing: types.BaseChannel


class Report(base_component.BaseComponent):
    """Shows a run in one HTML file; not what was pushed, which a later node decides."""

    SPEC_CLASS = ReportSpec
    EXECUTOR_SPEC = executor_spec.ExecutorClassSpec(Executor)

    def __init__(
        self,
        pipeline: str,
        examples: types.BaseChannel,
        statistics: types.BaseChannel,
        anomalies: types.BaseChannel,
        drift: types.BaseChannel,
        audit: types.BaseChannel,
        explanation: types.BaseChannel,
        candidates: Mapping[str, Candidate],
        split: str,
        class_names: Sequence[str],
        configuration: str,
        code_version: str,
        pictures: bool = True,
    ) -> None:
        """Makes the node.

        Args:
          pipeline: Its name.
          examples: Raw tf.Examples.
          statistics: Of them.
          anomalies: In them.
          drift: Of them since the run before.
          audit: What tells the class in them and should not.
          explanation: Heat maps of the ensemble, or of the last model.
          candidates: By the model's name; 1 to `MOST_MODELS`.
          split: That the models are judged on.
          class_names: In the order of the probabilities.
          configuration: YAML, in full.
          code_version: Of this project.
          pictures: Show radiographs.

        Raises:
          ValueError: No or too many models.
        """
        if not 1 <= len(candidates) <= MOST_MODELS:
            raise ValueError(f"a report shows 1 to {MOST_MODELS} models, {len(candidates)} were given")
        settings = {
            "pipeline": pipeline,
            "models": list(candidates),
            "split": split,
            "class_names": list(class_names),
            "configuration": configuration,
            "pictures": pictures,
        }
        channels = {}
        for number, candidate in enumerate(candidates.values(), 1):
            channels[MODEL.format(number)] = candidate.model
            channels[MODEL_RUN.format(number)] = candidate.model_run
            channels[EVALUATION.format(number)] = candidate.evaluation
            channels[INFRA_BLESSING.format(number)] = candidate.infra_blessing
            channels[SHORTCUT_BLESSING.format(number)] = candidate.shortcut_blessing
        super().__init__(
            ReportSpec(
                settings=json.dumps(settings),
                code_version=code_version,
                examples=examples,
                statistics=statistics,
                anomalies=anomalies,
                drift=drift,
                audit=audit,
                explanation=explanation,
                **channels,
                page=types.Channel(type=standard_artifacts.String),
            )
        )
