"""`python -m cxr.kubeflow.baseline`: the task `Baseline-<model>`, which brings the champion into a run.

The task gets the pointer's path as a parameter and copies the version that it names into an artifact of the run, so that nothing depends
on an older run's artifacts. It also tells the run's Pusher which version was the champion then: only that one may be replaced. Neither TFX
nor TensorFlow is imported.
"""

from __future__ import annotations

import json
import shutil
import sys
from importlib import metadata
from pathlib import Path

from cxr.components.baseline import champion
from cxr.core.errors import CxrError
from cxr.kubeflow import executor_output
from cxr.kubeflow.executor_input import ABSENT
from cxr.kubeflow.uris import local_path

NO_BASELINE = "none"  # value of the parameter for a run without baseline
NO_CHAMPION = "none"  # value of the output parameter where nothing has been pushed yet
CHAMPION = "champion"  # the output parameter
SERVING = "Format-Serving"  # folder of the SavedModel in a Model artifact
_ABSENT_FILE = "NO_BASELINE"


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
        if given.name == champion.POINTER:
            found = champion.read(given)
            source = found.folder if found else None
        elif (given / "saved_model.pb").is_file():
            source = given
        elif (given / SERVING / "saved_model.pb").is_file():
            source = given / SERVING
        else:
            raise CxrError(
                f"baseline {baseline}: no champion pointer ({champion.POINTER}), no SavedModel and no Model artifact; is the volume "
                f"mounted? {NO_BASELINE!r} runs without baseline"
            )
    target.mkdir(parents=True, exist_ok=True)
    if source is None:
        (target / _ABSENT_FILE).write_text(f"no champion yet: {baseline or NO_BASELINE}\n")
        return False
    shutil.copytree(source, target / SERVING, dirs_exist_ok=True)
    return True


def main(argv: list[str]) -> int:
    """Fetches the baseline; `argv` holds the ExecutorInput."""
    task = json.loads(argv[0])
    (model,) = task["outputs"]["artifacts"]["model"]["artifacts"]
    parameters = task["inputs"]["parameterValues"]
    baseline = parameters["baseline"]
    try:
        # before the copy: a champion made champion in between is then told from the one that was copied
        present = champion.read(Path(parameters["pointer"]))
        found = fetch(local_path(baseline), Path(local_path(model["uri"])))
    except CxrError as error:
        print(error, file=sys.stderr)
        return 1
    print(f"baseline: {baseline}" if found else f"no baseline ({baseline})")
    # without TFX's version the Evaluator would look for the folders of models from before TFX 0.29
    facts = {"tfx_version": metadata.version("tfx")} if found else {ABSENT: 1}
    report = {
        "artifacts": {"model": {"artifacts": [{"name": model["name"], "uri": model["uri"], "metadata": facts}]}},
        "parameterValues": {CHAMPION: present.version if present else NO_CHAMPION},
    }
    executor_output.write(task["outputs"]["outputFile"], report)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
