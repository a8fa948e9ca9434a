"""The pipeline's graph: the same for the local runner and for Kubeflow."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from ml_metadata.proto import metadata_store_pb2
from tfx import types
from tfx import v1 as tfx
from tfx.dsl.components.base.base_node import BaseNode
from tfx.proto import example_gen_pb2

from cxr.components.anomaly_check.component import AnomalyCheck
from cxr.components.audit.component import Audit
from cxr.components.baseline.rule import Choice
from cxr.components.baseline.strategy import MODEL, PushedBaseline, as_artifact
from cxr.components.drift_check.component import DriftCheck
from cxr.components.drift_check.strategy import PREVIOUS, PreviousStatistics
from cxr.components.ensemble_trainer.component import EnsembleTrainer
from cxr.components.ensemble_trainer.executor import MEMBER
from cxr.components.evaluator.component import Evaluator
from cxr.components.example_gen.component import ImportExampleGen
from cxr.components.explanation.component import Explanation
from cxr.components.infra_check.component import InfraCheck
from cxr.components.metrics import names
from cxr.components.pusher.component import Pusher
from cxr.components.pusher.known import NO_CHAMPION, Known
from cxr.components.report import component as report_page
from cxr.components.shortcut_check.component import ShortcutCheck
from cxr.core import features
from cxr.core.features import TRAIN, VAL
from cxr.core.places import records_in
from cxr.pipeline import gate, roles
from cxr.pipeline.code_version import FEATURES, code_version
from cxr.pipeline.pipeline_config import Config
from cxr.pipeline.roles import node_id
from cxr.trainer.model_config import Model as ModelConfig

# Which of our modules each kind of node runs: with all that they import they are part of its cache key.
CODE = {
    roles.ANOMALY_CHECK: ("cxr.components.anomaly_check.component",),
    roles.AUDIT: ("cxr.components.audit.component",),
    roles.DRIFT_CHECK: ("cxr.components.drift_check.component",),
    roles.TRANSFORM: ("cxr.trainer.preprocessing",),
    roles.TRAINER: ("cxr.trainer.run_fn",),
    "Features": FEATURES,
    "EnsembleTrainer": ("cxr.components.ensemble_trainer.executor",),
    roles.EVALUATOR: (
        "cxr.components.evaluator.executor",
        names.METRIC_MODULE,
        names.DEMANDED_MODULE,
        names.ANSWERS_MODULE,
    ),
    roles.EXPLANATION: ("cxr.components.explanation.component",),
    roles.REPORT: ("cxr.components.report.executor",),  # its templates count by the container image, which is in KFP's key
    roles.INFRA_CHECK: ("cxr.components.infra_check.component", "cxr.serving.server.__main__"),  # the server is a process of its own
    roles.SHORTCUT_CHECK: ("cxr.components.shortcut_check.component",),
}


@dataclass(frozen=True)
class RunPaths:
    """Where a run reads and writes; URIs of any filesystem that Beam and TensorFlow know here."""

    data: str  # a folder that `cxr ingest` wrote: one folder of TFRecords per split
    splits: tuple[str, ...]  # the folders it holds
    schema_file: str
    pipeline_root: str
    serving_models: str  # pushed models: <serving_models>/<model>/<version>
    training_state: str | None = None  # what interrupted training resumes from; None: it starts again
    feature_cache: str | None = None  # file that says where features are kept: the setting itself must not train anything anew
    metadata: metadata_store_pb2.ConnectionConfig | None = None
    # model: what to compare with, chosen before the run; or the node that chooses it in the run and yields it as `model` (Kubeflow).
    baselines: Mapping[str, Choice | BaseNode] = field(default_factory=dict)
    baseline_links: str = ""  # folder, for choices only
    # Makes the node that yields, as `previous`, the statistics of the data before, from those of this run's; None: a resolver.
    previous_statistics: Callable[[types.BaseChannel], BaseNode] | None = None
    keep_statistics: str = ""  # folder where those of data that passed are kept for that node; a resolver needs none
    beam: tuple[str, ...] = ()  # options of Beam, in place of the configuration's
    report_node: bool = False  # a node makes report.html; a local run makes it at its end, of a failed run too (report_page.py)


@dataclass(frozen=True)
class _Data:
    """What the nodes before the training yield, and these nodes in the order of the graph."""

    examples: types.BaseChannel
    schema: types.BaseChannel
    statistics: types.BaseChannel
    anomalies: types.BaseChannel
    drift: types.BaseChannel
    audit: types.BaseChannel
    transform_graph: types.BaseChannel
    nodes: tuple[BaseNode, ...]


def create_pipeline(config: Config, paths: RunPaths, *, enable_cache: bool = True) -> tfx.dsl.Pipeline:
    """Builds the graph of a configuration.

    Raises:
      ValueError: The data lack the split that the gate evaluates on, or the training split.
    """
    for split in (TRAIN, config.gate.split):
        if split not in paths.splits:
            raise ValueError(f"{paths.data}: there is no split {split!r}")
    data = _data(config, paths)
    shown: dict[str, report_page.Candidate] = {}
    nodes = list(data.nodes)
    for name, trainer in _trainers(config, paths, data).items():
        # The ensemble's members come before it. What they have answered is joined: they need not run a second time.
        members = [shown[member] for member in config.models] if name == features.ENSEMBLE else []
        shown[name], own = _judged(name, trainer, members, config, paths, data)
        nodes += own
    explanations = _explanations(config, data, shown)
    nodes += explanations
    if paths.report_node:
        nodes.append(_report(config, data, shown, explanations[-1]))
    return tfx.dsl.Pipeline(
        pipeline_name=config.name,
        pipeline_root=paths.pipeline_root,
        components=nodes,
        enable_cache=enable_cache,
        metadata_connection_config=paths.metadata,
        beam_pipeline_args=list(paths.beam or config.beam.arguments()),
    )


def _data(config: Config, paths: RunPaths) -> _Data:
    """From records to examples that are known to be sound, and the graph that turns them into tensors."""
    # Raw tf.Examples as `cxr ingest` wrote them; splits and shards are kept.
    example_gen = ImportExampleGen(
        input_base=paths.data,
        input_config=example_gen_pb2.Input(
            splits=[example_gen_pb2.Input.Split(name=split, pattern=records_in(split)) for split in paths.splits]
        ),
    )
    examples = example_gen.outputs["examples"]

    # Data validation: the curated schema decides, the inferred one is there for comparison.
    schema_gen = tfx.components.ImportSchemaGen(schema_file=paths.schema_file)
    schema = schema_gen.outputs["schema"]
    statistics_gen = tfx.components.StatisticsGen(examples=examples, schema=schema)
    statistics = statistics_gen.outputs["statistics"]
    inferred_schema = tfx.components.SchemaGen(statistics=statistics).with_id(roles.INFERRED_SCHEMA)
    validator = tfx.components.ExampleValidator(statistics=statistics, schema=schema)

    # Have they drifted since the run before? AnomalyCheck stops the run where the one or the other forbids to go on.
    previous = (paths.previous_statistics or _previous_statistics)(statistics).with_id(roles.PREVIOUS_STATISTICS)
    drift_check = DriftCheck(
        statistics=statistics,
        previous=previous.outputs[PREVIOUS],
        settings=config.drift.model_dump_json(),
        code_version=code_version(*CODE[roles.DRIFT_CHECK]),
    )
    anomaly_check = AnomalyCheck(
        anomalies=validator.outputs["anomalies"],
        drift=drift_check.outputs["drift"],
        statistics=statistics,
        keep_in=paths.keep_statistics,
        code_version=code_version(*CODE[roles.ANOMALY_CHECK]),
    )

    # How well can the class be told from what should not matter?
    audit = Audit(
        examples=examples,
        class_names=json.dumps(config.class_names),
        split=config.gate.split,
        settings=config.audit.model_dump_json(exclude={"masked_models", "masked_images"}),  # of the models' check alone
        code_version=code_version(*CODE[roles.AUDIT]),
    )
    audit.add_upstream_node(anomaly_check)

    # Decode, resize, normalise, label to index. The graph alone: it is applied where examples are read, images are never stored as floats.
    transform = tfx.components.Transform(
        examples=examples,
        schema=schema,
        preprocessing_fn="cxr.trainer.preprocessing.preprocessing_fn",
        custom_config={**config.transform_settings(), "code_version": code_version(*CODE[roles.TRANSFORM])},
        materialize=False,
        disable_statistics=True,
    )
    transform.add_upstream_node(anomaly_check)

    return _Data(
        examples=examples,
        schema=schema,
        statistics=statistics,
        anomalies=validator.outputs["anomalies"],
        drift=drift_check.outputs["drift"],
        audit=audit.outputs["audit"],
        transform_graph=transform.outputs["transform_graph"],
        nodes=(example_gen, schema_gen, statistics_gen, inferred_schema, validator, previous, drift_check, anomaly_check, audit, transform),
    )


def _trainers(config: Config, paths: RunPaths, data: _Data) -> dict[str, BaseNode]:
    """One trainer per backbone, then the ensemble of what they made; by the model's name."""
    trained: dict[str, BaseNode] = {}
    for name, model in config.models.items():
        trained[name] = tfx.components.Trainer(
            run_fn="cxr.trainer.run_fn.run_fn",
            examples=data.examples,
            transform_graph=data.transform_graph,
            schema=data.schema,
            train_args=tfx.proto.TrainArgs(splits=[TRAIN]),
            eval_args=tfx.proto.EvalArgs(splits=[VAL] if VAL in paths.splits else [TRAIN]),
            custom_config={
                "class_names": list(config.class_names),
                "preprocessing": config.preprocessing.model_dump(mode="json"),
                "code_version": code_version(*CODE[roles.TRAINER]),
                "name": name,
                "model": model.model_dump(mode="json"),
                "max_side": config.data.max_side,
                "weights_version": _weights_version(model),
                "validation_split": VAL in paths.splits,
                "state_dir": paths.training_state,
                "feature_cache": paths.feature_cache,
                "features_code": code_version(*CODE["Features"]),
                "folds": config.ensemble.folds if config.ensemble else 0,
            },
        ).with_id(node_id(roles.TRAINER, name))
    if config.ensemble:
        trained[features.ENSEMBLE] = EnsembleTrainer(
            members={name: trainer.outputs["model"] for name, trainer in trained.items()},
            examples=data.examples,
            transform_graph=data.transform_graph,
            ensemble=config.ensemble,
            class_names=config.class_names,
            code_version=code_version(*CODE["EnsembleTrainer"]),
        ).with_id(node_id(roles.TRAINER, features.ENSEMBLE))
    return trained


