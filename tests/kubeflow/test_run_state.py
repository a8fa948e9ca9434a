"""What is read from a run as kfp's client returns it."""

from typing import Any

import pytest
from kfp_server_api import V2beta1PipelineTaskDetail, V2beta1Run, V2beta1RunDetails

from cxr.core import exit_codes
from cxr.kubeflow.run_state import Run, run_state

REFUSED = (
    ("Trainer-mobilenet", "SUCCEEDED"),
    ("root", "SUCCEEDED"),
    ("executor", "SKIPPED"),  # the container inside a cached task
    ("Pusher-mobilenet-driver", "SUCCEEDED"),
    ("Pusher-mobilenet", "SUCCEEDED"),
    ("Pusher-ensemble-driver", "SUCCEEDED"),
    ("Pusher-ensemble", "SKIPPED"),
)


def read(*tasks: tuple[str, str], state: str = "SUCCEEDED", spec: dict[str, Any] | None = None) -> Run:
    details = [V2beta1PipelineTaskDetail(display_name=name, state=found) for name, found in tasks]
    return run_state(V2beta1Run(run_id="r", state=state, run_details=V2beta1RunDetails(task_details=details), pipeline_spec=spec))


def test_a_refused_gate_has_a_code_and_a_remedy() -> None:
    run = read(*REFUSED)
    assert run.exit_code == exit_codes.REFUSED
    assert run.refused == ("ensemble",)
    assert "mobilenet" not in run.verdict
    for word in ("ensemble: refused", "Evaluator-ensemble", "InfraCheck-ensemble", "min_accuracy_ensemble="):
        assert word in run.verdict


def test_only_the_pipelines_tasks_are_shown() -> None:
    assert [task.name for task in read(*REFUSED).tasks] == ["Trainer-mobilenet", "Pusher-mobilenet", "Pusher-ensemble"]


@pytest.mark.parametrize("state", ["FAILED", "CANCELED"])
def test_a_failure_weighs_more_than_a_refusal(state: str) -> None:
    run = read(*REFUSED, state=state)
    assert (run.exit_code, run.verdict) == (exit_codes.FAILED, "")


def test_everything_pushed_is_ok_and_silent() -> None:
    run = read(("Pusher-mobilenet", "SUCCEEDED"), ("Pusher-ensemble", "SUCCEEDED"))
    assert (run.exit_code, run.verdict, run.models) == (exit_codes.OK, "", ("mobilenet", "ensemble"))


@pytest.mark.parametrize("wrapped", [True, False])
def test_a_configured_model_that_kfp_says_nothing_of_is_no_success(wrapped: bool) -> None:
    spec: dict[str, Any] = {"root": {"dag": {"tasks": {"Trainer-mobilenet": {}, "Pusher-mobilenet": {}, "Pusher-ensemble": {}}}}}
    run = read(("Pusher-mobilenet", "SUCCEEDED"), spec={"pipeline_spec": spec, "platform_spec": {}} if wrapped else spec)
    assert run.exit_code == exit_codes.FAILED
    assert run.unreported == ("ensemble",)
    assert "ensemble: KFP does not say" in run.verdict


def test_a_retried_run_counts_by_its_last_push() -> None:
    assert read(("Pusher-mobilenet", "FAILED")).exit_code == exit_codes.FAILED
    assert read(("Pusher-mobilenet", "FAILED"), ("Pusher-mobilenet", "SUCCEEDED")).exit_code == exit_codes.OK


def test_a_run_that_has_not_begun_has_no_tasks() -> None:
    run = run_state(V2beta1Run(run_id="r"))
    assert (run.state, run.tasks, run.exit_code) == ("PENDING", (), exit_codes.OK)
