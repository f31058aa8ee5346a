"""Events that are expected: a look at the whole queue for each of them would cost dearly.

Those that our own changes bring about tell nothing new (`Echoes`). Those that another process's bring about, whose
batch we know from the store, tell of one member only (`Expected`).
"""

import asyncio
from collections.abc import Iterable

from plantel.doubt import Key, key
from plantel.plan import Action
from plantel.roster import Member, fold

ECHO_SECONDS = 1.0
"""How long an event is waited for. One of somebody else's that is taken for ours is no newer than that."""

EXPECTED_MOST = 1000
"""From so many on, those that are over are forgotten."""


class Echoes:
    """Those of one server that are still to come, by the event loop's clock."""

    def __init__(self) -> None:
        self._expected: dict[Key, tuple[int, float]] = {}
        """How many, and until when."""

    def expect(self, actions: Iterable[Action]) -> None:
        """These are about to be sent."""
        now = asyncio.get_running_loop().time()
        self._expected = {at: one for at, one in self._expected.items() if one[1] > now}
        for action in actions:
            at = key(action)
            count, _ = self._expected.get(at, (0, 0.0))
            self._expected[at] = (count + 1, now + ECHO_SECONDS)

    def heard(self, queue: str, interface: str) -> bool:
        """Whether an event about this member is one of those."""
        at = fold(queue), fold(interface)
        count, until = self._expected.get(at, (0, 0.0))
        if not count or until <= asyncio.get_running_loop().time():
            return False
        if count > 1:
            self._expected[at] = (count - 1, until)
        else:
            del self._expected[at]
        return True


class Expected:
    """Members that another process is about to change on one server, by the event loop's clock."""

    def __init__(self) -> None:
        self._members: dict[Key, tuple[Member, float]] = {}
        """And until when."""

    def expect(self, member: Member) -> None:
        """Another process has stored a change of this one, as it was or as it is to be."""
        now = asyncio.get_running_loop().time()
        if len(self._members) >= EXPECTED_MOST:
            self._members = {at: one for at, one in self._members.items() if one[1] > now}
        self._members[fold(member.campaign), member.phone] = member, now + ECHO_SECONDS

    def heard(self, queue: str, interface: str) -> Member | None:
        """The member that an event is about, where it is one of those."""
        member, until = self._members.get((fold(queue), fold(interface)), (None, 0.0))
        return member if until > asyncio.get_running_loop().time() else None
