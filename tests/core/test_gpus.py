import pytest

from cxr.core import gpus


@pytest.mark.parametrize(("before", "after"), [(None, "true"), ("false", "false")])
def test_memory_is_taken_as_it_is_needed_unless_somebody_says_otherwise(monkeypatch, before, after):
    monkeypatch.setattr(gpus.os, "environ", {} if before is None else {"TF_FORCE_GPU_ALLOW_GROWTH": before})
    gpus.share()
    assert gpus.os.environ == {"TF_FORCE_GPU_ALLOW_GROWTH": after}


def test_left_alone_whatever_the_environment_says(monkeypatch):
    monkeypatch.setattr(gpus.os, "environ", {"CUDA_VISIBLE_DEVICES": "0,1"})
    gpus.leave_alone()
    assert gpus.os.environ == {"CUDA_VISIBLE_DEVICES": "-1"}


@pytest.mark.parametrize(
    "before", [{"CUDA_VISIBLE_DEVICES": "-1"}, {"TF_FORCE_GPU_ALLOW_GROWTH": "false", "CUDA_VISIBLE_DEVICES": "1"}, {}]
)
def test_a_process_that_works_for_another_sees_what_that_sees(monkeypatch, before):
    monkeypatch.setattr(gpus.os, "environ", dict(before))
    given = gpus.settings() | {"LD_PRELOAD": "/tmp/strangers.so"}  # of a request over the network
    monkeypatch.setattr(gpus.os, "environ", {"HOME": "/root"})
    gpus.take_over(given)
    assert gpus.os.environ == {"HOME": "/root", "TF_FORCE_GPU_ALLOW_GROWTH": "true"} | before
