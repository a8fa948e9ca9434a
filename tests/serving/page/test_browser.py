"""The page in a real browser, where there is one, about models behind a real server."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from chromium import LOWEST_CONTRAST, NEEDED, PHONE, Browser
from dicom_files import dicom_bytes
from PIL import Image

from cxr.serving.page.server import Page
from cxr.serving.server import Server

pytestmark = [pytest.mark.slow, NEEDED]

DESKTOP = 1280  # pixels
ANSWERED = "document.querySelectorAll('.card .label').length === 2"
# Mean red, green and blue of what stands on the canvas around a point, given in shares of its width and height.
COLOUR = """(([x, y]) => {{ const canvas = document.querySelector('#canvas'), copy = document.createElement('canvas');
  const context = copy.getContext('2d', {{ willReadFrequently: true }});
  context.drawImage(canvas, x * canvas.width - 4, y * canvas.height - 4, 8, 8, 0, 0, 8, 8);
  const at = context.getImageData(0, 0, 8, 8).data;
  return [0, 1, 2].map(channel => at.filter((_, i) => i % 4 === channel).reduce((sum, value) => sum + value, 0) / 64); }})([{}, {}])"""
FOCUSED = "document.activeElement.id || document.activeElement.className"
# Lets a test change what /api/models tells: `told` is called with the models.
CHANGED = """{ const real = fetch; window.told = models => models; window.fetch = async (path, options) => {
  const answer = await real(path, options);
  if (path !== '/api/models') return answer;
  const { models, ...rest } = await answer.json();
  return new Response(JSON.stringify({ ...rest, models: told(models) })); }; }"""

# Lets a test hold back the questions about pictures: `release` lets them go.
HELD = """{ const real = fetch, held = []; let open = false; window.waiting = () => held.length;
  window.release = () => { open = true; held.forEach(go => go()); };
  window.fetch = async (path, options) => {
    if (path.startsWith('/api/predict') && !open) await new Promise(go => held.push(go));
    return real(path, options); }; }"""


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    made = Browser(tmp_path_factory.mktemp("profile"))
    yield made
    made.close()


@pytest.fixture(scope="module")
def xrays(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A dark and a bright picture (like, and unlike, what the model knows), a DICOM file, and one that is no picture."""
    folder = tmp_path_factory.mktemp("xrays")
    slope = np.tile(np.arange(64), (48, 1))
    found = {name: folder / name for name in ("dark.png", "bright.png", "study.dcm", "notes.txt")}
    Image.fromarray((40 + slope).astype(np.uint8)).save(found["dark.png"])
    Image.fromarray((180 + slope).astype(np.uint8)).save(found["bright.png"])
    found["study.dcm"].write_bytes(dicom_bytes((slope * 40).astype(np.uint16)))
    found["notes.txt"].write_text("Jane Doe, 54 years")
    return found


@pytest.fixture
def page(browser: Browser, small_server: str, open_page: Callable[..., Page]) -> Page:
    """A page that the browser has open, on a desktop."""
    opened = open_page(small_server)
    browser.width(DESKTOP)
    browser.media("screen", "light")
    browser.open(opened.url)
    browser.until("document.querySelector('#server').textContent.includes('2 of 2 models ready')")
    return opened


def select(browser: Browser, name: str) -> None:
    browser.evaluate(f"[...document.querySelectorAll('.item')].find(item => item.title === '{name}').click()")
    browser.until(f"document.querySelector('#name').textContent === '{name}'")


def choose(browser: Browser, control: str, value: int | str, event: str = "input") -> None:
    """Moves a slider, or chooses from a list (event "change")."""
    found = f"document.querySelector('#{control}')"
    browser.evaluate(f"{found}.value = {value}; {found}.dispatchEvent(new Event('{event}'))")


