"""Calibration: temperature, operating points, and what a model flags as unlike its training images."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from cxr.components.report.page.content import Content, Model
from cxr.components.report.page.numbers import NONE, number, percent, percent_with_interval
from cxr.components.report.page.rates import Rates, measure
from cxr.components.report.page.section import Section
from cxr.trainer.calibration_info import Reliability
from cxr.trainer.model_info import ModelInfo


def _context(content: Content) -> Mapping[str, Any] | None:
    described = [(model, model.info) for model in content.models if model.info and model.info.calibration]
    if not described:
        return None
    rates = {model.name: measure(model) for model, _ in described}
    return {
        "judged": any(rates.values()),
        "temperatures": [_temperature(model, info) for model, info in described],
        "limits": [_limits(model, info, rates[model.name]) for model, info in described if info.outside or info.conformal],
        "points": [row for model, info in described for row in _points(model, info, rates[model.name])],
        "notes": [note for model, info in described for note in _notes(model, info)],
    }


def _temperature(model: Model, info: ModelInfo) -> tuple[str, ...]:
    assert info.calibration is not None
    found = info.calibration
    before, after = _error(found.before), _error(found.after)
    return (model.name, number(found.temperature), found.split or NONE, str(found.images or NONE), before, after)


def _error(found: Reliability | None) -> str:
    return f"{number(found.calibration_error)}, {number(found.log_loss)}" if found else NONE


def _limits(model: Model, info: ModelInfo, rates: Rates | None) -> tuple[str, ...]:
    """Name, share flagged as unlike; coverage and size of the sets on the validation split, and on the one that models are judged on."""
    outside, conformal = info.outside, info.conformal
    flagged = f"{percent(outside.flagged)} (at most {percent(outside.share)})" if outside and outside.flagged is not None else NONE
    if conformal is None:
        return (model.name, flagged, NONE, NONE, NONE, NONE)
    covered = f"{percent(conformal.covered)} ({percent(conformal.coverage)} wanted)"
    now = (percent_with_interval(rates.covered), number(rates.mean_size, 2)) if rates and rates.covered else (NONE, NONE)
    return (model.name, flagged, covered, number(conformal.mean_size, 2), *now)


def _points(model: Model, info: ModelInfo, rates: Rates | None) -> Iterator[tuple[str, ...]]:
    """Name, class, what is held, threshold; sensitivity and specificity on the validation split, and where models are judged."""
    for name, points in info.operating_points.items():
        for place, point in enumerate(points):
            demanded = f"{point.at_least} {percent(point.demanded)}"
            then = (percent(point.sensitivity), percent(point.specificity))
            now = map(percent_with_interval, rates.points[name][place]) if rates else (NONE, NONE)
            yield (model.name, name, demanded, number(point.shown), *then, *now)


def _notes(model: Model, info: ModelInfo) -> Iterator[str]:
    for part in (info.calibration, info.outside, info.conformal):
        if part and part.note:
            yield f"{model.name}: {part.note}"


SECTION = Section("calibration", "Calibration and limits", _context)
