"""Pages on free ports, and how to ask them as a browser does."""

from __future__ import annotations

import http.client
import json
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

import pytest

from cxr.serving.page.guard import BODY_TYPE
from cxr.serving.page.served import Served
from cxr.serving.page.server import Page


@dataclass(frozen=True)
class Answer:
    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


class Asker:
    """Sends requests as the page's scripts do."""

    def __init__(self, address: str) -> None:
        self.address = address

    def get(self, path: str, **headers: str) -> Answer:
        return self._ask("GET", path, None, headers)

    def post(self, path: str, body: bytes, **headers: str) -> Answer:
        return self._ask("POST", path, body, {"Origin": f"http://{self.address}", "Content-Type": BODY_TYPE, **headers})

    def _ask(self, method: str, path: str, body: bytes | None, headers: dict[str, str]) -> Answer:
        connection = http.client.HTTPConnection(self.address, timeout=60)
        try:
            connection.request(method, path, body, {name.replace("_", "-"): value for name, value in headers.items()})
            answer = connection.getresponse()
            return Answer(answer.status, {name.lower(): value for name, value in answer.getheaders()}, answer.read())
        finally:
            connection.close()


@pytest.fixture
def open_page() -> Iterator[Callable[..., Page]]:
    """Opens pages for a server's address; arguments as of Served and Page."""
    with ExitStack() as stack:
        yield lambda server, names=None, **options: stack.enter_context(Page(Served(server, names), port=0, **options))


@pytest.fixture
def ask(small_server: str, open_page: Callable[..., Page]) -> Asker:
    """A page for the models of `small_server`."""
    asker = Asker(open_page(small_server).address)
    assert asker.get("/api/models").status == 200
    return asker
