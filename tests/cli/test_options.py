import re
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from cxr.cli.main import app
from cxr.cli.options import names
from cxr.core import features
from cxr.data.audit.audit_config import Audit
from cxr.data.ingest.ingest_config import Ingest
from cxr.serving.server.options import RequestLog, ServerOptions

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
    assert "Examples" in lines
    assert f"cxr {' '.join(command)} " in result.stdout.partition("Examples")[2]


@pytest.mark.parametrize(
    ("text", "read"),
    [
        ("normal, pneumonia,covid19", ("normal", "pneumonia", "covid19")),
        ('"effusion, left" ,normal', ("effusion, left", "normal")),
        ('3" tube,a\nb', ('3" tube', "a", "b")),
    ],
)
def test_names_are_separated_by_commas_outside_of_quotes(text, read):
    assert names(text) == read


def test_defaults_in_the_help_are_those_that_hold():
    """An option that is not given leaves a setting at its default, which only the settings' own module knows: the help repeats it."""
    server, log = ServerOptions(models_dir=Path("models")), RequestLog(folder=Path("log"))
    known = {
        "serve": {
            "rest_timeout": server.rest.timeout_seconds,
            "max_batch_size": server.batching.max_batch_size,
            "batch_timeout_micros": server.batching.batch_timeout_micros,
            "max_enqueued_batches": server.batching.max_enqueued_batches,
            "max_message_mb": server.limits.max_message_bytes / 2**20,
            "max_image_pixels": server.limits.max_image_pixels,
            "max_concurrent_requests": server.limits.max_concurrent_requests,
            "log_sampling": log.sampling,
            "log_file_mb": log.file_bytes / 2**20,
            "log_total_mb": log.total_bytes / 2**20,
            **{name: getattr(server, name) for name in ("poll_seconds", "load_retries", "load_retry_seconds", "drain_seconds")},
        },
        "ingest": {name: getattr(Ingest(), name) for name in Ingest.model_fields},
        "audit": {**{name: getattr(Audit(), name) for name in Audit.model_fields}, "split": features.TEST},
    }
    compared = 0
    for command, defaults in known.items():
        for option in GROUPS[command].params:
            if option.name != "where" and (said := re.search(r" \(([\w.]+)\)\.?$", getattr(option, "help", None) or "")):
                default = defaults[str(option.name)]
                assert said[1] == (f"{default:.10g}" if isinstance(default, float) else str(default)), f"{command} --{option.name}"
                compared += 1
    assert compared == 14 + 9 + 4
