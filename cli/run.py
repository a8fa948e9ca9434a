"""`cxr run` and `cxr config`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cxr.cli.options import Workspace, help_of

if TYPE_CHECKING:
    from cxr.pipeline.pipeline_config import Config

EXAMPLES = """
[bold]Examples[/bold]

  cxr run                                              the demo, on synthetic images

  cxr run --config cpu --data ~/xrays                  a folder with one sub-folder per class

  cxr run --config cpu --data records gate.tolerance=0 a folder that `cxr ingest` wrote, one value changed

  cxr run --config full --data records defaults.weights=~/weights

  cxr run --jobs 1                                     one node after the other: the least memory

  cxr run --config cpu --data records --beam-workers 8 statistics, Transform and evaluation in eight processes

Exit codes: 0 every model was blessed and pushed, 3 a gate refused one, 1 failed, 2 wrong arguments, 130 interrupted, 143 ended by SIGTERM,
129 by a closed terminal (the same command then goes on).
"""


CONFIG_EXAMPLES = """
[bold]Examples[/bold]

  cxr config                                list what is shipped

  cxr config cpu                            one in full

  cxr config cpu gate.tolerance=0 > my.yaml begin one of your own, for `cxr run --config my.yaml`
"""


def register(app: typer.Typer) -> None:
    """Adds `cxr run` and `cxr config`."""
    app.command("run", help=help_of(run, EXAMPLES))(run)
    app.command("config", help=help_of(config, CONFIG_EXAMPLES))(config)


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
    beam_workers: Annotated[
        int | None, typer.Option(min=1, help="processes that share each Beam job; 1 unless beam.workers says more (docs/scale.md)")
    ] = None,
    cache: Annotated[bool, typer.Option(help="use the results of earlier runs where nothing they depend on has changed")] = True,
    jobs: Annotated[
        int | None,
        typer.Option(
            "--jobs",
            "-j",
            min=1,
            help="nodes that run at once, as far as their memory allows (1: one after the other)",
            show_default="the machine's cores",
        ),
    ] = None,
    profile: Annotated[
        bool, typer.Option("--profile", help="record what each node spends processor time on, in profile.json of the run's folder")
    ] = False,
) -> None:
    """Run the pipeline: validate, train, evaluate, check and push every model."""
    from cxr.core.console import Console
    from cxr.pipeline.local_run import run as run_pipeline
    from cxr.pipeline.pipeline_config import load

    workers = [] if beam_workers is None else [f"beam.workers={beam_workers}"]
    loaded = load(config, [*(overrides or ()), *workers])
    messages = Console(stderr=True)
    for line in told(loaded, config, overridden=bool(overrides or workers)):
        messages.print(line, highlight=False, soft_wrap=True)
    try:
        code = run_pipeline(loaded, data, workspace, enable_cache=cache, jobs=jobs, profile=profile)
    except KeyboardInterrupt:
        messages.print("the same command goes on where this one stopped", style="yellow")
        raise
    raise typer.Exit(code)


def told(loaded: Config, name: str, *, overridden: bool) -> list[str]:
    """Returns what is said of a configuration before it runs: in what it differs from the shipped one. All of it is kept with the run.

    Args:
      loaded: The configuration.
      name: As it was asked for.
      overridden: With changes on the command line, which are not repeated: they can name people (data.where).
    """
    from cxr.pipeline.config_differences import from_shipped, lines

    shipped, changed = from_shipped(loaded)
    base = "the shipped one" if name == shipped else f"the shipped {shipped}"
    if not changed:
        return [f"configuration: {name}; nothing differs from {base}"]
    same = " with the same changes" if overridden else ""
    return [
        f"configuration: {name}; what differs from {base} (cxr config {name}{same} prints all of it):",
        *(f"  {line}" for line in lines(changed)),
    ]


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
