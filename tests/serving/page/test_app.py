"""The page's answers over a real socket, about models behind a real server."""

from __future__ import annotations

import base64
import contextlib
import io
import re
import select
import socket
import time
from collections.abc import Callable

import numpy as np
import pytest
from dicom_files import dicom_bytes
from PIL import Image

from cxr.core import disclaimer
from cxr.data.images.reader import read_image
from cxr.serving.client.client import Client
from cxr.serving.client.predictions import Prediction
from cxr.serving.page.guard import BODY_TYPE
from cxr.serving.page.server import Page
from cxr.serving.server.options import Limits

pytestmark = pytest.mark.seconds


def ramp(dtype: type = np.uint8) -> np.ndarray:
    """A picture, [20, 32], that is brighter to the right."""
    return np.tile(np.linspace(0, np.iinfo(dtype).max, 32), (20, 1)).astype(dtype)


def png(pixels: np.ndarray) -> bytes:
    out = io.BytesIO()
    Image.fromarray(pixels).save(out, "PNG")
    return out.getvalue()


def test_the_page_is_strict_says_what_it_is_and_has_no_script_of_its_own(ask) -> None:
    page = ask.get("/")
    html = page.body.decode()
    assert page.status == 200
    assert disclaimer.NOT_A_DEVICE in html
    assert disclaimer.NOT_VALIDATED in html
    policy = page.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "frame-ancestors 'none'" in policy
    assert "unsafe" not in policy
    assert not re.search(r"<script(?![^>]*\bsrc=)|<style|\bstyle=|\bon\w+=|https?:", html)
    for link in re.findall(r'(?:src|href)="(/[^"]+)"', html):
        assert ask.get(link).status == 200, link


def test_every_answer_is_kept_by_nobody(ask) -> None:
    answers = [ask.get(path) for path in ("/", "/page.js", "/nothing")]
    for answer in (*answers, ask.post("/api/picture", b"x"), ask.get("/", Host="evil.example")):
        assert answer.headers["cache-control"] == "no-store"
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["referrer-policy"] == "no-referrer"


def test_the_ensemble_and_its_served_members_are_shown(ask, small_server: str) -> None:
    told = ask.get("/api/models").json
    assert told["server"] == small_server
    found = {model["name"]: (model["state"], model["version"], model["explains"], model["synthetic"]) for model in told["models"]}
    assert found == {"ensemble": ("ready", 2, True, None), "mobilenet": ("ready", 7, False, True)}  # no densenet201 is served


@pytest.mark.parametrize("content", [png(ramp()), dicom_bytes(ramp(np.uint16))], ids=["png", "dicom"])
def test_picture_and_prediction_are_what_the_client_gives(ask, small_server: str, content: bytes) -> None:
    picture = ask.post("/api/picture", content)
    assert picture.headers["picture-size"] == picture.headers["original-size"] == "32x20"
    np.testing.assert_array_equal(np.frombuffer(picture.body, np.uint8).reshape(20, 32), read_image(content).array)
    with Client(small_server, "ensemble") as client:
        (expected,) = client.predict_contents([("x", content)])
    assert isinstance(expected, Prediction)
    told = ask.post("/api/prediction?model=ensemble", content).json
    expected_json = expected.to_json()
    del expected_json["path"]
    assert {**told, "conformal_set": tuple(told["conformal_set"]), "remarks": tuple(told["remarks"])} == {
        **expected_json,
        "numbered": None,
        "classes": list(expected.probabilities),
    }
    assert set(told["members"]) == {"densenet201", "mobilenet"}


def test_a_header_that_tells_of_something_else_comes_with_the_answer(ask) -> None:
    lateral = dicom_bytes(ramp(np.uint16), ViewPosition="LL")
    told = ask.post("/api/prediction?model=ensemble", lateral).json
    assert told["remarks"] == ["ViewPosition is LL, not AP or PA"]
    assert "DOE" not in str(told)


def test_a_long_picture_is_scaled_for_the_screen(ask) -> None:
    picture = ask.post("/api/picture", png(np.tile(ramp(), (1, 70))))
    assert (picture.headers["picture-size"], picture.headers["original-size"]) == ("2048x18", "2240x20")
    assert len(picture.body) == 2048 * 18


