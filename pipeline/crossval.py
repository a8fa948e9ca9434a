"""What `cxr crossval` runs: from a configuration and records to the figures of all folds."""

from __future__ import annotations

import logging
import os
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console

from cxr.core import fingerprints, folder_lock, progress
from cxr.core.durable import replace_text, sync_tree
from cxr.core.errors import CxrError, MissingFileError, UsageError
from cxr.core.file_names import check_readable
from cxr.core.machine_faults import writing_to
from cxr.core.places import records_in
from cxr.core.replaced_folder import replaced
from cxr.pipeline.code_version import FEATURES, code_version
from cxr.pipeline.examples import Examples, prepare_data
from cxr.pipeline.gate import Gate
from cxr.pipeline.pipeline_config import Config
from cxr.pipeline.progress_display import RunProgress
from cxr.pipeline.workspace import CONFIG, Workspace
from cxr.trainer.crossval.cost import TimeLeft, announced, jobs
from cxr.trainer.crossval.experiment import deal_schemes, run_schemes, titled
from cxr.trainer.crossval.features import AllFeatures, features_of_all
from cxr.trainer.crossval.report import FOLDS, SUMMARY, Collector, Report, best_backbone, data_used
from cxr.trainer.crossval.subject import Material, Subject
from cxr.trainer.feature_cache.store import Store
from cxr.trainer.frozen_backbone import FeatureCache
from cxr.trainer.splits import Split, read_split
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


def only(config: Config, names: Sequence[str]) -> Config:
    """Returns a configuration with some of its models; of one alone there is no ensemble.

    Raises:
      UsageError: There is no such model.
    """
    if unknown := [name for name in names if name not in config.models]:
        raise UsageError(f"--models {','.join(names)}: there is no model {unknown[0]!r}; there are {', '.join(config.models)}")
    models = {name: model for name, model in config.models.items() if name in names}
    ensemble = config.ensemble if len(models) > 1 else None
    # The gate's bounds may name the models that are left out, and nothing is judged here.
    return config.model_copy(update={"models": models, "ensemble": ensemble, "gate": Gate()})


@dataclass(frozen=True)
class Records:
    """All that the folds are dealt from."""

    images: Split
    transform: TransformGraph
    content: str  # hash of the files that were read


def read_records(config: Config, examples: Examples, splits: Sequence[str], folder: Path) -> Records:
    """Reads records, and analyses them as the Transform component does, unless an earlier call did.

    Args:
      config: Classes, image size and preprocessing.
      examples: A folder that `cxr ingest` wrote.
      splits: Those that take part; the files of the others are not opened.
      folder: Where Transform graphs are kept, by the hash of what they hang on; nobody else may write there meanwhile.

    Raises:
      UsageError: The records lack a split.
      CxrError: See `read_split`.
    """
    if missing := sorted(set(splits) - set(examples.splits)):
        raise UsageError(f"--splits {','.join(splits)}: {examples.path} has no split {missing[0]!r}, only {', '.join(examples.splits)}")
    patterns = [records_in(f"{examples.path}/{split}") for split in splits]
    settings = config.transform_settings()
    content = fingerprints.of_parts([fingerprints.of_folder(examples.path / split) for split in splits])
    graph = folder / fingerprints.of_parts([settings, content, code_version("cxr.trainer.preprocessing")])
    for unfinished in folder.glob("*.*"):  # of calls that were killed
        shutil.rmtree(unfinished)
    if not graph.exists():
        from cxr.pipeline.analysis import write_transform_graph  # Beam and TFT: seconds

        draft = graph.with_suffix(".unfinished")
        try:
            write_transform_graph(patterns, str(draft), settings)
            sync_tree(draft)
            draft.rename(graph)
        finally:
            shutil.rmtree(draft, ignore_errors=True)
    transform = TransformGraph(str(graph), config.class_names)
    return Records(read_split(patterns, transform), transform, content)


def feature_cache(config: Config, workspace: Workspace) -> FeatureCache:
    """Returns where a cross-validation finds and keeps features: where runs do, or by itself where the configuration has no cache."""
    place = config.feature_place(workspace.feature_cache)
    return FeatureCache(Store(place.folder or workspace.crossval / "features", place.max_bytes), code_version(*FEATURES))


def _check_results(folder: Path, asked: dict[str, Any]) -> None:
    """Refuses a folder with the results of another cross-validation: its folds would lie among the new ones, or be gone.

    Args:
      folder: For results; it need not be there.
      asked: Fields of `Report` that tell one cross-validation from another.
    """
    remedy = "name another folder with --out, or remove this one"
    try:
        found = Report.read(folder / SUMMARY, remedy)
    except MissingFileError:
        return
    except CxrError as error:
        raise UsageError(str(error)) from None
    if other := [name for name, value in asked.items() if getattr(found, name) != value]:
        raise UsageError(f"--out {folder}: holds the results of another cross-validation (other {', '.join(other)}); {remedy}")


