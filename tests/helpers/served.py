"""A server in a process of its own, begun as `process.run_server` begins it, and left to the test to end."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from cxr.serving.server.options import ServerOptions


@contextmanager
def served(models_dir: Path, rest_port: int | None = None) -> Iterator[tuple[subprocess.Popen[str], dict[str, Any]]]:
    """Yields the process, whose stderr is a pipe, and what it says once it listens; kills what is left of it."""
    options = ServerOptions(models_dir=models_dir, port=0, rest_port=rest_port).model_dump_json()
    command = [sys.executable, "-m", "cxr.serving.server"]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=pipe, text=True) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            process.stdin.write(options)
            process.stdin.close()
            yield process, json.loads(process.stdout.readline())
        finally:
            process.kill()
