"""`cxr serving`: versions and labels in production, and speed tests of a server."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

import typer

from cxr.cli.options import Ca, Cert, Json, Key, ServerName, UseTls, check_file, help_of, make_folder, source_of, stdout_console, tls_of
from cxr.cli.serving_bench import bench
from cxr.core import exit_codes
from cxr.core.model_versions import LARGEST_VERSION
from cxr.serving import defaults
from cxr.serving.remedies import CHANGE

if TYPE_CHECKING:
    from collections.abc import Callable

    from cxr.serving.client.connection import Tls
    from cxr.serving.production.changes import Changes, Done

# By command; the group's help shows all of them.
EXAMPLES = {
    "config": """
  cxr serving config workspace/demo/serving_models            write models.config: the newest versions, labelled stable and canary

  cxr serving config MODELS --base-path /models               the same for containers that mount the models there
""",
    "promote": """
  cxr serving promote ensemble 1790000000 --label canary      load it beside the present one and move the label

  cxr serving promote ensemble 1790000000 -r "better recall"  stable, with a reason for the journal

  cxr serving promote ensemble 1790000000 --no-server         servers that poll the file: stage 1, load the version

  cxr serving promote ensemble 1790000000 --no-server --check dns:///cxr-serving:8500      stage 2, once they have: move the label
""",
    "rollback": """
  cxr serving rollback ensemble --reason "more false alarms"  take the last change back; again: the one before
""",
    "status": """
  cxr serving status --history 5                              models, versions, states, labels; the last changes

  cxr serving status -s a:8500 -s b:8500 --json               two servers, for scripts
""",
    "bench": """
  cxr serving bench --model mobilenet --concurrency 1 --concurrency 8

  cxr serving bench --images xrays/ --payload image_bytes --rate 40 --duration 30
