"""Bodies of REST requests: bounded in size, memory and time; chunked or in one piece, plain or compressed with gzip."""

import asyncio
import zlib
from http import HTTPStatus

import grpc
from starlette.requests import Request

from cxr.serving.server.errors import ServingError, invalid
from cxr.serving.server.lingering import BODY_RECEIVED

_STEP = 2**18  # bytes decompressed at a time: what a gzip bomb gets before it is noticed
_GZIP = 16 + zlib.MAX_WBITS  # zlib's number for "a gzip header is expected"


class BodyRefusedError(ServingError):
    """A body that TensorFlow Serving would not refuse; so its HTTP status follows from HTTP, not from the gRPC code.

    Attributes:
      status: HTTP status.
    """

    def __init__(self, status: HTTPStatus, code: grpc.StatusCode, message: str):
        super().__init__(code, message)
        self.status = status


class Memory:
    """Bytes of request bodies that the server holds at one time. Used by the event loop's thread only."""

    def __init__(self, limit: int):
        """Takes the largest sum, in bytes."""
        self._limit = limit
        self._held = 0

    def lease(self) -> "Lease":
        """Returns the share of one request, empty at first; it ends with its `with` block."""
        return Lease(self)

    def change(self, count: int) -> None:
        """Adds bytes, or gives them back if negative; raises ServingError UNAVAILABLE above the limit."""
        if count > 0 and self._held + count > self._limit:
            raise ServingError(
                grpc.StatusCode.UNAVAILABLE, f"The bodies of other requests fill the {self._limit} bytes for them; try again later"
            )
        self._held += count


class Lease:
    """What one request holds of a Memory."""

    def __init__(self, memory: Memory):
        self._memory = memory
        self._count = 0

    def grow(self, count: int) -> None:
        """Takes more bytes; raises ServingError UNAVAILABLE when they are not free."""
        self._memory.change(count)
        self._count += count

    def __enter__(self) -> "Lease":
        return self

    def __exit__(self, *error: object) -> None:
        self._memory.change(-self._count)


async def read(request: Request, lease: Lease, limit: int, seconds: float) -> bytearray:
    """Reads and decompresses a body.

    Args:
      request: at its beginning.
      lease: grows by what arrives.
      limit: largest body in bytes, decompressed.
      seconds: until the body must be here.

    Raises:
      BodyRefusedError: 413, too large; 408, too slow.
      ServingError: UNAVAILABLE, no memory; INVALID_ARGUMENT, a body that is not what its headers say.
      starlette.requests.ClientDisconnect: the client went away.
    """
    length = request.headers.get("content-length")
    if length is not None and int(length) > limit:  # h11 lets only digits through
        raise _too_large(limit)
    encoding = request.headers.get("content-encoding", "identity").strip().lower()
    if encoding not in ("identity", "gzip"):
        raise invalid(f"Content-Encoding {encoding} is not supported; send gzip or none")
    try:
        async with asyncio.timeout(seconds):
            return await (_gunzip if encoding == "gzip" else _plain)(request, lease, limit)
    except TimeoutError as error:
        text = f"The body did not arrive within {seconds:g} s"
        raise BodyRefusedError(HTTPStatus.REQUEST_TIMEOUT, grpc.StatusCode.DEADLINE_EXCEEDED, text) from error


def contradictory(request: Request) -> bool:
    """Returns whether a server before this one may see another end of the body: a way to smuggle a request past it (RFC 9112, 6.3)."""
    return "content-length" in request.headers and "transfer-encoding" in request.headers


def ends_connection(request: Request, error: ServingError) -> bool:
    """Returns whether the connection must end with the error, because it is not certain where the next request begins."""
    if getattr(request.state, BODY_RECEIVED, False):
        return False
    slow = isinstance(error, BodyRefusedError) and error.status == HTTPStatus.REQUEST_TIMEOUT
    return contradictory(request) or slow or "expect" in request.headers


async def _plain(request: Request, lease: Lease, limit: int) -> bytearray:
    body = bytearray()
    async for chunk in request.stream():
        _append(body, chunk, lease, limit)
    return body


async def _gunzip(request: Request, lease: Lease, limit: int) -> bytearray:
    body, stream = bytearray(), zlib.decompressobj(_GZIP)
    try:
        async for chunk in request.stream():
            while chunk:
                _append(body, stream.decompress(chunk, _STEP), lease, limit)
                chunk = stream.unconsumed_tail
                await asyncio.sleep(0)  # other requests take turns
            if stream.unused_data:
                raise invalid("The body goes on after the end of its gzip data")
        _append(body, stream.flush(), lease, limit)
    except zlib.error as error:
        raise invalid(f"The body is not gzip data ({error})") from error
    if not stream.eof:
        raise invalid("The gzip data of the body end early")
    return body


def _append(body: bytearray, piece: bytes, lease: Lease, limit: int) -> None:
    if len(body) + len(piece) > limit:
        raise _too_large(limit)
    lease.grow(len(piece))
    body += piece


def _too_large(limit: int) -> BodyRefusedError:
    text = f"The body has more than {limit} bytes"
    return BodyRefusedError(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, grpc.StatusCode.RESOURCE_EXHAUSTED, text)
