"""`cxr run`: data, graph, run, report."""

from __future__ import annotations

import json
import logging
import shlex
import sys
from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

from cxr.core import beam_options, gpus, imports
from cxr.core.console import Console
from cxr.core.durable import replace_text
from cxr.core.errors import CxrError
from cxr.core.features import VAL
from cxr.core.file_names import check_readable
from cxr.core.machine_faults import writing_to
from cxr.pipeline import metadata_file
from cxr.pipeline import workspace as ws
from cxr.pipeline.model_checks import check_backbones, check_weights
from cxr.pipeline.model_checks import remarks as model_remarks
from cxr.pipeline.node_process import start_fork_server
from cxr.pipeline.node_profile import PROFILE
from cxr.pipeline.output_capture import captured_output
from cxr.pipeline.pipeline_config import Config
from cxr.pipeline.run_record import new_record, read_run_record, recorded

if TYPE_CHECKING:
    from tfx import v1 as tfx

    from cxr.components.baseline.rule import Choice
    from cxr.data.ingest.dataset import Dataset
    from cxr.pipeline.examples import Examples
    from cxr.pipeline.local_runner import NodeResult
    from cxr.pipeline.report import Report

_PLAIN_WIDTH = 120  # columns of a file or pipe, for which rich would take 80: too few for the table


@dataclass(frozen=True)
class _Request:
    """What `run` was asked for, and where it goes."""

    config: Config
    data: str | None
    workspace: ws.Workspace
    folder: Path  # its own, below the workspace's runs
    enable_cache: bool
    jobs: int | None
    profile: bool


def run(config: Config, data: str | None, root: Path, *, enable_cache: bool = True, jobs: int | None = None, profile: bool = False) -> int:
    """Runs a pipeline on this machine, from data to pushed models.

    Args:
      config: What to do.
      data: A folder that `cxr ingest` wrote, or a source that it can read (it is ingested first); None: the configuration's demo data.
      root: The workspace.
      enable_cache: Use TFX's cache.
      jobs: Nodes that may run at once; None: see `side_by_side.room`.
      profile: Keep what each node's processor time went to (node_profile.py).

    Returns:
      An exit code (exit_codes.py).

    Raises:
      UsageError: No such data or weights, nothing where Beam is to work, or a workspace whose path is too long.
      CxrError: Data or configuration cannot be used; nothing was changed.
    """
    from cxr.pipeline.examples import check_data

    check_data(config, data)
    check_readable("--workspace", Path(root, config.name))
    gpus.share()  # a notebook does not pass by `cxr`: this process, too, reads images with TensorFlow
    from cxr.pipeline.schema import curated_schema

    if config.schema_file:
        curated_schema(config.class_names, config.schema_file)
    check_backbones(config.models)
    check_weights(config.models)
    beam_options.check(config.beam.arguments())
    workspace = ws.Workspace(root, config.name)
    metadata_file.check_path(workspace.metadata)
    with writing_to(workspace.home), workspace.lock():
        record = new_record(config, data)
        folder = workspace.new_run()
        request = _Request(config, data, workspace, folder, enable_cache, jobs, profile)
        return recorded(folder, record, lambda: _run_logged(request))


def _run_logged(request: _Request) -> int:
    replace_text(request.folder / ws.CONFIG, request.config.to_yaml())
    log = request.folder / ws.LOG
    with captured_output(log) as (stdout, stderr), request.config.beam.serving() as beam:
        out, err = _console(stdout), _console(stderr)
        err.print(f"log: {_from_here(log)}", highlight=False, soft_wrap=True)
        return _run(request, out, err, beam)


def _from_here(path: Path) -> Path:
    """Returns a path as one would type it: from the current folder, where it lies below that."""
    here = Path.cwd()
    return path.relative_to(here) if path.is_relative_to(here) else path


def _console(stream: TextIO) -> Console:
    """A console on this very stream. A notebook's kernel asks for colours in its environment, and cannot show moving lines."""
    notebook = "ipykernel" in sys.modules
    return Console(
        file=stream, width=None if stream.isatty() else _PLAIN_WIDTH, force_jupyter=False, force_terminal=False if notebook else None
    )


def _run(request: _Request, out: Console, err: Console, beam: tuple[str, ...]) -> int:
    _warn(err, model_remarks(request.config.models))
    metadata_file.check(request.workspace.metadata)  # before images are read for nothing
    start_fork_server()
    request, examples, dataset = _with_data(request, err)
    with err.status("importing TFX and TensorFlow"), imports.uncollected():  # 10 to 30 seconds
        from cxr.pipeline import artifact_files, graph, local_runner, report_page  # noqa: F401  # for all that follows
        from cxr.pipeline.report import make_report
    lost = metadata_file.prepare(request.workspace.metadata, request.workspace.pipeline_root)
    _warn(err, [lost] if lost else artifact_files.pass_over(request.workspace))
    choices = _baselines(request, examples, err)
    results = _nodes(request, _graph(request, examples, choices, beam), err)
    report = make_report(request.config, results, choices, data=str(examples.path), dataset=dataset)
    report.write(request.folder / ws.REPORT)
    _draw(request, results, report, dataset, err)
    _tell(out, report, request.workspace, request.folder)
    return report.exit_code


def _warn(err: Console, remarks: Iterable[str]) -> None:
    for remark in remarks:
        err.print(remark, style="yellow", highlight=False, soft_wrap=True)