@pytest.mark.parametrize(("index", "explained", "hot"), [(-1, "pneumonia", 255), (0, "covid19", 255), (2, "normal", 0)])
def test_heat_maps(ask, index: int, explained: str, hot: int) -> None:
    dark = png(ramp() // 3)  # of the second class, by this model
    told = ask.post(f"/api/heat-map?model=ensemble&index={index}", dark).json
    assert told["explained"] == explained
    assert told["prediction"]["label"] == "pneumonia"
    assert set(told["maps"]) == {"", "densenet201", "mobilenet"}
    for found in told["maps"].values():
        levels = np.frombuffer(base64.b64decode(found["levels"]), np.uint8).reshape(found["rows"], found["columns"])
        np.testing.assert_array_equal(levels, [[hot, 0], [0, 0]])


@pytest.mark.parametrize(
    ("path", "status", "kind"),
    [("heat-map?model=mobilenet", 502, "model"), ("heat-map?model=ensemble&index=x", 400, "page"), ("prediction?model=nope", 404, "model")],
    ids=["no such signature", "no number", "no such model"],
)
def test_questions_that_cannot_be_answered(ask, path: str, status: int, kind: str) -> None:
    answer = ask.post(f"/api/{path}", png(ramp()))
    assert (answer.status, answer.json["kind"]) == (status, kind)
    assert answer.json["message"].endswith(".")


@pytest.mark.parametrize(
    ("content", "text"),
    [
        (b"", "The file is empty."),
        (b"a text file", "Not a PNG, JPEG, BMP, TIFF or DICOM file."),
        (png(ramp())[:60], "Cannot be decoded"),
        (dicom_bytes(ramp())[:-100], "Cannot be decoded"),
        (dicom_bytes(np.concatenate([ramp(), ramp()]), Rows=20, NumberOfFrames=2), "Holds 2 frames; save the one that is meant."),
        (png(np.zeros((8, 8), np.uint8)), "8x8 pixels; a side needs at least 16."),
        (png(np.zeros((20, 20), np.uint8)), ""),
    ],
    ids=["empty", "text", "truncated PNG", "truncated DICOM", "frames", "small", "blank"],
)
@pytest.mark.parametrize("path", ["picture", "prediction?model=ensemble"])
def test_a_file_that_is_no_radiograph_says_why(ask, path: str, content: bytes, text: str) -> None:
    answer = ask.post(f"/api/{path}", content)
    assert (answer.status, answer.json["kind"], answer.json["again"]) == (422, "file", False)
    assert answer.json["message"].startswith(text)
    assert answer.json["message"].endswith(".")
    assert "DOE" not in answer.body.decode()


def test_files_that_fill_the_memory_keep_others_out_until_they_are_gone(small_server: str, open_page: Callable[..., Page], ask) -> None:
    address = open_page(small_server, limits=Limits(max_message_bytes=2**20)).address
    host, port = address.split(":")
    head = f"POST /api/picture HTTP/1.1\r\nHost: {address}\r\nOrigin: http://{address}\r\nContent-Type: {BODY_TYPE}\r\n"
    small = type(ask)(address)
    with contextlib.ExitStack() as stack:

        def hold() -> socket.socket:
            slow = stack.enter_context(socket.create_connection((host, int(port)), timeout=60))
            slow.sendall(f"{head}Content-Length: {2**20}\r\n\r\n".encode() + bytes(2**20 - 1))
            return slow

        held, deadline = [hold(), hold(), hold()], time.monotonic() + 60
        while (answer := small.post("/api/picture", png(ramp()))).status == 200:  # they are still on their way
            assert time.monotonic() < deadline
            # One of them is refused where it wants the last bytes while the small file holds them.
            held = [hold() if select.select([slow], [], [], 0)[0] else slow for slow in held]
            time.sleep(0.02)
        assert (answer.status, answer.json["kind"], answer.json["again"]) == (503, "page", True)
    while small.post("/api/picture", png(ramp())).status != 200:  # they are gone, and what they held with them
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_a_file_that_is_too_large_is_refused_before_it_is_read(small_server: str, open_page: Callable[..., Page], ask) -> None:
    small = type(ask)(open_page(small_server, limits=Limits(max_message_bytes=2**20)).address)
    answer = small.post("/api/picture", bytes(2**20 + 1))
    assert (answer.status, answer.json["kind"]) == (413, "file")
    assert answer.json["message"] == "Too large: files may have 1 MB."
    assert small.post("/api/picture", png(ramp())).status == 200