def _judged(
    name: str, trainer: BaseNode, members: Sequence[report_page.Candidate], config: Config, paths: RunPaths, data: _Data
) -> tuple[report_page.Candidate, list[BaseNode]]:
    """What every candidate goes through: gate, shortcut check, infrastructure check, push; `members`: of an ensemble."""
    added_metrics = [metric.module for metric in config.gate.metrics if metric.module]
    model = trainer.outputs["model"]
    baseline = _baseline(name, trainer, paths)
    evaluator = Evaluator(
        examples=data.examples,
        model=model,
        baseline_model=baseline.outputs["model"] if baseline else None,
        example_splits=[config.gate.split],
        eval_config=gate.eval_config(
            config.gate, name, config.class_names, code_version=code_version(*CODE[roles.EVALUATOR], *added_metrics)
        ),
        schema=data.schema,
        members=[member.evaluation for member in members],
        feature_cache=paths.feature_cache,
    ).with_id(node_id(roles.EVALUATOR, name))
    infra_check = InfraCheck(
        model=model,
        model_name=name,
        load_seconds=config.infra_check.load_seconds,
        tolerance=config.infra_check.tolerance,
        code_version=code_version(*CODE[roles.INFRA_CHECK]),
    ).with_id(node_id(roles.INFRA_CHECK, name))
    shortcut_check = ShortcutCheck(
        model=model,
        evaluation=evaluator.outputs["evaluation"],
        audit=data.audit,
        examples=data.examples,
        model_name=name,
        class_names=json.dumps(config.class_names),
        margin=json.dumps(config.gate.shortcut_margin),
        settings=config.audit.model_dump_json(),
        code_version=code_version(*CODE[roles.SHORTCUT_CHECK]),
        **{MEMBER.format(number): member.shortcut_blessing for number, member in enumerate(members, 1)},
    ).with_id(node_id(roles.SHORTCUT_CHECK, name))
    pusher = _pusher(name, config, paths, trainer, evaluator, infra_check, shortcut_check).with_id(node_id(roles.PUSHER, name))
    candidate = report_page.Candidate(
        model=model,
        model_run=trainer.outputs["model_run"],
        evaluation=evaluator.outputs["evaluation"],
        infra_blessing=infra_check.outputs["blessing"],
        shortcut_blessing=shortcut_check.outputs["blessing"],
    )
    return candidate, [node for node in (trainer, baseline, evaluator, infra_check, shortcut_check, pusher) if node]


