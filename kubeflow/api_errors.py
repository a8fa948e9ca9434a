"""What kfp's client raises, as messages: which faults pass by themselves, and which do not."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from http import HTTPStatus

from cxr.core.errors import CxrError

_HINTS = {
    HTTPStatus.UNAUTHORIZED: "; set CXR_KFP_TOKEN, or give --token-file",
    HTTPStatus.FORBIDDEN: "; the account may not do this in the namespace",
    HTTPStatus.NOT_FOUND: "; no such thing",
}
_PASSING = (HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.TOO_MANY_REQUESTS)  # beside all of the server's own: 500, of a lost database too


class NoAnswerError(CxrError):
    """The API server, or a gateway before it, has no answer at the moment; a later call may get one."""


class NotThereError(CxrError):
    """The API server knows no such run."""


@contextmanager
def explained(what: str) -> Iterator[None]:
    """Turns the clients' exceptions into messages.

    Args:
      what: The block does, or asks about.

    Raises:
      NoAnswerError: The server cannot be reached, or says that it has trouble of its own.
      NotThereError: It has no such thing.
      CxrError: It refuses.
    """
    import kfp_server_api
    import urllib3

    try:
        yield
    except kfp_server_api.ApiException as error:
        text = " ".join(str(error.body or error.reason or "").split())[:500]
        raise _kind(error.status)(f"{what}: {error.status} {text}{_HINTS.get(error.status, '')}") from error
    except (urllib3.exceptions.HTTPError, TimeoutError) as error:
        raise NoAnswerError(f"{what}: not reachable ({error}); is --host right, or a port-forward running?") from error


def check_is_of_kfp(found: object, what: str) -> None:
    """Tells an answer of Kubeflow Pipelines from a page: a login's or a gateway's, of which kfp's client makes an empty object.

    Args:
      found: What every answer of the kind has, as kfp's client read it.
      what: Was asked, for the message.

    Raises:
      CxrError: It is missing.
    """
    if not found:
        raise CxrError(
            f"{what}: the answer is not one of Kubeflow Pipelines' API, but perhaps a page to log in; "
            "set CXR_KFP_TOKEN or give --token-file, and look at what --host leads to"
        )


def passes(status: int) -> bool:
    """Tells whether an answer with this HTTP status says that a later one may be another."""
    return status in _PASSING or status >= HTTPStatus.INTERNAL_SERVER_ERROR


def _kind(status: int) -> type[CxrError]:
    if status == HTTPStatus.NOT_FOUND:
        return NotThereError
    return NoAnswerError if passes(status) else CxrError
