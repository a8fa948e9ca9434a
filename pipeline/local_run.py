"""`cxr run`: data, graph, run, report."""

from __future__ import annotations

import json
import logging
import shlex
import sys
from dataclasses import dataclass
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
    from cxr.data.ingest.dataset import read_dataset
    from cxr.pipeline.examples import check_ensemble, prepare_data

    config, workspace, folder = request.config, request.workspace, request.folder
    for remark in model_remarks(config.models):
        err.print(remark, style="yellow", highlight=False, soft_wrap=True)
    metadata_file.check(workspace.metadata)  # before images are read for nothing
    start_fork_server()
    examples = prepare_data(config, request.data, workspace, err)
    dataset = read_dataset(examples.path)
    config.check_validation(has_validation=VAL in dataset.splits)
    check_ensemble(config, dataset)
    workspace.point_latest_at(folder)
    workspace.point_records_at(examples.path)
    config = config.model_copy(update={"data": examples.made_with})
    replace_text(folder / ws.CONFIG, config.to_yaml())  # what was run on, not what was left at its default
    with err.status("importing TFX and TensorFlow"), imports.uncollected():  # 10 to 30 seconds
        from ml_metadata.errors import StatusError
        from tfx.orchestration import metadata

        from cxr.pipeline import artifact_files
        from cxr.pipeline.baselines import choose_all, remarks
        from cxr.pipeline.graph import RunPaths, create_pipeline
        from cxr.pipeline.local_runner import WatchedDagRunner
        from cxr.pipeline.progress_display import RunProgress
        from cxr.pipeline.report import make_report
        from cxr.pipeline.report_page import page_sources, run_before, write_page
        from cxr.pipeline.schema import curated_schema, write_schema
        from cxr.pipeline.side_by_side import room
    lost = metadata_file.prepare(workspace.metadata, workspace.pipeline_root)
    for remark in [lost] if lost else artifact_files.pass_over(workspace):
        err.print(remark, style="yellow", highlight=False, soft_wrap=True)
    choices = choose_all(config, examples.path, workspace.serving_models)
    for name, choice in choices.items():
        for remark in remarks(choice):
            err.print(f"{name}: {remark}", style="yellow", highlight=False, soft_wrap=True)
    config.feature_place(workspace.feature_cache).write(workspace.feature_cache_setting)
    pipeline = create_pipeline(
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
    place = room(config, workspace.root, request.jobs)
    err.print(str(place), highlight=False)
    try:
        with RunProgress(err) as progress:
            results = WatchedDagRunner(progress, place, profile=request.profile).run(pipeline)
    except (RuntimeError, StatusError) as error:  # what ML Metadata raises says nothing of its file
        if (text := metadata_file.explained(error, workspace.metadata)) is None:
            raise
        raise CxrError(text) from error
    if request.profile:
        replace_text(folder / PROFILE, json.dumps({node: result.profile for node, result in results.items() if result.profile}, indent=2))
    report = make_report(config, results, choices, data=str(examples.path), dataset=dataset)
    report.write(folder / ws.REPORT)
    page = folder / ws.PAGE
    try:
        record = read_run_record(folder)
        began = datetime.fromisoformat(record.began) if record else None
        write_page(page_sources(config, results, report, dataset, run=folder.name, began=began, before=run_before(folder)), page)
    except Exception as error:  # models that were pushed stay pushed, whatever becomes of their picture
        logging.getLogger(__name__).exception("%s", page.name)
        err.print(f"{page.name} could not be made: {error}; {ws.REPORT} has the figures", style="yellow", soft_wrap=True)
    _tell(out, report, workspace, folder, page)
    return report.exit_code


def _tell(out: Console, report: Report, workspace: ws.Workspace, folder: Path, page: Path) -> None:
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
    tensorboard = Path(sys.executable).with_name("tensorboard")
    made = (
        ("models", _from_here(workspace.serving_models)),
        ("report", _from_here(page if page.is_file() else folder / ws.REPORT)),
        ("curves", shlex.join(map(str, (_from_here(tensorboard), "--logdir", _from_here(workspace.pipeline_root))))),
        ("log", _from_here(folder / ws.LOG)),
    )
    for what, path in made:
        out.print(f"{what + ':':<8}{path}", highlight=False, soft_wrap=True)