def _explanations(config: Config, data: _Data, shown: Mapping[str, report_page.Candidate]) -> list[BaseNode]:
    """What the answers rest on: of the ensemble with its members, or of each model where there is none."""
    return [
        Explanation(
            model=shown[name].model,
            evaluation=shown[name].evaluation,
            examples=data.examples,
            model_name=name,
            class_names=json.dumps(config.class_names),
            split=config.gate.split,
            samples=config.explain.samples,
            seed=config.explain.seed,
            code_version=code_version(*CODE[roles.EXPLANATION]),
        ).with_id(node_id(roles.EXPLANATION, name))
        for name in ([features.ENSEMBLE] if config.ensemble else shown)
    ]


def _report(config: Config, data: _Data, shown: Mapping[str, report_page.Candidate], explanation: BaseNode) -> BaseNode:
    """The node that makes the page."""
    return report_page.Report(
        pipeline=config.name,
        examples=data.examples,
        statistics=data.statistics,
        anomalies=data.anomalies,
        drift=data.drift,
        audit=data.audit,
        explanation=explanation.outputs["explanation"],
        candidates=shown,
        split=config.gate.split,
        class_names=config.class_names,
        configuration=config.to_yaml(),
        pictures=config.report.pictures,
        code_version=code_version(*CODE[roles.REPORT]),
    ).with_id(roles.REPORT)


