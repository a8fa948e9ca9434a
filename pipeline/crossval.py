"""What `cxr crossval` runs: from a configuration and records to the figures of all folds."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from rich.console import Console

from cxr.core import fingerprints, progress
from cxr.core.errors import UsageError
from cxr.pipeline.code_version import code_version
from cxr.pipeline.examples import Examples, prepare_data
from cxr.pipeline.pipeline_config import Config
from cxr.pipeline.progress_display import RunProgress
from cxr.pipeline.workspace import Workspace
from cxr.trainer.crossval.experiment import check_models, deal_schemes, run_schemes
from cxr.trainer.crossval.features import features_key, frozen_features
from cxr.trainer.crossval.fold_run import Subject
from cxr.trainer.crossval.report import Collector, Report, best_backbone
from cxr.trainer.inputs import Split, read_split
from cxr.trainer.training_state import fingerprint
from cxr.trainer.transform_graph import TransformGraph


@contextmanager
def _alone() -> Iterator[None]:
    """Keeps what trainers report from the root logger, whose lines would tear the progress bar."""
    logger = logging.getLogger(progress.LOGGER)
    before, logger.propagate = logger.propagate, False
    try:
        yield
    finally:
        logger.propagate = before


@dataclass(frozen=True)
class Material:
    """All that the folds are dealt from."""

    images: Split
    transform: TransformGraph
    code: str  # version of the code that makes features


def read_material(config: Config, examples: Examples, splits: Sequence[str], folder: Path) -> Material:
    """Reads records, and analyses them as the Transform component does, unless an earlier call did.

    Args:
      config: Classes, image size and preprocessing.
      examples: A folder that `cxr ingest` wrote.
      splits: Those that take part; the files of the others are not opened.
      folder: Where Transform graphs are kept, by the hash of what they hang on.

    Raises:
      UsageError: The records lack a split.
      CxrError: See `read_split`.
    """
    if missing := sorted(set(splits) - set(examples.splits)):
        raise UsageError(f"--splits {','.join(splits)}: {examples.path} has no split {missing[0]!r}, only {', '.join(examples.splits)}")
    patterns = [f"{examples.path}/{split}/*.tfrecord.gz" for split in splits]
    settings = {
        "class_names": list(config.class_names),
        "image_size": config.image_size,
        "preprocessing": config.preprocessing.model_dump(mode="json"),
    }
    records = [fingerprints.of_folder(examples.path / split) for split in splits]
    graph = folder / fingerprint([settings, *records, code_version("cxr.trainer.preprocessing")])
    if not graph.exists():
        from cxr.pipeline.analysis import write_transform_graph  # Beam and TFT: seconds

        draft = graph.with_suffix(".unfinished")
        write_transform_graph(patterns, str(draft), settings)
        draft.rename(graph)
    transform = TransformGraph(str(graph), config.class_names)
    return Material(read_split(patterns, transform), transform, code_version("cxr.trainer.crossval.features"))


def cross_validate(
    config: Config,
    data: str,
    splits: Sequence[str],
    workspace: Workspace,
    console: Console,
    *,
    folds: int,
    seed: int,
    folder: Path,
) -> Report:
    """Cross-validates a configuration.

    Args:
      config: Models, ensemble and preprocessing.
      data: A folder that `cxr ingest` wrote, or images.
      splits: Whose images take part.
      workspace: Where Transform graphs, features and finished folds are kept, by the hash of what they hang on.
      console: For progress.
      folds: How many, by patient and by image.
      seed: Of the deals.
      folder: For a file per fold.

    Raises:
      UsageError: A backbone learns too, a split is missing, or a class has too few patients.
      CxrError: Data, weights or a training that fails.
    """
    check_models(config.models)
    examples = prepare_data(config, data, workspace, console)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(f"--out {folder}: {error.strerror}") from None
    kept = workspace.home / "crossval"
    with _alone(), RunProgress(console) as shown:
        shown.started("reading the records", 1, 1)
        material = read_material(config, examples, splits, kept / "graphs")
        images = material.images
        schemes, skipped = deal_schemes(images, folds, seed)
        tables, notes, keys = {}, {}, []
        for number, (name, model) in enumerate(config.models.items(), 1):
            shown.started(f"features of {name}", number, len(config.models))
            keys.append(features_key(model, images, material.transform, [material.code]))
            tables[name], notes[name] = frozen_features(name, model, images, material.transform, kept / "features" / keys[-1])
        identity = (*keys, code_version("cxr.trainer.crossval.fold_run"))
        subject = Subject(config.models, config.ensemble, len(config.class_names), tables, images.labels, images.sources, identity)
        collector = Collector(images, config.class_names, folder)
        for scheme, fold, answers in run_schemes(subject, schemes, seed, kept / "folds", shown.started):
            collector.add(scheme, fold, answers)
    results = collector.results()
    return Report(
        configuration=config.model_dump(mode="json"),
        splits=tuple(splits),
        images=len(images),
        patients=len(np.unique(images.patients)),
        folds=folds,
        seed=seed,
        synthetic=images.synthetic > 0,
        weights=notes,
        results=results,
        leakage=collector.leakage(),
        best_backbone=best_backbone(results, list(config.models)),
        sources_not_left_out=skipped,
    )
