"""What single charts say and show."""

from __future__ import annotations

import math
import re
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from lxml import html

from cxr.components.metrics.tally import Tally
from cxr.components.report.page.charts.curves import precision_recall_chart, reliability_chart, roc_chart
from cxr.components.report.page.charts.shortcuts import shortcuts_chart
from cxr.components.report.page.charts.slices import slices_chart
from cxr.components.report.page.charts.svg import Chart
from cxr.components.report.page.charts.training import MOST_RATES, rate_ticks, training_charts
from cxr.components.report.page.content import Content, Stage, Training
from cxr.core.curve_bands import curve_bands
from cxr.core.figures import Answers
from cxr.core.intervals import Figure

FIGURE = Figure(value=0.5, low=0.25, high=0.75)


def texts(chart: Chart) -> list[str]:
    return html.fromstring(str(chart.svg)).xpath("//*[local-name() = 'text']/text()")


def described(chart: Chart) -> str:
    return html.fromstring(str(chart.svg)).get("aria-label")


def test_a_reference_is_no_shortcut() -> None:
    chart = shortcuts_chart("s", [("mobilenet", "model", FIGURE), ("centre", "reference", FIGURE), ("border", "shortcut", FIGURE)], 1 / 3)
    assert [row[:2] for row in chart.rows] == [("mobilenet", "model"), ("centre", "reference"), ("border", "shortcut")]
    assert {"model", "shortcut", "reference"} <= set(texts(chart))  # the key
    svg = str(chart.svg)
    assert all(f"var(--series-{number})" in svg for number in (1, 2, 3))
    assert "models (round), shortcuts (square), references (triangle): mobilenet (model) 0.500" in svg
    without = shortcuts_chart("s", [("mobilenet", "model", FIGURE), ("border", "shortcut", FIGURE)], 1 / 3)
    assert "reference" not in str(without.svg)


def test_an_interval_is_drawn_where_there_is_one() -> None:
    drawn = [shortcuts_chart("c", [("m", "model", FIGURE), ("border", "shortcut", found)], 0.5) for found in (FIGURE, Figure(value=0.5))]
    assert [len(styles(chart, width="1.4")) for chart in drawn] == [2, 1]


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


def test_small_learning_rates_are_not_said_to_be_nothing() -> None:
    rows = tuple({"loss": 1.0, "learning_rate": rate} for rate in (1e-3, 2.5e-7))
    loss, rate = training_charts("t", "mobilenet", Training((Stage("head", rows, None, False, 0),), {}))[::2]
    assert "At the end: learning rate 2.5e-07." in described(rate)
    assert [row[-1] for row in rate.rows] == ["0.001", "2.5e-07"]
    assert [row[-1] for row in loss.rows] == ["1.000000"] * 2


@pytest.mark.seconds
def test_a_band_stands_in_the_rows_that_it_holds(content: Content) -> None:
    evaluation, random = content.models[0].evaluation, np.random.default_rng(7)
    assert evaluation is not None
    labels = np.repeat(np.arange(3), 67)
    odds = np.exp(random.normal(0, 1, (len(labels), 3)) + 2.5 * np.eye(3)[labels])
    probabilities = odds / odds.sum(axis=1, keepdims=True)
    tally = Tally(3, 5)
    for at, label in enumerate(labels.tolist()):
        tally.add(label, probabilities[at], b"%d" % at)
    names = evaluation.class_names
    roc = dict(zip(names, tally.results().roc, strict=True))
    bands = dict(zip(names, curve_bands(Answers(np.arange(len(labels)), labels, probabilities)), strict=True))
    classes = tuple(replace(result, examples=67) for result in evaluation.classes)
    judged = replace(evaluation, examples=len(labels), classes=classes)
    for chart in (roc_chart, precision_recall_chart):
        shown = chart("c", "mobilenet", judged, roc, bands)
        assert shown.columns[-1] == "95 % band"
        held = [(row[0], row[2]) for row in shown.rows if row[-1] != "–"]
        for row in shown.rows:
            low, high = map(float, row[-1].split(" to ")) if row[-1] != "–" else (0, 1)
            assert low <= float(row[3]) <= high, row
        assert len(held) > 30
        assert set(held) >= {(row[0], row[2]) for row in shown.rows if row[2] != "0.000"}  # one of each place
        assert len(set(held)) == len(held)  # and only one