def _with_data(request: _Request, err: Console) -> tuple[_Request, Examples, Dataset]:
    """Has images read, where they are not records already; returns the request as it was run on, and the records."""
    from cxr.data.ingest.dataset import read_dataset
    from cxr.pipeline.examples import check_ensemble, prepare_data

    config, workspace = request.config, request.workspace
    examples = prepare_data(config, request.data, workspace, err)
    dataset = read_dataset(examples.path)
    config.check_validation(has_validation=VAL in dataset.splits)
    check_ensemble(config, dataset)
    workspace.point_latest_at(request.folder)
    workspace.point_records_at(examples.path)
    config = config.model_copy(update={"data": examples.made_with})
    replace_text(request.folder / ws.CONFIG, config.to_yaml())  # what was run on, not what was left at its default
    return replace(request, config=config), examples, dataset


def _baselines(request: _Request, examples: Examples, err: Console) -> dict[str, Choice]:
    """Chooses what each model is compared with, and tells it."""
    from cxr.pipeline.baselines import choose_all, remarks

    choices = choose_all(request.config, examples.path, request.workspace.serving_models)
    _warn(err, (f"{name}: {remark}" for name, choice in choices.items() for remark in remarks(choice)))
    return choices


def _graph(request: _Request, examples: Examples, choices: dict[str, Choice], beam: tuple[str, ...]) -> tfx.dsl.Pipeline:
    from tfx.orchestration import metadata

    from cxr.pipeline.graph import RunPaths, create_pipeline
    from cxr.pipeline.schema import curated_schema, write_schema

    config, workspace = request.config, request.workspace
    config.feature_place(workspace.feature_cache).write(workspace.feature_cache_setting)
    return create_pipeline(
        config,
        RunPaths(
            data=str(workspace.records),
            splits=examples.splits,
            schema_file=str(write_schema(curated_schema(config.class_names, config.schema_file), workspace.schema)),
            pipeline_root=str(workspace.pipeline_root),
            serving_models=str(workspace.serving_models),
            training_state=str(workspace.training_state),
            feature_cache=str(workspace.feature_cache_setting),
            metadata=metadata.sqlite_metadata_connection_config(str(workspace.metadata)),
            baselines=choices,
            baseline_links=str(workspace.baselines),
            beam=beam,
        ),
        enable_cache=request.enable_cache,
    )


def _nodes(request: _Request, pipeline: tfx.dsl.Pipeline, err: Console) -> dict[str, NodeResult]:
    """Runs all nodes, and keeps what their time went to where that is asked for."""
    from ml_metadata.errors import StatusError

    from cxr.pipeline.local_runner import WatchedDagRunner
    from cxr.pipeline.progress_display import RunProgress
    from cxr.pipeline.side_by_side import room

    place = room(request.config, request.workspace.root, request.jobs)
    err.print(str(place), highlight=False)
    try:
        with RunProgress(err) as progress:
            results = WatchedDagRunner(progress, place, profile=request.profile).run(pipeline)
    except (RuntimeError, StatusError) as error:  # what ML Metadata raises says nothing of its file
        if (text := metadata_file.explained(error, request.workspace.metadata)) is None:
            raise
        raise CxrError(text) from error
    if request.profile:
        profiles = {node: result.profile for node, result in results.items() if result.profile}
        replace_text(request.folder / PROFILE, json.dumps(profiles, indent=2))
    return results


def _draw(request: _Request, results: dict[str, NodeResult], report: Report, dataset: Dataset, err: Console) -> None:
    """Writes report.html, or says why it cannot be: models that were pushed stay pushed, whatever becomes of their picture."""
    from cxr.pipeline.report_page import page_sources, run_before, write_page

    folder = request.folder
    try:
        record = read_run_record(folder)
        began = datetime.fromisoformat(record.began) if record else None
        sources = page_sources(request.config, results, report, dataset, run=folder.name, began=began, before=run_before(folder))
        write_page(sources, folder / ws.PAGE)
    except Exception as error:
        logging.getLogger(__name__).exception("%s", ws.PAGE)
        err.print(f"{ws.PAGE} could not be made: {error}; {ws.REPORT} has the figures", style="yellow", soft_wrap=True)


def _tell(out: Console, report: Report, workspace: ws.Workspace, folder: Path) -> None:
    """Prints what came of a run, and where it lies."""
    from cxr.pipeline.report_table import drift_lines, feature_lines, shortcut_lines, table, weights_notes

    out.print(table(report))
    for candidate in report.models.values():
        for reason in candidate.reasons:
            out.print(f"{candidate.name}: {reason}", style="red", highlight=False, soft_wrap=True)
        for note in candidate.notes:
            out.print(f"{candidate.name}: {note}", style="yellow", highlight=False, soft_wrap=True)
    for line, style in drift_lines(report).items():
        out.print(f"drift: {line}", style=style, highlight=False, soft_wrap=True)
    for line in shortcut_lines(report):
        out.print(line, highlight=False, soft_wrap=True)
    for line in feature_lines(report):
        out.print(line, highlight=False, soft_wrap=True)
    for note, names in weights_notes(report).items():
        out.print(f"{note}: {', '.join(names)}", highlight=False, soft_wrap=True)
    page = folder / ws.PAGE
    tensorboard = Path(sys.executable).with_name("tensorboard")
    made = (
        ("models", _from_here(workspace.serving_models)),
        ("report", _from_here(page if page.is_file() else folder / ws.REPORT)),
        ("curves", shlex.join(map(str, (_from_here(tensorboard), "--logdir", _from_here(workspace.pipeline_root))))),
        ("log", _from_here(folder / ws.LOG)),
    )
    for what, path in made:
        out.print(f"{what + ':':<8}{path}", highlight=False, soft_wrap=True)
