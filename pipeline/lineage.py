"""From a pushed version back to what it was made of: run, code, data, configuration, and what it was compared with.

Most of it travels with the version (model.json and push.json in its assets.extra) and is told also where the workspace is
gone. The run's configuration, its ensemble's members' versions and the nodes in ML Metadata are looked up in the workspace it lies in.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pydantic import Field

from cxr.components.baseline import champion
from cxr.components.baseline.push_record import Comparison, PushRecord, read_record
from cxr.components.metrics.names import title
from cxr.core.errors import UsageError
from cxr.core.model_versions import version_of
from cxr.core.strict_model import StrictModel
from cxr.pipeline.config_differences import Difference, from_shipped_tree
from cxr.pipeline.kept_runs import KeptRun, run_that_pushed, unread_pushers
from cxr.pipeline.outside.versions import find_version
from cxr.pipeline.upstream import Execution, upstream
from cxr.pipeline.workspace import Workspace, workspace_of
from cxr.trainer.model_info import ModelInfo, TrainingData, read_info


class Run(StrictModel):
    """The run that a version comes from, as its folder tells."""

    name: str
    folder: str
    state: str
    shipped: str = Field(description="the shipped configuration that the run's own is read beside; empty: its own cannot be read")
    changed: tuple[Difference, ...]
    records: str = Field(description="folder of the records that it ran on")
    records_fingerprint: str = Field(description="of what they were ingested from; empty: an older version did not keep it")
    patients: dict[str, int] = Field(description="split: patients")


class Member(StrictModel):
    """A member of an ensemble."""

    backbone: str | None
    weights: str
    version: str | None = Field(description="that its run pushed, or found pushed; null: refused, or the run is not known")


class Lineage(StrictModel):
    """What `cxr lineage` finds."""

    model: str
    version: str = Field(description="of the model's folder; empty: it was never pushed")
    folder: str
    champion: bool | None = Field(description="the version that was pushed last; null: there is no pointer beside it")
    pushed: PushRecord | None = Field(description="null: pushed without a record, or not at all")
    baseline: Comparison | None
    code_version: str
    data: TrainingData | None = Field(description="what it learnt from and was chosen by; null: an older version did not say")
    synthetic: bool | None
    weights: str
    training: dict[str, Any] = Field(description="settings of its trainer; empty for an ensemble")
    ensemble_method: str | None
    members: dict[str, Member]
    figures: dict[str, str] = Field(description="on the split it was judged on, with 95 % intervals; pushes of version 0.1 have none")
    run: Run | None = Field(description="null: its folder is not in the workspace that the version lies in, or see `unread_runs`")
    unread_runs: dict[str, str] = Field(description="runs of which one may have pushed it: why their report.json cannot be read")
    made_by: tuple[Execution, ...] = Field(description="nodes in ML Metadata; empty: it is gone, or does not know the model")


def lineage(version: Path) -> Lineage:
    """Returns where a version comes from.

    Args:
      version: Folder of a SavedModel; see `find`.

    Raises:
      CxrError: What travels with it is missing or damaged.
    """
    info, record = read_info(str(version)), read_record(version)
    pointed = champion.read(version.parent / champion.POINTER)
    run = run_that_pushed(version)
    return Lineage(
        model=info.name,
        version=version.name if version_of(version) is not None else "",
        folder=str(version),
        champion=pointed.version == version.name if pointed else None,
        pushed=record,
        baseline=record.baseline if record else None,
        code_version=info.code_version,
        data=info.data,
        synthetic=info.synthetic,
        weights=info.weights_note or info.weights,
        training=info.training,
        ensemble_method=info.ensemble_method,
        members=_members(info, run),
        figures=_figures(record),
        run=_described(run) if run else None,
        unread_runs={one.name: one.damage for one in unread_pushers(version, run)},
        made_by=upstream(workspace_of(version).metadata, record.source) if record else (),
    )


def find(model: str, root: Path, pipeline: str | None = None) -> Path:
    """Returns the folder of the version that a user means.

    Args:
      model: `MODEL`, whose champion is meant; `MODEL/VERSION`; or the folder of either.
      root: The workspace in which names are looked up.
      pipeline: Whose models; None: of the only pipeline that has pushed one of this name.

    Raises:
      UsageError: There is none, or several pipelines have one.
      CxrError: The champion's pointer is damaged.
    """
    if pipeline is None and not Path(model).is_dir():
        having = sorted(folder.name for folder in root.glob("*") if Workspace(root, folder.name).serving_models.joinpath(model).is_dir())
        if not having:
            raise UsageError(f"{model}: neither a folder nor a pushed model of {root}; `cxr runs` lists what was pushed")
        if len(having) > 1:
            raise UsageError(f"{model}: pushed by {', '.join(having)}; say whose with --pipeline")
        (pipeline,) = having
    return find_version(model, Workspace(root, pipeline or ""), "MODEL").absolute()


def _described(run: KeptRun) -> Run:
    shipped, changed = from_shipped_tree(run.configuration) if run.configuration else ("", ())
    report = run.report
    return Run(
        name=run.name,
        folder=str(run.folder),
        state=run.state,
        shipped=shipped,
        changed=changed,
        records=report.data if report else "",
        records_fingerprint=report.data_fingerprint if report else "",
        patients=report.patients if report else {},
    )


def _members(info: ModelInfo, run: KeptRun | None) -> dict[str, Member]:
    pushed = run.report.models if run and run.report else {}
    return {
        name: Member(
            backbone=one.backbone, weights=one.weights_note or one.weights, version=pushed[name].version if name in pushed else None
        )
        for name, one in info.members.items()
    }


def _figures(record: PushRecord | None) -> dict[str, str]:
    """Those of the push; one of version 0.1 kept no intervals."""
    if record is None:
        return {}
    if record.figures:
        return {title(name): str(figure) for name, figure in record.figures.items()}
    return {title(name): f"{value:.3f}" for name, value in record.metrics.items()}
