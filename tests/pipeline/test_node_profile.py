"""Threads that import, compute in C and wait, looked at as they do."""

import subprocess
import sys
import threading
import time
import types
from typing import Any

import numpy as np
import pytest
import sklearn.linear_model

from cxr.pipeline import node_profile
from cxr.pipeline.node_profile import CHILDREN, NATIVE, OTHER, SUBJECTS, profiled, subject_of

pytestmark = pytest.mark.seconds


def spin(seconds):
    end = time.thread_time() + seconds
    while time.thread_time() < end:
        pass


def test_time_of_python_of_children_and_of_waiting():
    found: dict[str, float] = {}
    with profiled(found):
        spin(0.4)
        time.sleep(0.2)
        subprocess.run([sys.executable, "-S", "-c", "sum(range(10**7))"], check=True)
        other = threading.Thread(target=spin, args=(0.4,))
        other.start()
        other.join()
    assert tuple(found) == SUBJECTS
    assert found[OTHER] == pytest.approx(0.8, abs=0.25)
    assert found[CHILDREN] > 0.05
    assert found[NATIVE] < 0.3
    assert "profile" not in [thread.name for thread in threading.enumerate()]


def test_time_of_a_library_counts_for_what_it_is_there_for():
    numbers = np.random.default_rng(0).normal(size=(4000, 50))
    found: dict[str, float] = {}
    with profiled(found):
        end = time.process_time() + 20 * node_profile.PERIOD  # several looks, however fast the machine
        while time.process_time() < end:
            sklearn.linear_model.LogisticRegression(max_iter=200).fit(numbers, numbers[:, 0] > 0)
    assert found["statistics"] > 0
    assert found["statistics"] + found[NATIVE] > found[OTHER]


@pytest.mark.parametrize(
    ("files", "subject"),
    [
        (["local_runner.py"], OTHER),
        (["/tensorflow/python/eager/execute.py", "/cxr/trainer/training.py"], "running graphs"),
        (["/tensorflow/python/eager/execute.py", "/tensorflow/python/framework/func_graph.py"], "building and tracing"),
        (["/tensorflow/python/framework/func_graph.py", "/tensorflow/python/saved_model/save.py"], "building and tracing"),
        (["/tensorflow/python/framework/func_graph.py", "/tensorflow/python/saved_model/load.py"], "loading models"),
        (["/numpy/core.py", "<frozen importlib._bootstrap>", "/tensorflow/python/saved_model/load.py"], "importing"),
        (["/tensorflow/python/client/session.py", "/apache_beam/runners/worker/sdk_worker.py"], "running graphs"),
    ],
)
def test_the_most_telling_frame_of_a_stack_counts(files, subject):
    frame: Any = None
    for file in reversed(files):
        frame = types.SimpleNamespace(f_code=types.SimpleNamespace(co_filename=file), f_back=frame)
    assert subject_of(frame) == subject


def test_a_failure_is_measured_too(monkeypatch):
    monkeypatch.setattr(node_profile, "PERIOD", 0.01)
    found: dict[str, float] = {}
    with pytest.raises(ValueError, match="wrong"), profiled(found):
        raise ValueError("wrong")
    assert set(found) == set(SUBJECTS)
