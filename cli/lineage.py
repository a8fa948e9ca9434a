"""`cxr lineage`: from a pushed version back to what it was made of."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from cxr.cli import options

EXAMPLES = """
[bold]Examples[/bold]

  cxr lineage ensemble                               the version that was pushed last

  cxr lineage ensemble/1795656110 --pipeline cpu     another one; --pipeline where several have pushed a model of this name

  cxr lineage /models/ensemble/1795656110            a version's folder, on a server for instance, without its workspace

  cxr lineage ensemble --json | jq .data.fingerprint
"""


def register(app: typer.Typer) -> None:
    """Adds `cxr lineage`."""
    app.command("lineage", help=options.help_of(lineage, EXAMPLES))(lineage)


def lineage(
    model: Annotated[str, typer.Argument(metavar="MODEL[/VERSION]", help="a pushed model, or the folder of one", show_default=False)],
    workspace: options.Workspace = Path("workspace"),
    pipeline: Annotated[str | None, typer.Option("--pipeline", "-p", help="pipeline in which the name of a model is looked up")] = None,
    json: Annotated[bool, typer.Option("--json", help="JSON instead of text")] = False,
) -> None:
    """Show where a pushed model comes from: run, code, data, configuration, baseline, figures, members."""
    from cxr.core.console import Console
    from cxr.core.silence import tensorflow_starting

    with Console(stderr=True).status("reading the model"), tensorflow_starting():
        from cxr.pipeline.lineage import find  # TensorFlow, ML Metadata: seconds
        from cxr.pipeline.lineage import lineage as trace
        from cxr.pipeline.lineage_text import sections

        found = trace(find(model, workspace, pipeline))
    if json:
        typer.echo(found.model_dump_json(indent=2))
        return
    console = options.stdout_console()
    for title, rows in sections(found):
        console.print(title, style="bold", highlight=False)
        for name, value in rows:
            console.print(f"  {name + ':':<29} {value}" if value else f"  {name}", highlight=False, soft_wrap=True)
