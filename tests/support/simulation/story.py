"""What happened in a simulation, and what must not have."""

import asyncio
import traceback
from datetime import datetime, timedelta

from plantel.phones import PhoneRules
from plantel.roster import Member, fold
from plantel.testing.memory_store import MemoryData
from tests.support.rosters import NOON

Key = tuple[str, str]
"""Folded campaign and folded interface, as a server calls it."""


def at(member: Member, phones: PhoneRules) -> Key:
    """Where a server that calls the phones so has to show the member."""
    return fold(member.campaign), fold(phones.called(member.interface))


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

    def changed(self, key: Key, phones: PhoneRules) -> bool:
        """Whether the roster, where the server calls the phones so, has changed about this one in this chapter."""
        journal = self._data.state.journal[self._chapter :]
        return any(
            side is not None and at(side, phones) == key
            for _, entry in journal
            for side in (entry.change.before, entry.change.after)
        )

    def named(self, key: Key, phones: PhoneRules) -> bool:
        """Whether the roster names the phone, or did at some moment of this chapter."""
        rosters = self._data.state.rosters.values()
        return self.changed(key, phones) or any(
            at(member, phones) == key for roster in rosters for member in roster.values()
        )

    def claimed(self, server: str, key: Key, *, added: bool = False) -> bool:
        """Whether the server's ledger has a line for the phone (`added`: as of one that Plantel put there)."""
        line = self._data.state.claims.get(("default", server), {}).get(key)
        return line is not None and (line.added or not added)
