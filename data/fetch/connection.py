"""One request: redirects by rules of our own, and what an answer means for whoever asked."""

from __future__ import annotations

import email.utils
import time
from collections.abc import Iterator
from pathlib import PurePosixPath
from urllib.parse import urljoin, urlsplit

import requests
import urllib3

from cxr.data.fetch.credentials import REMEDY
from cxr.data.fetch.errors import FetchError, Transient

TIMEOUTS = (15, 60)  # seconds: to connect, and between two pieces of an answer
CHUNK = 1 << 16  # bytes
MAX_REDIRECTS = 10
REDIRECTS = (301, 302, 303, 307, 308)
MAY_PASS = (408, 425, 429, 500, 502, 503, 504)
IMAGES = (".jpg", ".jpeg", ".png")
LIMITED = (403, 429)  # GitHub answers so where too much was asked


class Connection:
    """Keeps connections open between requests; proxies and certificates are those of the environment (HTTPS_PROXY, REQUESTS_CA_BUNDLE)."""

    def __init__(self) -> None:
        self._session = requests.Session()
        self._session.auth = _as_it_is  # without it, requests would put a password of ~/.netrc over the header Authorization
        self._session.headers["User-Agent"] = "cxr-fetch"

    def get(self, url: str, headers: dict[str, str], authorization: str | None = None) -> requests.Response:
        """Asks, following redirects; the credentials go to the first host only.

        Args:
          url: http or https.
          headers: Of the request.
          authorization: Value of the header of that name.

        Returns:
          An answer with 200, 206 or 416, its body not yet read. Close it.

        Raises:
          Transient: It may pass.
          FetchError: It will not.
        """
        first = urlsplit(url)
        for _ in range(MAX_REDIRECTS + 1):
            same = urlsplit(url)[:2] == first[:2]
            sent = headers | ({"Authorization": authorization} if authorization and same else {})
            try:
                response = self._session.get(url, headers=sent, stream=True, allow_redirects=False, timeout=TIMEOUTS)
            except requests.exceptions.SSLError:
                raise FetchError(
                    f"{shown(url)}: its certificate is not trusted; behind a proxy, name its authority in REQUESTS_CA_BUNDLE"
                ) from None
            except (requests.exceptions.ConnectionError, requests.exceptions.Timeout):
                raise Transient("cannot be reached") from None
            except (requests.exceptions.RequestException, ValueError):
                raise FetchError(f"{shown(url)}: is no address that can be asked") from None
            if response.status_code not in REDIRECTS:
                _check(response, url, authorized=authorization is not None)
                return response
            with response:
                url = redirected(url, response.headers.get("Location", ""))
        raise FetchError(f"{shown(first.geturl())}: redirects more than {MAX_REDIRECTS} times; {_MOVED}")


_MOVED = "the address may have changed: download the collection in a browser and name the folder with --from"


def redirected(url: str, location: str) -> str:
    """Returns where a redirect leads.

    Raises:
      FetchError: Nowhere, away from http and https, or from https to http.
    """
    target = urljoin(url, location)
    if not location or urlsplit(target).scheme not in ("http", "https"):
        raise FetchError(f"{shown(url)}: redirects to no web address; {_MOVED}")
    if urlsplit(url).scheme == "https" and urlsplit(target).scheme == "http":
        raise FetchError(
            f"{shown(url)}: redirects from https to http, where anybody on the way could change the file; not followed. {_MOVED}"
        )
    return target


def shown(url: str) -> str:
    """Returns an address for messages: without its query, which may hold a signature, and without the name of an image."""
    parts = urlsplit(url)
    path = PurePosixPath(parts.path)
    return f"{parts.scheme}://{parts.hostname}{path.parent / '…' if path.suffix.lower() in IMAGES else path}"


def body(response: requests.Response) -> Iterator[bytes]:
    """Yields the body as it was sent.

    Raises:
      Transient: The connection broke, or the body is shorter than was said.
    """
    try:
        while data := response.raw.read1(CHUNK, decode_content=False):  # as it comes: a connection that is cut loses nothing
            yield data
    except (urllib3.exceptions.HTTPError, OSError):
        raise Transient("the connection was cut") from None


def _as_it_is(request: requests.PreparedRequest) -> requests.PreparedRequest:
    return request


def _check(response: requests.Response, url: str, *, authorized: bool) -> None:
    status = response.status_code
    if status in (200, 206):
        if response.headers.get("Content-Encoding", "identity") != "identity":
            response.close()
            raise FetchError(f"{shown(url)}: is sent compressed though that was not asked for; is there a proxy that changes files?")
        if response.headers.get("Content-Type", "").startswith("text/html"):
            response.close()
            raise FetchError(f"{shown(url)}: is a web page in place of the file; does a proxy want a log-in? {_MOVED}")
        return
    if status == 416:
        return
    response.close()
    spent = status in LIMITED and response.headers.get("X-RateLimit-Remaining") == "0"
    if status in MAY_PASS or spent:
        raise Transient(f"the server answered {status}", _retry_after(response))
    if status in (401, 403) and authorized:
        raise FetchError(
            f"{shown(url)}: Kaggle refused ({status}): wrong credentials, or terms not yet accepted on the set's page; {REMEDY}"
        )
    raise FetchError(f"{shown(url)}: the server answered {status}; {_MOVED}")


def _retry_after(response: requests.Response) -> float | None:
    """Returns seconds, from Retry-After (a number or a date) or GitHub's time of reset."""
    value = response.headers.get("Retry-After", "")
    if value.isdecimal():
        return float(value)
    reset = response.headers.get("X-RateLimit-Reset", "")
    if reset.isdecimal():
        return max(0.0, float(reset) - time.time())
    try:
        return max(0.0, email.utils.parsedate_to_datetime(value).timestamp() - time.time())
    except ValueError:
        return None
