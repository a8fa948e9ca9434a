"""Answers that reach clients which are still sending: what nginx calls a lingering close.

A connection that ends with bytes unread is reset by the kernel, and the client finds that in place of the answer.
"""

import asyncio
from contextlib import suppress

from starlette.types import ASGIApp, Message, Receive, Scope, Send

BODY_RECEIVED = "body_received"  # in a scope's state: whether all of the body has come in, or the client went away
_PAUSE = 2.0  # seconds without a byte, after which nobody waits for more


class Lingering:
    """An ASGI application around another, whose responses end when the rest of the request's body has been read and dropped.

    The client has the whole answer from the beginning of this waiting.
    """

    def __init__(self, app: ASGIApp, seconds: float):
        """Takes what answers, and the seconds in which the rest must come; a pause of `_PAUSE` ends the waiting, too."""
        self._app, self._seconds = app, seconds

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answers one request (ASGI)."""
        state = scope.setdefault("state", {})
        state[BODY_RECEIVED] = False

        async def noting() -> Message:
            message = await receive()
            state[BODY_RECEIVED] = not message.get("more_body", False)
            return message

        async def drop_rest() -> None:
            async with asyncio.timeout(self._seconds):
                while not state[BODY_RECEIVED]:
                    async with asyncio.timeout(_PAUSE):
                        await noting()

        async def sending(message: Message) -> None:
            last = message["type"] == "http.response.body" and not message.get("more_body", False)
            if last and not state[BODY_RECEIVED]:
                await send({**message, "more_body": True})
                with suppress(TimeoutError, asyncio.CancelledError):  # the latter: the server is going
                    await drop_rest()
                message = {"type": "http.response.body", "body": b""}
            await send(message)

        await self._app(scope, noting, sending)
