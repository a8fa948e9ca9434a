import errno
import importlib
import signal

import pytest

from cxr.core import exit_codes
from cxr.core.errors import CxrError
from cxr.core.termination import Terminated
from cxr.kubeflow.task_status import status_of

pytestmark = pytest.mark.seconds


@pytest.fixture(autouse=True)
def _handler_of_signals():
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGHUP)}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


def ending(error, cause=None):
    def work():
        raise error from cause

    return status_of("Trainer", work)


def test_a_task_that_did_its_work():
    done = []
    assert status_of("Trainer", lambda: done.append(1)) == exit_codes.OK
    assert done == [1]


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (CxrError("epochs: too few"), "Trainer: epochs: too few\n"),
        (
            OSError(errno.ENOSPC, "No space left on device", "/mnt/cxr/model"),
            "Trainer: /mnt/cxr/model: No space left on device; make room there, then run the same command again\n",
        ),
        (
            MemoryError(),
            "Trainer: Cannot allocate memory: the memory is full; smaller batches or images need less; "
            "end other programs, or have the limit raised (ulimit -v) if there is one\n",
        ),
    ],
    ids=["a mistake", "full disk", "no memory"],
)
def test_what_a_user_can_mend_is_one_line(capsys, error, said):
    assert ending(error) == exit_codes.FAILED
    assert capsys.readouterr().err == said


def test_what_nobody_expected_is_shown_with_its_way(capsys):
    assert ending(KeyError("Format-Serving")) == exit_codes.FAILED
    assert capsys.readouterr().err.startswith("Traceback")


@pytest.mark.parametrize("error", [Terminated(), RuntimeError("Error calling __set_name__ on 'Field' instance")])
def test_sigterm_that_an_import_made_another_error_of_is_still_sigterm(capsys, error):
    assert ending(error, None if isinstance(error, Terminated) else Terminated()) == exit_codes.TERMINATED
    assert capsys.readouterr().err == "Trainer: ended by SIGTERM; the task can be tried again\n"


@pytest.mark.parametrize("module", ["baseline", "fingerprint", "previous_statistics"])
def test_the_small_tasks_end_so_too(monkeypatch, capsys, module):
    """A pod whose volume refuses to be written to."""
    task = importlib.import_module(f"cxr.kubeflow.{module}")

    def full(*given):
        raise OSError(errno.ENOSPC, "No space left on device", "/mnt/cxr")

    monkeypatch.setattr(task, "run", full)
    assert task.main(["{}", "out"]) == exit_codes.FAILED
    said = capsys.readouterr().err
    assert "/mnt/cxr: No space left on device; make room there" in said
    assert "Traceback" not in said
