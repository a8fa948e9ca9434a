"""The runs of a workspace as their folders tell of them: those that failed, were interrupted or are under way too, of any version."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cached_property
from pathlib import Path
from typing import Any, Literal, TypeVar

import pydantic
import yaml

from cxr.components.baseline.push_record import read_record
from cxr.core import exit_codes, yaml_text
from cxr.core.errors import CxrError, UsageError
from cxr.core.validation_errors import first_said
from cxr.pipeline.kept_report import KeptReport, exit_code
from cxr.pipeline.run_record import RECORD, RunRecord
from cxr.pipeline.workspace import CONFIG, LATEST, REPORT, RUN, Workspace, all_runs, made_at, workspace_of

_Kept = TypeVar("_Kept", bound=pydantic.BaseModel)
State = Literal["done", "refused", "failed", "interrupted", "under way", "killed", "unknown"]
_STATES: dict[int, State] = {
    exit_codes.OK: "done",
    exit_codes.REFUSED: "refused",
    exit_codes.INTERRUPTED: "interrupted",
    exit_codes.TERMINATED: "interrupted",
    exit_codes.HUNG_UP: "interrupted",
}


@dataclass(frozen=True)
class KeptRun:
    """A run's folder."""

    folder: Path

    @cached_property
    def name(self) -> str:
        """The run's id, which begins with when it began; also where its folder is named by the link `latest`."""
        return (self.folder.resolve() if self.folder.name == LATEST else self.folder).name

    @property
    def pipeline(self) -> str:
        """Whose run it is."""
        return self.home.name

    @property
    def home(self) -> Path:
        """Folder of the pipeline."""
        return self.folder.absolute().parent.parent

    @property
    def record(self) -> RunRecord | None:
        """What run.json says; None where there is none, as an older version wrote none, or one that cannot be read."""
        return self._record[0]

    @property
    def record_damage(self) -> str:
        """Why run.json cannot be read; empty where it can, or where there is none."""
        return self._record[1]

    @cached_property
    def _record(self) -> tuple[RunRecord | None, str]:
        return _read(self.folder / RECORD, RunRecord)

    @property
    def report(self) -> KeptReport | None:
        """What report.json says; None where there is none, or one that cannot be read."""
        return self._report[0]

    @property
    def damage(self) -> str:
        """Why report.json cannot be read; empty where it can, or where there is none."""
        return self._report[1]

    @cached_property
    def _report(self) -> tuple[KeptReport | None, str]:
        return _read(self.folder / REPORT, KeptReport)

    @property
    def configuration(self) -> dict[str, Any]:
        """The configuration that it ran with, as YAML has it; empty where it cannot be read."""
        return self._configuration[0]

    @property
    def configuration_damage(self) -> str:
        """Why config.yaml cannot be read; empty where it can."""
        return self._configuration[1]

    @cached_property
    def _configuration(self) -> tuple[dict[str, Any], str]:
        try:
            found = yaml_text.parse((self.folder / CONFIG).read_text(encoding="utf-8"))
        except OSError as error:
            return {}, error.strerror or type(error).__name__
        except (UnicodeDecodeError, yaml.YAMLError) as error:
            mark = getattr(error, "problem_mark", None)  # without what stands there: settings name folders and patients
            return {}, f"no YAML: line {mark.line + 1}" if mark else "no YAML"
        return (found, "") if found and isinstance(found, dict) else ({}, "it holds no settings")

    @property
    def exit_code(self) -> int | None:
        """None where it has not ended, was killed, or an older version did not keep it and it cannot be told."""
        if self.record is not None:
            return self.record.exit_code
        if self.report is None:
            return None
        models, nodes = self.report.models.values(), self.report.nodes.values()
        return exit_code([*(model.outcome for model in models), *(node.state for node in nodes)])

    @property
    def state(self) -> State:
        """What became of it."""
        if (code := self.exit_code) is not None:
            return _STATES.get(code, "failed")
        if self._under_way():
            return "under way"
        return "unknown" if self.record is None else "killed"

    @property
    def seconds(self) -> float | None:
        """How long it took; of an older version the sum of its nodes, see `seconds_summed`. None: not known."""
        if self.record is not None:
            return self.record.seconds
        if self.record_damage:
            return None
        return sum(node.seconds for node in self.report.nodes.values()) if self.report else None

    @property
    def seconds_summed(self) -> bool:
        """Whether `seconds` is the sum of its nodes, which run side by side: no run.json says how long it took."""
        return self.record is None and self.seconds is not None

    @property
    def peak_memory(self) -> int | None:
        """Of its largest process, bytes; None: not measured."""
        nodes = self.report.nodes.values() if self.report else ()
        return max((node.peak_memory for node in nodes if node.peak_memory), default=None)

    def place_of(self, uri: str | None) -> Path | None:
        """Returns where an artifact of this run is now, also in a workspace that was moved or copied; None where it is gone."""
        made = made_at(uri) if uri else None
        place = self.home / made[1] if made else None
        return place if place and place.exists() else None

    def _under_way(self) -> bool:
        """A run holds its pipeline's lock, and no later run has begun."""
        newest = [run.name for run in all_runs(self.home.parent, self.pipeline)[-1:]] == [self.name]
        return newest and Workspace(self.home.parent, self.pipeline).lock_holder() == RUN


def _read(file: Path, kind: type[_Kept]) -> tuple[_Kept | None, str]:
    """Returns what a file of a run says, and why it cannot be read; neither where there is none."""
    try:
        return kind.model_validate_json(file.read_bytes()), ""
    except FileNotFoundError:
        return None, ""
    except (OSError, pydantic.ValidationError) as error:
        return None, (error.strerror or type(error).__name__) if isinstance(error, OSError) else first_said(error)


