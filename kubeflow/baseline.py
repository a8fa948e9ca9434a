"""`python -m cxr.kubeflow.baseline`: the task `Baseline-<model>`, which brings into a run what its candidate is compared with.

The rule is the local run's (components/baseline/rule.py). The version that it chooses is copied into an artifact of the run, so that
nothing depends on an older run's artifacts. The task also tells the run's Pusher which version that is, and which one is the champion:
only that one may be replaced.
"""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Mapping
from importlib import metadata
from pathlib import Path
from typing import Any

from cxr.components.baseline import champion
from cxr.components.pusher.known import NO_CHAMPION
from cxr.core.errors import CxrError
from cxr.core.places import SAVED_MODEL, SERVING
from cxr.kubeflow import artifact_files, executor_output, node_usage
from cxr.kubeflow.executor_input import ABSENT, clear
from cxr.kubeflow.pushing import BASELINE, CHAMPION, NO_BASELINE
from cxr.kubeflow.task_status import status_of
from cxr.kubeflow.uris import local_path

_ABSENT_FILE = "NO_BASELINE"


def find(parameters: Mapping[str, Any]) -> Path | None:
    """Finds what to compare with, and prints why.

    Args:
      parameters: Of the task. `baseline`: path of a champion pointer, from which the rule chooses; of a pushed version or a Model artifact,
        taken as it is; "none" or "": no baseline. `data`, `split`, `class_names` (a JSON list), `max_side` (0: none was scaled down): what
        the gate judges on.

    Returns: Folder of the SavedModel; None: there is none that it could be compared with.

    Raises:
      CxrError: A path that is none of these; a damaged pointer or version; records that cannot be read.
    """
    given = parameters["baseline"]
    if given in ("", NO_BASELINE):
        print("no baseline: the run asked for none, the gate's bounds decide alone")
        return None
    path = Path(local_path(given))
    if path.name == champion.POINTER and (path.is_file() or given == parameters["pointer"]):  # a first run has no champion yet
        return _choose(path, parameters)
    for folder in (path, path / SERVING):
        if (folder / SAVED_MODEL).is_file():
            print(f"compared with {given}: the run asked for it")
            return folder
    raise CxrError(
        f"baseline {given}: no champion pointer ({champion.POINTER}), no SavedModel and no Model artifact; is the volume "
        f"mounted? {NO_BASELINE!r} runs without baseline"
    )


def _choose(pointer: Path, parameters: Mapping[str, Any]) -> Path | None:
    if not pointer.is_file():  # a first run need not read the images
        print(f"no baseline: nothing has been pushed yet ({pointer})")
        return None
    from cxr.components.baseline.rule import choose, read_judged_on  # imports TensorFlow, which takes seconds
    from cxr.pipeline.baselines import remarks

    data = parameters["data"]
    copied = local_path(data)  # by the launcher; else TensorFlow reads the URI itself, as Dataflow's workers do
    judged_on = read_judged_on(
        copied if Path(copied).is_dir() else data,
        parameters["split"],
        json.loads(parameters["class_names"]),
        int(parameters["max_side"]) or None,  # KFP's numbers are floats
    )
    choice = choose(pointer, judged_on)
    for remark in remarks(choice):
        print(remark)
    if choice.baseline and not choice.reasons:
        print(f"compared with version {choice.baseline.name}, the best one pushed")
    return choice.baseline


def fetch(source: Path | None, target: Path) -> None:
    """Makes the Model artifact anew.

    Args:
      source: Folder of a SavedModel; None: the artifact holds a file that says so, as without any file it would not be uploaded.
      target: Folder of the artifact.
    """
    clear(target)
    target.mkdir(parents=True)
    if source is None:
        (target / _ABSENT_FILE).write_text("there is no model to compare with\n", encoding="utf-8")
    else:
        shutil.copytree(source, target / SERVING)


def run(task: Mapping[str, Any]) -> None:
    """Chooses and fetches the baseline.

    Args:
      task: KFP's ExecutorInput.

    Raises:
      CxrError: What the rule needs is not there, or cannot be read.
    """
    watch = node_usage.Watch()
    (model,) = task["outputs"]["artifacts"]["model"]["artifacts"]
    parameters = task["inputs"]["parameterValues"]
    pointer = Path(parameters["pointer"])
    present = champion.read(pointer)  # before the choice: a version made champion in between is then told from the one that the choice knew
    found = find(parameters)
    target = Path(local_path(model["uri"]))
    fetch(found, target)
    # without TFX's version the Evaluator would look for the folders of models from before TFX 0.29
    facts = {"tfx_version": metadata.version("tfx"), **artifact_files.noted(target)} if found else {ABSENT: 1}
    # what is no version of this model must not become the measure of later ones
    of_this_model = found is not None and found.parent.resolve() == pointer.parent.resolve()
    report = {
        "artifacts": {"model": {"artifacts": [{"name": model["name"], "uri": model["uri"], "metadata": facts}]}},
        "parameterValues": {
            CHAMPION: present.version if present else NO_CHAMPION,
            BASELINE: found.name if found and of_this_model else NO_BASELINE,
            **watch.usage(task),
        },
    }
    executor_output.write(task["outputs"]["outputFile"], report)


def main(argv: list[str]) -> int:
    """Runs the task; `argv` holds the ExecutorInput."""
    return status_of("Baseline", lambda: run(json.loads(argv[0])))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
