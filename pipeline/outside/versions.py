"""Which pushed version a user means."""

from __future__ import annotations

from pathlib import Path

from cxr.components.baseline import champion
from cxr.core.errors import UsageError
from cxr.core.model_versions import version_of
from cxr.core.places import SAVED_MODEL
from cxr.pipeline.kept_runs import model_of_latest_run
from cxr.pipeline.workspace import Workspace
from cxr.trainer import artifact


def find_version(model: str, workspace: Workspace, option: str = "--model") -> Path:
    """Returns the folder of a SavedModel.

    Args:
      model: A pushed version's folder; a model's folder, whose champion is meant (without one, the highest version); a Model artifact; or
        a model's name: the workspace's pushed one, else the one of the latest run, which its gate refused.
      workspace: Where names are looked up.
      option: That named it, for messages.

    Raises:
      UsageError: There is none.
      CxrError: The champion's pointer is damaged, or the latest run has no report that can be read.
    """
    path = Path(model)
    if path.is_dir():
        found = _in_folder(path)
        if found is None:
            raise UsageError(
                f"{option} {model}: holds no {SAVED_MODEL} and no versions; give the folder of a version, for example "
                "serving_models/mobilenet/1795601477, or that of its model"
            )
        return found
    if (found := _in_folder(workspace.serving_models / model)) is not None:
        return found
    return Path(artifact.serving_dir(model_of_latest_run(model, workspace, option)))


def _in_folder(path: Path) -> Path | None:
    artifact_version = Path(artifact.serving_dir(str(path)))
    for folder in (path, artifact_version):
        if (folder / SAVED_MODEL).is_file():
            return folder
    if found := champion.read(path / champion.POINTER):
        return found.folder
    versions = [folder for folder in path.glob("*") if version_of(folder) is not None and (folder / SAVED_MODEL).is_file()]
    return max(versions, key=lambda folder: int(folder.name), default=None)