def kept_runs(root: Path, pipeline: str | None = None) -> list[KeptRun]:
    """Returns the runs of a workspace, of all its pipelines or of one; the newest first."""
    return [KeptRun(folder) for folder in reversed(all_runs(root, pipeline))]


def find_run(run: str, root: Path, pipeline: str | None = None) -> KeptRun:
    """Returns the run that a user means.

    Args:
      run: Its name, "latest" (see `Workspace.point_latest_at`), or its folder.
      root: The workspace in which names are looked up.
      pipeline: Whose runs; None: all.

    Raises:
      UsageError: There is none.
    """
    runs = kept_runs(root, pipeline)
    if run == LATEST and runs:
        return _latest(runs)
    for found in runs:
        if found.name == run:
            return found
    if Path(run).is_dir():
        return KeptRun(Path(run).resolve())
    raise UsageError(f"{run}: no such run in {root}" + (f"; the newest is {runs[0].name}" if runs else ""))


def _latest(runs: Sequence[KeptRun]) -> KeptRun:
    """Returns the newest run that the link `latest` of its pipeline names: one whose data were there; without a link any counts."""
    named = [run for run in runs if (run.folder.parent / LATEST).resolve() == run.folder.resolve()]
    return max(named or runs, key=lambda run: run.name)


def run_that_pushed(version: Path) -> KeptRun | None:
    """Returns the earliest run that pushed a version: later ones with nothing new find it pushed. None: it is not in its workspace.

    Args:
      version: Its folder.

    Raises:
      CxrError: What the push left with it is damaged.
    """
    record = read_record(version)
    if record is None:
        return None
    home = workspace_of(version)
    for run in reversed(kept_runs(home.root, home.pipeline)):
        found = run.report.models.get(version.parent.name) if run.report else None
        if found and (found.model_uri, found.version) == (record.source, version.name):
            return run
    return None


def unread_pushers(version: Path, found: KeptRun | None) -> list[KeptRun]:
    """Returns the runs that may have pushed a version and cannot be asked, as their reports cannot be read; the newest first.

    Args:
      version: Its folder.
      found: What `run_that_pushed` returned.

    Raises:
      CxrError: What the push left with it is damaged.
    """
    record = read_record(version)
    if record is None:
        return []
    home, pushed = workspace_of(version), record.pushed_at
    if found and found.record and _while(found.record, pushed):
        return []
    others = [run for run in kept_runs(home.root, home.pipeline) if run.damage and (found is None or run.name < found.name)]
    return [run for run in others if run.record is None or _while(run.record, pushed)]


def _while(record: RunRecord, text: str) -> bool:
    """Tells whether a run may have gone on at a moment, by clocks that count whole seconds.

    Args:
      record: Of the run.
      text: The moment as a push keeps it, ISO 8601; of one that is not, any run may.
    """
    try:
        moment = datetime.fromisoformat(text).astimezone()
    except ValueError:
        return True
    began, ended = datetime.fromisoformat(record.began), record.ended and datetime.fromisoformat(record.ended)
    return began <= moment and (not ended or moment < ended + timedelta(seconds=1))


def report_of(run: KeptRun) -> KeptReport:
    """Returns a run's report.

    Raises:
      CxrError: It has none, or one that cannot be read.
    """
    if run.damage:
        raise CxrError(f"{run.folder / REPORT}: cannot be read ({run.damage}); name another run, `cxr runs` lists them")
    if run.report is None:
        remedy = "wait until it has ended, or name another one" if run.state == "under way" else "name another one"
        raise CxrError(f"{run.folder}: has no {REPORT}: the run is {run.state}; {remedy}, `cxr runs` lists them")
    return run.report


def find_artifact(model: str, workspace: Workspace) -> str:
    """Returns the path of a trained model, of which more is kept than what a server needs.

    Args:
      model: A Model artifact's folder or a .keras file; or a model's name: the one of the latest run, pushed or not.
      workspace: Where names are looked up.

    Raises:
      UsageError: There is none.
      CxrError: The latest run has no report that can be read.
    """
    return model if Path(model).exists() else model_of_latest_run(model, workspace, "--model")


def model_of_latest_run(name: str, workspace: Workspace, option: str) -> str:
    """Returns the folder of the Model artifact that the latest run made, pushed or not.

    Args:
      name: Of the model.
      workspace: Of the pipeline.
      option: That named it, for messages.

    Raises:
      UsageError: There is none.
      CxrError: The latest run has no report that can be read.
    """
    latest = KeptRun(workspace.runs / LATEST)
    if not latest.folder.exists():
        raise UsageError(f"{option} {name}: no such file or folder, and {latest.folder} is not there; set --workspace and --pipeline")
    if latest.report is None and not latest.damage:
        remedy = "wait until it has ended, or give" if latest.state == "under way" else "give"
        raise CxrError(f"{option} {name}: the latest run, {latest.name}, is {latest.state} and has no {REPORT}; {remedy} a model's folder")
    models = report_of(latest).models
    if name not in models:
        raise UsageError(f"{option} {name}: no such file or folder; {latest.folder / REPORT} has {', '.join(models)}")
    if uri := models[name].model_uri:
        if place := latest.place_of(uri):
            return str(place)
        raise UsageError(f"{option} {name}: the model of run {latest.name} is gone (pruned?); name the folder of another one")
    raise UsageError(f"{option} {name}: it was not trained in the latest run; see {latest.folder / REPORT}")
