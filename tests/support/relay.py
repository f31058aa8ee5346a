"""TCP that is handed on: what the weak lines and networks of the tests are made of."""

import asyncio
import contextlib
import socket
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Coroutine
from types import TracebackType
from typing import Any, Self


class Relay(ABC):
    """Listens on loopback while entered; what becomes of a connection to there is for `serve` to say."""

    def __init__(self, upstream: int) -> None:
        """`upstream`: the port of loopback to which things are handed on."""
        self.port = 0
        self._upstream = upstream
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        assert self._server is not None
        self._server.close()
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self._server.wait_closed()

    @abstractmethod
    async def serve(self, reader: asyncio.StreamReader, client: asyncio.StreamWriter) -> None:
        """Deal with a connection; the client's is closed when this returns, or raises OSError."""

    async def dial(self, receive: int = 0) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """A connection to `upstream`. `receive`: the bytes that wait there at most until they are read, about."""
        end = socket.socket()
        end.setblocking(False)
        if receive:
            end.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive)
        try:
            await asyncio.get_running_loop().sock_connect(end, ("127.0.0.1", self._upstream))
        except OSError:
            end.close()
            raise
        return await asyncio.open_connection(sock=end, limit=receive or 65536)

    async def _accept(self, reader: asyncio.StreamReader, client: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        try:
            with contextlib.suppress(OSError, asyncio.CancelledError):
                await self.serve(reader, client)
        finally:
            self._tasks.discard(task)
            client.close()


@contextlib.asynccontextmanager
async def both_ways(up: Coroutine[Any, Any, None], down: Coroutine[Any, Any, None]) -> AsyncIterator[None]:
    """Run both. The block is entered when one of them has ended; with it ends the other."""
    ways = (asyncio.create_task(up), asyncio.create_task(down))
    try:
        await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        yield
    finally:
        for way in ways:
            way.cancel()
        await asyncio.gather(*ways, return_exceptions=True)
