"""What happened in a simulation, and what must not have."""

import asyncio
import traceback
from datetime import datetime, timedelta

from plantel.roster import fold
from plantel.testing.memory_store import MemoryData
from tests.support.rosters import NOON

Key = tuple[str, str]
"""Folded campaign and folded interface."""


class Broken(AssertionError):
    """Something that must hold does not."""


class LoopClock:
    """The time of day, by the running loop's clock."""

    def now(self) -> datetime:
        return NOON + timedelta(seconds=asyncio.get_running_loop().time())


class Story:
    """The events in their order, and the accusations made on the way: what raises amid a round would only be logged."""

    def __init__(self, data: MemoryData) -> None:
        self.told: list[str] = []
        self._data = data
        self._blamed: list[str] = []
        self._chapter = 0

    def tell(self, text: str) -> None:
        self.told.append(f"{asyncio.get_running_loop().time():10.3f} {text}")

    def blame(self, text: str) -> None:
        self.tell(f"BROKEN: {text}")
        self._blamed.append(text)

    def info(self, event: str, **what: object) -> None:
        """Stands in for the reconcilers' log."""
        self.tell(f"  {event} {what}")

    warning = info

    def exception(self, event: str, **what: object) -> None:
        """An error of the program itself, which its loop survives, and must not meet."""
        self.blame(f"{event} {what}: {traceback.format_exc()}")

    def check(self) -> None:
        """Raise Broken with the first accusation."""
        if self._blamed:
            raise Broken(self._blamed[0])

    def begin_chapter(self) -> None:
        """All is quiet: nothing from before is still under way."""
        self._chapter = len(self._data.state.journal)

    def named(self, key: Key) -> bool:
        """Whether the roster names the phone, or did at some moment of this chapter."""
        state = self._data.state
        sides = (
            side
            for _, entry in state.journal[self._chapter :]
            for side in (entry.change.before, entry.change.after)
            if side is not None
        )
        rosters = (member for roster in state.rosters.values() for member in roster.values())
        return any((fold(one.campaign), one.phone) == key for one in (*sides, *rosters))

    def claimed(self, server: str, key: Key, *, added: bool = False) -> bool:
        """Whether the server's ledger has a line for the phone (`added`: as of one that Plantel put there)."""
        line = self._data.state.claims.get(("default", server), {}).get(key)
        return line is not None and (line.added or not added)
