"""Decides what goes of a pipeline's runs, artifacts and pushed versions, and removes it."""

from __future__ import annotations

import shutil
import uuid
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from cxr.components.baseline import champion
from cxr.core.errors import CxrError
from cxr.pipeline.kept_runs import kept_runs
from cxr.pipeline.pruning.artifacts import Artifacts, Doomed, size_of
from cxr.pipeline.pruning.keep import COMPLETE, Kept, needed_versions, versions_of, what_stays
from cxr.pipeline.workspace import Workspace
from cxr.trainer import state_folder

_GOING = ".pruned-"  # first part of a folder's name on its way out; servers look at numbers only


@dataclass(frozen=True)
class Plan:
    """What stays and what goes; made and carried out while the pipeline's lock is held.

    Attributes:
      kept: What stays.
      runs: Folders of runs, with their bytes.
      versions: Folders of pushed versions, with their bytes.
      artifacts: TFX's.
      left_over: Folders of TFX's that belong to nothing, states of trainings that no run goes on from and no process has, and what
        cross-validations kept for the next ones, with their bytes.
      metadata: Whether ML Metadata is there; without it nobody knows whose artifacts are whose, and they stay.
    """

    kept: Kept
    runs: Mapping[Path, int]
    versions: Mapping[Path, int]
    artifacts: tuple[Doomed, ...]
    left_over: Mapping[Path, int]
    metadata: bool

    @property
    def size(self) -> int:
        """Bytes that would be free."""
        return sum(map(sum, (one.values() for one in (self.runs, self.versions, self.left_over)))) + sum(one.size for one in self.artifacts)

    @property
    def empty(self) -> bool:
        """Whether there is nothing to remove."""
        return not (self.runs or self.versions or self.artifacts or self.left_over)


class Pruner:
    """Prunes one pipeline."""

    def __init__(self, workspace: Workspace, keep: int, served: Mapping[str, Collection[int]], *, dry: bool = False) -> None:
        """Touches nothing.

        Args:
          workspace: Of the pipeline, whose lock the caller holds, and that of its cross-validations.
          keep: See `what_stays`.
          served: By model: versions that servers have loaded, or that a models.config names.
          dry: The plan will not be carried out: what it is made of need not be open to be written, and `Workspace.looked_at` suffices.
        """
        self._workspace, self._keep, self._served = workspace, keep, served
        self._artifacts = Artifacts(workspace, write=not dry) if workspace.metadata.is_file() else None

    def plan(self) -> Plan:
        """Returns what stays and what goes.

        Raises:
          CxrError: What is needed to decide is damaged.
        """
        workspace, kept = self._workspace, what_stays(self._workspace, self._keep, self._served)
        used = self._artifacts.used_by(kept) if self._artifacts else set()
        staying = dict(kept.versions)
        for version in self._artifacts.versions(used) if self._artifacts else ():
            if workspace.serving_models.joinpath(*version).is_dir():
                staying.setdefault(version, "a run that stays would find its push in the cache")
        kept = replace(kept, versions=staying)
        versions = [folder for folder in versions_of(workspace) if (folder.parent.name, folder.name) not in staying]
        going = {(folder.parent.name, folder.name) for folder in versions}
        half_gone = workspace.serving_models.glob(f"*/{_GOING}*")  # of a prune that was killed
        return Plan(
            kept,
            {run.folder: size_of(run.folder) for run in kept_runs(workspace.root, workspace.pipeline) if run.name not in kept.runs},
            {folder: size_of(folder) for folder in [*versions, *half_gone]},
            tuple(self._artifacts.doomed(used, going)) if self._artifacts else (),
            {folder: size_of(folder) for folder in self._left_over(kept)},
            self._artifacts is not None,
        )

    def carry_out(self, plan: Plan, served: Mapping[str, Collection[int]] | None = None) -> None:
        """Removes what goes: artifacts first, so that no later run finds in the cache what is gone; then versions, then runs.

        Args:
          plan: From `plan`.
          served: What servers need by now, where somebody has thought about the plan meanwhile; None: as before.

        Raises:
          CxrError: A version is needed by now, or something cannot be removed; what is still there goes with the next call.
        """
        if served is not None:
            self._served = served
        try:
            if self._artifacts:
                self._artifacts.remove(plan.artifacts)
            for folder in plan.versions:
                self._remove_version(folder)
            for folder in (*plan.left_over, *plan.runs):
                self._remove(folder)
        except OSError as error:
            raise CxrError(f"{error.filename}: cannot be removed ({error.strerror}); the same command goes on from here") from None

    def _left_over(self, kept: Kept) -> Iterator[Path]:
        workspace = self._workspace
        if self._artifacts:
            yield from self._artifacts.left_over(kept)
        newest = next(iter(kept_runs(workspace.root, workspace.pipeline)), None)
        if newest is None or newest.exit_code in COMPLETE:  # else the next run may go on with an interrupted training
            yield from (state for state in sorted(workspace.training_state.glob("*/*/")) if not state_folder.is_held(state))
        yield from (folder for folder in sorted(workspace.crossval.glob("*/")) if folder != workspace.crossval_results)

    def _remove(self, folder: Path) -> None:
        if self._workspace.training_state not in folder.parents:
            shutil.rmtree(folder)
            return
        with state_folder.held(folder) as reason:
            if reason:
                raise CxrError(f"{reason}; the same command decides anew")
            shutil.rmtree(folder)

    def _remove_version(self, version: Path) -> None:
        """By one rename first: a server that looks there sees a whole version or none."""
        going = version
        if not version.name.startswith(_GOING):
            going = version.with_name(f"{_GOING}{uuid.uuid4().hex}")
            with champion.locked(version.parent):  # Kubeflow pushes into the same folders, and holds no pipeline's lock
                if version.name in needed_versions(version.parent, self._served.get(version.parent.name, ())):
                    raise CxrError(f"{version}: is needed by now: another push came; the same command decides anew")
                version.rename(going)
        shutil.rmtree(going)
