from __future__ import annotations

from pathlib import Path

import pytest

from cxr.core import durable, exit_codes, strict_model
from cxr.core.errors import CxrError, UsageError
from cxr.core.termination import Terminated
from cxr.pipeline.pipeline_config import load
from cxr.pipeline.run_record import RECORD, RunRecord, new_record, read_run_record, recorded

CONFIG = load("cpu", ["gate.tolerance=0"])


def test_a_run_is_recorded_while_it_goes_and_when_it_ends(tmp_path: Path) -> None:
    seen = []

    def work() -> int:
        seen.append(read_run_record(tmp_path))
        return exit_codes.REFUSED

    assert recorded(tmp_path, new_record(CONFIG, "records"), work) == exit_codes.REFUSED
    (before,) = seen
    after = read_run_record(tmp_path)
    assert before is not None
    assert after is not None
    assert (before.ended, before.exit_code, before.seconds) == (None, None, None)
    assert (after.pipeline, after.shipped, after.data, after.exit_code) == ("cpu", "cpu", "records", exit_codes.REFUSED)
    assert [(one.key, one.second) for one in after.changed] == [("gate.tolerance", "0.0")]
    assert after.seconds is not None
    assert [file.name for file in tmp_path.iterdir()] == [RECORD]


def wrapped(error: BaseException) -> RuntimeError:
    """As Python does with what is raised while a class is made."""
    outer = RuntimeError("Error calling __set_name__ on 'Field' instance")
    outer.__cause__ = error
    return outer


@pytest.mark.parametrize(
    ("error", "code", "text"),
    [
        (KeyboardInterrupt(), exit_codes.INTERRUPTED, "interrupted"),
        (Terminated(), exit_codes.TERMINATED, "ended by SIGTERM"),
        (wrapped(Terminated()), exit_codes.TERMINATED, "ended by SIGTERM"),
        (CxrError("no such column"), exit_codes.FAILED, "no such column"),
        (UsageError("no such file"), exit_codes.USAGE, "no such file"),
        (ZeroDivisionError(), exit_codes.FAILED, "ZeroDivisionError"),
    ],
)
def test_what_ends_a_run_early_is_kept_and_raised(tmp_path: Path, error: BaseException, code: int, text: str) -> None:
    def work() -> int:
        raise error

    with pytest.raises(type(error)):
        recorded(tmp_path, new_record(CONFIG, None), work)
    found = read_run_record(tmp_path)
    assert found is not None
    assert (found.exit_code, found.error) == (code, text)


@pytest.mark.parametrize("moment", [1, 2], ids=["as it begins", "as it ends"])
def test_a_run_that_is_interrupted_between_two_steps_is_kept_as_interrupted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, moment: int
) -> None:
    """Ctrl-C comes when its folder is there, or all its work is done, and its record is not written."""
    written = []

    def write(file: Path, text: str) -> None:
        written.append(text)
        if len(written) == moment:
            raise KeyboardInterrupt
        durable.replace_text(file, text)

    monkeypatch.setattr(strict_model, "replace_text", write)
    folder = tmp_path / "runs" / "20260102-030405-000"
    with pytest.raises(KeyboardInterrupt):
        recorded(folder, new_record(CONFIG, None), lambda: exit_codes.OK)
    found = read_run_record(folder)
    assert found is not None
    assert (found.exit_code, found.error) == (exit_codes.INTERRUPTED, "interrupted")


def test_a_full_disk_does_not_hide_what_ended_the_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def work() -> int:
        monkeypatch.setattr(RunRecord, "write", full)
        raise KeyboardInterrupt

    def full(record: RunRecord, file: Path) -> None:
        raise OSError(28, "No space left on device")

    with pytest.raises(KeyboardInterrupt):
        recorded(tmp_path, new_record(CONFIG, None), work)


@pytest.mark.parametrize("field", ["began", "ended"])
@pytest.mark.parametrize("text", ["{", '"yesterday"', '"2026-11-26T05:59:00"'])
def test_a_damaged_record_is_none(tmp_path: Path, field: str, text: str) -> None:
    record = new_record(CONFIG, None).model_copy(update={"ended": "2026-11-26T06:00:00+00:00"})
    record.write(tmp_path / RECORD)
    assert read_run_record(tmp_path) == record
    (tmp_path / RECORD).write_text((tmp_path / RECORD).read_text().replace(f'"{getattr(record, field)}"', text))
    assert read_run_record(tmp_path) is None


def test_no_time_is_told_where_the_clock_was_set_back(tmp_path: Path) -> None:
    record = new_record(CONFIG, None).model_copy(update={"began": "2026-11-26T06:00:00+00:00", "ended": "2026-11-26T05:59:00+00:00"})
    assert record.seconds is None


def test_nothing_of_the_environment_is_recorded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Tokens and passwords stand there."""
    for name in ("CXR_KFP_TOKEN", "KAGGLE_KEY", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "TOPSECRET")
    recorded(tmp_path, new_record(CONFIG, "records"), lambda: exit_codes.OK)
    assert "TOPSECRET" not in (tmp_path / RECORD).read_text()
