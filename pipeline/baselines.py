"""Chooses, before a local run begins, what each model's candidate is compared with, and says so."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

from cxr.components.baseline.champion import POINTER
from cxr.components.baseline.rule import Choice, choose, read_judged_on
from cxr.pipeline.pipeline_config import Config
from cxr.trainer.model_info import ModelInfo


def choose_all(config: Config, data: Path, serving_models: Path) -> dict[str, Choice]:
    """Returns the choice for every candidate of a configuration.

    Args:
      config: Its candidates, classes and the gate's split.
      data: Folder that `cxr ingest` wrote.
      serving_models: Pushed models, `<model>/<version>`.

    Raises:
      CxrError: A champion pointer or what it names is damaged or gone, or the records cannot be read.
    """
    pointers = {name: serving_models / name / POINTER for name in config.candidates}
    if not any(pointer.is_file() for pointer in pointers.values()):
        return {name: Choice() for name in pointers}  # a first run need not read the images
    judged_on = read_judged_on(str(data), config.gate.split, config.class_names, config.data.max_side)
    return {name: choose(pointer, judged_on) for name, pointer in pointers.items()}


def remarks(choice: Choice) -> Iterator[str]:
    """Yields what a user must know about a choice: why the best or the last pushed version is not the baseline."""
    if not choice.reasons:
        return
    instead = f"compared with version {choice.baseline.name}" if choice.baseline else "no baseline, only the gate's bounds decide"
    yield f"{instead}: {'; '.join(choice.reasons)}"


def change_of_data(choice: Choice, candidate: ModelInfo) -> str:
    """Returns a sentence where a candidate learnt from other images than the champion, empty where it did not or nobody knows."""
    then = choice.info.data if choice.info else None
    now = candidate.data
    if choice.champion is None or then is None or now is None or then.fingerprint == now.fingerprint:
        return ""
    counts = f"{_counts(now.images)} now, {_counts(then.images)} then"
    return f"trained on other data than the champion (version {choice.champion.version}): {counts}"


def _counts(images: Mapping[str, Mapping[str, int]]) -> str:
    return ", ".join(f"{split} {sum(classes.values())}" for split, classes in images.items())
