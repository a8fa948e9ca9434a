"""`cxr run` and `cxr config`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from cxr.cli.options import Workspace, help_of

EXAMPLES = """
[bold]Examples[/bold]

  cxr run                                              the demo, on synthetic images

  cxr run --config cpu --data ~/xrays                  a folder with one sub-folder per class

  cxr run --config cpu --data records gate.tolerance=0 a folder that `cxr ingest` wrote, one value changed

  cxr run --config full --data records defaults.weights=~/weights
"""


def register(app: typer.Typer) -> None:
    """Adds `cxr run` and `cxr config`."""
    app.command("run", help=help_of(run, EXAMPLES))(run)
    app.command("config")(config)


Overrides = Annotated[
    list[str] | None, typer.Argument(help="key=value changes of the configuration, dotted keys; defaults.… for all models")
]


def run(
    overrides: Overrides = None,
    config: Annotated[str, typer.Option("--config", "-c", help="a shipped configuration (demo, paper, cpu, full) or a YAML file")] = "demo",
    data: Annotated[
        str | None, typer.Option("--data", "-d", help="folder of `cxr ingest`, or images: a folder per class, or a manifest CSV")
    ] = None,
    workspace: Workspace = Path("workspace"),
    cache: Annotated[bool, typer.Option(help="use the results of earlier runs where nothing they depend on has changed")] = True,
) -> None:
    """Run the pipeline: validate, train, evaluate, check and push every model."""
    from rich.console import Console

    from cxr.pipeline.local_run import run as run_pipeline
    from cxr.pipeline.pipeline_config import load

    loaded = load(config, overrides or ())
    messages = Console(stderr=True)
    changed = f", changed: {' '.join(overrides)}" if overrides else ""
    messages.print(f"configuration: {config}{changed} (cxr config {config} prints it)", markup=False, highlight=False, soft_wrap=True)
    try:
        code = run_pipeline(loaded, data, workspace, enable_cache=cache)
    except KeyboardInterrupt:
        messages.print("the same command goes on where this one stopped", style="yellow")
        raise
    raise typer.Exit(code)


def config(
    name: Annotated[str | None, typer.Argument(help="a shipped configuration or a YAML file; none: list what is shipped")] = None,
    overrides: Overrides = None,
) -> None:
    """Print a configuration in full, or list those that are shipped."""
    from cxr.pipeline.pipeline_config import load, shipped

    if name is None:
        for key, text in shipped().items():
            typer.echo(f"{key:<8}{text}")
    else:
        typer.echo(load(name, overrides or ()).to_yaml(), nl=False)
