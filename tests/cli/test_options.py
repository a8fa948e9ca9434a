import pytest
import typer
from typer.testing import CliRunner

from cxr.cli.main import app

GROUPS = typer.main.get_command(app).commands  # type: ignore[attr-defined] # typer's click is its own copy, which mypy does not follow
COMMANDS = [
    [name, *more]
    for name, command in GROUPS.items()
    for more in ([[sub] for sub in command.commands] if hasattr(command, "commands") else [[]])
]


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_the_help_begins_with_the_docstring_and_ends_with_examples(command):
    result = CliRunner().invoke(app, [*command, "--help"], env={"COLUMNS": "200"})
    assert result.exit_code == 0
    lines = [line.strip() for line in result.stdout.splitlines() if line.strip()]
    assert lines[0].startswith("Usage:")
    assert len(lines[1].split()) > 2  # more than the command's name, and not "None"
    if command != ["config"]:
        assert "Examples" in lines
        assert f"cxr {' '.join(command)} " in result.stdout.partition("Examples")[2]
