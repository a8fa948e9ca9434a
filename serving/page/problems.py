"""What went wrong, for people in front of a browser: a sentence, whether it helps to try again, and the technical text beside it."""

from __future__ import annotations

from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

import grpc

from cxr.core.errors import CxrError
from cxr.serving.client import errors
from cxr.serving.server.errors import ServingError
from cxr.serving.server.rest_body import BodyRefusedError

FILE = "the file"  # stands for its name in messages: the browser knows it, nobody else needs to


@dataclass(frozen=True)
class Problem:
    """Why there is no answer.

    Attributes:
      status: of HTTP.
      kind: "file" (nothing but another file helps), "server", "model" or "page".
      message: for people.
      details: for who runs the server; may be empty.
      again: whether the same request may work later.
    """

    status: HTTPStatus
    kind: str
    message: str
    details: str = ""
    again: bool = False

    def to_json(self) -> dict[str, Any]:
        """Returns the fields, ready for `json.dumps`."""
        return {"kind": self.kind, "message": self.message, "details": self.details, "again": self.again}


# The first that fits counts: subclasses before their bases. The texts of images are shown as they are.
_KINDS: tuple[tuple[type[CxrError], HTTPStatus, str, str, bool], ...] = (
    (errors.BadImage, HTTPStatus.UNPROCESSABLE_ENTITY, "file", "", False),
    (errors.TooLarge, HTTPStatus.UNPROCESSABLE_ENTITY, "file", "", False),
    (errors.Overloaded, HTTPStatus.SERVICE_UNAVAILABLE, "server", "The model server is too busy for this request at the moment.", True),
    (errors.TlsFailed, HTTPStatus.BAD_GATEWAY, "server", "The model server and this page do not trust each other (TLS).", False),
    (errors.ServerUnavailable, HTTPStatus.SERVICE_UNAVAILABLE, "server", "No model server answers: it is starting, or down.", True),
    (errors.DeadlineExceeded, HTTPStatus.GATEWAY_TIMEOUT, "server", "The model did not answer in time.", True),
    (errors.ModelNotFound, HTTPStatus.NOT_FOUND, "model", "The server does not serve this model, or is still loading it.", True),
    (errors.SignatureMismatch, HTTPStatus.BAD_GATEWAY, "model", "This model cannot answer this kind of question.", False),
    (errors.RequestFailed, HTTPStatus.BAD_GATEWAY, "model", "The model failed on this picture.", True),
    (CxrError, HTTPStatus.BAD_GATEWAY, "model", "This model cannot be asked by this release.", False),
)


def of_error(error: CxrError) -> Problem:
    """Says what an error of the client means."""
    for kind, status, about, message, again in _KINDS:
        if isinstance(error, kind):
            # the names of settings are for who has a command line
            text = str(error).removeprefix("image: ").removeprefix(f"{FILE}: ").replace(" (max_pixels)", "")
            return Problem(status, about, message or _sentence(text), text if message else "", again)
    raise AssertionError(error)


def of_body(error: ServingError, limit: int) -> Problem:
    """Says why a request's body was not read.

    Args:
      error: what `rest_body.read` raised.
      limit: its largest body in bytes.
    """
    if not isinstance(error, BodyRefusedError):
        if error.code is grpc.StatusCode.UNAVAILABLE:
            text = "This page is too busy for this file at the moment."
            return Problem(HTTPStatus.SERVICE_UNAVAILABLE, "page", text, error.message, again=True)
        return Problem(HTTPStatus.BAD_REQUEST, "page", "The file did not arrive whole.", error.message, again=True)
    if error.status == HTTPStatus.REQUEST_ENTITY_TOO_LARGE:
        return Problem(error.status, "file", f"Too large: files may have {limit / 2**20:g} MB.")
    return Problem(error.status, "page", "The file did not arrive in time.", error.message, again=True)


def _sentence(text: str) -> str:
    return f"{text[:1].upper()}{text[1:]}{'' if text.endswith('.') else '.'}"
