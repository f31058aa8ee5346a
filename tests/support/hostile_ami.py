"""An AMI server that lets anybody in, and then does what a test says: lies, floods, drips, hangs up."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Iterable
from types import TracebackType
from typing import Self

from plantel.testing.ami_server import Headers, read_action

Reaction = Callable[[Headers], AsyncIterator[bytes] | Iterable[bytes]]

BANNER = b"Asterisk Call Manager/5.0.4\r\n"
LISTING = b"Response: Success\r\nActionID: %b\r\nEventList: start\r\nMessage: Queue status will follow\r\n\r\n"
LISTED = b"Event: QueueStatusComplete\r\nActionID: %b\r\nEventList: Complete\r\n\r\n"
QUEUE = b"Event: QueueParams\r\nQueue: %b\r\nMax: 0\r\nStrategy: ringall\r\nCalls: 0\r\nActionID: %b\r\n\r\n"
MEMBER = (
    b"Event: QueueMember\r\nQueue: %b\r\nName: Ana %d\r\nLocation: SIP/%d\r\nStateInterface: SIP/%d\r\n"
    b"Membership: dynamic\r\nPenalty: 0\r\nCallsTaken: 0\r\nLastCall: 0\r\nLastPause: 0\r\nLoginTime: 1700000000\r\n"
    b"InCall: 0\r\nStatus: 1\r\nPaused: 0\r\nPausedReason: \r\nWrapuptime: 0\r\nActionID: %b\r\n\r\n"
)


def nothing(_action: Headers) -> Iterable[bytes]:
    """No answer."""
    return ()


class HostileAmi:
    """Listens on a free port of loopback while it is entered as an asynchronous context.

    `react` gives the answer, piece by piece, to what is asked after the login; what it gives to a "" that was never
    asked is sent right after the login. After the answer to an action of `hang_up`, the connection closes.
    """

    def __init__(self, react: Reaction = nothing, *, hang_up: str = "") -> None:
        self.react = react
        self.hang_up = hang_up
        self.host = "127.0.0.1"
        self.port = 0
        self.logins = 0
        self.sent = 0
        """Bytes that the connections have taken so far."""
        self._tasks: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._accept, self.host, 0)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        flood: asyncio.Task[None] | None = None
        try:
            with contextlib.suppress(OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
                writer.write(BANNER)
                while True:
                    action = read_action(await reader.readuntil(b"\r\n\r\n"))
                    name, number = action["Action"], action.get("ActionID", "").encode()
                    if name == "Challenge":
                        writer.write(b"Response: Success\r\nActionID: %b\r\nChallenge: 1\r\n\r\n" % number)
                    elif name == "Login":
                        self.logins += 1
                        writer.write(b"Response: Success\r\nActionID: %b\r\n\r\nEvent: FullyBooted\r\n\r\n" % number)
                        flood = asyncio.create_task(self._send(writer, {"Action": ""}))
                    else:
                        await self._send(writer, action)
                        if name == self.hang_up:
                            return
        finally:
            if flood is not None:
                flood.cancel()
            writer.transport.abort()

    async def _send(self, writer: asyncio.StreamWriter, action: Headers) -> None:
        with contextlib.suppress(OSError):
            answer = self.react(action)
            if isinstance(answer, AsyncIterator):
                async for piece in answer:
                    await self._write(writer, piece)
            else:
                for piece in answer:
                    await self._write(writer, piece)

    async def _write(self, writer: asyncio.StreamWriter, piece: bytes) -> None:
        writer.write(piece)
        await writer.drain()
        self.sent += len(piece)


def looks(*items: bytes) -> Reaction:
    """QueueStatus is answered with these items, in which `%b` stands for the ActionID; all else is a success."""

    def react(action: Headers) -> Iterable[bytes]:
        number = action.get("ActionID", "").encode()
        if action["Action"] == "QueueStatus":
            yield LISTING % number
            yield from (item % number if b"%b" in item else item for item in items)
            yield LISTED % number
        elif action["Action"]:
            yield b"Response: Success\r\nActionID: %b\r\n\r\n" % number

    return react