def styles(chart: Chart, *, width: str = "1.6") -> list[tuple[str, str]]:
    """Colour and dashes of the lines of such a width."""
    found = html.fromstring(str(chart.svg)).xpath("//*[local-name() = 'g'][starts-with(@id, 'c-line2d')]/*[local-name() = 'path']/@style")
    drawn = [dict(part.split(": ", 1) for part in style.split("; ")) for style in found if f"stroke-width: {width}" in style]
    return [(style["stroke"], style.get("stroke-dasharray", "")) for style in drawn if "--series" in style["stroke"]]


def test_curves_of_many_classes_all_differ_and_are_named_below_them(content: Content) -> None:
    model = content.models[0]
    assert model.evaluation is not None
    heights = []
    for count in (3, 36):
        names = [f"finding {number}" for number in range(count)]
        classes = tuple(replace(model.evaluation.classes[0], name=name) for name in names)
        judged = replace(model.evaluation, class_names=tuple(names), classes=classes)
        for chart in (roc_chart, precision_recall_chart):
            drawn = chart("c", "mobilenet", judged, dict.fromkeys(names, model.roc["covid19"]), {})
            found = html.fromstring(str(drawn.svg))
            assert len(set(styles(drawn))) == count
            assert set(names) <= set(texts(drawn))
            inside = found.xpath("//*[local-name() = 'g'][@id = 'c-axes_1']//*[local-name() = 'g'][starts-with(@id, 'c-legend')]")
            assert bool(inside) is (count == 3)
        heights.append(float(found.get("viewbox").split()[3]))
    assert heights[1] > heights[0] + 200  # room for 18 lines


def test_a_band_has_edges_that_say_whose_it_is(content: Content) -> None:
    model = content.models[0]
    assert model.evaluation is not None
    bands = dict.fromkeys(model.evaluation.class_names[:2], model.bands["covid19"])
    for chart in (roc_chart, precision_recall_chart):
        edges = styles(chart("c", "mobilenet", model.evaluation, model.roc, bands), width="0.7")
        assert len(edges) == 4  # a lower and an upper one each
        assert edges[0] == edges[1] != edges[2] == edges[3]


def test_bins_of_few_answers_are_hollow_and_joined_by_no_line(content: Content) -> None:
    evaluation = content.models[0].evaluation
    assert evaluation is not None
    bins = ((2.0, 0.35, 0.5), (9.0, 0.5, 0.5), (10.0, 0.75, 0.7), (80.0, 0.95, 0.9))
    chart = reliability_chart("c", "mobilenet", replace(evaluation, calibration_bins=bins))
    assert [row[1] for row in chart.rows] == ["2", "9", "10", "80"]
    assert styles(chart) == []
    points = html.fromstring(str(chart.svg)).xpath("//*[local-name() = 'g'][@id = 'c-axes_1']/*[starts-with(@id, 'c-PathCollection')]")
    hollow = ["fill: none" in html.tostring(found, encoding="unicode") for found in points]
    assert hollow == [False, True]
    assert [len(found.xpath(".//*[local-name() = 'path'] | .//*[local-name() = 'use']")) for found in points] == [2, 2]
    assert "fewer than 10 predictions" in texts(chart)
    assert "Hollow: bins of fewer than 10 predictions" in described(chart)
    many = reliability_chart("c", "mobilenet", replace(evaluation, calibration_bins=bins[2:]))
    assert "fewer than 10 answers" not in texts(many)
    assert "Hollow" not in described(many)


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


@pytest.mark.parametrize("name", ["pneumothorax with a chest tube, " * 5, "n" * 150], ids=["words", "one word"])
def test_a_long_class_name_leaves_curves_their_room(content: Content, name: str) -> None:
    model = content.models[0]
    assert model.evaluation is not None
    names = ("covid19", name.strip(), "normal")
    classes = tuple(replace(model.evaluation.classes[0], name=name) for name in names)
    judged = replace(model.evaluation, class_names=names, classes=classes)
    for chart in (roc_chart, precision_recall_chart):
        drawn = chart("c", "mobilenet", judged, dict.fromkeys(names, model.roc["covid19"]), {})
        found = html.fromstring(str(drawn.svg))
        width = float(found.get("viewbox").split()[2])
        (frame,) = found.xpath("//*[@id = 'c-patch_2']/*/@d")
        across, up = np.ptp([[float(number) for number in corner] for corner in re.findall(r"[ML] (\S+) (\S+)", frame)], axis=0)
        assert across > 0.75 * width
        assert up > 0.4 * width
        lines = [text for text in texts(drawn) if text in name]
        assert "".join(lines).replace(" ", "") == name.replace(" ", "")
        assert max(map(len, lines)) <= 48  # as wide as the chart
