"""A web server that behaves badly when told to."""

from __future__ import annotations

import hashlib
import http.server
import threading
from collections import defaultdict
from collections.abc import Callable
from typing import Any

Answer = Callable[[http.server.BaseHTTPRequestHandler, Any], None]


class _Quiet(http.server.ThreadingHTTPServer):
    def handle_error(self, request, client_address):
        """A client that breaks off is what is tested."""


class BadServer:
    """Serves `files` with ranges, ETag and If-Range; what `next_answers` holds for a path comes first, one for each request.

    An answer is a function of the handler and the file's bytes.
    """

    def __init__(self):
        self.files: dict[str, bytes] = {}
        self.next_answers: dict[str, list[Answer]] = defaultdict(list)
        self.requests: list[tuple[str, dict[str, str]]] = []
        server = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self):
                path = self.path.partition("?")[0]
                server.requests.append((self.path, dict(self.headers)))
                waiting = server.next_answers[path]
                (waiting.pop(0) if waiting else honest)(self, server.files.get(path))

            def log_message(self, *_):
                pass

        self._server = _Quiet(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True).start()

    def headers(self, path):
        return [headers for asked, headers in self.requests if asked.partition("?")[0] == path]

    def close(self):
        self._server.shutdown()
        self._server.server_close()


def tag(data):
    return f'"{hashlib.sha256(data).hexdigest()[:16]}"'


def send(handler, status, data=b"", **headers):
    """Sends all of it; `length` and `sent` make it lie."""
    length, sent = headers.pop("length", len(data)), headers.pop("sent", data)
    handler.send_response(status)
    for name, value in headers.items():
        handler.send_header(name.replace("_", "-"), value)
    if length is not None:
        handler.send_header("Content-Length", str(length))
    handler.end_headers()
    handler.wfile.write(sent)
    if length != len(sent):
        handler.wfile.flush()
        handler.close_connection = True


def honest(handler, data):
    if data is None:
        return send(handler, 404)
    asked, condition = handler.headers.get("Range"), handler.headers.get("If-Range")
    if not asked or (condition and condition != tag(data)):
        return send(handler, 200, data, ETag=tag(data))
    start = int(asked.removeprefix("bytes=").partition("-")[0])
    if start >= len(data):
        return send(handler, 416, Content_Range=f"bytes */{len(data)}")
    return send(handler, 206, data[start:], ETag=tag(data), Content_Range=f"bytes {start}-{len(data) - 1}/{len(data)}")


def cut_after(count):
    """Sends the first bytes of what an honest server sends, then closes."""

    def answer(handler, data):
        asked = handler.headers.get("Range")
        start = int(asked.removeprefix("bytes=").partition("-")[0]) if asked else 0
        rest = data[start:]
        more = {"Content_Range": f"bytes {start}-{len(data) - 1}/{len(data)}"} if start else {}
        send(handler, 206 if start else 200, rest, sent=rest[:count], ETag=tag(data), **more)

    return answer


def always(status, **headers):
    return lambda handler, data: send(handler, status, **headers)
