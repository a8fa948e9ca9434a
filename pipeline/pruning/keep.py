"""What must stay: the newest runs, the versions that a champion or a server needs, and the runs that these come from."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from cxr.components.baseline import champion
from cxr.components.baseline.push_record import read_record
from cxr.core import exit_codes
from cxr.core.model_versions import version_of
from cxr.pipeline.kept_runs import KeptRun, kept_runs, run_that_pushed
from cxr.pipeline.workspace import LATEST, REPORT, Workspace

COMPLETE = (exit_codes.OK, exit_codes.REFUSED)
Version = tuple[str, str]  # model, version


@dataclass(frozen=True)
class Kept:
    """What stays, and why, in words.

    Attributes:
      runs: Names of runs.
      newest: How many runs those are that stay because they are new.
      since: When the oldest of these began; None: there are none.
      versions: Pushed versions.
      pushed_by: Ids, as ML Metadata has them, of the runs that pushed the versions.
      uris: Of artifacts that the runs' reports name.
    """

    runs: Mapping[str, str]
    newest: int
    since: datetime | None
    versions: Mapping[Version, str]
    pushed_by: frozenset[str]
    uris: frozenset[str]


def versions_of(workspace: Workspace) -> Iterator[Path]:
    """Yields the folders of all pushed versions, the oldest of each model first."""
    for model in sorted(workspace.serving_models.glob("*/")):
        yield from _versions(model)


def needed_versions(model: Path, served: Collection[int]) -> dict[str, str]:
    """Returns the versions of one model that must stay whatever runs go, and why.

    Args:
      model: Folder of its versions.
      served: Those that servers have loaded, or that a models.config names.

    Raises:
      CxrError: The champion's pointer, or what a push left with a version, is damaged: nothing is known for sure then.
    """
    versions = _versions(model)
    found = {folder.name: "a server needs it" for folder in versions if int(folder.name) in served}  # 01 is version 1 to a server
    if versions:
        found[versions[-1].name] = "the newest"
    pointed = champion.read(model / champion.POINTER)
    if pointed:
        record = read_record(pointed.folder)
        if record and record.baseline:
            found[record.baseline.version] = "the champion was compared with it"
        if record:
            found[record.floor] = "later candidates are compared with it"
        found[pointed.version] = "the champion"
    return {name: reason for name, reason in found.items() if (model / name).is_dir()}


def what_stays(workspace: Workspace, keep: int, served: Mapping[str, Collection[int]]) -> Kept:
    """Returns what must stay.

    Args:
      workspace: Of the pipeline.
      keep: So many of the newest complete runs, done or refused; others that are newer than the oldest of them stay too.
      served: By model: see `needed_versions`.

    Raises:
      CxrError: See `needed_versions`.
    """
    found = kept_runs(workspace.root, workspace.pipeline)
    runs = {run.name: run for run in found}
    newest: list[KeptRun] = []
    for run in found:
        if sum(one.exit_code in COMPLETE for one in newest) == keep:
            break
        newest.append(run)
    reasons = {run.name: "one of the newest" for run in newest}
    if (latest := (workspace.runs / LATEST).resolve().name) in runs:
        reasons.setdefault(latest, "the one that `latest` names")
    for run in found:  # what it pushed is not known
        if run.report is None and (run.folder / REPORT).exists():
            reasons.setdefault(run.name, f"its {REPORT} cannot be read")
    versions: dict[Version, str] = {}
    for model in sorted(workspace.serving_models.glob("*/")):
        versions |= {(model.name, name): why for name, why in needed_versions(model, served.get(model.name, ())).items()}
    looked_at: set[Version] = set()
    while new := set(versions) - looked_at:  # versions keep the runs that pushed them, and runs the versions that their reports name
        looked_at |= new
        for model_name, version in new:
            if pusher := run_that_pushed(workspace.serving_models / model_name / version):
                reasons.setdefault(pusher.name, f"pushed {model_name}/{version}")
        for name in reasons:
            report = runs[name].report
            for model_name, candidate in report.models.items() if report else ():
                if candidate.version and (workspace.serving_models / model_name / candidate.version).is_dir():
                    versions.setdefault((model_name, candidate.version), f"of run {name}")
    records = [read_record(workspace.serving_models / model_name / version) for model_name, version in versions]
    return Kept(
        reasons,
        len(newest),
        _began(newest[-1]) if newest else None,
        versions,
        frozenset(record.run for record in records if record),
        frozenset(uri for name in reasons for uri in _uris(runs[name])) | {record.source for record in records if record},
    )


def _versions(model: Path) -> list[Path]:
    return sorted((folder for folder in model.glob("*/") if version_of(folder) is not None), key=lambda folder: int(folder.name))


def _uris(run: KeptRun) -> Iterator[str]:
    if run.report is None:
        return
    yield run.report.examples_uri or ""
    for model in run.report.models.values():
        yield from (model.model_uri or "", model.evaluation_uri or "")


def _began(run: KeptRun) -> datetime | None:
    return datetime.fromisoformat(run.record.began) if run.record else None
