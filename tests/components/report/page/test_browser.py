"""The page in a real browser, where there is one: what it asks for, how wide it is, what can be read, light, dark and printed."""

from __future__ import annotations

import itertools
import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from cxr.components.report.page.content import Content
from cxr.components.report.page.render import render

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
PHONE = 360  # pixels

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on this machine: install one (Debian: apt-get install chromium) to run these"),
]

# The lowest contrast of any text with what lies behind it (WCAG 2.2, success criterion 1.4.3), and whose it is.
LOWEST_CONTRAST = """(() => {
  const channels = text => { const c = document.createElement('canvas').getContext('2d', {willReadFrequently: true});
    c.fillStyle = text; c.fillRect(0, 0, 1, 1); return [...c.getImageData(0, 0, 1, 1).data]; };
  const over = (top, below) => top.slice(0, 3).map((v, i) => v * top[3] / 255 + below[i] * (1 - top[3] / 255));
  const light = rgb => rgb.map(v => v / 255).map(v => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4)
    .reduce((sum, v, i) => sum + v * [0.2126, 0.7152, 0.0722][i], 0);
  const behind = element => { const layers = [];
    for (let e = element; e; e = e.parentElement) layers.push(channels(getComputedStyle(e).backgroundColor));
    return layers.reverse().reduce((rgb, layer) => over(layer, rgb), [255, 255, 255]); };
  let lowest = [99, ''];
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walker.nextNode()) {
    const element = walker.currentNode.parentElement;
    if (!walker.currentNode.data.trim() || element.closest('style')) continue;
    const style = getComputedStyle(element), back = behind(element);
    const text = over(channels(element.closest('svg') ? style.fill : style.color), back);
    const [a, b] = [light(text), light(back)].sort((x, y) => y - x);
    if ((a + 0.05) / (b + 0.05) < lowest[0]) lowest = [(a + 0.05) / (b + 0.05), element.outerHTML.slice(0, 120)];
  }
  return lowest;
})()"""


class Browser:
    """A page in headless Chromium, driven through its debugging pipe."""

    def __init__(self, profile: Path) -> None:
        assert CHROMIUM is not None
        (theirs_in, self._out), (self._in, theirs_out) = os.pipe(), os.pipe()
        flags = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking"]
        flags += [
            "--disable-component-update",
            "--disable-sync",
            "--hide-scrollbars",
            f"--user-data-dir={profile}",
            "--remote-debugging-pipe",
        ]
        command = ["bash", "-c", f'exec "$@" 3<&{theirs_in} 4>&{theirs_out}', "bash", CHROMIUM, *flags, "about:blank"]
        self._process = subprocess.Popen(command, pass_fds=(theirs_in, theirs_out), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        os.close(theirs_in)
        os.close(theirs_out)
        self._stream = os.fdopen(self._in, "rb")
        self._numbers, self._session, self._events = itertools.count(1), "", list[dict[str, Any]]()
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        self._session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Network", "Log", "Runtime"):
            self.call(f"{domain}.enable")

    def call(self, method: str, **parameters: Any) -> Any:
        """Calls a method of the debugging protocol and returns its result."""
        number = next(self._numbers)
        message = {"id": number, "method": method, "params": parameters} | ({"sessionId": self._session} if self._session else {})
        os.write(self._out, json.dumps(message).encode() + b"\0")
        while (answer := self._read()).get("id") != number:
            self._events.append(answer)
        assert "error" not in answer, answer
        return answer["result"]

    def open(self, file: Path) -> None:
        """Loads a file and waits for it."""
        self._events.clear()
        self.call("Page.navigate", url=file.as_uri())
        while not self.events("Page.loadEventFired"):
            self._events.append(self._read())

    def events(self, *methods: str) -> list[Any]:
        """Returns what happened since the page was opened."""
        return [event["params"] for event in self._events if event.get("method") in methods]

    def evaluate(self, expression: str) -> Any:
        """Returns the value of an expression in the page."""
        return self.call("Runtime.evaluate", expression=expression, returnByValue=True)["result"].get("value")

    def width(self, pixels: int) -> None:
        """Makes the window so wide."""
        self.call("Emulation.setDeviceMetricsOverride", width=pixels, height=800, deviceScaleFactor=1, mobile=pixels < 600)

    def media(self, media: str, scheme: str) -> None:
        """Shows the page on a screen or in print, light or dark."""
        self.call("Emulation.setEmulatedMedia", media=media, features=[{"name": "prefers-color-scheme", "value": scheme}])

    def close(self) -> None:
        """Ends the browser."""
        self._process.terminate()
        self._process.wait(20)
        self._stream.close()
        os.close(self._out)

    def _read(self) -> dict[str, Any]:
        text = b""
        while not text.endswith(b"\0"):
            byte = self._stream.read(1)
            assert byte, "Chromium ended"
            text += byte
        return json.loads(text[:-1])


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
    browser.open(file)
    addresses = [event["request"]["url"] for event in browser.events("Network.requestWillBeSent")]
    assert file.as_uri() in addresses
    assert [address for address in addresses if not address.startswith(("file:", "data:"))] == []
    assert browser.events("Log.entryAdded", "Runtime.consoleAPICalled", "Runtime.exceptionThrown") == []
    assert browser.evaluate("[...document.images].every(image => image.naturalWidth > 0)")


@pytest.mark.parametrize("opened", [False, True], ids=["closed", "opened"])
def test_a_phone_need_not_scroll_sideways(browser: Browser, file: Path, opened: bool) -> None:
    browser.open(file)
    browser.width(PHONE)
    if opened:
        browser.evaluate("document.querySelectorAll('details').forEach(found => found.open = true)")
    assert browser.evaluate("document.documentElement.scrollWidth") == PHONE
    # what is wider scrolls by itself, with the keyboard too
    wide = "[...document.querySelectorAll('.scroll')].filter(found => found.scrollWidth > found.clientWidth + 1)"
    assert browser.evaluate(f"{wide}.length") > 0
    assert browser.evaluate(f"{wide}.filter(found => found.tabIndex < 0).map(found => found.innerText)") == []


@pytest.mark.parametrize(("media", "scheme", "dark"), [("screen", "light", False), ("screen", "dark", True), ("print", "dark", False)])
def test_text_can_be_read(browser: Browser, file: Path, media: str, scheme: str, dark: bool) -> None:
    browser.open(file)
    browser.media(media, scheme)
    browser.evaluate("document.querySelectorAll('details').forEach(found => found.open = true)")
    background = browser.evaluate("getComputedStyle(document.body).backgroundColor.match(/\\d+/g).map(Number)")
    assert (max(background) < 128) is dark
    lowest, whose = browser.evaluate(LOWEST_CONTRAST)
    assert lowest >= 4.5, whose