def test_pictures_are_shown_with_what_each_model_says(browser: Browser, page: Page, xrays: dict[str, Path]) -> None:
    browser.choose("#files", xrays["dark.png"], xrays["bright.png"], xrays["study.dcm"])
    browser.until(ANSWERED)
    cards = browser.evaluate("[...document.querySelectorAll('.card')].map(card => card.innerText)")
    assert "version 2" in cards[0]
    assert "Votes of the members: 2 of 2 for pneumonia" in cards[0]
    assert "The model cannot decide between pneumonia and normal." in cards[0]
    assert "Outside of what the model knows" not in cards[0]
    assert "SYNTHETIC" in cards[1]
    shares = browser.evaluate("[...document.querySelectorAll('.card')[0].querySelectorAll('.shares .number')].map(cell => cell.innerText)")
    brightness = (40 + 31.5) / 255
    assert shares == ["0.0 %", f"{100 * (1 - brightness):.1f} %", f"{100 * brightness:.1f} %"]
    select(browser, "bright.png")
    browser.until(ANSWERED)
    assert "Outside of what the model knows." in browser.evaluate("document.querySelector('.card').innerText")
    browser.until("[...document.querySelectorAll('.item span:last-child')].every(line => line.innerText.includes('%'))")
    assert browser.complaints() == []
    assert browser.hosts() == {page.url.rstrip("/")}


def test_what_is_said_of_a_picture_outside_is_not_called_calibrated(browser: Browser, page: Page, xrays: dict[str, Path]) -> None:
    look = """[...document.querySelectorAll('.card .label, .card .first th, .card .first .number, .card td.first')].map(found => {
      const style = getComputedStyle(found); return [style.fontWeight, style.color]; })"""
    caption = "document.querySelector('.card .shares caption').innerText"
    ink, muted = "rgb(27, 31, 36)", "rgb(87, 96, 106)"
    browser.choose("#files", xrays["dark.png"], xrays["bright.png"])
    browser.until(ANSWERED)
    inside = browser.evaluate(look)
    assert browser.evaluate(caption) == "Calibrated probabilities"
    assert inside[:5] == [["600", ink], *[["700", ink]] * 4]  # label, row of the class, a vote of each of two members
    select(browser, "bright.png")
    browser.until(ANSWERED)
    assert browser.evaluate(caption) == "Probabilities (not calibrated for such a picture)"
    assert browser.evaluate(look) == [*[["400", muted]] * 5, *inside[5:]]  # mobilenet does not say what it knows


def test_a_picture_just_beyond_the_border_is_not_said_to_lie_on_it(browser: Browser, page: Page, xrays: dict[str, Path]) -> None:
    browser.evaluate("""{ const real = fetch; window.fetch = async (path, options) => {
      const answer = await real(path, options);
      if (!path.startsWith('/api/prediction')) return answer;
      return new Response(JSON.stringify({ ...await answer.json(), unlike_training: 0.501242, outside: true })); }; }""")
    browser.choose("#files", xrays["dark.png"])
    browser.until(ANSWERED)
    assert "Unlike the training images: 0.501 on a scale from 0 to 1. Above 0.5 the picture" in browser.evaluate("document.body.innerText")


def test_paper_has_the_picture_the_answers_and_on_each_sheet_what_they_are_worth(
    browser: Browser, page: Page, xrays: dict[str, Path]
) -> None:
    """The foot lay over answers, and controls and strip were printed."""
    browser.choose("#files", xrays["dark.png"], xrays["bright.png"])
    browser.until(ANSWERED)
    browser.evaluate("document.querySelector('#overlay-on').click()")
    browser.until("document.querySelector('#overlay-note').textContent.startsWith('Regions that support')")
    browser.media("print", "dark")
    shown = "[...document.querySelectorAll('{}')].filter(found => found.checkVisibility()).length"
    assert browser.evaluate(shown.format("button, input, select, .button, #canvas-help")) == 0
    assert browser.evaluate(shown.format("#canvas, #caption, #overlay-note, .card, .card .label, footer")) == 8
    style = "getComputedStyle(document.querySelector('{}'))"
    foot = f"[{style.format('body')}.display, {style.format('footer')}.display, {style.format('footer')}.breakInside]"
    assert browser.evaluate(foot) == ["table", "table-footer-group", "avoid"]  # the foot of a table stands on all of its pages
    assert browser.evaluate(f"{style.format('.bar div')}.printColorAdjust") == "exact"
    assert browser.evaluate(f"{style.format('body')}.backgroundColor") == "rgb(255, 255, 255)"


