"""The page as a reader's browser and screen reader get it."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime

import numpy as np
import pytest
from lxml import html

from cxr.components.answers.image_answers import AnsweredImages
from cxr.components.explanation.result import Localisation, Result
from cxr.components.report.page.content import Answer, Content, Model
from cxr.components.report.page.render import SECTIONS, render
from cxr.components.report.page.sections import calibration, comparison, data, errors, evaluation, lineage
from cxr.core.figure_table import OF_ALL_CLASSES, OF_ONE_CLASS
from cxr.core.intervals import NONE, Figure

pytestmark = pytest.mark.seconds

HOSTILE = '"><script>alert(1)</script>'


@pytest.fixture(scope="module")
def page(content: Content) -> html.HtmlElement:
    return html.document_fromstring(render(content))


def words_of(element: html.HtmlElement) -> str:
    """Its text with single spaces."""
    return " ".join(element.text_content().split())


def test_nothing_comes_from_elsewhere(page: html.HtmlElement) -> None:
    inside = {f"#{found}" for found in page.xpath("//@id")}
    links = page.xpath("//@href | //@src | //@action | //@poster | //@srcset | //@data")
    assert len(links) > len(SECTIONS)
    for link in links:
        assert link in inside or link.startswith("data:"), link
    assert not page.xpath("//script | //iframe | //object | //embed | //base | //form | //@*[starts-with(name(), 'on')]")
    for style in (*page.xpath("//style/text()"), *page.xpath("//@style | //@clip-path | //@fill")):
        assert "@import" not in style
        for address in re.findall(r"url\(([^)]*)\)", style):
            assert address in inside, address
    (policy,) = page.xpath("//meta[@http-equiv='Content-Security-Policy']/@content")
    assert policy == "default-src 'none'; style-src 'unsafe-inline'; img-src data:"


def test_rows_of_a_manifest_that_were_left_out_are_counted(content: Content) -> None:
    assert content.data is not None
    assert content.data.ingested is not None
    counted = content.data.ingested.model_copy(update={"other_rows": 7})
    shown = data.SECTION.context(replace(content, data=replace(content.data, ingested=counted)))
    assert shown is not None
    assert ("rows of the manifest that data.where left out", "7") in shown["ingested"]


def test_hostile_names_stay_text(page: html.HtmlElement, content: Content) -> None:
    assert HOSTILE in page.text_content()
    assert "$x_{<b>$" in page.text_content()
    assert not page.xpath("//script | //section//b")
    labels = [text for text in page.xpath("//@alt | //@aria-label") if HOSTILE in text]
    assert labels  # inside an attribute too they are text


def test_every_section_has_a_heading_that_can_be_linked(page: html.HtmlElement) -> None:
    assert page.xpath("//nav//a/@href") == [f"#{section.key}" for section in SECTIONS]
    for section in SECTIONS:
        (found,) = page.xpath(f"//main/section[@id='{section.key}']")
        (title,) = found.xpath("./h2")
        assert title.text_content().strip() == section.title
        assert found.get("aria-labelledby") == title.get("id")


def test_when_the_run_was_and_how_long_it_took(page: html.HtmlElement, content: Content) -> None:
    (header,) = page.xpath("//header")
    assert "began 2026-11-25 09:32+00:00, took 3 min 20 s" in words_of(header)
    assert header.xpath(".//time/@datetime") == ["2026-11-25T09:32:00+00:00"]
    for changes, said in (
        ({"began": None}, "page made 2026-11-25 09:35+00:00"),  # by a node, which knows no beginning
        ({"made": datetime(2026, 11, 25, 9, 31, tzinfo=UTC)}, "began 2026-11-25 09:32+00:00"),  # the clock was set back
    ):
        (other,) = html.document_fromstring(render(replace(content, **changes))).xpath("//header")
        assert said in words_of(other)
        assert "took" not in words_of(other)


def test_each_network_s_size_is_told(page: html.HtmlElement, content: Content) -> None:
    (curves,) = page.xpath("//section[@id = 'curves']")
    assert "input of the network64×64 pixels, scaled from 32×32" in words_of(curves)
    (model, *others) = content.models
    assert model.info is not None
    for size, said in ((32, "input of the network32×32 pixels"), (None, "")):
        info = model.info.model_copy(update={"network_size": size})
        (curves,) = html.document_fromstring(render(replace(content, models=(replace(model, info=info), *others)))).xpath(
            "//section[@id = 'curves']"
        )
        assert said in words_of(curves)
        assert "scaled from" not in words_of(curves)
        assert ("input of the network" in words_of(curves)) is bool(size)


def test_headings_skip_no_level(page: html.HtmlElement) -> None:
    levels = [int(heading.tag[1]) for heading in page.xpath("//h1 | //h2 | //h3 | //h4 | //h5")]
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(after <= before + 1 for before, after in zip(levels, levels[1:], strict=False))


def test_pictures_and_charts_have_words(page: html.HtmlElement) -> None:
    pictures, charts = page.xpath("//img"), page.xpath("//*[local-name() = 'svg']")
    # Curves; shortcuts; all models; ROC, precision-recall, reliability and slices of two.
    assert (len(pictures), len(charts)) == (2, 3 + 1 + 1 + 2 * 4)
    assert all(picture.get("alt") for picture in pictures)
    for chart in charts:
        assert chart.get("role") == "img"
        assert len(chart.get("aria-label")) > 40
        assert chart.xpath("./ancestor::figure//details//table//td")  # its numbers


def test_shortcuts_and_calibration_are_shown(page: html.HtmlElement) -> None:
    (found,) = page.xpath("//section[@id='shortcuts']")
    for words in (
        "A class can be predicted clearly from these",
        "Better than chance, but not clearly (a weak trace",
        "but not clearly",
        "no better than",
        "not above",
        "0.500 (0.250 to 0.750)",
    ):
        assert words in words_of(found)
    (masked,) = found.xpath(".//table[starts-with(caption, 'Accuracy on pictures with a part blacked out')]")
    assert [words_of(cell) for cell in masked.xpath(".//thead//th")] == [
        "model",
        "with the lungs blacked out",
        "with all but the lungs blacked out",
        "always the most frequent class",
        "images",
    ]
    assert [words_of(cell) for cell in masked.xpath("./tbody/tr/*")] == ["mobilenet", "0.500 (0.250 to 0.750)", NONE, "0.500", "4"]
    (found,) = page.xpath("//section[@id='calibration']")
    for words in ("1.625", "0.125, 0.875", "4 % (at most 5 %)", "91 % (90 % wanted)", "1.25", "specificity 90 %", "0.375"):
        assert words in words_of(found)


def test_tables_name_their_columns_and_rows(page: html.HtmlElement) -> None:
    for table in page.xpath("//table"):
        assert table.xpath("./caption")[0].text_content().strip()
        assert set(table.xpath("./thead//th/@scope")) == {"col"}
        widths = {len(row.xpath("./th | ./td")) for row in table.xpath(".//tr")}
        assert len(widths) == 1, table.text_content()
        assert all(row.xpath("./th/@scope") == ["row"] for row in table.xpath("./tbody/tr"))
    scrolled = page.xpath("//*[contains(@class, 'scroll') and not(self::pre)]")
    assert all(found.get("tabindex") == "0" and found.get("aria-label") for found in scrolled if found.get("role") == "group")
    assert len(page.xpath("//*[@role='group']")) > 10
    assert not page.xpath("//*[@role='region']")  # each would be a landmark beside the sections
    assert not page.xpath("//pre/@tabindex")  # its lines are broken: there is nothing to scroll


def test_no_id_stands_twice(page: html.HtmlElement) -> None:
    assert [found for found, count in Counter(page.xpath("//@id")).items() if count > 1] == []


def test_the_disclaimer_and_the_banner_come_first(page: html.HtmlElement, content: Content) -> None:
    header = page.xpath("//header")[0].text_content()
    assert "not a diagnostic device" in header
    assert "SYNTHETIC" in header
    (line,) = page.xpath("//p[@class='every-page']")  # of paper
    assert words_of(line) == "Research software, not a diagnostic device. SYNTHETIC images: the numbers say nothing about patients."
    assert "SYNTHETIC" not in render(replace(content, synthetic=False), ())


def test_the_verdict_says_why_and_what_next(page: html.HtmlElement) -> None:
    verdict = words_of(page.xpath("//section[@id='verdict']")[0])
    for words in (
        "pushed as version 1795601476",
        "accuracy 0.5 is below 0.6",
        "Trainer-densenet201 failed",
        "0.500 (0.250 to 0.750)",
        "cxr serve",
    ):
        assert words in verdict


def test_what_the_gate_asked_for_stands_with_what_became_of_it(page: html.HtmlElement) -> None:
    (details,) = page.xpath("//section[@id='verdict']//details[.//caption[starts-with(., 'What the gate demanded')]]")
    assert words_of(details.xpath("./summary")[0]) == "What the gate demanded, 2 demands: 1 missed, 1 not judged"
    rows = [[words_of(cell) for cell in row.xpath("./th | ./td")] for row in details.xpath(".//tbody/tr")]
    assert rows == [
        ["mobilenet", "accuracy", "0.500", "at least 0.600", "4", "missed"],
        ["mobilenet", f"recall of covid19 in source {HOSTILE}", "–", "at least 0.500 and at most 0.900", "2", "not judged"],
    ]
    assert details.xpath(".//tbody/tr/td[last()]/@class") == ["bad", "none"]


def test_every_figure_has_its_title_and_its_value(page: html.HtmlElement, content: Content) -> None:
    evaluation = content.models[0].evaluation
    assert evaluation is not None
    whole, classes = page.xpath("//section[@id='evaluation']//div[@class='tables'][1]//table")[:2]
    shown = [[words_of(cell) for cell in row.xpath("./th | ./td")] for row in whole.xpath("./tbody/tr")]
    assert shown == [[row.title, str(evaluation.figure(row.name))] for row in OF_ALL_CLASSES]
    assert [words_of(head) for head in classes.xpath("./thead//th")] == ["class", "images", *(row.title for row in OF_ONE_CLASS)]
    first = [words_of(cell) for cell in classes.xpath("./tbody/tr[1]/*")]
    assert first[2:] == [str(evaluation.classes[0].figure(row.name)) for row in OF_ONE_CLASS]
    (slices,) = page.xpath("//table[caption[starts-with(., 'Slices of mobilenet')]]")
    assert [words_of(head) for head in slices.xpath("./thead//th")][3:] == [
        f"{row.title} (95 % interval)" for row in OF_ALL_CLASSES if row.by_slice
    ]


def test_references_are_no_shortcuts_in_the_chart(page: html.HtmlElement) -> None:
    rows = page.xpath("//table[caption[starts-with(., 'Models and shortcuts')]]/tbody/tr")
    assert {words_of(row.xpath("./th")[0]): words_of(row.xpath("./td")[0]) for row in rows} == {
        "mobilenet": "model",
        "ensemble": "model",
        "source": "shortcut",
        "whole picture": "reference",
    }


def test_what_was_chosen_is_measured_where_the_models_are_judged(content: Content) -> None:
    mobilenet = content.models[0]
    assert mobilenet.answers is not None
    known = replace(mobilenet, answers=replace(mobilenet.answers, patients=np.arange(4)))
    page = html.document_fromstring(render(replace(content, models=(known,)), (calibration.SECTION,)))
    assert "Columns “val” were chosen and measured on the validation split, so they flatter." in words_of(page)
    (sets,), (points,) = (page.xpath(f"//table[caption[starts-with(., '{start}')]]") for start in ("Images flagged as unlike", "Operating"))
    heads, cells = ([words_of(cell) for cell in points.xpath(f"./{part}/tr/*")] for part in ("thead", "tbody"))
    # No image is of that class; none of four reaches 0.375.
    assert dict(zip(heads, cells, strict=True)) | {"class": HOSTILE} == {
        "model": "mobilenet",
        "class": HOSTILE,
        "chosen for": "specificity 90 %",
        "threshold": "0.375",
        "sensitivity, val": "70 %",
        "specificity, val": "92 %",
        "sensitivity, test": "–",
        "specificity, test": "100 % (51 to 100 %)",
    }
    # In the sets from 0.2 on lie the true classes of all four images, one, two, two and three classes.
    assert [words_of(cell) for cell in sets.xpath("./tbody/tr/td")][-2:] == ["100 % (51 to 100 %)", "2.00"]
    page = html.document_fromstring(render(content, (calibration.SECTION,)))
    assert "The figures of the split that the models are judged on are not known here." in words_of(page)


def test_intervals_in_tables_are_not_broken(content: Content) -> None:
    some = Figure(value=0.5, low=0.25, high=0.75)
    found = Localisation(
        model="mobilenet", images=4, patients=3, empty=0, energy=some, area=some, above_area=some, elsewhere=some, above_elsewhere=some,
        hits=some, verdict="half",
    )  # fmt: skip
    explanation = Result(model="mobilenet", split="test", seed=1, samples=4, explained=4, empty=0, localisation=(found,))
    page = html.document_fromstring(render(replace(content, explanation=explanation)))
    cells = [cell.text_content() for cell in page.xpath("//td")]
    figures = [cell for cell in cells if re.fullmatch(r"-?\d\.\d+\s\(-?\d\.\d+\sto\s-?\d\.\d+\)", cell)]
    assert len(figures) > 20
    assert [cell for cell in figures if " to " in cell] == []  # with spaces at which a line may end


def test_the_best_epoch_and_the_stages_are_told(page: html.HtmlElement) -> None:
    curves = page.xpath("//section[@id='curves']")[0]
    assert "head: epochs 1 to 3, stopped early; the weights of epoch 2 were kept." in curves.text_content()
    assert "fine-tuning: epochs 4 to 5, ran to its end; the last epoch's weights were kept." in curves.text_content()
    assert [row.xpath("./th")[0].text for row in curves.xpath(".//table")[0].xpath("./tbody/tr")] == ["1", "2 (best)", "3", "4", "5"]


def test_the_matrix_has_counts_and_rates(page: html.HtmlElement) -> None:
    matrix = page.xpath("//table[contains(@class, 'matrix')]")[0]
    assert [" ".join(cell.text_content().split()) for cell in matrix.xpath("./tbody/tr[1]/td")] == ["1 50 %", "1 50 %", "0 0 %"]
    assert matrix.xpath("./tbody/tr[1]/td/@class") == ["right", "wrong", "wrong"]


def test_precision_follows_from_the_rates(page: html.HtmlElement) -> None:
    table = page.xpath("//table[caption[starts-with(., 'Precision and recall of mobilenet')]]")[0]
    rows = [tuple(cell.text_content() for cell in row) for row in table.xpath("./tbody/tr")]
    assert ("covid19", "0.500", "0.500", "1.000", "0.250 to 0.750") in rows  # one of two found, none of the two others
    assert ("covid19", "0.400", "1.000", "0.667", "0.500 to 1.000") in rows  # both of two, one of two others
    assert ("covid19", "0.100", "1.000", "0.500", "–") in rows  # everything: two of four; the band is of the threshold above


def test_curves_have_bands_where_there_are_enough_patients(page: html.HtmlElement) -> None:
    first, second = page.xpath("//figure[figcaption[starts-with(., 'ROC')]]")
    description = first.xpath(".//*[local-name() = 'svg']/@aria-label")[0]
    assert "Shaded: pointwise 95 % bands by patient" in description
    assert "true positive rate at a false positive rate of 0.1: covid19 0.050 to 0.550." in description
    assert "95 % band" in first.text_content()
    assert len(first.xpath(".//*[local-name() = 'use'][contains(@style, 'fill-opacity: 0.13')]")) > 0
    assert "Shaded" not in second.xpath(".//*[local-name() = 'svg']/@aria-label")[0]
    assert "95 % band" not in second.text_content()


def test_the_comparison_has_the_change_with_its_interval(page: html.HtmlElement) -> None:
    text = words_of(page.xpath("//section[@id='comparison']")[0])
    assert "0.250 (-0.125 to 0.625)" in text
    assert "Compared with no pushed version: mobilenet." in text


def test_the_run_before_stands_beside_this_one(page: html.HtmlElement, content: Content) -> None:
    text = words_of(page.xpath("//section[@id='comparison']")[0])
    for words in (
        "Each model now and in the run 20261124-080000-000",
        "cxr compare 20261124-080000-000 20261125-103209-306",
        "ensemble: no change can be given; judged on other images",
        "better than chance explains",
        "gate.tolerance",
        "test: 4 and 5 patients",
    ):
        assert words in text
    for run, words in (("20261125-103209-306", "No earlier run judged a model."), ("", "Not known here: on Kubeflow")):
        assert words in render(replace(content, before=None, run=run), (comparison.SECTION,))


def test_a_configuration_that_cannot_be_read_is_not_said_to_be_the_same(content: Content) -> None:
    assert content.before is not None
    for configuration, words in (((), "The configuration is the same."), (None, "How the configuration differs is not known")):
        text = render(replace(content, before=replace(content.before, configuration=configuration)), (comparison.SECTION,))
        assert words in text
        assert ("is the same." in text) == (configuration == ())


def test_memory_stands_beside_the_times(page: html.HtmlElement, content: Content) -> None:
    text = words_of(page.xpath("//section[@id='lineage']")[0])
    assert "their times add up to 1 min 39 s; the largest peak memory was 2.6 GB" in text
    assert "at once" not in page.xpath("//section[@id='lineage']//table[1]/caption")[0].text_content()
    assert "took less time than the sum of their times, and together more memory than the largest" in text
    assert "A node made this page" not in text
    assert "wait for a pod" not in text
    cells = page.xpath("//section[@id='lineage']//tr[th='Trainer-mobilenet'][1]/td/text()")
    assert cells[:3] == ["done", "1 min 36 s", "2.6 GB"]
    bare = tuple(replace(model, verdict=replace(model.verdict, outcome=None)) for model in content.models)
    without = words_of(html.document_fromstring(render(replace(content, steps=(), models=bare))))
    assert "A node made this page before the run had ended, so it does not show times" in without
    assert "it does not show what was pushed" in without


def test_what_models_were_made_of_stands_side_by_side(content: Content) -> None:
    facts: tuple[dict[str, str], ...] = ({"weights": "imagenet", "code": "abc", "crop": ""}, {"code": "abc", "method": "soft"}, {})
    models = tuple(replace(model, facts=known) for model, known in zip(content.models, facts, strict=True))
    (table,) = html.document_fromstring(render(replace(content, models=models), (lineage.SECTION,))).xpath(
        "//table[caption = 'What the models were made of']"
    )
    assert [[words_of(cell) for cell in row] for row in table.xpath(".//tr")] == [
        ["what", "mobilenet", "ensemble"],
        ["weights", "imagenet", NONE],
        ["code", "abc", "abc"],
        ["method", NONE, "soft"],
    ]


@pytest.mark.parametrize("failed", [True, False])
def test_a_run_that_came_to_nothing_has_a_page(content: Content, failed: bool) -> None:
    models = tuple(Model(model.name, model.verdict, facts=model.facts) for model in content.models)
    page = html.document_fromstring(
        render(replace(content, models=models, steps=content.steps if failed else (), data=None, audit=None, mistakes=None))
    )
    assert page.xpath("//main/section/@id") == ["verdict", "lineage"]
    assert ("What failed" in page.text_content()) is failed


@pytest.mark.parametrize(
    ("names", "by_class"), [("abcd", False), ("abcde", True), (("a", "pneumothorax with a chest tube"), True)], ids=["four", "five", "long"]
)
def test_an_errors_probabilities_fit_into_its_card(content: Content, names: Sequence[str], by_class: bool) -> None:
    assert content.mistakes is not None
    shares = [[0.5, 0.4, 0.06, 0.04, 0][: len(names)], [0.1, 0.7, 0.16, 0.04, 0][: len(names)]]
    answers = tuple(Answer(model, tuple(found), names[at]) for at, (model, found) in enumerate(zip(("m", "n"), shares, strict=True)))
    mistake = replace(content.mistakes.shown[0], label=names[1], answers=answers)
    shown = replace(content, class_names=tuple(names), mistakes=replace(content.mistakes, shown=(mistake,)))
    (table,) = html.document_fromstring(render(shown, (errors.SECTION,))).xpath("//article//table")
    figures = [[float(words_of(cell)) for cell in row.xpath("td")] for row in table.xpath(".//tbody/tr")]
    assert np.allclose(np.transpose(figures) if by_class else figures, shares)
    assert [words_of(head) for head in table.xpath(".//tbody//th" if by_class else ".//thead//th")[-len(names) :]] == list(names)
    marked = {cell.get("class"): float(words_of(cell)) for cell in table.xpath(".//td[@class]")}
    assert marked == {"bad": 0.5, "good": 0.7}


def test_pictures_can_be_left_out(content: Content) -> None:
    assert content.data is not None
    assert content.mistakes is not None
    without = replace(
        content,
        pictures=False,
        data=replace(content.data, samples=()),
        mistakes=replace(content.mistakes, shown=(replace(content.mistakes.shown[0], picture=None),)),
    )
    page = html.document_fromstring(render(without, (data.SECTION, errors.SECTION)))
    assert not page.xpath("//img")
    assert page.text_content().count("Pictures are left out") == 2


def test_drift_since_the_run_before_is_shown(page: html.HtmlElement) -> None:
    (heading,) = page.xpath("//section[@id='data']//h3[contains(., 'Drift since the run before')]")
    shown = [words_of(item) for item in heading.xpath("./following-sibling::ul[1]/li")]
    assert shown[0] == HOSTILE
    assert shown[1].startswith(
        "source has drifted from the previous run's data, split train: L-infinity 0.750, limit 0.1 (drift.l_infinity)"
    )
    rows = [[words_of(cell) for cell in row.xpath("./td | ./th")] for row in heading.xpath("./following-sibling::details[1]//tbody/tr")]
    assert rows == [
        ["source, train", "L-infinity", "0.750", "0.1", "200 (300)", "drifted"],
        ["age, train", "Jensen-Shannon", "0.500", "0.1", "200 (300)", "not judged"],
    ]


@pytest.mark.parametrize("images", [1, 20])
def test_a_patient_with_a_large_share_of_the_split_is_spoken_of(content: Content, images: int) -> None:
    patients = np.repeat(np.arange(21), [images, *[1] * 20])
    shares = np.full([len(patients), 3], 1 / 3, np.float32)
    model = replace(
        content.models[0], answers=AnsweredImages(np.arange(len(patients)), np.zeros(len(patients), np.int64), shares, patients)
    )
    said = render(replace(content, models=(model,)), (evaluation.SECTION,))
    assert ("One patient has 20 of the 40 images: every figure depends on this patient, and its interval is wide." in said) == (
        images == 20
    )
