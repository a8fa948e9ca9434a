"""What single charts say and show."""

from __future__ import annotations

import math
from dataclasses import replace
from itertools import pairwise

import pytest
from lxml import html

from cxr.components.report.page.charts.shortcuts import shortcuts_chart
from cxr.components.report.page.charts.slices import slices_chart
from cxr.components.report.page.charts.svg import Chart
from cxr.components.report.page.charts.training import MOST_RATES, rate_ticks, training_charts
from cxr.components.report.page.content import Content, Stage, Training
from cxr.core.intervals import Figure

FIGURE = Figure(value=0.5, low=0.25, high=0.75)


def texts(chart: Chart) -> list[str]:
    return html.fromstring(str(chart.svg)).xpath("//*[local-name() = 'text']/text()")


def test_a_reference_is_no_shortcut() -> None:
    chart = shortcuts_chart("s", [("mobilenet", "model", FIGURE), ("centre", "reference", FIGURE), ("border", "shortcut", FIGURE)], 1 / 3)
    assert [row[:2] for row in chart.rows] == [("mobilenet", "model"), ("centre", "reference"), ("border", "shortcut")]
    assert {"model", "shortcut", "reference"} <= set(texts(chart))  # the key
    svg = str(chart.svg)
    assert all(f"var(--series-{number})" in svg for number in (1, 2, 3))
    assert "models (round), shortcuts (square), references (triangle): mobilenet (model) 0.500" in svg
    without = shortcuts_chart("s", [("mobilenet", "model", FIGURE), ("border", "shortcut", FIGURE)], 1 / 3)
    assert "reference" not in str(without.svg)


@pytest.mark.parametrize("rates", [[1e-4] * 9 + [9e-5, 8e-5, 7e-5, 6e-5], [1e-3 * 0.97**n for n in range(60)], [1e-3, 9.99e-4, 1e-6]])
def test_learning_rates_at_the_axis_occur_and_do_not_lie_on_each_other(rates: list[float]) -> None:
    ticks = rate_ticks([*rates, math.nan])
    assert set(ticks) <= set(rates)
    assert (ticks[0], ticks[-1]) == (min(rates), max(rates))
    room = math.log(max(rates) / min(rates)) / MOST_RATES
    assert all(math.log(high / low) >= room for low, high in pairwise(ticks))


def test_the_learning_rates_that_occur_are_written_at_the_axis() -> None:
    assert rate_ticks([1e-3, 1e-3]) == [1e-3]
    assert rate_ticks([math.nan]) == []
    rows = tuple({"loss": 1.0, "learning_rate": rate} for rate in (9e-5, 8e-5, 6e-5))
    chart = training_charts("t", "mobilenet", Training((Stage("head", rows, None, False, 0),), {}))[2]
    assert [text for text in texts(chart) if "e" in text and "5" in text] == [f"{rate}e\N{MINUS SIGN}05" for rate in (6, 8, 9)]


def test_slices_name_their_feature_and_leave_the_label_to_the_table_of_classes(content: Content) -> None:
    evaluation = content.models[0].evaluation
    assert evaluation is not None
    (source,) = evaluation.slices
    by_label, by_age = replace(source, feature="label", value="covid19"), replace(source, feature="age_band", value="18-39")
    chart = slices_chart("s", "mobilenet", replace(evaluation, slices=(by_label, by_age)))
    assert chart is not None
    assert "age band: 18-39 (4)" in texts(chart)
    assert [row[0] for row in chart.rows] == ["age_band: 18-39"]
    assert "covid19" not in str(chart.svg)
    assert slices_chart("s", "mobilenet", replace(evaluation, slices=(by_label,))) is None
