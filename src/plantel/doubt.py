"""What was sent to a server and never answered: it may still arrive, after the next look and after what that changed.

A tunnel that stood still, an Asterisk that hung with the actions in its socket: both deliver when they go on, whether
or not the sender has long given up. So an addition that a look does not show may yet come true, and so may a pause or a
penalty. Until nothing can come any more, the ledger must not be told otherwise.
"""

import asyncio
from collections.abc import Collection, Iterable

from plantel.plan import Action, Claim, Pause, Penalise
from plantel.roster import fold

LATE_SECONDS = 30.0
"""How long after a connection, or an earlier process, has ended what it sent may still arrive."""

Key = tuple[str, str]
"""Folded queue and interface."""


def key(action: Action) -> Key:
    """The same as that of the claim on the member concerned."""
    return fold(action.queue), fold(action.interface)


class Doubt:
    """What is in doubt on one server, by the event loop's clock."""

    def __init__(self) -> None:
        """An earlier process may have ended just now."""
        self._unconfirmed: Collection[Key] = frozenset()
        self._changes: set[Key] = set()
        self._until: float | None = None
        """Set when the loop first asks."""

    def begin(self, unanswered: Iterable[Action]) -> None:
        """The connection has ended before these were answered."""
        if not self._lasts():
            self._changes.clear()
        self._changes.update(key(action) for action in unanswered if isinstance(action, Pause | Penalise))
        self._until = asyncio.get_running_loop().time() + LATE_SECONDS

    def look(self, claims: Iterable[Claim]) -> None:
        """Take note of the ledger lines that are there at a look, and which of them no answer has confirmed."""
        self._unconfirmed = frozenset(claim.key for claim in claims if claim.paused is None)

    def settled(self, claims: Collection[Claim]) -> Collection[Claim]:
        """Those of `claims`, which agree with what is there, that may be confirmed."""
        if not (self._changes and self._lasts()):
            return claims
        return [claim for claim in claims if claim.key not in self._changes]

    def released(self, claims: Collection[Claim]) -> Collection[Claim]:
        """Those of `claims`, on members that are not there, that may be given up."""
        if not (self._unconfirmed and self._lasts()):
            return claims
        return [claim for claim in claims if claim.key not in self._unconfirmed]

    def _lasts(self) -> bool:
        now = asyncio.get_running_loop().time()
        if self._until is None:
            self._until = now + LATE_SECONDS
        return now < self._until
