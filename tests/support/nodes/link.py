"""The network between a node and its database: TCP that is handed on, until it is cut or broken off."""

import asyncio

from tests.support.relay import Relay, both_ways


class Link(Relay):
    """Hands everything on to the database's port.

    What is cut stays open and says nothing, as where packets are lost; new connections are accepted and never served.
    What is broken off ends at once, as where a router refuses; new connections end at once, too.
    """

    def __init__(self, upstream: int) -> None:
        super().__init__(upstream)
        self._whole = asyncio.Event()
        self._whole.set()
        self._broken = False
        self._ends: set[asyncio.StreamWriter] = set()

    def cut(self) -> None:
        """Hand nothing on any more, either way."""
        self._whole.clear()

    def break_off(self) -> None:
        """End every connection, and each new one."""
        self._broken = True
        for end in self._ends:
            end.transport.abort()

    def mend(self) -> None:
        """Go on, also with what was sent while it was cut."""
        self._broken = False
        self._whole.set()

    async def serve(self, reader: asyncio.StreamReader, client: asyncio.StreamWriter) -> None:
        if self._broken:
            return
        ends = {client}
        try:
            self._ends.add(client)
            await self._whole.wait()
            answers, database = await self.dial()
            ends.add(database)
            self._ends.add(database)
            async with both_ways(self._hand_on(reader, database), self._hand_on(answers, client)):
                await self._whole.wait()  # nobody learns that the other end has gone while the network is cut
        finally:
            self._ends -= ends
            for end in ends:
                end.close()

    async def _hand_on(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(65536):
            await self._whole.wait()
            writer.write(data)
            await writer.drain()
