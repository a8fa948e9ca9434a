"""What a run's folder says of the run itself: run.json, written when it begins and when it ends, however it ends."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, Field

from cxr.core import exit_codes
from cxr.core.errors import CxrError
from cxr.core.spans import seconds_between
from cxr.core.strict_model import StrictModel
from cxr.core.termination import cause
from cxr.pipeline.config_differences import Difference, from_shipped
from cxr.pipeline.pipeline_config import Config

RECORD = "run.json"


def _with_zone(text: str) -> str:
    if datetime.fromisoformat(text).tzinfo is None:
        raise ValueError("must have a time zone")
    return text


Moment = Annotated[str, AfterValidator(_with_zone)]


class RunRecord(StrictModel):
    """When a run began and ended, and what it was asked for; its figures are in report.json."""

    pipeline: str
    shipped: str = Field(description="the shipped configuration that its own is read beside")
    changed: tuple[Difference, ...] = Field(description="in what it differs from that one")
    data: str | None = Field(description="as given; null: the configuration's demo data")
    began: Moment = Field(description="ISO 8601")
    ended: Moment | None = Field(None, description="ISO 8601; null: under way, or killed")
    exit_code: int | None = Field(None, description="of core/exit_codes.py; null as above")
    error: str = Field("", description="what ended it before its nodes did")

    @property
    def seconds(self) -> float | None:
        """How long it took; None where it has not ended, or the clock was set back meanwhile."""
        if self.ended is None:
            return None
        return seconds_between(datetime.fromisoformat(self.began), datetime.fromisoformat(self.ended))


def new_record(config: Config, data: str | None) -> RunRecord:
    """Returns the record of a run that begins now.

    Args:
      config: What was asked for.
      data: As given.
    """
    shipped, changed = from_shipped(config)
    return RunRecord(pipeline=config.name, shipped=shipped, changed=changed, data=data, began=_now())


def recorded(folder: Path, record: RunRecord, work: Callable[[], int]) -> int:
    """Does a run's work, and keeps how it ended.

    Args:
      folder: Of the run; made here.
      record: See `new_record`.
      work: Returns the run's exit code.

    Raises:
      BaseException: What the work raises, once that is kept.
    """
    code, error = exit_codes.FAILED, ""
    try:
        record.write(folder / RECORD)
        code = work()
        _ended(record, code, "").write(folder / RECORD)
    except BaseException as raised:
        if number := cause(raised):
            code, error = exit_codes.of_signal(number), f"ended by {number.name}"
        elif isinstance(raised, KeyboardInterrupt):
            code, error = exit_codes.INTERRUPTED, "interrupted"
        else:
            code = raised.exit_code if isinstance(raised, CxrError) else exit_codes.FAILED
            error = str(raised) or type(raised).__name__
        with suppress(OSError):  # on a full disk: what ended the run is what its user must hear
            _ended(record, code, error).write(folder / RECORD)
        raise
    return code


def _ended(record: RunRecord, code: int, error: str) -> RunRecord:
    return record.model_copy(update={"ended": _now(), "exit_code": code, "error": error})


def read_run_record(folder: Path) -> RunRecord | None:
    """Reads a run's record; None where it is of an older version, or damaged. `kept_runs.KeptRun` tells these apart."""
    try:
        return RunRecord.read(folder / RECORD, "what it says is left out")
    except CxrError:
        return None


def _now() -> str:
    return datetime.now().astimezone().isoformat(timespec="seconds")
