"""Who takes the GPUs: to be said before TensorFlow first looks for them; processes that this one starts inherit it."""

from __future__ import annotations

import os
from collections.abc import Mapping

SHARED, VISIBLE = "TF_FORCE_GPU_ALLOW_GROWTH", "CUDA_VISIBLE_DEVICES"  # TensorFlow's variable, CUDA's variable


def share() -> None:
    """Takes memory of a GPU as it is needed, unless the environment says otherwise.

    By itself TensorFlow takes all of it, and a second process gets none: the server that the infrastructure check starts, or what else runs
    on this machine.
    """
    os.environ.setdefault(SHARED, "true")


def settings() -> dict[str, str]:
    """Returns what is said of the GPUs here, for a process that somebody else starts to work for this one: see `take_over`."""
    return {name: os.environ[name] for name in (SHARED, VISIBLE) if name in os.environ}


def take_over(given: Mapping[str, str]) -> None:
    """Sees the GPUs as the process does whose `settings` these are; anything else in them is left out."""
    os.environ.update({name: given[name] for name in (SHARED, VISIBLE) if name in given})
    share()


def leave_alone() -> None:
    """Computes on the CPU: a context on a GPU takes seconds and half a gigabyte."""
    os.environ[VISIBLE] = "-1"
