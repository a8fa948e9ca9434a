import json

import pytest

from cxr.kubeflow import node_usage


def task(run="now", node="Trainer-mobilenet", output="model", parameters=("cxr_usage",)):
    uri = f"minio://bucket/artifacts/demo/{run}/{node}/uuid/{output}"
    return {
        "inputs": {"parameterValues": {}, "artifacts": {}},
        "outputs": {
            "artifacts": {output: {"artifacts": [{"uri": uri}]}},
            "parameters": {name: {"outputFile": "/f"} for name in parameters},
        },
    }


def usage(node, run, began, seconds=2.5, memory=4096):
    return json.dumps({"node": node, "run": run, "began": began, "seconds": seconds, "peak_memory": memory})


def test_a_node_tells_its_own_run_time_and_memory():
    watch = node_usage.Watch()
    found = json.loads(watch.usage(task())["cxr_usage"])
    assert (found["node"], found["run"], found["began"]) == ("Trainer-mobilenet", "now", watch.began)
    assert found["seconds"] >= 0
    assert found["peak_memory"] > 5_000_000  # bytes, which Python alone has; not Linux' kilobytes


@pytest.mark.parametrize("outputs", [{"parameters": {}}, {}])
def test_who_is_not_asked_tells_nothing(outputs):
    asked = task()
    del asked["outputs"]["parameters"]
    asked["outputs"] |= outputs
    assert node_usage.Watch().usage(asked) == {}


def test_the_report_gets_them_in_the_order_of_their_starts_and_knows_what_came_from_the_cache():
    given = task("now", "Report", "page", ())
    given["inputs"]["parameterValues"] = {
        "cxr_usage_0": usage("Evaluator-m", "now", 30.0, 7.25, 2_000),
        "cxr_usage_1": usage("Trainer-m", "before", 10.0),
        "cxr_usage_2": usage("Baseline-m", "now", 20.0, 1.0, 1_000),
        "cxr_run": "now",
    }
    prepared = task("now", "Report", "page", ())
    completed = node_usage.complete(prepared, given)
    assert json.loads(completed["inputs"]["parameterValues"]["steps"]) == [
        {"node": "Trainer-m", "state": "cached", "seconds": 0.0},
        {"node": "Baseline-m", "state": "done", "seconds": 1.0, "peak_memory": 1_000},
        {"node": "Evaluator-m", "state": "done", "seconds": 7.25, "peak_memory": 2_000},
    ]
    assert prepared["inputs"]["parameterValues"] == {}
