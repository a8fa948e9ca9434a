"""The page in a real browser, where there is one: what it asks for, how wide it is, what can be read, light, dark and printed."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from chromium import LOWEST_CONTRAST, NEEDED, PHONE, Browser
from PIL import Image

from cxr.components.report.page.content import Content
from cxr.components.report.page.render import render

pytestmark = [pytest.mark.slow, NEEDED]


@pytest.fixture(scope="module")
def file(content: Content, tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("page") / "report.html"
    file.write_text(render(content), encoding="utf-8")
    return file


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    made = Browser(tmp_path_factory.mktemp("profile"))
    yield made
    made.close()


def test_the_page_asks_for_nothing_and_complains_of_nothing(browser: Browser, file: Path) -> None:
    browser.open(file.as_uri())
    addresses = [event["request"]["url"] for event in browser.events("Network.requestWillBeSent")]
    assert file.as_uri() in addresses
    assert [address for address in addresses if not address.startswith(("file:", "data:"))] == []
    assert browser.events("Log.entryAdded", "Runtime.consoleAPICalled", "Runtime.exceptionThrown") == []
    assert browser.evaluate("[...document.images].every(image => image.naturalWidth > 0)")


@pytest.mark.parametrize("opened", [False, True], ids=["closed", "opened"])
def test_a_phone_need_not_scroll_sideways(browser: Browser, file: Path, opened: bool) -> None:
    browser.open(file.as_uri())
    browser.width(PHONE)
    if opened:
        browser.evaluate("document.querySelectorAll('details').forEach(found => found.open = true)")
    assert browser.evaluate("document.documentElement.scrollWidth") == PHONE
    # what is wider scrolls by itself, with the keyboard too
    wide = "[...document.querySelectorAll('.scroll')].filter(found => found.scrollWidth > found.clientWidth + 1)"
    assert browser.evaluate(f"{wide}.length") > 0
    assert browser.evaluate(f"{wide}.filter(found => found.tabIndex < 0).map(found => found.innerText)") == []


def test_a_sentence_in_a_table_leaves_rows_low_on_a_phone(browser: Browser, content: Content, tmp_path: Path) -> None:
    assert content.audit is not None
    sentence = "covid19 can be predicted from all metadata and grey levels alone, " * 3
    told = tuple(found.model_copy(update={"verdict": sentence}) for found in content.audit.shortcuts)
    page = tmp_path / "report.html"
    page.write_text(render(replace(content, audit=content.audit.model_copy(update={"shortcuts": told}))), encoding="utf-8")
    browser.open(page.as_uri())
    browser.width(PHONE)
    cells = "[...document.querySelectorAll('#shortcuts td')].filter(found => found.innerText.length > 100)"
    assert browser.evaluate(f"{cells}.length") == len(told)
    assert browser.evaluate(f"Math.min(...{cells}.map(found => found.clientWidth / found.clientHeight))") > 1


def test_paper_names_what_only_the_file_shows(browser: Browser, file: Path) -> None:
    browser.open(file.as_uri())
    browser.media("print", "light")
    assert browser.evaluate("[...document.querySelectorAll('summary')].filter(found => found.checkVisibility()).length") > 10
    after = "getComputedStyle(document.querySelector('summary'), '::after').content"
    assert browser.evaluate(after) == '" (in the file)"'
    browser.evaluate("document.querySelectorAll('details').forEach(found => found.open = true)")
    assert browser.evaluate(after) == "none"
    parted = "[...document.querySelectorAll('h2, h3, h4, caption, thead')].filter(found => getComputedStyle(found).breakAfter !== 'avoid')"
    assert browser.evaluate(f"{parted}.length") == 0


def test_paper_says_on_every_page_what_the_numbers_are_worth(browser: Browser, file: Path) -> None:
    browser.open(file.as_uri())
    line = "getComputedStyle(document.querySelector('.every-page'))"
    browser.media("screen", "light")
    assert browser.evaluate(f"{line}.display") == "none"
    browser.media("print", "light")
    assert browser.evaluate("getComputedStyle(document.querySelector('div.scroll')).backgroundImage") == "none"  # nothing scrolls on paper
    # the foot of a table stands on all of its pages where it may not be broken itself
    shown = browser.evaluate(f"[getComputedStyle(document.body).display, {line}.display, {line}.breakInside]")
    assert shown == ["table", "table-footer-group", "avoid"]
    assert browser.evaluate("getComputedStyle(document.querySelector('.mistakes')).paddingRight") == "1px"


def test_a_phone_shows_the_accuracy_and_that_there_is_more(browser: Browser, file: Path, tmp_path: Path) -> None:
    browser.open(file.as_uri())
    browser.media("screen", "light")
    browser.width(PHONE)
    head = "document.querySelector('#verdict thead th:nth-child(2)')"
    assert browser.evaluate(f"{head}.innerText").startswith("accuracy")
    assert browser.evaluate(f"{head}.getBoundingClientRect().right") < PHONE
    table = "document.querySelector('#verdict .scroll')"

    def edges() -> tuple[int, int]:
        """How light the table's box is at its left and right edge, above all text."""
        box = browser.evaluate(f"{table}.scrollIntoView(), {table}.getBoundingClientRect().toJSON()")
        browser.screenshot(tmp_path / "phone.png", whole=False)
        with Image.open(tmp_path / "phone.png") as picture:
            row = np.asarray(picture.convert("L"))[int(box["top"]) + 1]
        return int(row[int(box["left"]) + 1]), int(row[int(box["right"]) - 2])

    assert edges()[0] == 255 > edges()[1] + 30
    browser.evaluate(f"{table}.scrollLeft = 9999")
    assert edges()[1] == 255 > edges()[0] + 30


@pytest.mark.parametrize(("media", "scheme", "dark"), [("screen", "light", False), ("screen", "dark", True), ("print", "dark", False)])
def test_text_can_be_read(browser: Browser, file: Path, media: str, scheme: str, dark: bool) -> None:
    browser.open(file.as_uri())
    browser.media(media, scheme)
    browser.evaluate("document.querySelectorAll('details').forEach(found => found.open = true)")
    background = browser.evaluate("getComputedStyle(document.body).backgroundColor.match(/\\d+/g).map(Number)")
    assert (max(background) < 128) is dark
    lowest, whose = browser.evaluate(LOWEST_CONTRAST)
    assert lowest >= 4.5, whose
