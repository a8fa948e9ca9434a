"""What the entry point adds; the push itself is tests/components/pusher's."""

import json

import pytest

from cxr.components.pusher.known import Known
from cxr.kubeflow import pushing


@pytest.fixture
def task():
    return {"inputs": {"parameterValues": {"custom_config": Known(pipeline="small", split="test").model_dump_json()}}}


def given(**parameters):
    """What the launcher passes."""
    return {
        "inputs": {
            "parameterValues": {"cxr_run": "42", **parameters},
            "artifacts": {"model": {"artifacts": [{"uri": "minio://b/run/model"}]}},
        }
    }


@pytest.mark.parametrize(
    ("parameters", "champion", "baseline"),
    [
        ({"cxr_champion": "18", "cxr_baseline": "17"}, "18", "17"),
        ({"cxr_champion": "18", "cxr_baseline": "none"}, "18", None),
        ({"cxr_champion": "none", "cxr_baseline": "none"}, "none", None),  # the first push
        ({}, None, None),  # compiled without baseline: the last push counts
    ],
)
def test_a_pusher_learns_the_runs_choice(task, parameters, champion, baseline):
    completed = pushing.complete(task, given(**parameters))
    known = Known.model_validate_json(completed["inputs"]["parameterValues"]["custom_config"])
    assert (known.champion, known.baseline) == (champion, baseline)
    assert (known.pipeline, known.split, known.run, known.source) == ("small", "test", "42", "minio://b/run/model")
    assert json.loads(task["inputs"]["parameterValues"]["custom_config"])["run"] == ""  # the given one is not changed


def test_the_name_of_the_executor_is_what_the_compiler_emits():
    from cxr.components.pusher.executor import Executor

    assert f"{Executor.__module__}.{Executor.__qualname__}" == pushing.EXECUTOR
