"""`cxr compare`: two runs beside each other."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from cxr.cli import options

EXAMPLES = """
[bold]Examples[/bold]

  cxr compare 20261125-103209-306 latest                what changed, and whether that could be chance

  cxr compare RUN RUN --json > compared.json            for scripts, with the time of every node

  cxr compare workspace/cpu/runs/RUN /mnt/team/cpu/runs/RUN    by their folders

`cxr runs` lists the names. Differences are second minus first. Where both runs judged the same images they have paired 95 % intervals
by patient; otherwise the figures are shown without differences.
"""


def register(app: typer.Typer) -> None:
    """Adds `cxr compare`."""
    app.command("compare", help=options.help_of(compare, EXAMPLES))(compare)


def compare(
    first: Annotated[str, typer.Argument(metavar="RUN", help="name of a run, its folder, or latest", show_default=False)],
    second: Annotated[str, typer.Argument(metavar="RUN", help="the run that it is compared with, named likewise", show_default=False)],
    workspace: options.Workspace = Path("workspace"),
    json: Annotated[bool, typer.Option("--json", help="JSON instead of tables")] = False,
) -> None:
    """Compare two runs: configuration, data, figures with intervals, times."""
    from cxr.core.console import Console
    from cxr.core.silence import tensorflow_starting
    from cxr.pipeline.kept_runs import find_run, report_of

    runs = [find_run(name, workspace) for name in (first, second)]
    for run in runs:
        report_of(run)  # before TensorFlow is imported
    with Console(stderr=True).status("reading the predictions"), tensorflow_starting():
        from cxr.pipeline.compare import compare_runs
        from cxr.pipeline.compare_tables import remarks, tables

        found = compare_runs(*runs)
    if json:
        typer.echo(found.model_dump_json(indent=2))
        return
    console = options.stdout_console()
    for part in tables(found):
        console.print(part)
    for line in remarks(found):
        console.print(line, highlight=False, soft_wrap=True)
