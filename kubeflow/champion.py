"""The champion of a model: the version that was pushed last, named by a pointer file beside the pushed versions.

    <serving_models>/<model>/1763860000/...     what TensorFlow Serving loads; it looks at numbers only
    <serving_models>/<model>/champion.json      the pointer

The entry point writes the pointer after a push. The next run gets the pointer's path as a parameter; its task `Baseline-<model>`
(`python -m cxr.kubeflow.champion`, which imports neither TFX nor TensorFlow) copies the version that it names into an artifact of that run,
so that nothing depends on an older run's artifacts.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import sys
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any

from cxr.core.errors import CxrError
from cxr.kubeflow import executor_output
from cxr.kubeflow.executor_input import ABSENT
from cxr.kubeflow.uris import local_path

POINTER = "champion.json"
NO_BASELINE = "none"  # value of the parameter for a run without baseline
SERVING = "Format-Serving"  # folder of the SavedModel in a Model artifact
_ABSENT_FILE = "NO_BASELINE"


def write_pointer(models: Path, version: str, fingerprint: str, source: str) -> None:
    """Makes a pushed version the champion, in one step.

    Args:
      models: Folder of the model's versions.
      version: Name of the version's folder.
      fingerprint: `fingerprint` of its SavedModel.
      source: URI of the Model artifact that it came from.
    """
    pointer = {
        "version": version,
        "fingerprint": fingerprint,
        "source": source,
        "pushed_at": datetime.now(UTC).isoformat(timespec="seconds"),
    }
    temporary = models / f".{POINTER}-{os.getpid()}"
    with open(temporary, "w") as file:
        json.dump(pointer, file, indent=2)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(models / POINTER)


def read_pointer(pointer: Path) -> dict[str, Any] | None:
    """Returns the pointer's contents, with the version's folder as `path`; None where no model has been pushed yet.

    Raises:
      CxrError: The file is damaged, or the version is gone.
    """
    if not pointer.is_file():
        return None
    try:
        champion = json.loads(pointer.read_text())
        champion["path"] = str(pointer.parent / champion["version"])
    except (ValueError, KeyError, TypeError) as error:
        raise CxrError(f"{pointer}: not a champion pointer ({error}); remove it to run without baseline") from error
    if not (Path(champion["path"]) / "saved_model.pb").is_file():
        raise CxrError(f"{pointer}: names version {champion['version']}, which is gone; restore it, or remove the pointer")
    return champion


def fingerprint(folder: Path) -> str:
    """Returns a hash over the names and contents of all files below a folder."""
    digest = hashlib.blake2b(digest_size=16)
    for file in sorted(path for path in folder.rglob("*") if path.is_file()):
        digest.update(str(file.relative_to(folder)).encode() + b"\0")
        with open(file, "rb") as opened:
            digest.update(hashlib.file_digest(opened, "sha256").digest())
    return digest.hexdigest()


def fetch(baseline: str, target: Path) -> bool:
    """Copies the baseline model into a Model artifact.

    Args:
      baseline: Path of a champion pointer, of a pushed version or of a Model artifact; "none" or "": no baseline.
      target: Folder of the artifact.

    Returns: whether there is a baseline. Without one, the artifact holds a file that says so: without any file it would not be uploaded.

    Raises:
      CxrError: A path that is neither.
    """
    source: Path | None = None
    if baseline not in ("", NO_BASELINE):
        given = Path(baseline)
        if given.name == POINTER:
            champion = read_pointer(given)
            source = Path(champion["path"]) if champion else None
        elif (given / "saved_model.pb").is_file():
            source = given
        elif (given / SERVING / "saved_model.pb").is_file():
            source = given / SERVING
        else:
            raise CxrError(
                f"baseline {baseline}: no champion pointer ({POINTER}), no SavedModel and no Model artifact; is the volume mounted? "
                f"{NO_BASELINE!r} runs without baseline"
            )
    target.mkdir(parents=True, exist_ok=True)
    if source is None:
        (target / _ABSENT_FILE).write_text(f"no champion yet: {baseline or NO_BASELINE}\n")
        return False
    shutil.copytree(source, target / SERVING, dirs_exist_ok=True)
    return True


def main(argv: list[str]) -> int:
    """The command of the task `Baseline-<model>`; its argument is the ExecutorInput."""
    task = json.loads(argv[0])
    (model,) = task["outputs"]["artifacts"]["model"]["artifacts"]
    baseline = task["inputs"]["parameterValues"]["baseline"]
    try:
        found = fetch(local_path(baseline), Path(local_path(model["uri"])))
    except CxrError as error:
        print(error, file=sys.stderr)
        return 1
    print(f"baseline: {baseline}" if found else f"no baseline ({baseline})")
    # without TFX's version the Evaluator would look for the folders of models from before TFX 0.29
    facts = {"tfx_version": metadata.version("tfx")} if found else {ABSENT: 1}
    report = {"artifacts": {"model": {"artifacts": [{"name": model["name"], "uri": model["uri"], "metadata": facts}]}}}
    executor_output.write(task["outputs"]["outputFile"], report)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
