"""A file that is not there whole: its bytes so far, and what is needed to go on with the same file and no other."""

from __future__ import annotations

import base64
import re
from pathlib import Path

import pydantic
import requests

from cxr.core.strict_model import StrictModel

_NUMBER = "[0-9]{1,18}"  # of bytes; int() refuses some characters that isdigit() takes, and thousands of digits
_RANGE = re.compile(rf"bytes (?:({_NUMBER})-{_NUMBER}|\*)/({_NUMBER}|\*)")


class _State(StrictModel):
    url: str
    validator: str = ""  # strong ETag or Last-Modified: names this version of the file
    total: int | None = None  # bytes
    md5: str | None = None  # that the server states in hex, of the whole file


class Partial:
    """The bytes so far lie beside the file they are to become, under a name of their own."""

    def __init__(self, target: Path, url: str):
        """Finds what an earlier call left; what came from another address is forgotten."""
        self.path = target.with_name(f".{target.name}.part")
        self._state_path = target.with_name(f".{target.name}.part.json")
        self.state = _State(url=url)
        try:
            found = _State.model_validate_json(self._state_path.read_text(encoding="utf-8"))
        except (OSError, ValueError, pydantic.ValidationError):
            found = None
        if found and found.url == url:
            self.state = found
        else:
            self.clear()

    @property
    def size(self) -> int:
        """Bytes that are there."""
        try:
            return self.path.stat().st_size
        except FileNotFoundError:
            return 0

    def clear(self) -> None:
        """Begins anew."""
        self.remove_state()
        self.path.unlink(missing_ok=True)
        self.state = _State(url=self.state.url)

    def remove_state(self) -> None:
        """Removes what is known of the file; its bytes have got their name."""
        self._state_path.unlink(missing_ok=True)

    def request_headers(self) -> dict[str, str]:
        """Returns the headers that ask for the rest, if it is still the same file (RFC 9110, 13.1.5), or for all of it."""
        headers = {"Accept-Encoding": "identity"}
        if self.size:
            headers["Range"] = f"bytes={self.size}-"
            if self.state.validator:
                headers["If-Range"] = self.state.validator
        return headers

    def continues(self, response: requests.Response) -> bool:
        """Tells whether a 206 is the rest of the same file; some servers ignore If-Range."""
        match = _RANGE.fullmatch(response.headers.get("Content-Range", ""))
        if not match or match[1] is None or int(match[1]) != self.size:
            return False
        if match[2] != "*" and self.state.total not in (None, int(match[2])):
            return False
        return not (self.state.validator and _validator(response) not in ("", self.state.validator))

    def is_whole(self, response: requests.Response) -> bool:
        """Tells whether a 416 means that nothing is left to send."""
        match = _RANGE.fullmatch(response.headers.get("Content-Range", ""))
        return bool(match and self.size and match[2] == str(self.size))

    def learn(self, response: requests.Response) -> None:
        """Keeps what an answer with 200 or 206 says of the file, before its body is read."""
        total = None
        match = _RANGE.fullmatch(response.headers.get("Content-Range", ""))
        length = response.headers.get("Content-Length", "")
        if response.status_code == 206:
            total = int(match[2]) if match and match[2] != "*" else None
        elif re.fullmatch(_NUMBER, length):
            total = int(length)
        stated = dict(part.strip().partition("=")[::2] for part in response.headers.get("x-goog-hash", "").split(","))
        self.state = _State(url=self.state.url, validator=_validator(response), total=total, md5=_hex(stated.get("md5", "")))
        self._state_path.write_text(self.state.model_dump_json(), encoding="utf-8")


def _validator(response: requests.Response) -> str:
    tag = response.headers.get("ETag", "")
    return tag if tag.startswith('"') else response.headers.get("Last-Modified", "")


def _hex(stated: str) -> str | None:
    """Returns what Google's storage, from which Kaggle serves, states in base64."""
    try:
        digest = base64.b64decode(stated, validate=True)
    except ValueError:
        return None
    return digest.hex() if len(digest) == 16 else None