def test_only_certainty_is_shown_as_certainty(browser: Browser, page: Page, xrays: dict[str, Path]) -> None:
    browser.evaluate("""{ const real = fetch; window.fetch = async (path, options) => {
      const answer = await real(path, options);
      if (!path.startsWith('/api/prediction')) return answer;
      const told = await answer.json();
      told.probabilities = { covid19: 0, pneumonia: 0.999999, normal: 0.000135 };
      return new Response(JSON.stringify({ ...told, label: 'pneumonia' })); }; }""")
    browser.choose("#files", xrays["dark.png"], xrays["bright.png"])
    browser.until(ANSWERED)
    shares = browser.evaluate("[...document.querySelector('.card .shares').querySelectorAll('.number')].map(cell => cell.innerText)")
    assert shares == ["0.0 %", "> 99.9 %", "< 0.1 %"]
    lines = "[...document.querySelectorAll('.item span:last-child')].map(line => line.innerText)"
    browser.until(f"{lines}.join() === 'pneumonia > 99.9 %,outside: pneumonia > 99 %'")
    shown = "import('/dom.js').then(({{ percent }}) => [{}].map(share => percent(share)))"
    assert browser.evaluate(shown.format("1, 0.9996, 0.9994, 0.0006, 0.0004")) == ["100.0 %", "> 99.9 %", "99.9 %", "0.1 %", "< 0.1 %"]


def test_window_and_zoom_change_the_picture(browser: Browser, page: Page, xrays: dict[str, Path]) -> None:
    browser.choose("#files", xrays["dark.png"])
    browser.until(ANSWERED)
    left, right = COLOUR.format(0.02, 0.5), COLOUR.format(0.98, 0.5)
    assert browser.evaluate(left)[0] == pytest.approx(41, abs=3)
    assert browser.evaluate(right)[0] == pytest.approx(102, abs=3)
    choose(browser, "width", 20)
    assert browser.evaluate(left) == browser.evaluate(right) == [0, 0, 0]  # both below 118 to 138
    browser.evaluate("document.querySelector('#window-reset').click()")
    browser.evaluate("for (let i = 0; i < 8; i++) document.querySelector('#zoom-in').click()")
    assert browser.evaluate("document.querySelector('#zoom').innerText") == "596 %"
    assert browser.evaluate(left)[0] == pytest.approx(66, abs=3)  # of the middle now: 0.5 - 0.48 / 5.96
    assert browser.complaints() == []


def test_the_overlay_shows_what_speaks_for_a_class(browser: Browser, page: Page, xrays: dict[str, Path]) -> None:
    browser.choose("#files", xrays["dark.png"])
    browser.until(ANSWERED)
    corners = [COLOUR.format(0.9, 0.9), COLOUR.format(0.1, 0.1)]
    grey = [browser.evaluate(corner) for corner in corners]
    browser.evaluate("document.querySelector('#overlay-on').click()")
    browser.until("document.querySelector('#overlay-note').innerText.startsWith('Regions that support pneumonia')")
    cold, hot = (browser.evaluate(corner) for corner in corners)
    assert cold == grey[0]
    assert hot[0] > hot[1] + 20  # dark red
    browser.evaluate(
        "{ const opacity = document.querySelector('#opacity'); opacity.value = 0; opacity.dispatchEvent(new Event('input')); }"
    )
    assert [browser.evaluate(corner) for corner in corners] == grey
    browser.evaluate(
        "{ const opacity = document.querySelector('#opacity'); opacity.value = 90; opacity.dispatchEvent(new Event('input')); }"
    )
    assert browser.evaluate(corners[1])[1] < hot[1]
    choose(browser, "overlay-class", 0, "change")
    browser.until("document.querySelector('#overlay-note').innerText.startsWith('Regions that support covid19')")
    choose(browser, "overlay-class", 2, "change")
    browser.until("document.querySelector('#overlay-note').innerText.startsWith('No region supports normal')")
    assert [browser.evaluate(corner) for corner in corners] == grey
    assert browser.evaluate("[...document.querySelector('#overlay-model').options].map(option => option.value)") == ["ensemble"]
    assert browser.complaints() == []


def test_models_that_cannot_explain_say_so(
    browser: Browser, small_server: str, open_page: Callable[..., Page], xrays: dict[str, Path]
) -> None:
    browser.open(open_page(small_server, lambda: ["mobilenet"]).url)
    browser.choose("#files", xrays["dark.png"])
    browser.until("document.querySelectorAll('.card .label').length === 1")
    assert "None of these models can show where it looks" in browser.evaluate("document.querySelector('#overlay').innerText")
    assert browser.evaluate("document.querySelector('#overlay-on').disabled")


