"""The events that our own changes bring about: they tell nothing new, and a look at the queue for each costs dearly."""

import asyncio
from collections.abc import Iterable

from plantel.doubt import Key, key
from plantel.plan import Action
from plantel.roster import fold

ECHO_SECONDS = 1.0
"""How long an event is waited for. One of somebody else's that is taken for ours is no newer than that."""


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
