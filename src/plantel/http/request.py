"""One ASGI request as the wire call needs it: headers once, and a body that is bounded in size and in time."""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from plantel import errors
from plantel.watch import Watch

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

DRAIN_TIME = 2.0
"""Seconds in which an early answer still swallows the body, so that the client gets to read the answer."""


class Disconnected(Exception):
    """The client went away before its body was complete."""


_watch = Watch()


class Request:
    """An HTTP request: scope, headers by lower-case name (the last of each), the client's `address`, body."""

    __slots__ = ("_receive", "address", "headers", "scope")

    def __init__(self, scope: Scope, receive: Receive, headers: dict[bytes, bytes], address: str) -> None:
        self.scope = scope
        self.headers = headers
        self.address = address
        self._receive = receive

    def header(self, name: bytes) -> bytes:
        """The header of that (lower-case) name, b"" where there is none."""
        return self.headers.get(name, b"")

    async def body(self, limit: int, seconds: float) -> bytes:
        """The whole body. Raises BodyTooLarge, BodyTooLate, and Disconnected where it is shorter than announced."""
        announced = self.headers.get(b"content-length", b"")
        expected = int(announced) if announced.isdigit() else None
        if expected is not None and expected > limit:
            raise errors.BodyTooLarge(most=limit)
        chunks: list[bytes] = []
        size = 0
        wait = _watch.begin(seconds)
        try:
            while True:
                message = await self._receive()
                if message["type"] == "http.disconnect":
                    # perhaps only its sending side is closed: whoever still reads is told
                    raise errors.BodyTooLate(seconds=round(seconds), received=size)
                chunk = message.get("body", b"")
                size += len(chunk)
                if size > limit:
                    raise errors.BodyTooLarge(most=limit)
                # all that was announced is there: no need to go round again for an empty last message
                if size == expected or not message.get("more_body", False):
                    if expected is not None and size < expected:
                        raise Disconnected
                    return b"".join((*chunks, chunk)) if chunks else chunk
                chunks.append(chunk)
        finally:
            if _watch.end(wait):
                raise errors.BodyTooLate(seconds=round(seconds), received=size)

    async def drain(self) -> bool:
        """Swallow a body that nobody will read, of any size, within DRAIN_TIME; whether it came to its end.

        Without it HTTP/1.1 clients that are still sending may see a reset instead of the early answer, and HTTP/2
        streams an error or, where the client waits for its window to open, nothing at all. A client that waits for
        `100 Continue` has sent nothing and needs nothing.
        """
        if self.header(b"expect").lower() == b"100-continue":
            return False
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(DRAIN_TIME):
                while (message := await self._receive())["type"] != "http.disconnect":
                    if not message.get("more_body", False):
                        return True
        return False


def timely(receive: Receive, seconds: float) -> Receive:
    """`receive` for a body that a framework reads: all of it has to come within `seconds` of the first call.

    Raises BodyTooLate, also where the client stops sending; what follows the body may take any time.
    """
    due: float | None = None
    size = 0
    complete = False

    async def received() -> Message:
        nonlocal due, size, complete
        if complete:
            return await receive()
        if due is None:
            due = asyncio.get_running_loop().time() + seconds
        try:
            async with asyncio.timeout_at(due):
                message = await receive()
        except TimeoutError:
            raise errors.BodyTooLate(seconds=round(seconds), received=size) from None
        if message["type"] == "http.disconnect":
            raise errors.BodyTooLate(seconds=round(seconds), received=size)
        size += len(message.get("body", b""))
        complete = not message.get("more_body", False)
        return message

    return received


async def respond(
    send: Send, status: int, body: bytes, content_type: bytes, headers: list[tuple[bytes, bytes]]
) -> None:
    """One whole answer."""
    start: list[tuple[bytes, bytes]] = [
        (b"content-type", content_type),
        (b"content-length", str(len(body)).encode()),
        *headers,
    ]
    await send({"type": "http.response.start", "status": status, "headers": start})
    await send({"type": "http.response.body", "body": body})