@contextmanager
def _results_in(folder: Path) -> Iterator[None]:
    """Makes a folder for results, and keeps cross-validations of other pipelines and workspaces out of it.

    Raises:
      UsageError: It cannot be made.
      CxrError: Another process writes its results there.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        busy = f"--out {folder}: another cross-validation writes there; wait for its end, or name another folder"
        handle = folder_lock.take(folder, busy)
    except OSError as error:
        raise UsageError(f"{folder}: the folder for results cannot be made ({error.strerror}); --out names another") from None
    try:
        yield
    finally:
        os.close(handle)


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

    A model whose backbone learns too is trained whole in every fold; what that costs is said before.

    Args:
      config: Models, ensemble and preprocessing.
      data: A folder that `cxr ingest` wrote, or images.
      splits: Whose images take part.
      workspace: Where Transform graphs and finished folds are kept, by the hash of what they hang on, and features (`feature_cache`).
      console: For progress.
      folds: How many, by patient and by image.
      seed: Of the deals.
      folder: For configuration, summary, and a file per fold. They take the place of those of an earlier call when all of them are there.

    Raises:
      UsageError: A split is missing, a class has too few patients, or `folder` holds what another cross-validation found.
      CxrError: Data, weights or a training that fails; another cross-validation of the pipeline, or to this folder, is under way.
    """
    asked = {"configuration": config.model_dump(mode="json"), "splits": tuple(splits), "folds": folds, "seed": seed}
    check_readable("--workspace", Path(workspace.root, workspace.pipeline))
    _check_results(folder, asked)
    examples = prepare_data(config, data, workspace, console)
    kept = workspace.crossval
    with _results_in(folder), writing_to(workspace.home), workspace.lock_crossval(), _alone(), RunProgress(console) as shown:
        shown.stage("reading the records", 1, 1)
        records = read_records(config, examples, splits, kept / "graphs")
        asked["records"] = records.content
        _check_results(folder, asked)
        images = records.images
        schemes, skipped = deal_schemes(images, folds, seed)
        cache = feature_cache(config, workspace)
        frozen: dict[str, AllFeatures] = {}
        for number, (name, model) in enumerate(config.models.items(), 1):
            shown.stage(f"features of {name}", number, len(config.models))
            frozen[name] = features_of_all(name, model, images.images, records.transform, cache, kept / "unfinished")
        for note in cache.store.notes:
            console.print(note, highlight=False, markup=False, soft_wrap=True)
        subject = Subject(
            models=config.models,
            ensemble=config.ensemble,
            classes=len(config.class_names),
            tables={name: found.features for name, found in frozen.items()},
            labels=images.labels,
            sources=images.sources,
            keys={name: found.name for name, found in frozen.items()},
            code=code_version("cxr.trainer.crossval.fold_run"),
            material=Material(images, records.transform, {name: found.statistics for name, found in frozen.items()}),
        )
        titles = [title for title, *_ in titled(schemes)]
        left = jobs(subject, schemes, seed, kept / "folds", {name: found.seconds_per_image for name, found in frozen.items()})
        if text := announced(subject, left, len(titles)):
            console.print(text, highlight=False, markup=False, soft_wrap=True)
        clock = TimeLeft(left)

        def on_member(fold: int, name: str) -> None:
            shown.stage(f"{titles[fold - 1]}, {name}{clock.at(fold, name)}", fold, len(titles))

        with replaced(folder / FOLDS) as partial:
            collector = Collector(images, config.class_names, partial)
            for scheme, fold, answers in run_schemes(subject, schemes, seed, kept / "folds", shown.stage, on_member):
                with writing_to(folder):
                    collector.add(scheme, fold, answers)
        for found in frozen.values():
            shutil.rmtree(found.state, ignore_errors=True)
        results = collector.results()
        report = Report(
            **asked,
            images=len(images),
            patients=len(np.unique(images.patients)),
            synthetic=images.synthetic > 0,
            weights={name: found.weights_note for name, found in frozen.items()},
            data_used=data_used(config.models, config.ensemble),
            results=results,
            leakage=collector.leakage(),
            best_backbone=best_backbone(results, list(config.models)),
            sources_not_left_out=skipped,
        )
        with writing_to(folder):
            replace_text(folder / CONFIG, config.to_yaml())
            report.write(folder / SUMMARY)
    return report
