"""`cxr kubeflow compile`: from the graph of the local run to the YAML that Kubeflow Pipelines 2.x takes."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import apache_beam as beam
import yaml
from apache_beam.options.pipeline_options import PipelineOptions
from google.protobuf import text_format
from tfx import v1 as tfx
from tfx.dsl.components.base.base_node import BaseNode
from tfx.orchestration import data_types

from cxr.components.baseline.champion import POINTER
from cxr.components.drift_check.strategy import PREVIOUS, STATISTICS
from cxr.core.durable import replace_output
from cxr.core.errors import CxrError
from cxr.kubeflow import entrypoint, ir_pass, lint
from cxr.kubeflow.beam_engines import Dataflow
from cxr.kubeflow.cluster import Cluster
from cxr.kubeflow.executor_input import data_uri
from cxr.kubeflow.parameters import DATA, run_parameters
from cxr.kubeflow.pipeline_spec import tasks
from cxr.kubeflow.platform_document import platform_document
from cxr.kubeflow.previous_statistics import FOLDER
from cxr.kubeflow.resources import check_nodes, set_resources, share_features
from cxr.kubeflow.uris import DEFAULT_ROOT
from cxr.pipeline import roles
from cxr.pipeline.beam_config import Direct
from cxr.pipeline.graph import RunPaths, create_pipeline
from cxr.pipeline.pipeline_config import Config
from cxr.pipeline.roles import node_id
from cxr.pipeline.schema import curated_schema

COMMAND = ("python", "-m", entrypoint.MODULE)


@dataclass(frozen=True)
class Compiled:
    """A compiled pipeline: both documents of the YAML file."""

    spec: dict[str, Any]
    platform: dict[str, Any]

    def to_yaml(self) -> str:
        """Returns the YAML's text, the parameters of a run in its first lines."""
        comments = ["# PIPELINE DEFINITION", f"# Name: {self.spec['pipelineInfo']['name']}", "# Inputs:"]
        for name, value in sorted(self.spec["root"].get("inputDefinitions", {}).get("parameters", {}).items()):
            comments.append(
                f"#    {name}: {value['parameterType']} [default: {value.get('defaultValue')!r}] {value.get('description', '')}"
            )
        return "\n".join(comments) + "\n" + yaml.safe_dump_all([self.spec, self.platform], sort_keys=True)

    def write(self, path: Path) -> None:
        """Writes the YAML, after kfp's own loader has accepted it."""
        from kfp import components

        text = self.to_yaml()
        components.load_component_from_text(text)
        path.parent.mkdir(parents=True, exist_ok=True)
        replace_output(path, text)


def compile_config(config: Config, cluster: Cluster, image: str, *, baseline: bool = True) -> Compiled:
    """Compiles a configuration for a cluster.

    Args:
      config: The pipeline.
      cluster: Where it runs.
      image: The container image, by digest.
      baseline: Compare with pushed versions, where there are any; False: no baseline in the graph at all.

    Raises:
      CxrError: KFP would refuse the result.
    """
    serving_models = cluster.models_of(config.name)
    baselines: dict[str, BaseNode] = {}
    if baseline:
        component = baseline_component(image)
        judged = {
            "data": cluster.data,
            "split": config.gate.split,
            "class_names": json.dumps(config.class_names),
            "max_side": config.data.max_side or 0,
        }
        for name in config.candidates:
            pointer = f"{serving_models}/{name}/{POINTER}"
            baselines[name] = component(baseline=pointer, pointer=pointer, **judged)
    keep_statistics = f"{serving_models}/{FOLDER}"
    paths = RunPaths(
        data=cluster.data,
        splits=cluster.splits,
        schema_file=data_uri(text_format.MessageToString(curated_schema(config.class_names, config.schema_file))),
        pipeline_root=cluster.pipeline_root or DEFAULT_ROOT,
        serving_models=serving_models,
        training_state=cluster.training_state,
        baselines=baselines,
        previous_statistics=lambda statistics: statistics_component(image)(statistics=statistics, folder=keep_statistics),
        keep_statistics=keep_statistics,
        beam=cluster.beam.arguments(),
        report_node=True,
    )
    if isinstance(cluster.beam, (Direct, Dataflow)):  # the job servers of the other runners have options of their own
        check_beam_options(paths.beam)
    pipeline = create_pipeline(config, paths)
    spec = compile_pipeline(pipeline, image)
    for parameter in run_parameters(config):
        if parameter.task in tasks(spec):
            ir_pass.add_parameter(spec, parameter)
    ir_pass.add_fingerprint(spec, roles.EXAMPLE_GEN, DATA, image)
    choosing = {name: node_id(roles.BASELINE, name) for name in baselines}
    for name, task in choosing.items():
        ir_pass.compare_and_swap(spec, task, node_id(roles.PUSHER, name))
    ir_pass.name_run(spec, ir_pass.pushers(spec))
    ir_pass.disable_caching(spec, (*choosing.values(), roles.PREVIOUS_STATISTICS, roles.ANOMALY_CHECK))  # they read or write the volume
    ir_pass.key_cache(spec)
    if ir_pass.downloads_data(cluster):
        ir_pass.add_data_importer(spec, (roles.EXAMPLE_GEN, ir_pass.FINGERPRINT_TASK, *choosing.values()), DATA)
    for name in config.candidates:
        ir_pass.publish_evaluation(spec, node_id(roles.EVALUATOR, name), config.class_names)
    ir_pass.publish_report(spec, roles.REPORT)
    ir_pass.tell_usage(spec, roles.REPORT)
    ir_pass.push_blessed_only(spec)
    if shared := getattr(cluster.beam, "shared", None):
        ir_pass.share_with_workers(spec, shared)
    check_nodes(spec, cluster, config)
    set_resources(spec, cluster)
    share_features(spec, cluster, config)
    if cluster.pipeline_root:
        spec["defaultPipelineRoot"] = cluster.pipeline_root
    compiled = Compiled(spec, platform_document(spec, cluster))
    lint.check(compiled.spec, compiled.platform)
    return compiled


