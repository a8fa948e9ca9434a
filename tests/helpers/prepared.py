"""Programs in processes that have imported TFX already: most of a short program's time is its imports.

Each process is forked from the fork server that `cxr run` forks its nodes from; that has imported modules and done nothing else. Where the
program is such a run, its nodes come from the same server. Programs that are started afresh are run beside these: test_end_to_end.py,
tests/cli/test_main.py, tests/kubeflow/test_entrypoint.py.
"""

from __future__ import annotations

import functools
import multiprocessing
import multiprocessing.connection
import multiprocessing.forkserver
import multiprocessing.process
import os
import runpy
import subprocess
import sys
import tempfile
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

_starting = threading.Lock()  # multiprocessing looks for ended processes, of all threads, whenever it starts one


def run(
    command: Sequence[str | Path], *, cwd: Path, env: Mapping[str, str], timeout: float | None = None
) -> subprocess.CompletedProcess[str]:
    """Runs a command and waits for it; several threads may.

    Started afresh is what is none of `python -m module ...`, `python -c code ...` and `.../cxr ...`.

    Returns:
      As `subprocess.run` does with captured output and `text`.

    Raises:
      subprocess.TimeoutExpired: It took longer than `timeout` seconds, and was killed.
    """
    from cxr.pipeline.node_process import start_fork_server

    words = [str(word) for word in command]
    if not (words[:2] in (["python", "-m"], ["python", "-c"]) or Path(words[0]).name == "cxr"):
        return subprocess.run(words, cwd=cwd, env=env, timeout=timeout, stdin=subprocess.DEVNULL, capture_output=True, text=True)
    with tempfile.TemporaryDirectory() as folder:
        outputs = [Path(folder) / name for name in ("stdout", "stderr")]
        for output in outputs:
            output.touch()
        start_fork_server()
        process = multiprocessing.get_context("forkserver").Process(target=_main, args=(words, cwd, dict(env), outputs))
        with _starting:
            process.start()
        ended = multiprocessing.connection.wait([process.sentinel], timeout)
        if not ended:
            process.kill()
        with _starting:
            process.join()
        said = [output.read_text() for output in outputs]
    if not ended:
        assert timeout is not None
        raise subprocess.TimeoutExpired(words, timeout, *said)
    assert process.exitcode is not None
    return subprocess.CompletedProcess(words, process.exitcode, *said)


def _main(words: list[str], cwd: Path, env: dict[str, str], outputs: list[Path]) -> None:
    for output, descriptor in zip(outputs, (1, 2), strict=True):
        file = os.open(output, os.O_WRONLY | os.O_APPEND)
        os.dup2(file, descriptor)
        os.close(file)
    os.chdir(cwd)
    multiprocessing.process.ORIGINAL_DIR = str(cwd)  # type: ignore[attr-defined]  # where processes of this one begin
    _set_environment(env)
    _share_fork_server(env)
    program, *arguments = words
    if words[:2] == ["python", "-c"]:
        sys.argv = ["-c", *arguments[2:]]
        exec(compile(arguments[1], "<string>", "exec"), {"__name__": "__main__"})
    elif program == "python":
        sys.argv = arguments[1:]
        runpy.run_module(arguments[1], run_name="__main__", alter_sys=True)
    else:
        sys.argv = [program, *arguments]
        runpy.run_path(program, run_name="__main__")


def _share_fork_server(env: dict[str, str]) -> None:
    """Has nodes forked from the server that this process comes from; multiprocessing would start another one."""
    from cxr.pipeline import node_process

    server = multiprocessing.forkserver._forkserver
    server.ensure_running = multiprocessing.forkserver.ensure_running = lambda: None  # type: ignore[method-assign]
    node_process._main = functools.partial(_node, env)


def _node(env: dict[str, str], *arguments: Any) -> None:
    """What a node's process runs; the server has the tests' environment, not the program's."""
    from cxr.pipeline import node_process

    _set_environment(env)
    node_process._main(*arguments)


def _set_environment(env: dict[str, str]) -> None:
    os.environ.clear()
    os.environ.update(env)
