"""`cxr prune`: old runs, their artifacts and pushed versions that nobody needs."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cxr.cli import options
from cxr.cli.serving import DEFAULT_CONFIG
from cxr.serving import defaults

if TYPE_CHECKING:
    from collections.abc import Iterable

    from cxr.core.console import Console
    from cxr.pipeline.pruning.prune import Plan
    from cxr.pipeline.workspace import Workspace
    from cxr.serving.client.connection import Tls

EXAMPLES = """
[bold]Examples[/bold]

  cxr prune demo --keep 3 --dry-run                  what would go, and how many bytes

  cxr prune workspace/demo --keep 3                  the same by its folder; asks before it removes anything

  cxr prune cpu --keep 1 --yes --server a:8500 --server b:8500 --models-config /etc/cxr/models.config

[bold]What stays[/bold]

  the newest runs, until --keep of them are complete (done or refused), with their artifacts and the versions that they pushed

  of each model: the champion, the version that it was compared with, the one that later candidates are compared with, the newest

  versions that a server has loaded, or that a models.config names: by a label, by number, or as the target of a rollback

  the runs that pushed these versions, with all that `cxr lineage` shows of them

  what the reports of these runs name, even if metadata.db was made anew since

Also removed is what killed nodes left below tfx/, and what cross-validations keep for the next ones (their results stay). So no run and
no cross-validation may be under way. States of interrupted trainings are removed once the newest run is done or refused: until then the
next run goes on from them. Records and images (data/) and the feature cache (`cxr cache prune`) are not touched.
"""
_ASK_SECONDS = 2.0  # for this machine's own server, which may not run


def register(app: typer.Typer) -> None:
    """Adds `cxr prune`."""
    app.command("prune", help=options.help_of(prune, EXAMPLES))(prune)


def prune(
    pipeline: Annotated[str, typer.Argument(help="a pipeline of the workspace, or its folder", show_default=False)],
    keep: Annotated[int, typer.Option(min=1, help="how many of the newest complete runs (done or refused) stay")] = 5,
    workspace: options.Workspace = Path("workspace"),
    dry_run: Annotated[bool, typer.Option("--dry-run", help="remove nothing, say what would go")] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="do not ask")] = False,
    models_config: Annotated[
        list[Path] | None,
        typer.Option(
            envvar="CXR_MODELS_CONFIG",
            help="models.config of a server; may be repeated (default: those here, in the workspace, beside the models)",
        ),
    ] = None,
    server: Annotated[
        list[str] | None,
        typer.Option(
            "--server",
            "-s",
            metavar="HOST:PORT",
            help="a running server, whose loaded versions stay; may be repeated "
            f"(default: this machine, {defaults.GRPC_PORT}, if there is one)",
        ),
    ] = None,
    tls: options.UseTls = False,
    ca: options.Ca = None,
    cert: options.Cert = None,
    key: options.Key = None,
    server_name: options.ServerName = None,
) -> None:
    """Remove old runs, their artifacts, and pushed versions that neither a champion nor a server needs."""
    import sys
    from contextlib import ExitStack

    from cxr.core.console import Console
    from cxr.core.errors import UsageError
    from cxr.core.machine_faults import writing_to
    from cxr.core.silence import silenced
    from cxr.core.spans import size
    from cxr.pipeline.workspace import PRUNE

    place, messages = _workspace(pipeline, workspace), Console(stderr=True)
    with writing_to(place.home), ExitStack() as held:
        for lock in (place.looked_at(),) if dry_run else (place.lock(PRUNE), place.lock_crossval()):
            held.enter_context(lock)
        security = options.tls_of(tls, ca, cert, key, server_name)
        served = _served(place, models_config, server, security, messages)
        with messages.status("looking at runs and artifacts"), silenced():
            from cxr.pipeline.pruning.prune import Pruner  # ML Metadata, TensorFlow: seconds

            pruner = Pruner(place, keep, served, dry=dry_run)
            plan = pruner.plan()
        out = options.stdout_console()
        _show(plan, place.home, out)
        if plan.empty or dry_run:
            return
        if not yes:
            if not sys.stdin.isatty():
                raise UsageError("cxr prune asks before it removes anything, and nobody is here to answer: give --yes, or --dry-run")
            typer.confirm(f"remove {size(plan.size)}?", abort=True)
            served = _served(place, models_config, server, security, messages)  # a version may have been promoted while somebody thought
        with messages.status("removing"), silenced():
            pruner.carry_out(plan, served)
        out.print(f"removed {size(plan.size)}", highlight=False)


def _workspace(pipeline: str, root: Path) -> Workspace:
    from cxr.core.errors import UsageError
    from cxr.pipeline.workspace import Workspace

    folder = Path(pipeline)
    named = Workspace(root, pipeline) if len(folder.parts) == 1 else Workspace(folder.absolute().parent, folder.absolute().name)
    if not named.runs.is_dir():
        known = ", ".join(sorted(one.parent.name for one in root.glob("*/runs"))) or "none"
        raise UsageError(f"{pipeline}: no pipeline that has run; {root} has: {known}")
    return named


def _served(
    place: Workspace, configs: list[Path] | None, servers: list[str] | None, tls: Tls | None, messages: Console
) -> dict[str, set[int]]:
    """Which versions servers need, by model."""
    from cxr.serving.client.connection import connect_each
    from cxr.serving.client.errors import CutOff, Overloaded, ServerUnavailable, TlsFailed
    from cxr.serving.models_config import versions_in
    from cxr.serving.production import needed

    present = {folder.name: versions_in(folder) for folder in place.serving_models.glob("*/")}
    usual = [folder / DEFAULT_CONFIG for folder in (Path(), place.root, place.home, place.serving_models)]
    answers = [needed.configured(path, present) for path in configs or [path for path in usual if path.is_file()]]
    for address in servers or ([defaults.SERVER] if any(present.values()) else []):
        for connection in connect_each(address, tls):
            with connection:
                try:
                    answers.append(needed.loaded(connection, present, _ASK_SECONDS))
                except ServerUnavailable as error:
                    if servers or isinstance(error, TlsFailed | CutOff | Overloaded):  # one is there, and cannot be asked what it needs
                        raise
                    text = f"note: no server answers at {address}; name others that serve these models with --server or --models-config"
                    messages.print(text, style="yellow", highlight=False, soft_wrap=True)
    return {model: set().union(*(answer.get(model, set()) for answer in answers)) for model in present}


def _show(plan: Plan, home: Path, out: Console) -> None:
    from rich.table import Table

    from cxr.core.spans import size

    table = Table()
    for column in ("", "stay", "go", "size of what goes"):
        table.add_column(column, justify="left" if not column else "right")
    artifacts = [one for one in plan.artifacts if one.folder]
    table.add_row("runs", str(len(plan.kept.runs)), str(len(plan.runs)), size(sum(plan.runs.values())))
    table.add_row("pushed versions", str(len(plan.kept.versions)), str(len(plan.versions)), size(sum(plan.versions.values())))
    table.add_row("artifacts", "", str(len(artifacts)) if plan.metadata else "not known", size(sum(one.size for one in artifacts)))
    table.add_row("left over", "", str(len(plan.left_over)), size(sum(plan.left_over.values())))
    out.print(table)
    stays = [(f"run {name}", why) for name, why in sorted(plan.kept.runs.items(), reverse=True)]
    stays += [("/".join(version), why) for version, why in sorted(plan.kept.versions.items())]
    _list("stays", stays, out)
    goes = [(f"run {folder.name}", size(bytes_)) for folder, bytes_ in plan.runs.items()]
    goes += [(f"{folder.parent.name}/{folder.name}", size(bytes_)) for folder, bytes_ in plan.versions.items()]
    goes += [(f"left over {folder.relative_to(home)}", size(bytes_)) for folder, bytes_ in plan.left_over.items()]
    _list("goes", goes, out)
    if not plan.metadata:
        out.print("artifacts and what nodes left stay: there is no metadata.db that says whose they are", style="yellow", highlight=False)


def _list(title: str, rows: Iterable[tuple[str, str]], out: Console) -> None:
    for what, why in rows:
        out.print(f"{title}: {what}: {why}", highlight=False, soft_wrap=True)
