"""Training: learning curves of each model."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from cxr.components.report.page.charts.training import best_epochs, training_charts
from cxr.components.report.page.content import Content, Model, Training
from cxr.components.report.page.numbers import number
from cxr.components.report.page.section import Section


def _context(content: Content) -> Mapping[str, Any] | None:
    trained = [(model, model.training) for model in content.models if model.training]
    if not trained:
        return None
    return {
        "models": [
            {
                "name": model.name,
                "facts": {**training.facts, **_size(model)},
                "stages": _stages(training),
                "charts": training_charts(f"curves-{at}", model.name, training),
                "method": training.method,
                "shares": training.shares,
                "validation": [(who, number(loss), number(accuracy)) for who, (loss, accuracy) in training.validation.items()],
            }
            for at, (model, training) in enumerate(trained)
        ]
    }


def _size(model: Model) -> dict[str, str]:
    """The size at which the network sees an image, where the model says it."""
    if model.info is None or model.info.network_size is None:
        return {}
    own, given = model.info.network_size, model.info.image_size
    return {"input of the network": f"{own}×{own} pixels" + (f", scaled from {given}×{given}" if own != given else "")}


def _stages(training: Training) -> list[str]:
    """A sentence on each stage."""
    best, sentences, begin = best_epochs(training), [], 0
    for stage in training.stages:
        last = begin + len(stage.rows)
        kept = next((epoch for epoch in best if begin < epoch <= last), None)
        ended = "stopped early" if stage.stopped_early else "ran to its end"
        weights = f"the weights of epoch {kept} were kept" if kept else "the last epoch's weights were kept"
        resumed = f", resumed after {stage.resumed_from}" if stage.resumed_from else ""
        sentences.append(f"{stage.name}: epochs {begin + 1} to {last}, {ended}{resumed}; {weights}.")
        begin = last
    return sentences


SECTION = Section("curves", "Learning curves", _context)
