"""What messages about a model server advise: options that the command at hand has."""

import re
from dataclasses import astuple
from typing import Any

import pytest
import typer

from cxr.cli.main import app
from cxr.serving import remedies


def _options(*names: str) -> set[str]:
    command: Any = typer.main.get_command(app)
    for name in names:
        command = command.commands[name]
    return {option for parameter in command.params for option in parameter.opts}


@pytest.mark.parametrize(
    ("advice", "commands"),
    [
        (remedies.PREDICT, [("predict",)]),
        (remedies.EVALUATE, [("evaluate",)]),
        (remedies.BENCH, [("serving", "bench")]),
        (remedies.PAGE, [("page",)]),
        (remedies.ASK, [("serving", "status"), ("prune",)]),
        (remedies.CHANGE, [("serving", "promote"), ("serving", "rollback")]),
    ],
    ids=["predict", "evaluate", "bench", "page", "ask", "change"],
)
def test_every_option_that_is_advised_is_there(advice, commands):
    for text in astuple(advice):
        for command in commands:
            assert set(re.findall(r"--[a-z-]+", text)) <= _options(*command)
