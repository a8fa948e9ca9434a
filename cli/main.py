"""The console command `cxr`: mounts the subcommands, turns errors into messages and exit codes."""

from __future__ import annotations

import os
import signal
import sys
from contextlib import suppress
from importlib import import_module
from typing import Annotated

import typer

from cxr.core import exit_codes, gpus, imports, output, unstarted_threads
from cxr.core.console import Console
from cxr.core.disclaimer import NOT_A_DEVICE
from cxr.core.errors import CxrError
from cxr.core.machine_faults import explained
from cxr.core.termination import cause, raise_on_signals, told_to_end

COMMANDS = (
    "run",
    "report",
    "runs",
    "compare",
    "lineage",
    "prune",
    "cache",
    "crossval",
    "fetch",
    "ingest",
    "evaluate",
    "validate",
    "audit",
    "explain",
    "predict",
    "serve",
    "page",
    "serving",
    "kubeflow",
)  # modules of cli, in the order of the help

HELP = ("-h", "--help")
_OF_THE_MACHINE = (OSError, MemoryError, ImportError)  # an import needs memory too

app = typer.Typer(
    name="cxr",
    help="Chest X-ray classification with TFX: from labelled images to gated SavedModels behind TensorFlow Serving.\n\n" + NOT_A_DEVICE,
    epilog="Exit codes: 0 done, 1 failed, 2 wrong arguments, 3 a gate refused a model or a check found something, 130 interrupted, "
    "141 nobody read the output to its end, 143 ended by SIGTERM, 129 by a closed terminal.",
    no_args_is_help=True,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": list(HELP)},
)


def _show_version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        typer.echo(f"cxr {version('cxr-pipeline')}")
        raise typer.Exit


@app.callback()
def options(
    version: Annotated[bool, typer.Option("--version", callback=_show_version, is_eager=True, help="print the version and stop")] = False,
) -> None:
    """Takes the options that belong to no subcommand; `app`'s own help is shown in place of this text."""


for _name in COMMANDS:
    import_module(f"cxr.cli.{_name}").register(app)


def _fold_names() -> None:
    """Lets a narrow terminal fold the names of long options in a help; Typer's table cuts them, and a cut name cannot be typed."""
    from rich.text import Text
    from typer import rich_utils

    class Folding(rich_utils.OptionHighlighter):
        def __call__(self, text: str | Text) -> Text:
            names = super().__call__(text)
            names.overflow = "fold"
            return names

    rich_utils.highlighter = Folding()


def main() -> None:
    """Runs the command line; errors become messages and exit codes."""
    output.begin()
    raise_on_signals()
    if set(HELP) & set(sys.argv):
        _fold_names()
    gpus.share()
    try:
        code = _code_of_command()
    finally:
        imports.stop()
    try:
        unread = output.end()
    except OSError as error:
        if (text := explained(error)) is None:
            raise
        _say(f"error: {text}", "red")
        unread, code = False, code or exit_codes.FAILED
    if unstarted_threads.any_kept():
        os._exit(code)
    sys.exit(exit_codes.UNREAD if unread and code == exit_codes.OK else code)


def _code_of_command() -> int:
    """Runs the command; says what it ended with, and returns the exit code.

    Raises:
      BaseException: What is an error of ours, to be seen in full.
    """
    try:
        app()
    except BaseException as stop:
        ended = stop if isinstance(stop, SystemExit) else None
        number = cause(stop) or (None if ended else told_to_end())  # first: whatever else went wrong meanwhile
        if number == signal.SIGINT or (not number and ended and ended.code == exit_codes.INTERRUPTED):  # what typer makes of Ctrl-C
            _say("interrupted", "yellow")
            return exit_codes.INTERRUPTED
        if number:
            _say(f"terminated ({number.name})", "yellow")
            return exit_codes.of_signal(number)
        if isinstance(stop, SystemExit | OSError) and (untold := _code_of_untold(stop)):
            return untold
        if isinstance(stop, CxrError):
            _say(f"error: {stop}", "red")
            return stop.exit_code
        at_fault = isinstance(stop, _OF_THE_MACHINE) or unstarted_threads.is_cause(stop)
        if isinstance(stop, Exception) and at_fault and (text := explained(output.named_if_stdout(stop))):
            _say(f"error: {text}", "red")
            return exit_codes.FAILED
        if output.ended_by_reader(stop):
            output.lost(sys.stdout.fileno())
            return exit_codes.UNREAD
        if ended and isinstance(stop.__context__, BrokenPipeError):  # another connection's; typer leaves without a word
            raise stop.__context__ from None
        if ended and (ended.code is None or isinstance(ended.code, int)):
            return ended.code or exit_codes.OK
        raise
    return exit_codes.OK


def _code_of_untold(stop: BaseException) -> int:
    """The exit code of what typer could not tell, as stderr takes nothing: it has another one then, for wrong arguments too; 0: nothing."""
    error = stop.__context__
    while error is not None and not hasattr(error, "exit_code"):
        error = error.__context__
    return exit_codes.OK if isinstance(error, CxrError) else getattr(error, "exit_code", exit_codes.OK)


def _say(text: str, style: str) -> None:
    with suppress(OSError):  # a terminal that is gone takes no output
        Console(stderr=True).print(text, style=style, highlight=False, soft_wrap=True)
