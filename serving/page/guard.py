"""Who may ask the page, and what browsers may do with its answers. An ASGI middleware.

The page has no passwords. It listens on the loopback address, which alone does not keep other web sites out: a name of theirs may come to
mean 127.0.0.1 (DNS rebinding), and their pages may send requests here from the user's browser (CSRF).
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable
from http import HTTPStatus

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import PlainTextResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "Cache-Control": "no-store",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}
BODY_TYPE = "application/octet-stream"  # of every POST: no form of another site can send it, and no script without asking before
_HOST = re.compile(r"(?P<name>\[[^\]]+\]|[^:\[\]]+)(?::\d+)?", re.ASCII)
_SAFE = ("GET", "HEAD")


class Guard:
    """Lets a request through or answers it with 403, 415 or 421; adds HEADERS to every answer."""

    def __init__(self, app: ASGIApp, hosts: Iterable[str] = ()):
        """Wraps an application.

        Args:
          app: what answers.
          hosts: names that the page may be called by, beside localhost and addresses: another site can have a name mean this machine,
            but not an address.
        """
        self._app = app
        self._hosts = {"localhost", *(host.lower() for host in hosts)}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answers one request (ASGI)."""

        async def with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).update(HEADERS)
            await send(message)

        await (self._refusal(scope) or self._app)(scope, receive, with_headers)

    def _refusal(self, scope: Scope) -> Response | None:
        headers = Headers(scope=scope)
        host = headers.get("host", "")
        if not self._known(host):
            return _refuse(HTTPStatus.MISDIRECTED_REQUEST, "This page is not known by that name; see cxr page --allowed-host.")
        if scope["method"] in _SAFE:
            return None
        # Browsers name the origin of every POST. The scheme may differ: TLS ends at a proxy, where there is one.
        if headers.get("origin", "").partition("://")[2].lower() != host.lower():
            return _refuse(HTTPStatus.FORBIDDEN, "This request does not come from the page itself.")
        if headers.get("content-type") != BODY_TYPE:
            return _refuse(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, f"Files are sent as {BODY_TYPE}.")
        return None

    def _known(self, host: str) -> bool:
        match = _HOST.fullmatch(host)
        if match is None:
            return False
        name = match["name"].lower()
        try:
            ipaddress.ip_address(name.strip("[]"))
        except ValueError:
            return name in self._hosts
        return True


def _refuse(status: HTTPStatus, text: str) -> Response:
    return PlainTextResponse(text, status, {"Connection": "close"})  # the body, if any, is not read
