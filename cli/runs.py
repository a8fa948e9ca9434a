"""`cxr runs`: what was run, and what became of it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cxr.cli import options

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rich.table import Table
    from rich.text import Text

    from cxr.pipeline.kept_runs import KeptRun

EXAMPLES = """
[bold]Examples[/bold]

  cxr runs                                     every run of the workspace, the newest first

  cxr runs --pipeline cpu -n 5                 the last five of one pipeline

  cxr runs -w workspace -w /mnt/team/runs      of several workspaces

  cxr runs --json | jq 'select(.exit_code == 0) | .run'

Failed, interrupted and killed runs are listed too, and one that is under way. Times and memory of every node: --json.
"""
TABLE_WIDTH = 140  # columns; a narrower terminal gets lines
_STYLES = {"done": "green", "refused": "yellow", "failed": "red", "killed": "red", "interrupted": "yellow", "under way": "cyan"}


def register(app: typer.Typer) -> None:
    """Adds `cxr runs`."""
    app.command("runs", help=options.help_of(runs, EXAMPLES))(runs)


def runs(
    workspace: Annotated[
        list[Path] | None, typer.Option("--workspace", "-w", envvar="CXR_WORKSPACE", help="where runs are kept; may be repeated")
    ] = None,
    pipeline: Annotated[str | None, typer.Option("--pipeline", "-p", help="runs of this pipeline only")] = None,
    newest: Annotated[int | None, typer.Option("--newest", "-n", min=1, help="at most this many runs")] = None,
    json: options.Json = False,
) -> None:
    """List runs: when, how long, on which data, and what became of every model."""
    import json as json_text

    from cxr.core.errors import UsageError
    from cxr.pipeline.kept_runs import kept_runs

    places = workspace or [Path("workspace")]
    for place in workspace or []:
        if not place.is_dir():
            raise UsageError(f"--workspace {place}: no such folder")
    found = sorted((run for place in places for run in kept_runs(place, pipeline)), key=lambda run: run.name, reverse=True)[:newest]
    if json:
        for run in found:
            typer.echo(json_text.dumps(to_json(run), ensure_ascii=False))
    elif found:
        console = options.stdout_console()
        if console.width < TABLE_WIDTH:
            for line in lines(found):
                console.print(line, highlight=False, soft_wrap=True)
        else:
            console.print(table(found))
    else:
        of = f" of the pipeline {pipeline!r}" if pipeline else ""
        typer.echo(f"no runs{of} in {', '.join(map(str, places))}; make one with `cxr run`", err=True)


def to_json(run: KeptRun) -> dict[str, Any]:
    """Returns everything that is known of a run without its artifacts."""
    record, report = run.record, run.report
    return {
        "run": run.name,
        "folder": str(run.folder.absolute()),
        "pipeline": run.pipeline,
        "state": run.state,
        "exit_code": run.exit_code,
        "began": record.began if record else None,
        "ended": record.ended if record else None,
        "seconds": run.seconds,
        "peak_memory": run.peak_memory,
        "shipped": record.shipped if record else None,
        "changed": {one.key: one.second for one in record.changed} if record else None,
        "data": report.data if report else record.data if record else None,
        "data_fingerprint": report.data_fingerprint if report else None,
        "synthetic": report.synthetic if report else None,
        "error": record.error if record else None,
        "record_error": run.record_damage or None,
        "report_error": run.damage or None,
        "models": {
            name: {
                **model.model_dump(include={"outcome", "reasons", "version", "baseline"}),
                "accuracy": model.evaluation.figure("accuracy").model_dump() if model.evaluation else None,
            }
            for name, model in (report.models if report else {}).items()
        },
        "nodes": {name: node.model_dump() for name, node in (report.nodes if report else {}).items()},
    }


def table(found: list[KeptRun]) -> Table:
    """Returns one row a run."""
    from rich.table import Table
    from rich.text import Text

    from cxr.core.intervals import NONE
    from cxr.core.spans import memory, span

    shown = Table()
    for column in ("run", "pipeline", "state", "exit", "took", "largest node", "data", "models"):
        shown.add_column(column, overflow="fold", no_wrap=column == "run")
    for run in found:
        state = run.state
        code = run.exit_code
        shown.add_row(
            run.name,
            _configuration(run),
            Text(state, _STYLES.get(state, "none")),
            NONE if code is None else str(code),
            NONE if run.seconds is None else span(run.seconds),
            memory(run.peak_memory),
            _data(run),
            _models(run),
        )
    return shown


def lines(found: list[KeptRun]) -> Iterator[Text]:
    """Yields what the table has, a run's name first and what belongs to it below."""
    from rich.text import Text

    from cxr.core.intervals import NONE
    from cxr.core.spans import memory, span

    for run in found:
        state, code = run.state, run.exit_code
        yield Text.assemble(f"{run.name}  {_configuration(run)}  ", (state, _STYLES.get(state, "none")))
        facts = [] if code is None else [f"exit {code}"]
        facts += [] if run.seconds is None else [span(run.seconds)]
        facts += [] if (peak := memory(run.peak_memory)) == NONE else [f"largest node {peak}"]
        yield Text(f"  {', '.join([*facts, _data(run)])}")
        for line in _models(run).splitlines():
            yield Text(f"  {line}")


def _configuration(run: KeptRun) -> str:
    if run.record_damage:
        return f"{run.pipeline} (changes not known)"
    changed = len(run.record.changed) if run.record else 0
    return f"{run.pipeline} ({changed} changed)" if changed else run.pipeline


def _data(run: KeptRun) -> str:
    from cxr.core.counts import how_many
    from cxr.core.intervals import NONE

    if run.report is None:
        return Path(run.record.data).name if run.record and run.record.data else NONE
    images = sum(sum(classes.values()) for classes in run.report.images.values())
    name = "synthetic" if run.report.synthetic else Path(run.report.data).name
    return f"{name}, {how_many(images, 'image')}" if images else name


def _models(run: KeptRun) -> str:
    """A line for each model; of a run without a report why it ended. And which of its files cannot be read, and why."""
    from cxr.pipeline.run_record import RECORD
    from cxr.pipeline.workspace import REPORT

    if run.report is not None:
        told = [f"{name}: {model.verdict}" for name, model in run.report.models.items()]
    else:
        told = [run.record.error.partition("\n")[0]] if run.record else []
    damaged = ((REPORT, run.damage), (RECORD, run.record_damage))
    return "\n".join(filter(None, (*told, *(f"{file} cannot be read ({why})" for file, why in damaged if why))))
