"""The network between a node and its database: TCP that is handed on, until it is cut."""

import asyncio
import contextlib
from types import TracebackType
from typing import Self


class Link:
    """Listens on loopback while entered and hands everything on to `port`.

    What is cut stays open and says nothing, as where packets are lost; new connections are accepted and never served.
    """

    def __init__(self, port: int) -> None:
        self.port = 0
        self._upstream = port
        self._whole = asyncio.Event()
        self._whole.set()
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

    def cut(self) -> None:
        """Hand nothing on any more, either way."""
        self._whole.clear()

    def mend(self) -> None:
        """Go on, also with what was sent meanwhile."""
        self._whole.set()

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        try:
            with contextlib.suppress(OSError, asyncio.CancelledError):
                await self._whole.wait()
                upstream_reader, upstream = await asyncio.open_connection("127.0.0.1", self._upstream)
                try:
                    ways = (
                        asyncio.create_task(self._hand_on(reader, upstream)),
                        asyncio.create_task(self._hand_on(upstream_reader, writer)),
                    )
                    try:
                        await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
                        await self._whole.wait()  # nobody learns that the other end has gone while the network is cut
                    finally:
                        for way in ways:
                            way.cancel()
                        await asyncio.gather(*ways, return_exceptions=True)
                finally:
                    upstream.close()
        finally:
            self._tasks.discard(task)
            writer.close()

    async def _hand_on(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(65536):
            await self._whole.wait()
            writer.write(data)
            await writer.drain()
