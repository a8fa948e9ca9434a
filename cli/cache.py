"""`cxr cache`: what is kept of frozen backbones' features, and how it goes."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from cxr.cli import options

EXAMPLES = """
[bold]Examples[/bold]

  cxr cache                                    what is kept, by backbone

  cxr cache prune --max-gigabytes 0.5          down to this size, the least recently used first

  cxr cache prune --older-than 30              what no run has used for 30 days

  cxr cache prune --all --folder /mnt/features another folder than the workspace's, as feature_cache.folder names it

Runs keep the features of frozen backbones here, and the predictions of evaluated models: a run with another head, loss or split
computes only what is new.
Nothing breaks when they are removed; a run under way computes them again. `feature_cache` in the configuration sets folder and size.
"""
Folder = Annotated[Path | None, typer.Option(help="folder of the cache, as feature_cache.folder names it (default: the workspace's)")]


def register(app: typer.Typer) -> None:
    """Adds `cxr cache` and `cxr cache prune`."""
    group = typer.Typer(rich_markup_mode="rich", invoke_without_command=True)
    group.callback(help=options.help_of(cache, EXAMPLES))(cache)
    group.command("prune", help=options.help_of(prune, EXAMPLES))(prune)
    app.add_typer(group, name="cache")


def cache(
    context: typer.Context, workspace: options.Workspace = Path("workspace"), folder: Folder = None, json: options.Json = False
) -> None:
    """Show the cached features of frozen backbones and predictions of models: entries, size, last use, by backbone."""
    import json as json_text

    from cxr.core.errors import UsageError
    from cxr.core.spans import size
    from cxr.trainer.feature_cache.summary import summaries

    if context.invoked_subcommand:
        if given := [f"--{name}" for name in ("workspace", "folder", "json") if options.source_of(context, name) == "COMMANDLINE"]:
            raise UsageError(
                f"cxr cache: {', '.join(given)} stands before {context.invoked_subcommand}, which would not heed it; put it behind"
            )
        return
    place = _place(workspace, folder)
    found = summaries(place)
    if json:
        for one in found:
            row = {
                "backbone": one.backbone,
                "entries": one.entries,
                "bytes": one.size,
                "last_used": one.last_used.isoformat(timespec="seconds"),
            }
            typer.echo(json_text.dumps(row))
        return
    if not found:
        typer.echo(f"{place}: no features are kept; a run with a frozen backbone keeps some", err=True)
        return
    from rich.table import Table

    table = Table(caption=f"{place}: {size(sum(one.size for one in found))}")
    for column in ("backbone", "entries", "size", "last used (UTC)"):
        table.add_column(column)
    for one in found:
        table.add_row(one.backbone, f"{one.entries:,}", size(one.size), f"{one.last_used:%Y-%m-%d %H:%M}")
    options.stdout_console().print(table)


def prune(
    workspace: options.Workspace = Path("workspace"),
    folder: Folder = None,
    max_gigabytes: Annotated[float | None, typer.Option(min=0, help="remove the least recently used until the rest fits")] = None,
    older_than: Annotated[float | None, typer.Option(min=0, metavar="DAYS", help="remove what has not been used for so long")] = None,
    everything: Annotated[bool, typer.Option("--all", help="remove everything")] = False,
) -> None:
    """Remove cached features and predictions; later runs compute them again."""
    import math
    import time

    from cxr.core.counts import how_many
    from cxr.core.errors import CxrError, UsageError
    from cxr.core.spans import size
    from cxr.trainer.feature_cache.store import evict

    if max_gigabytes is None and older_than is None and not everything:
        raise UsageError("cxr cache prune: say what goes: --max-gigabytes, --older-than or --all")
    place = _place(workspace, folder)
    most = math.inf if max_gigabytes is None else max_gigabytes * 1e9
    since = math.inf if everything else -math.inf if older_than is None else time.time() - older_than * 86400
    try:
        gone = evict(place, most, unused_since=since)
    except OSError as error:
        raise CxrError(f"{error.filename}: cannot be removed ({error.strerror})") from None
    typer.echo(f"{place}: removed {size(gone.freed)} in {how_many(gone.files, 'file')}; {size(gone.kept)} are kept")


def _place(workspace: Path, folder: Path | None) -> Path:
    from cxr.core.errors import UsageError
    from cxr.pipeline.workspace import feature_cache_of

    if folder is not None and not folder.is_dir():
        raise UsageError(f"--folder {folder}: no such folder")
    if folder is None and not workspace.is_dir():
        raise UsageError(f"--workspace {workspace}: no such folder")
    return folder or feature_cache_of(workspace)