def test_a_text_file_is_refused_and_the_others_go_on(browser: Browser, page: Page, xrays: dict[str, Path]) -> None:
    browser.choose("#files", xrays["notes.txt"], xrays["dark.png"])
    browser.until("document.querySelector('#file-error').innerText === 'Not a PNG, JPEG, BMP, TIFF or DICOM file.'")
    assert browser.evaluate("document.querySelector('#viewer').hidden && document.querySelector('#answers').hidden")
    select(browser, "dark.png")
    browser.until(ANSWERED)
    assert browser.evaluate("document.querySelector('#file-error').hidden")
    assert {entry["entry"]["source"] for entry in browser.complaints()} == {"network"}  # Chromium's line for the status 422


def test_files_can_be_dropped(browser: Browser, page: Page) -> None:
    browser.evaluate("""(() => { const files = new DataTransfer(); files.items.add(new File(['no picture'], 'dropped.png'));
      for (const kind of ['dragenter', 'dragover', 'drop']) document.body.dispatchEvent(
        new DragEvent(kind, { dataTransfer: files, bubbles: true, cancelable: true })); })()""")
    browser.until("document.querySelector('#name').innerText === 'dropped.png'")
    browser.until("!document.querySelector('#file-error').hidden")
    assert browser.evaluate("document.querySelector('#drop').hidden")


def test_the_keyboard_is_enough(browser: Browser, page: Page, xrays: dict[str, Path]) -> None:
    browser.choose("#files", xrays["dark.png"], xrays["bright.png"])
    browser.until(ANSWERED)

    def reached() -> list[str]:
        """What the key Tab comes to, from where the focus was last."""
        browser.evaluate("document.activeElement.blur()")
        found: list[str] = []
        for _ in range(40):
            browser.press("Tab")
            if (name := browser.evaluate(FOCUSED)) in ("BODY", "") or name in found and name not in ("item", "remove", "scroll"):
                break
            found.append(name)
        return found

    before = ["files", "item", "remove", "item", "remove", "remove-all", "canvas", "zoom-out", "zoom-in", "zoom-whole", "overlay-on"]
    of_overlay = ["overlay-model", "overlay-class", "overlay-member", "opacity"]
    after = ["window-fold", "centre", "width", "invert", "window-reset", "scroll"]
    assert reached() == before + after
    browser.evaluate("document.querySelector('#canvas').focus()")
    browser.press("+", times=3)
    assert browser.evaluate("document.querySelector('#zoom').innerText") == "195 %"
    shown = browser.evaluate(COLOUR.format(0.5, 0.5))[0]
    browser.press("ArrowRight", times=2)
    assert browser.evaluate(COLOUR.format(0.5, 0.5))[0] > shown + 2  # further to the right, where it is brighter
    browser.press("0")
    assert browser.evaluate("document.querySelector('#zoom').innerText") == "100 %"
    browser.evaluate("document.querySelector('#centre').focus()")
    browser.press("ArrowRight")
    assert browser.evaluate("document.querySelector('#centre').nextElementSibling.innerText") == "129"
    browser.evaluate("document.querySelector('#overlay-on').focus()")
    browser.press(" ")
    browser.until("document.querySelector('#overlay-note').innerText.startsWith('Regions')")
    assert reached() == of_overlay + after
    browser.evaluate("document.querySelectorAll('.item')[1].focus()")
    browser.press("Enter")
    browser.until("document.querySelector('#name').innerText === 'bright.png'")
    assert browser.evaluate(FOCUSED) == "name"
    browser.evaluate("document.querySelectorAll('.remove')[1].focus()")
    browser.press("Enter")
    browser.until("document.querySelector('#name').innerText === 'dark.png'")


def test_pictures_that_are_removed_are_not_read_again(browser: Browser, page: Page, xrays: dict[str, Path], tmp_path: Path) -> None:
    files = [tmp_path / f"{number}.png" for number in range(11)]  # more than the page keeps in memory
    for file in files:
        shutil.copy(xrays["dark.png"], file)
    browser.choose("#files", *files)
    browser.until("[...document.querySelectorAll('.item span:last-child')].filter(line => line.innerText.includes('%')).length === 11")
    select(browser, "10.png")
    browser.evaluate("document.querySelector('#remove-all').click()")
    assert browser.evaluate("document.querySelector('#work').hidden")
    assert browser.evaluate(FOCUSED) == "files"
    browser.choose("#files", xrays["bright.png"])
    browser.until(ANSWERED)
    asked = [event["request"]["url"] for event in browser.events("Network.requestWillBeSent")]
    assert sum(url.endswith("/api/picture") for url in asked) == 11 + 1


