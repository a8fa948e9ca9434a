"""Commands whose output is closed, or whose reader has gone: one exit code, and what they write is written."""

import os
import subprocess
import sys

import pytest

from cxr.core import exit_codes

pytestmark = pytest.mark.seconds
COMMANDS = """
import os, sys
import typer
import cxr.cli.main as command
from cxr.core.console import Console
from cxr.core.errors import CxrError
app = typer.Typer()

@app.command()
def echo():
    typer.echo("a line")

@app.command()
def table(code: int):
    Console().print("a line")
    open("written", "w").close()
    raise typer.Exit(code)

@app.command()
def messages():
    Console(stderr=True).print("a line")
    open("written", "w").close()

@app.command()
def waiting():
    print("a line that is written at the end")

@app.command()
def strange():
    typer.echo("Łódź ✓")
    Console().print("Łódź ✓")

@app.command()
def named():
    typer.echo(os.fsdecode(b"a\\xff.png"))
    Console().print(os.fsdecode(b"a\\xff.png"))

@app.command()
def another():
    try:
        raise CxrError("the first fault")
    except CxrError:
        os.write(os.open("/dev/full", os.O_WRONLY), b"a line")

@app.command()
def connection():
    raise BrokenPipeError(32, "a connection was closed")

@app.command()
def file():
    with open("kept", "w") as kept:
        for descriptor in (1, 2):
            os.write(descriptor, b"a remark of a library in C")
        kept.write("whole")

command.app = app
command.main()
"""


def run(folder, *arguments, **streams):
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}
    return subprocess.run([sys.executable, "-c", COMMANDS, *arguments], cwd=folder, env=environment, text=True, timeout=60, **streams)


@pytest.fixture
def unread():
    """The end of a pipe that nobody reads."""
    reader, writer = os.pipe()
    os.close(reader)
    yield writer
    os.close(writer)


@pytest.mark.parametrize("command", [["echo"], ["table", "0"], ["waiting"], ["--help"]], ids=" ".join)
def test_one_exit_code_where_the_reader_has_gone(command, unread, tmp_path):
    done = run(tmp_path, *command, stdout=unread, stderr=subprocess.PIPE)
    assert (done.returncode, done.stderr) == (exit_codes.UNREAD, "")
    assert (tmp_path / "written").exists() == ("table" in command)  # results come after a table, sometimes


def test_what_a_command_found_is_told_all_the_same(unread, tmp_path):
    assert run(tmp_path, "table", str(exit_codes.REFUSED), stdout=unread).returncode == exit_codes.REFUSED


def test_messages_that_nobody_reads_end_nothing(unread, tmp_path):
    assert run(tmp_path, "messages", stderr=unread).returncode == exit_codes.OK
    assert (tmp_path / "written").exists()


@pytest.mark.parametrize("command", [["echo"], ["table", "0"], ["waiting"]], ids=" ".join)
def test_a_full_disk_of_stdout_is_called_so(command, tmp_path):
    with open("/dev/full", "w") as full:
        done = run(tmp_path, *command, stdout=full, stderr=subprocess.PIPE)
    assert done.returncode == exit_codes.FAILED
    assert done.stderr == "error: standard output: No space left on device; make room there, then run the same command again\n"


def test_messages_that_find_no_room_end_nothing(tmp_path):
    with open("/dev/full", "w") as full:
        assert run(tmp_path, "messages", stderr=full).returncode == exit_codes.OK
    assert (tmp_path / "written").exists()


@pytest.mark.parametrize("stderr", ["unread", "full"])
def test_wrong_arguments_have_their_exit_code_though_nobody_is_told(stderr, unread, tmp_path):
    with open("/dev/full", "w") as full:
        done = run(tmp_path, "table", "no number", stderr=unread if stderr == "unread" else full)
    assert done.returncode == exit_codes.USAGE


def test_a_fault_that_follows_another_is_told(tmp_path):
    done = run(tmp_path, "another", capture_output=True)
    assert (done.returncode, done.stderr) == (
        exit_codes.FAILED,
        "error: No space left on device; make room there, then run the same command again\n",
    )


def test_another_connection_that_is_closed_is_no_reader(tmp_path):
    done = run(tmp_path, "connection", capture_output=True)
    assert done.returncode == exit_codes.FAILED
    assert "a connection was closed" in done.stderr


@pytest.mark.parametrize("closed", [">&-", "2>&-", ">&- 2>&- <&-"])
def test_no_file_takes_the_place_of_a_closed_output(closed, tmp_path):
    """Remarks of libraries would stand in it."""
    shell = ["sh", "-c", f'"$@" {closed}', "sh", sys.executable, "-c", COMMANDS, "file"]
    assert subprocess.run(shell, cwd=tmp_path, timeout=60).returncode == exit_codes.OK
    assert (tmp_path / "kept").read_text() == "whole"


@pytest.mark.parametrize(
    ("command", "encoding", "shown"),
    [
        ("strange", "latin-1", "?ód? ?"),
        ("strange", "utf-8", "Łódź ✓"),
        ("named", "utf-8", r"a\udcff.png"),  # an escape of JSON's, too
    ],
)
def test_no_command_ends_for_a_character_that_the_output_lacks(command, encoding, shown, tmp_path):
    done = subprocess.run(
        [sys.executable, "-c", COMMANDS, command],
        cwd=tmp_path,
        timeout=60,
        capture_output=True,
        env={**os.environ, "PYTHONIOENCODING": encoding},
    )
    assert (done.returncode, done.stderr) == (exit_codes.OK, b"")
    assert done.stdout.decode(encoding).splitlines() == [shown] * 2