""",
}
_HEADING = "\n[bold]Examples[/bold]\n"

_CONFIG: dict[str, Any] = {"envvar": "CXR_MODELS_CONFIG", "help": "the servers' models.config"}
ConfigFile = Annotated[Path, typer.Option("--config", "-c", **_CONFIG)]
Servers = Annotated[
    list[str] | None,
    typer.Option(
        "--server",
        "-s",
        metavar="HOST:PORT",
        envvar="CXR_SERVER",
        help="a running server that reads the file; may be repeated; dns:///NAME:PORT: each address of NAME "
        f"(default: this machine, {defaults.GRPC_PORT})",
    ),
]
NoServer = Annotated[bool, typer.Option("--no-server", help="change the file only, for servers that poll it; new versions take two stages")]
Check = Annotated[
    list[str] | None,
    typer.Option(
        metavar="HOST:PORT", help="with --no-server: a server that must have loaded the version before its label moves; as --server"
    ),
]
Confirmed = Annotated[bool, typer.Option("--confirmed", help="with --no-server: you made sure that every server has loaded the version")]
Reason = Annotated[str, typer.Option("--reason", "-r", help="why, for the journal")]
Wait = Annotated[float, typer.Option(min=1, help="seconds a version may take to load, and a server to answer")]
DEFAULT_CONFIG = Path("models.config")


def register(app: typer.Typer) -> None:
    """Adds `cxr serving` and its commands."""
    group = typer.Typer(no_args_is_help=True, rich_markup_mode="rich")
    for command in (config, promote, rollback, status, bench):
        group.command(command.__name__, help=help_of(command, _HEADING, EXAMPLES[command.__name__]))(command)
    app.add_typer(
        group, name="serving", help="TensorFlow Serving in production: versions, labels, speed.\n" + _HEADING + "".join(EXAMPLES.values())
    )


def config(
    models_dir: Annotated[Path, typer.Argument(help="holds <model>/<version>/saved_model.pb, as the Pusher leaves it")],
    out: Annotated[Path, typer.Option("--out", "-o", help="file to write")] = DEFAULT_CONFIG,
    base_path: Annotated[str | None, typer.Option(help="folder of the models as the server sees it; /models in the containers")] = None,
    force: Annotated[bool, typer.Option(help="replace a file that exists, and with it the present labels")] = False,
) -> None:
    """Write a first models.config for a folder of models."""
    from cxr.core.errors import CxrError
    from cxr.serving.production import config_file

    check_file("--out", out, makes_folder=True)
    text = config_file.render(config_file.first(models_dir, base_path))
    make_folder("--out", out.resolve().parent)
    with config_file.locked(out):
        if out.exists() and not force:
            raise CxrError(f"{out}: exists; promote and rollback change it, --force starts anew")
        config_file.replace(out, text)
    typer.echo(text, nl=False)


def promote(
    context: typer.Context,
    model: Annotated[str, typer.Argument(help="its name in models.config")],
    version: Annotated[int, typer.Argument(min=0, max=LARGEST_VERSION, help="the version that gets the label")],
    label: Annotated[str, typer.Option(help="which label moves")] = "stable",
    pin: Annotated[bool, typer.Option("--pin", help="from now on serve labelled versions only, not the latest")] = False,
    reason: Reason = "",
    config: ConfigFile = DEFAULT_CONFIG,
    server: Servers = None,
    no_server: NoServer = False,
    check: Check = None,
    confirmed: Confirmed = False,
    wait: Wait = defaults.LOAD_SECONDS,
    tls: UseTls = False,
    ca: Ca = None,
    cert: Cert = None,
    key: Key = None,
    server_name: ServerName = None,
) -> None:
    """Move a label to a version, on running servers and in models.config, or not at all.

    Servers are told the whole file: a model that it does not name ends on every server that is told. Name the file that they read.
    Other models of the file stay as a server has them; a note says where that is not as in the file.
    """
    security, where = tls_of(tls, ca, cert, key, server_name), _Where(_named(context, server, no_server), no_server, check, confirmed)
    _change(config, where, wait, security, lambda changes: changes.promote(model, version, label, pin, reason))


def rollback(
    context: typer.Context,
    model: Annotated[str, typer.Argument(help="its name in models.config")],
    reason: Reason = "",
    config: ConfigFile = DEFAULT_CONFIG,
    server: Servers = None,
    no_server: NoServer = False,
    check: Check = None,
    confirmed: Confirmed = False,
    wait: Wait = defaults.LOAD_SECONDS,
    tls: UseTls = False,
    ca: Ca = None,
    cert: Cert = None,
    key: Key = None,
    server_name: ServerName = None,
) -> None:
    """Take back the last change of a model.

    Servers are told the whole file, as by promote: a model that it does not name ends.
    """
    security, where = tls_of(tls, ca, cert, key, server_name), _Where(_named(context, server, no_server), no_server, check, confirmed)
    _change(config, where, wait, security, lambda changes: changes.rollback(model, reason))


def _named(context: typer.Context, servers: list[str] | None, none: bool) -> list[str] | None:
    """Returns the servers to tell; those of CXR_SERVER give way to --no-server."""
    return None if none and source_of(context, "server") == "ENVIRONMENT" else servers


class _Where(NamedTuple):
    """Whom a change reaches: servers that are told, or a file that is published (`none`) to servers that poll it."""

    servers: list[str] | None
    none: bool
    check: list[str] | None
    confirmed: bool


def _change(path: Path, where: _Where, wait: float, tls: Tls | None, do: Callable[[Changes], Done]) -> None:
    from contextlib import ExitStack

    from cxr.core.errors import UsageError
    from cxr.serving.client.connection import connect_each
    from cxr.serving.production.changes import Changes

    if where.none and where.servers:
        raise UsageError("--no-server and --server exclude each other; --check names servers that poll the file")
    if not where.none and (where.check or where.confirmed):
        raise UsageError("--check and --confirmed go with --no-server; servers named by --server are always told and checked")
    told = [] if where.none else where.servers or [defaults.SERVER]
    with ExitStack() as stack:
        connections, checked = (
            [stack.enter_context(connection) for address in addresses for connection in connect_each(address, tls, CHANGE)]
            for addresses in (told, where.check or [])
        )
        done = do(Changes(path, connections, wait, checked, where.confirmed))
    entry = done.entry
    typer.echo(f"{entry.model}: {entry.before}  =>  {entry.reached}")
    typer.echo(f"change {entry.id} of {path} ({', '.join(entry.servers) or 'the file only'}): {entry.outcome}")
    for note in done.notes:
        typer.echo(f"note: {note}", err=True)


def status(
    config: Annotated[Path | None, typer.Option("--config", "-c", show_default=str(DEFAULT_CONFIG), **_CONFIG)] = None,
    model: Annotated[
        list[str] | None, typer.Option("--model", "-m", help="ask for this model; may be repeated (default: those of --config)")
    ] = None,
    server: Servers = None,
    json: Json = False,
    history: Annotated[int, typer.Option(min=0, help="show the last changes of the journal, too")] = 0,
    tls: UseTls = False,
    ca: Ca = None,
    cert: Cert = None,
    key: Key = None,
    server_name: ServerName = None,
) -> None:
    """Show models, versions, states and labels of running servers. A server that does not answer has a row too; the exit code is then 1."""
    import json as json_module

    from cxr.serving.client.connection import connect_each
    from cxr.serving.client.errors import RequestFailed
    from cxr.serving.production.journal import Journal
    from cxr.serving.production.overview import MODELS, NO_ANSWER, away, overview, states_in

    # One that was named must be there; the usual one need not, since a server can be asked without.
    path = config or DEFAULT_CONFIG
    configured = states_in(path) if config is not None or path.exists() else {}
    names = model or list(configured) or list(MODELS)
    security = tls_of(tls, ca, cert, key, server_name)
    rows = []
    for address in server or [defaults.SERVER]:
        try:
            connections = connect_each(address, security)
        except RequestFailed as failure:
            rows.append(away(address, failure))
            continue
        for connection in connections:
            with connection:
                try:
                    rows += overview(connection, names, configured)
                except RequestFailed as failure:
                    rows.append(away(connection.server, failure))
    entries = Journal(path).entries()[-history:] if history else []
    if json:
        for row in rows:
            typer.echo(json_module.dumps(row.to_json()))
        for entry in entries:
            typer.echo(json_module.dumps(entry.to_json(), ensure_ascii=False))
    else:
        from cxr.serving.production.tables import history_table, status_table

        console = stdout_console()
        console.print(status_table(rows))
        if history:
            console.print(history_table(entries))
    if any(row.state == NO_ANSWER for row in rows):
        raise typer.Exit(exit_codes.FAILED)
