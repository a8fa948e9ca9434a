"""A real browser for tests of pages: headless Chromium, driven through its debugging pipe, without a library."""

from __future__ import annotations

import base64
import itertools
import json
import os
import shutil
import subprocess
import time
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
PHONE = 360  # pixels, of a narrow screen
PATIENCE = 60  # seconds; the bound of every wait, far above what is needed

NEEDED = pytest.mark.skipif(
    CHROMIUM is None, reason="no Chromium on this machine: install one (Debian: apt-get install chromium) to run these"
)

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
        for domain in ("Page", "Network", "Log", "Runtime", "DOM"):
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

    def open(self, url: str) -> None:
        """Loads a page and waits for it."""
        self._events.clear()
        self.call("Page.navigate", url=url)
        while not self.events("Page.loadEventFired"):
            self._events.append(self._read())

    def events(self, *methods: str) -> list[Any]:
        """Returns what happened since the page was opened."""
        return [event["params"] for event in self._events if event.get("method") in methods]

    def evaluate(self, expression: str) -> Any:
        """Returns the value of an expression in the page."""
        return self.call("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)["result"].get("value")

    def until(self, expression: str, seconds: float = PATIENCE) -> Any:
        """Waits until an expression is true in the page, and returns its value."""
        end = time.monotonic() + seconds
        while not (value := self.evaluate(expression)):
            assert time.monotonic() < end, (
                f"{expression} was not true within {seconds:g} s; the page: {self.evaluate('document.body.innerText')}"
            )
            time.sleep(0.05)
        return value

    def press(self, key: str, times: int = 1, text: str = "") -> None:
        """Presses a key: "Tab", "ArrowLeft", "Enter", "+" …; `text` is what it types."""
        typed = text or {"Enter": "\r", " ": " "}.get(key, key if len(key) == 1 else "")
        code = {"Tab": 9, "Enter": 13, " ": 32, "ArrowLeft": 37, "ArrowUp": 38, "ArrowRight": 39, "ArrowDown": 40}.get(key, 0)
        for _ in range(times):
            for kind in ("keyDown", "keyUp"):
                said = {"text": typed} if typed and kind == "keyDown" else {}
                self.call("Input.dispatchKeyEvent", type=kind, key=key, windowsVirtualKeyCode=code, **said)

    def choose(self, selector: str, *files: Path) -> None:
        """Gives files to an input, as the browser's chooser does."""
        root = self.call("DOM.getDocument")["root"]["nodeId"]
        node = self.call("DOM.querySelector", nodeId=root, selector=selector)["nodeId"]
        self.call("DOM.setFileInputFiles", nodeId=node, files=[str(file) for file in files])

    def screenshot(self, file: Path, whole: bool = True) -> None:
        """Writes a PNG of the page."""
        file.write_bytes(base64.b64decode(self.call("Page.captureScreenshot", captureBeyondViewport=whole)["data"]))

    def complaints(self) -> list[Any]:
        """Returns what stands in the console, and exceptions that nobody caught."""
        self.evaluate("0")  # reads what waits
        return self.events("Log.entryAdded", "Runtime.consoleAPICalled", "Runtime.exceptionThrown")

    def hosts(self) -> set[str]:
        """Returns where the page sent requests to: "http://127.0.0.1:8502", "data:" …"""
        self.evaluate("0")
        addresses = [urlsplit(event["request"]["url"]) for event in self.events("Network.requestWillBeSent")]
        return {f"{address.scheme}://{address.netloc}" if address.netloc else f"{address.scheme}:" for address in addresses}

    def width(self, pixels: int, height: int = 800) -> None:
        """Makes the window so wide."""
        self.call("Emulation.setDeviceMetricsOverride", width=pixels, height=height, deviceScaleFactor=1, mobile=pixels < 600)

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
