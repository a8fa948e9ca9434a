"""`python -m cxr.kubeflow.entrypoint`: the command of every TFX node on Kubeflow Pipelines 2.x.

It stands between KFP's launcher and TFX's own (unchanged) entry point, which does not run there; docs/kubeflow.md lists why. The steps are
in `run`: prepare the input, run TFX's driver where there is one, run TFX's executor, make its report acceptable. A Pusher is
told the run's choice (pushing.py), the report what the nodes before it took (node_usage.py). An Evaluator's results and the run's report
are also published for KFP's page (evaluation_page.py, report_page.py).
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import sys
import tempfile
from contextlib import nullcontext
from pathlib import Path
from typing import Any

from cxr.core import gpus, imports
from cxr.kubeflow import artifact_files, evaluation_page, executor_input, executor_output, node_usage, pushing, report_page, shared_folder
from cxr.kubeflow.task_status import status_of

MODULE = "cxr.kubeflow.entrypoint"
MERGE, SHARED = "--cxr_merge", "--cxr_shared"  # arguments that the compiler adds


def run(args: argparse.Namespace, beam_args: list[str], scratch: Path) -> None:
    """Executes one node.

    Args:
      args: TFX's three arguments and ours.
      beam_args: Everything else, for Beam.
      scratch: A folder of this process alone.

    Raises:
      CxrError: The node's executor reported a user's mistake, an input has lost files, or its examples do not say which splits they have.
    """
    watch = node_usage.Watch()
    given = json.loads(args.json_serialized_invocation_args)
    inputs_spec = json.loads(args.json_serialized_inputs_spec_args or "{}")
    task = executor_input.prepare(given, inputs_spec, args.cxr_merge, scratch)
    artifact_files.check(task["inputs"].get("artifacts", {}))
    if args.executor_class_path.startswith("tfx."):  # of ours, Report does without: it reads the folders
        executor_input.check_splits(task)
    executor_input.make_folders(task)

    if args.executor_class_path == pushing.EXECUTOR:
        task = pushing.complete(task, given)
    if args.executor_class_path == report_page.EXECUTOR:
        task = node_usage.complete(task, given)
    shared = args.cxr_shared and _uses_beam(args.executor_class_path)
    with shared_folder.task_folder(args.cxr_shared, task) if shared else nullcontext(str(scratch)) as folder:
        staged = shared_folder.stage(task, folder) if shared else task
        report = _run_executor(args, beam_args, staged, folder)
        if shared:
            report = shared_folder.collect(task, staged, report)
    result = executor_output.finish(report, task)
    if args.executor_class_path == evaluation_page.EXECUTOR:
        (evaluation,) = task["outputs"]["artifacts"]["evaluation"]["artifacts"]
        result["artifacts"] |= evaluation_page.publish_from(evaluation["uri"], given)
    if args.executor_class_path == report_page.EXECUTOR:
        result["artifacts"] |= report_page.publish(given, task)
    result["parameterValues"] = {**result.get("parameterValues", {}), **watch.usage(given)}
    executor_output.write(given["outputs"]["outputFile"], result)


def _run_executor(args: argparse.Namespace, beam_args: list[str], task: dict[str, Any], folder: str) -> dict[str, Any]:
    """Runs TFX's driver, where the node has one, and its executor; returns the executor's report, which it leaves in `folder`."""
    with imports.uncollected():
        from tfx.orchestration.kubeflow.v2.container import kubeflow_v2_run_executor

    task["outputs"]["outputFile"] = f"{folder}/executor_output.json"
    if {"input_base", "input_config"} <= set(task["inputs"]["parameterValues"]):
        _run_example_gen_driver(args, beam_args, task)
    kubeflow_v2_run_executor.main((_arguments_for_tfx(args, task), beam_args))
    return _read(task["outputs"]["outputFile"])


def _run_example_gen_driver(args: argparse.Namespace, beam_args: list[str], task: dict[str, Any]) -> None:
    """Runs the driver that KFP never runs: span, version and fingerprint of the files, and patterns with the span filled in.

    What it reports of parameters stays in the output file, where TFX's executor looks for it; what it reports of the artifact, the executor
    would forget.
    """
    from tfx.orchestration.kubeflow.v2.file_based_example_gen import driver

    driver.main(_arguments_for_tfx(args, task))
    for name, entry in _read(task["outputs"]["outputFile"]).get("artifacts", {}).items():
        for artifact, known in zip(task["outputs"]["artifacts"][name]["artifacts"], entry["artifacts"], strict=True):
            found = {key.removeprefix("custom:"): value for key, value in known.get("metadata", {}).items() if value is not None}
            artifact["metadata"] = {**artifact.get("metadata", {}), **found}


def _arguments_for_tfx(args: argparse.Namespace, task: dict[str, Any]) -> argparse.Namespace:
    return argparse.Namespace(
        executor_class_path=args.executor_class_path,
        json_serialized_invocation_args=json.dumps(task),
        json_serialized_inputs_spec_args=args.json_serialized_inputs_spec_args,
    )


def _uses_beam(executor_class_path: str) -> bool:
    with imports.uncollected():
        from tfx.dsl.components.base import base_beam_executor
        from tfx.utils import import_utils

        executor = import_utils.import_class_by_path(executor_class_path)
    return issubclass(executor, base_beam_executor.BaseBeamExecutor)


def _read(path: str) -> dict[str, Any]:
    from tfx.dsl.io import fileio

    with fileio.open(path) as file:
        return json.loads(file.read())


def parse(argv: list[str]) -> tuple[argparse.Namespace, list[str]]:
    """Splits the command line into TFX's and our arguments, and those for Beam."""
    parser = argparse.ArgumentParser(prog=f"python -m {MODULE}", allow_abbrev=False)
    parser.add_argument("--executor_class_path", required=True)
    parser.add_argument("--json_serialized_invocation_args", required=True, help="KFP's ExecutorInput")
    parser.add_argument("--json_serialized_inputs_spec_args", default="", help="the component's input definitions")
    parser.add_argument(MERGE, action="append", default=[], help="parameter/pointer=own parameter: replace a value in a parameter's JSON")
    parser.add_argument(SHARED, default="", help="folder that Beam's workers can reach")
    return parser.parse_known_args(argv)


def main(argv: list[str]) -> int:
    """Runs a node; returns the container's exit status."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s", stream=sys.stderr)
    args, beam_args = parse(argv)
    gpus.share()

    def work() -> None:
        with tempfile.TemporaryDirectory(prefix="cxr-") as scratch:
            run(args, beam_args, Path(scratch))

    return status_of(args.executor_class_path, work)


if __name__ == "__main__":
    status = main(sys.argv[1:])
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)  # threads of Beam, gRPC and TensorFlow may not keep the pod alive
