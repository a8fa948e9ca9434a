"""`cxr report`: a run's page."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from cxr.cli import options

EXAMPLES = """
[bold]Examples[/bold]

  cxr report                           the newest page of the workspace

  cxr report --pipeline cpu            the newest run of a pipeline

  cxr report 20261125-103209-306       a run by its name, which is its folder's

  cxr report --path                    print where the page is, for scripts and for machines without a browser
"""


def register(app: typer.Typer) -> None:
    """Adds `cxr report`."""
    app.command("report", help=options.help_of(report, EXAMPLES))(report)


def report(
    run: Annotated[
        str | None, typer.Argument(help="name of a run, or its folder; none: the newest that has a page", show_default=False)
    ] = None,
    workspace: options.Workspace = Path("workspace"),
    pipeline: Annotated[str | None, typer.Option("--pipeline", "-p", help="look among the runs of this pipeline only")] = None,
    path: Annotated[bool, typer.Option("--path", help="print the page's path in place of opening it")] = False,
) -> None:
    """Open the page of a run (report.html) in the browser."""
    import webbrowser

    from cxr.core.console import Console

    page = find_page(run, workspace, pipeline)
    if path:
        typer.echo(page)
    elif not webbrowser.open(page.absolute().as_uri()):
        message = f"no browser on this machine; copy the file, it needs nothing beside it: {page}"
        Console(stderr=True).print(message, highlight=False, soft_wrap=True)


def find_page(run: str | None, workspace: Path, pipeline: str | None) -> Path:
    """Returns the page of a run.

    Args:
      run: Name or folder; None: the newest that has a page.
      workspace: Where runs are kept.
      pipeline: Whose runs; None: all.

    Raises:
      UsageError: No such run, or one without a page.
    """
    from cxr.core.errors import UsageError
    from cxr.pipeline.kept_runs import find_run
    from cxr.pipeline.workspace import PAGE, all_runs

    runs = all_runs(workspace, pipeline)
    if run is None:
        where = f"{workspace / pipeline}" if pipeline else f"{workspace}"
        if not runs:
            raise UsageError(f"{where}: holds no runs; make one with `cxr run`, or name another --workspace or --pipeline")
        folder = next((found for found in reversed(runs) if (found / PAGE).is_file()), runs[-1])  # one that is under way has none yet
    else:
        folder = find_run(run, workspace, pipeline).folder
    page = folder / PAGE
    if not page.is_file():
        raise UsageError(
            f"{folder}: has no {PAGE}: it is under way, ended before its nodes did (its run.log says why), or is of an older version"
        )
    return page