def test_nothing_is_asked_about_pictures_that_were_removed_meanwhile(
    browser: Browser, page: Page, xrays: dict[str, Path], tmp_path: Path
) -> None:
    files = [tmp_path / f"{number}.png" for number in range(5)]
    for file in files:
        file.write_bytes(xrays["dark.png"].read_bytes())
    browser.evaluate(HELD)
    browser.choose("#files", *files)
    browser.until("waiting() === 2 && [...document.querySelectorAll('.item span:last-child')].every(line => line.innerText === 'Asking…')")
    browser.evaluate("document.querySelector('#remove-all').click()")
    browser.events("Network.requestWillBeSent")
    browser.evaluate("release()")
    browser.choose("#files", xrays["bright.png"])
    browser.until(ANSWERED)
    asked = [event["request"]["url"] for event in browser.events("Network.requestWillBeSent")]
    assert sum("/api/predict" in url for url in asked) == 2 + 2  # what was on its way, and the new one's
    assert "bright.png" in browser.evaluate("document.querySelector('#status').textContent")


def test_what_an_answer_is_worth_is_said_first(browser: Browser, page: Page, xrays: dict[str, Path], tmp_path: Path) -> None:
    slope = np.tile(np.arange(64), (48, 1))
    Image.fromarray((8 + slope // 4).astype(np.uint8)).save(tmp_path / "sure.png")  # one class in its set
    (tmp_path / "lateral.dcm").write_bytes(dicom_bytes((8 + slope // 4).astype(np.uint8), Modality="DX", ViewPosition="LL"))
    browser.width(PHONE)
    browser.choose("#files", tmp_path / "sure.png", xrays["dark.png"], xrays["bright.png"], tmp_path / "lateral.dcm")
    # a line shows the first model's answer once it is there, and mobilenet's (covid19, pneumonia for the bright one) until then
    shown = "[...document.querySelectorAll('.item span:last-child')].map(line => line.innerText)"
    browser.until(f"{shown}.every(text => text.includes('%') && !text.includes('covid19')) && {shown}[2].includes('normal')")
    lines = browser.evaluate("[...document.querySelectorAll('.item span:last-child')].map(line => [line.className, line.innerText])")
    assert lines[0] == ["quiet", "pneumonia 93.9 %"]
    assert lines[1] == ["quiet", "pneumonia 72.0 %"]
    assert lines[2] == ["warn", "outside: normal 83 %"]
    assert lines[3] == ["warn", "see note: pneumonia 94 %"]
    back = "getComputedStyle(document.querySelectorAll('.item span:last-child')[2]).backgroundColor"
    browser.until("document.querySelectorAll('.card .label').length === 2")
    card, answers = ("document.querySelector('.card').innerText", "document.querySelector('#answers').innerText")
    said = browser.evaluate(card)
    assert "Only pneumonia is in the model's set of possible classes." in said
    assert "about 20 in 100 have their true class outside their set" in said
    assert "rules out" not in said
    assert "header" not in browser.evaluate(answers)
    select(browser, "dark.png")
    browser.until(ANSWERED)
    assert "about 20 in 100 have their true class outside their set" in browser.evaluate(card)
    select(browser, "bright.png")
    browser.until(ANSWERED)
    assert browser.evaluate(back) == browser.evaluate("getComputedStyle(document.querySelector('.card .note')).backgroundColor")
    assert " set" not in browser.evaluate(card)
    assert "cannot decide" not in browser.evaluate(card)
    select(browser, "lateral.dcm")
    browser.until(ANSWERED)
    assert browser.evaluate(answers).count("ViewPosition is LL, not AP or PA.") == 1  # not once for each model
    assert browser.evaluate("document.documentElement.scrollWidth") == PHONE
    assert browser.complaints() == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_it_fits_a_phone_and_can_be_read(browser: Browser, page: Page, xrays: dict[str, Path], scheme: str) -> None:
    browser.width(PHONE)
    browser.media("screen", scheme)
    browser.choose("#files", xrays["bright.png"], xrays["notes.txt"])
    browser.until(ANSWERED)
    browser.until("document.querySelectorAll('.item .error').length === 1")
    assert browser.evaluate("document.documentElement.scrollWidth") == PHONE
    assert browser.evaluate("document.querySelector('#canvas').clientWidth") > PHONE * 0.8
    # The disclaimer is on the screen wherever one scrolls to.
    for end in ("0", "document.body.scrollHeight"):
        browser.evaluate(f"window.scrollTo(0, {end})")
        assert browser.evaluate("document.querySelector('footer').getBoundingClientRect().bottom <= window.innerHeight")
    background = browser.evaluate("getComputedStyle(document.body).backgroundColor.match(/\\d+/g).map(Number)")
    assert (max(background) < 128) is (scheme == "dark")
    lowest, whose = browser.evaluate(LOWEST_CONTRAST)
    assert lowest >= 4.5, whose
    # Controls can be hit with a finger (WCAG 2.2, success criterion 2.5.8).
    small = "[...document.querySelectorAll('button, select, .button, input[type=range]')].filter(found => found.offsetParent"
    assert browser.evaluate(f"{small} && Math.min(found.offsetWidth, found.offsetHeight) < 24).map(found => found.outerHTML)") == []


def test_the_window_follows_the_picture_however_many_models_answer(
    browser: Browser, small_server: str, open_page: Callable[..., Page], xrays: dict[str, Path]
) -> None:
    places = """Object.fromEntries(['picture', 'tools', 'answers'].map(id => {
      const { left, right, top, bottom } = document.querySelector(`#${id}`).getBoundingClientRect();
      return [id, { left, right, top, bottom }]; }))"""
    browser.width(PHONE)
    browser.open(open_page(small_server, lambda: ["ensemble", "mobilenet", "real", "older"]).url)
    browser.choose("#files", xrays["dark.png"])
    browser.until("document.querySelectorAll('.card .label').length === 4")
    narrow = browser.evaluate(places)
    assert not browser.evaluate("document.querySelector('#window').open")  # a tap away: the answers come next
    assert not browser.evaluate("document.querySelector('#opacity').checkVisibility()")
    assert narrow["answers"]["top"] < narrow["picture"]["top"] + 2 * PHONE
    assert narrow["picture"]["bottom"] <= narrow["tools"]["top"] < narrow["tools"]["bottom"] <= narrow["answers"]["top"]
    assert browser.evaluate("[...document.querySelector('#work').children].map(part => part.id)") == ["picture", "tools", "answers"]
    browser.width(DESKTOP)
    browser.until("document.documentElement.clientWidth > 1000")
    wide = browser.evaluate(places)
    assert wide["answers"]["top"] == wide["picture"]["top"]
    assert wide["answers"]["left"] > wide["picture"]["right"] == wide["tools"]["right"]
    assert wide["picture"]["bottom"] == pytest.approx(wide["tools"]["top"], abs=1)


def test_removing_a_picture_leaves_the_focus_beside_it(browser: Browser, page: Page, xrays: dict[str, Path]) -> None:
    browser.choose("#files", *(xrays[name] for name in ("dark.png", "bright.png", "study.dcm")))
    browser.until(ANSWERED)
    focused = "document.activeElement.getAttribute('aria-label')"
    browser.evaluate("document.querySelectorAll('.remove')[1].focus()")
    browser.press("Enter")
    assert browser.evaluate(focused) == "Remove study.dcm"
    browser.press("Enter")
    assert browser.evaluate(focused) == "Remove dark.png"
    assert browser.evaluate("document.querySelectorAll('.item').length") == 1


@pytest.fixture
def hurried(browser: Browser) -> Iterator[None]:
    """The page's timers run twenty times as fast: it looks for news every half a second."""
    source = "{ const real = setInterval; window.setInterval = (what, after) => real(what, after / 20); }"
    script = browser.call("Page.addScriptToEvaluateOnNewDocument", source=source)
    yield
    browser.call("Page.removeScriptToEvaluateOnNewDocument", **script)


@pytest.mark.usefixtures("hurried")
def test_a_server_that_goes_and_comes_back_and_a_new_version(
    browser: Browser, small_models: Path, open_page: Callable[..., Page], xrays: dict[str, Path], tmp_path: Path
) -> None:
    models = tmp_path / "models"
    shutil.copytree(small_models / "ensemble" / "1", models / "ensemble" / "1")
    options: dict[str, Any] = {"rest_port": None, "poll_seconds": 0.05, "load_retries": 0}
    with Server.start(models, port=0, **options) as server:
        address = server.address
        browser.open(open_page(address).url)
        browser.choose("#files", xrays["dark.png"])
        browser.until("document.querySelector('.card .label')?.innerText === 'covid19'")
        shutil.copytree(small_models / "ensemble" / "2", tmp_path / "2")
        (tmp_path / "2").rename(models / "ensemble" / "2")
        browser.until("document.querySelector('.card').innerText.includes('Version 2 is served now; this is the answer of version 1.')")
        browser.evaluate("document.querySelector('.card button').click()")
        browser.until("document.querySelector('.card .label')?.innerText === 'pneumonia'")
        assert "version 2" in browser.evaluate("document.querySelector('.card header').innerText")
    browser.choose("#files", xrays["bright.png"])
    select(browser, "bright.png")
    browser.until("!document.querySelector('#connection').hidden")
    assert "No model server answers" in browser.evaluate("document.querySelector('#connection').innerText")
    browser.until("document.querySelector('.card')?.innerText.includes('No model server answers')")
    with Server.start(models, port=int(address.rpartition(":")[2]), **options):
        browser.until("document.querySelector('.card .label')?.innerText === 'normal'")  # by itself
        assert browser.evaluate("document.querySelector('#connection').hidden")


@pytest.mark.usefixtures("hurried")
def test_a_model_that_is_ready_again_is_asked_what_it_could_not_answer(browser: Browser, page: Page, xrays: dict[str, Path]) -> None:
    """The news come with a look that began while the model had been ready, before another one found it loading."""
    browser.evaluate(CHANGED)
    browser.evaluate("""{ const real = fetch; window.failing = true; window.held = false; window.fetch = async (path, options) => {
      if (path === '/api/models' && held) { held = false; await new Promise(done => { window.release = done; }); }
      if (!failing || !path.startsWith('/api/predict')) return real(path, options);
      return new Response(JSON.stringify({ kind: 'model', message: 'Still loading.', details: '', again: true }), { status: 404 }); }; }""")
    browser.choose("#files", xrays["dark.png"])
    browser.until("[...document.querySelectorAll('.card')].filter(card => card.innerText.includes('Still loading.')).length === 2")
    browser.evaluate("held = true")
    browser.until("window.release !== undefined")
    browser.evaluate("told = models => models.map(model => ({ ...model, state: 'loading' }))")
    browser.until("document.querySelector('#server').textContent.includes('0 of 2 models ready')")
    browser.evaluate("failing = false; told = models => models; release()")
    browser.until(ANSWERED)


@pytest.mark.usefixtures("hurried")
def test_without_a_server_pictures_are_read_and_no_question_waits(
    browser: Browser, small_server: str, open_page: Callable[..., Page], xrays: dict[str, Path], tmp_path: Path
) -> None:
    files = [tmp_path / f"{number}.png" for number in range(6)]
    for file in files:
        shutil.copy(xrays["dark.png"], file)
    lines = "[...document.querySelectorAll('.item span:last-child')].map(line => line.innerText)"
    browser.open(open_page(small_server, lambda: ["ensemble"]).url)
    browser.until("document.querySelector('#server').textContent.includes('1 of 1 model ready')")
    # The server goes: questions hang, and only later does the page find out why.
    browser.evaluate("""{ window.real = fetch; window.gone = false; window.hanging = [];
      const problem = { kind: 'server', message: 'No model server answers.', details: '', again: true };
      window.fetch = async (path, options) => {
        if (path.startsWith('/api/prediction')) return new Promise((done, failed) => hanging.push(failed));
        if (path !== '/api/models' || !gone) return real(path, options);
        return gone === 'silent' ? new Promise(() => {}) : new Response(JSON.stringify(problem), { status: 503 }); }; }""")
    browser.choose("#files", *files[:2])
    browser.until("hanging.length === 2")
    browser.choose("#files", *files[2:5])
    browser.until(f"{lines}.join() === Array(5).fill('Asking…').join()")  # all are read
    assert browser.evaluate("hanging.length") == 2
    browser.evaluate("window.gone = true")
    browser.until(f"{lines}.filter(line => line === 'No model server answers.').length === 3")
    browser.evaluate("window.gone = 'silent'")
    browser.choose("#files", files[5])
    browser.until(f"{lines}[5] === 'No model server answers.'")
    browser.evaluate("hanging.forEach(failed => failed(new TypeError()))")
    browser.until(f"!{lines}.includes('Asking…')")
    assert browser.evaluate("hanging.length") == 2
    browser.evaluate("window.fetch = real")
    browser.until(f"{lines}.every(line => line === 'pneumonia 72.0 %')")  # by itself
    assert browser.evaluate("document.querySelector('#connection').hidden")


@pytest.mark.usefixtures("hurried")
def test_the_focus_stays_where_it_is_in_a_card(browser: Browser, page: Page, xrays: dict[str, Path]) -> None:
    browser.choose("#files", xrays["dark.png"])
    browser.until(ANSWERED)
    browser.evaluate(CHANGED)
    browser.evaluate("document.querySelector('.card .scroll').focus(); window.kept = document.activeElement")
    browser.evaluate("told = ([first, second]) => [first, { ...second, version: 99 }]")  # of the other card
    browser.until("document.querySelectorAll('.card')[1].innerText.includes('Version 99 is served now')")
    assert browser.evaluate("document.activeElement === kept")
    browser.evaluate("told = ([first, second]) => [{ ...first, version: 99 }, second]")
    browser.until("document.querySelector('.card').innerText.includes('Version 99 is served now')")
    assert browser.evaluate("document.activeElement === document.querySelector('.card .scroll')")
    browser.evaluate("document.querySelector('.card button').focus(); told = models => models")
    browser.until("!document.querySelector('.card button')")
    assert browser.evaluate(FOCUSED) == "model-ensemble"
    browser.evaluate("told = () => []")
    browser.until("!document.querySelector('.card')")
    assert browser.evaluate(FOCUSED) == "answers-title"


@pytest.mark.usefixtures("hurried")
def test_the_heat_map_is_of_the_first_model_until_another_is_chosen_which_may_be_busy(
    browser: Browser, small_models: Path, open_page: Callable[..., Page], xrays: dict[str, Path], tmp_path: Path
) -> None:
    models = tmp_path / "models"  # which disagree
    shutil.copytree(small_models / "ensemble" / "2", models / "ensemble" / "2")
    shutil.copytree(small_models / "ensemble" / "1", models / "second" / "1")
    note, chosen = (f"document.querySelector('#overlay-{name}')" for name in ("note", "model"))
    with Server.start(models, port=0, rest_port=None) as server:
        names = ["second"]  # is ready before the one that stands on top
        browser.open(open_page(server.address, lambda: names).url)
        browser.choose("#files", xrays["dark.png"])
        browser.until(f"{chosen}.value === 'second'")
        names.insert(0, "ensemble")
        browser.until(f"{chosen}.value === 'ensemble'")
        browser.until(ANSWERED)
        browser.evaluate("document.querySelector('#overlay-on').click()")
        browser.until(f"{note}.innerText.startsWith('Regions that support pneumonia (72.0 % by ensemble)')")
        choose(browser, "overlay-model", "'second'", "change")
        browser.until(f"{note}.innerText.startsWith('Regions that support covid19 (72.0 % by second)')")
        browser.evaluate(CHANGED)
        for change in ("({ ...second, state: 'starting', version: null, explains: false, message: 'busy' })", "[]"):
            browser.evaluate(f"told = ([first, second]) => [first].concat({change})")
            browser.until(f"{chosen}.selectedOptions[0].innerText === 'second (not now)'")
            assert browser.evaluate(f"{chosen}.value") == "second"
            assert browser.evaluate(f"[...{chosen}.options].map(option => option.disabled)") == [False, True]
            browser.until(f"{note}.innerText.startsWith('Regions that support covid19 (72.0 % by second)')")  # it is there
            choose(browser, "overlay-class", 1, "change")
            browser.until(f"{note}.innerText === 'second cannot show where it looks now: it is starting, busy or gone.'")
            left = COLOUR.format(0.1, 0.1)
            assert len({round(channel) for channel in browser.evaluate(left)}) == 1  # grey: no heat
            choose(browser, "overlay-class", -1, "change")
            browser.evaluate("told = models => models")
            browser.until(f"{chosen}.selectedOptions[0].innerText === 'second'")
        choose(browser, "overlay-class", 1, "change")
        browser.until(f"{note}.innerText.startsWith('Regions that support pneumonia (28.0 % by second)')")
        assert browser.evaluate(f"[...{chosen}.options].map(option => option.innerText)") == ["ensemble", "second"]
