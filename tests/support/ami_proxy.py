"""A line between Plantel and a real Asterisk that fails as lines do, and remembers what passed over it."""

import asyncio
import contextlib
from collections.abc import Callable, Iterable

from plantel.testing.ami_server import Headers, read_action
from tests.support.relay import Relay, both_ways

CHANGES = frozenset({"QueueAdd", "QueueRemove", "QueuePenalty", "QueuePause"})

_END = b"\r\n\r\n"


class Line:
    """One connection. `actions`: what reached Asterisk over it, in order."""

    def __init__(self, client: asyncio.StreamWriter, asterisk: asyncio.StreamWriter) -> None:
        self.actions: list[Headers] = []
        self.client = client
        self.asterisk = asterisk
        self.dark = False
        self.held: list[bytes] = []
        self.gone = asyncio.Event()

    @property
    def changes(self) -> list[Headers]:
        return [action for action in self.actions if action.get("Action") in CHANGES]

    @property
    def blind(self) -> list[Headers]:
        """The changes that were sent before Asterisk was asked how it stands."""
        names = [action.get("Action") for action in self.actions]
        first_look = names.index("QueueStatus") if "QueueStatus" in names else len(names)
        return [action for action in self.actions[:first_look] if action.get("Action") in CHANGES]

    def abort(self) -> None:
        for end in (self.client, self.asterisk):
            end.transport.abort()


class AmiProxy(Relay):
    """Hands everything on to the port of an Asterisk, until it is told otherwise.

    `lines`      every connection there was, the refused ones aside
    `cut_after`  (bytes, from Asterisk or not): after so many more bytes that way the connection is cut, in the middle
                 of whatever it is; once
    `watch`      called with the number of changes that have reached Asterisk in all, after each
    `heard`      called with every action that has reached Asterisk
    """

    def __init__(self, upstream: int) -> None:
        super().__init__(upstream)
        self.lines: list[Line] = []
        self.cut_after: tuple[int, bool] | None = None
        self.watch: Callable[[int], None] = lambda _count: None
        self.heard: Callable[[Headers], None] = lambda _action: None
        self._arrival = asyncio.Event()
        self._dark = self._holding = False
        self._flowing = asyncio.Event()
        self._flowing.set()
        self._changes = 0

    # --- what goes wrong ---

    def cut(self) -> None:
        """End every connection at once. New ones work."""
        for line in self.lines:
            line.abort()

    def darken(self) -> None:
        """From now on whatever is sent, either way, vanishes; connections stay open, new ones are never answered."""
        self._dark = True
        for line in self.lines:
            line.dark = True

    def clear_up(self) -> None:
        """New connections work again; those that went dark stay so, as they do where packets were lost for long."""
        self._dark = False

    def hold(self) -> None:
        """Keep the next change, and whatever follows on its line, as a tunnel or a busy Asterisk may."""
        self._holding = True

    def go_on(self) -> None:
        """New lines are not held; what was kept stays."""
        self._holding = False

    def release(self, line: Line, last: bytes) -> None:
        """Hand on what was kept of this line, even where the sender has long given up, and then the action `last`."""
        for block in (*line.held, last):
            self._pass(line, block)
        line.held.clear()

    def clog(self) -> None:
        """Stop reading what Asterisk writes, until `unclog`."""
        self._flowing.clear()

    def unclog(self) -> None:
        self._flowing.set()

    # --- what was seen ---

    async def line(self, number: int, seconds: float) -> Line:
        """The connection of that number, from 0, once it is there. Raises TimeoutError."""
        async with asyncio.timeout(seconds):
            while len(self.lines) <= number:
                self._arrival.clear()
                await self._arrival.wait()
        return self.lines[number]

    @property
    def changes(self) -> list[Headers]:
        """Every change that reached Asterisk, by connection."""
        return [change for line in self.lines for change in line.changes]

    @property
    def blind(self) -> list[Headers]:
        return [action for line in self.lines for action in line.blind]

    # --- how ---

    async def serve(self, reader: asyncio.StreamReader, client: asyncio.StreamWriter) -> None:
        # what Asterisk may write before somebody reads is then little, as it is where a network is between
        answers, asterisk = await self.dial(16384)
        line = Line(client, asterisk)
        line.dark = self._dark
        self.lines.append(line)
        self._arrival.set()
        try:
            async with both_ways(self._up(line, reader), self._down(line, answers)):
                if line.dark or line.held:
                    await asyncio.Event().wait()  # Asterisk never learns that the other end has gone
        finally:
            line.abort()
            line.gone.set()

    async def _up(self, line: Line, reader: asyncio.StreamReader) -> None:
        with contextlib.suppress(asyncio.IncompleteReadError):
            while True:
                block = await reader.readuntil(_END)
                if line.held or (self._holding and read_action(block).get("Action") in CHANGES):
                    line.held.append(block)
                elif not line.dark:
                    self._pass(line, self._shortened(line, block, down=False))

    async def _down(self, line: Line, answers: asyncio.StreamReader) -> None:
        while True:
            await self._flowing.wait()
            data = await answers.read(16384)
            if not data:
                return
            if line.dark:
                await asyncio.Event().wait()  # nobody acknowledges anything: Asterisk's own buffer fills
            line.client.write(self._shortened(line, data, down=True))
            await line.client.drain()

    def _pass(self, line: Line, block: bytes) -> None:
        line.asterisk.write(block)
        if block.endswith(_END):
            line.actions.append(read_action(block))
            self.heard(line.actions[-1])
            if line.actions[-1].get("Action") in CHANGES:
                self._changes += 1
                self.watch(self._changes)

    def _shortened(self, line: Line, data: bytes, *, down: bool) -> bytes:
        """`data`, or as much of it as passes before the cut, which is then made as soon as it has."""
        if self.cut_after is None or self.cut_after[1] is not down:
            return data
        left = self.cut_after[0] - len(data)
        self.cut_after = (left, down)
        if left > 0:
            return data
        self.cut_after = None
        asyncio.get_running_loop().call_soon(line.abort)
        return data[:left] if left else data


def total(lines: Iterable[Line]) -> int:
    """How many changes reached Asterisk over these."""
    return sum(len(line.changes) for line in lines)