def _previous_statistics(statistics: types.BaseChannel) -> BaseNode:
    """The node that finds the data before in the metadata store."""
    passed_by = f"{AnomalyCheck.__module__}.{AnomalyCheck.__name__}"
    return tfx.dsl.Resolver(strategy_class=PreviousStatistics, config={"passed_by": passed_by}, **{PREVIOUS: statistics})


def _weights_version(model: ModelConfig) -> str:
    """By content: else the cache would serve a random fall-back after the weights have arrived at the same path."""
    if model.weights == "none":
        return ""
    from cxr.trainer.models.weights import weights_version  # imports Keras, which takes seconds

    return weights_version(model)


def _baseline(name: str, trainer: BaseNode, paths: RunPaths) -> BaseNode | None:
    """The node that yields the model a candidate must not fall behind."""
    given = paths.baselines.get(name)
    if isinstance(given, Choice):
        links = Path(paths.baseline_links)
        given = tfx.dsl.Resolver(
            strategy_class=PushedBaseline,
            config={
                "baseline": as_artifact(given.baseline, links),
                "champion": given.champion.source if given.champion else "",
                "previous": as_artifact(given.previous, links),
            },
            **{MODEL: trainer.outputs["model"]},
        )
    return given.with_id(node_id(roles.BASELINE, name)) if given else None


def _pusher(
    name: str,
    config: Config,
    paths: RunPaths,
    trainer: BaseNode,
    evaluator: BaseNode,
    infra_check: BaseNode,
    shortcut_check: BaseNode,
) -> BaseNode:
    known = Known(pipeline=config.name, split=config.gate.split, compared=config.gate.compared)
    if isinstance(given := paths.baselines.get(name), Choice):
        champion = given.champion.version if given.champion else NO_CHAMPION
        known = known.model_copy(update={"champion": champion, "baseline": given.baseline.name if given.baseline else None})
    return Pusher(
        model=trainer.outputs["model"],
        model_blessing=evaluator.outputs["blessing"],
        infra_blessing=infra_check.outputs["blessing"],
        shortcut_blessing=shortcut_check.outputs["blessing"],
        evaluation=evaluator.outputs["evaluation"],
        models_folder=f"{paths.serving_models}/{name}",
        known=known,
    )