def compile_pipeline(pipeline: tfx.dsl.Pipeline, image: str, command: tuple[str, ...] | None = COMMAND) -> dict[str, Any]:
    """Compiles any TFX pipeline to a PipelineSpec 2.1 with our entry point: TFX's compiler, repaired.

    Args:
      pipeline: The pipeline.
      image: Container image.
      command: The containers' command; None: TFX's own entry point, and nothing is repaired.
    """
    config = tfx.orchestration.experimental.KubeflowV2DagRunnerConfig(
        default_image=image, default_commands=list(command) if command else None, use_pipeline_spec_2_1=True
    )
    runner = tfx.orchestration.experimental.KubeflowV2DagRunner(config=config)
    spec = runner.run(pipeline, write_out=False)["pipelineSpec"]
    if command:
        file_based = ir_pass.drop_lifecycle(spec)
        ir_pass.disable_caching(spec, (name for name in file_based if name != roles.EXAMPLE_GEN))  # that one gets the data's fingerprint
        ir_pass.disable_caching(spec, ir_pass.pushers(spec))  # what they push may be gone, or no longer the champion
        ir_pass.restore_defaults(spec, _defaults(pipeline))
    return spec


def check_beam_options(options: Sequence[str]) -> None:
    """Refuses options that Beam does not know: it would ignore them without a word.

    Raises:
      CxrError: They are named.
    """
    known = set(PipelineOptions(list(options)).get_all_options())
    names = {option: option.split("=")[0].removeprefix("--").replace("-", "_") for option in options}
    if unknown := [option for option, name in names.items() if not {name, name.removeprefix("no_")} & known]:
        raise CxrError(f"beam.options of the cluster's file: Beam {beam.__version__} does not know {', '.join(unknown)}")


def baseline_component(image: str) -> Any:
    """Returns the component that chooses the baseline and copies it into the run, in place of a resolver (baseline.py)."""
    return tfx.dsl.experimental.create_container_component(
        name=roles.BASELINE,
        image=image,
        command=["python", "-m", "cxr.kubeflow.baseline", "{{$}}"],
        outputs={"model": tfx.types.standard_artifacts.Model},
        parameters={"baseline": str, "pointer": str, "data": str, "split": str, "class_names": str, "max_side": int},
    )


def statistics_component(image: str) -> Any:
    """Returns the component that copies the statistics of the data before into the run, in place of a resolver (previous_statistics.py)."""
    return tfx.dsl.experimental.create_container_component(
        name=roles.PREVIOUS_STATISTICS,
        image=image,
        command=["python", "-m", "cxr.kubeflow.previous_statistics", "{{$}}"],
        inputs={STATISTICS: tfx.types.standard_artifacts.ExampleStatistics},
        outputs={PREVIOUS: tfx.types.standard_artifacts.ExampleStatistics},
        parameters={"folder": str},
    )


def _defaults(pipeline: tfx.dsl.Pipeline) -> dict[str, Any]:
    values = [value for component in pipeline.components for value in component.exec_properties.values()]
    return {value.name: value.default for value in values if isinstance(value, data_types.RuntimeParameter)}
