"""Who gets an answer."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from starlette.responses import PlainTextResponse

from cxr.serving.page.guard import BODY_TYPE, Guard


def status(method: str, headers: dict[str, str], hosts: tuple[str, ...] = ()) -> int:
    """Returns how a guarded application that always answers 200 answers."""
    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message)

    async def receive() -> Any:
        return {"type": "http.request", "body": b"", "more_body": False}

    raw = [(name.encode(), value.encode()) for name, value in headers.items()]
    scope = {"type": "http", "method": method, "path": "/", "raw_path": b"/", "query_string": b"", "headers": raw}
    asyncio.run(Guard(PlainTextResponse("here"), hosts)(scope, receive, send))
    return sent[0]["status"]


@pytest.mark.parametrize(
    ("host", "known"),
    [
        ("127.0.0.1:8502", True),
        ("localhost:9000", True),  # a forwarded port
        ("LOCALHOST", True),
        ("[::1]:8502", True),
        ("192.168.1.7:8502", True),  # --host 0.0.0.0; nobody can have an address mean this machine
        ("xrays.example.org", True),
        ("evil.example", False),
        ("localhost.evil.example:8502", False),
        ("127.0.0.1.evil.example", False),
        ("127.0.0.1@evil.example", False),
        ("", False),
    ],
)
def test_names_of_other_sites_are_not_this_page(host: str, known: bool) -> None:
    assert status("GET", {"host": host}, ("xrays.example.org",)) == (200 if known else 421)


@pytest.mark.parametrize(
    ("origin", "expected"),
    [
        ("http://localhost:8502", 200),
        ("https://localhost:8502", 200),  # TLS ends before the page
        ("http://localhost:8503", 403),
        ("http://evil.example", 403),
        ("null", 403),
        (None, 403),
    ],
)
def test_files_come_from_the_page_itself(origin: str | None, expected: int) -> None:
    headers = {"host": "localhost:8502", "content-type": BODY_TYPE} | ({} if origin is None else {"origin": origin})
    assert status("POST", headers) == expected


def test_forms_of_other_sites_are_refused_whatever_they_say() -> None:
    headers = {"host": "localhost:8502", "origin": "http://localhost:8502"}
    assert status("POST", headers | {"content-type": "text/plain"}) == 415
    assert status("POST", headers) == 415
