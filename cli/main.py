"""The console command `cxr`: mounts the subcommands, turns errors into messages and exit codes."""

from __future__ import annotations

import sys
from importlib import import_module

import typer
from rich.console import Console

from cxr.core import exit_codes
from cxr.core.errors import CxrError

COMMANDS = ("run", "ingest", "explain", "predict", "serve", "serving", "kubeflow")  # modules of cli, in the order of the help

app = typer.Typer(
    name="cxr",
    help="Chest X-ray classification with TFX: from labelled images to gated SavedModels behind TensorFlow Serving.\n\n"
    "Research software, not a diagnostic device.",
    epilog="Exit codes: 0 done, 1 failed, 2 wrong arguments, 3 a gate refused a model, 130 interrupted.",
    no_args_is_help=True,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    add_completion=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
for _name in COMMANDS:
    import_module(f"cxr.cli.{_name}").register(app)


def main() -> None:
    """Runs the command line."""
    try:
        app()
    except CxrError as error:
        Console(stderr=True).print(f"error: {error}", style="red", markup=False, highlight=False, soft_wrap=True)
        sys.exit(exit_codes.FAILED)
    except KeyboardInterrupt:
        Console(stderr=True).print("interrupted; the same command goes on where this one stopped", style="yellow")
        sys.exit(exit_codes.INTERRUPTED)
