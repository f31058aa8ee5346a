"""What was sent to a server and never answered: it may still arrive, after the next look and after what that changed.

A tunnel that stood still, an Asterisk that hung with the actions in its socket: both deliver when they go on, whether
or not the sender has long given up. So an addition that a look does not show may yet come true, and so may a pause or a
penalty. Until nothing can come any more, the ledger must not be told otherwise.
"""

import asyncio
from collections.abc import Collection, Iterable

import msgspec

from plantel.plan import Action, Claim, Pause, Penalise
from plantel.roster import fold

LATE_SECONDS = 30.0
"""How long after a connection has ended what it sent may still arrive. Of what another process sent, whose end nobody
sees, it counts from when it is first seen unconfirmed."""

Key = tuple[str, str]
"""Folded queue and interface."""


def key(action: Action) -> Key:
    """The same as that of the claim on the member concerned."""
    return fold(action.queue), fold(action.interface)


class Doubt:
    """What is in doubt on one server, by the event loop's clock."""

    def __init__(self) -> None:
        self._unconfirmed: dict[Key, float] = {}
        """Ledger lines that no answer has confirmed, of this process or another, and since when they are seen so."""
        self._changes: set[Key] = set()
        self._until = 0.0

    def begin(self, unanswered: Iterable[Action]) -> None:
        """The connection has ended before these were answered."""
        if not self._lasts():
            self._changes.clear()
        for action in unanswered:
            if isinstance(action, Pause | Penalise):
                self._changes.add(key(action))
            else:
                self._unconfirmed.pop(key(action), None)  # sent once more: it counts from now on
        self._until = asyncio.get_running_loop().time() + LATE_SECONDS

    def look(self, claims: Iterable[Claim], queues: Collection[str] | None) -> None:
        """Take note of the ledger lines that are there at a look at these queues (None: all)."""
        now = asyncio.get_running_loop().time()
        before = self._unconfirmed
        looked_at = None if queues is None else {fold(queue) for queue in queues}
        kept = {} if looked_at is None else {at: since for at, since in before.items() if at[0] not in looked_at}
        found = {claim.key for claim in claims if claim.paused is None}
        self._unconfirmed = kept | {at: before.get(at, now) for at in found}

    def settled(self, claims: Collection[Claim]) -> Collection[Claim]:
        """Those of `claims`, which agree with what is there, that may be confirmed."""
        if not (self._changes and self._lasts()):
            return claims
        return [claim for claim in claims if claim.key not in self._changes]

    def confirmed(self, claims: Collection[Claim]) -> Collection[Claim]:
        """`claims`, which answers confirm, with as much of each as may be: an older change may still arrive after that
        one, and must not be taken for somebody else's."""
        if not (self._changes and self._lasts()):
            return claims
        return [
            msgspec.structs.replace(claim, paused=None, penalty=None, reason="")
            if claim.key in self._changes
            else claim
            for claim in claims
        ]

    def released(self, claims: Collection[Claim]) -> Collection[Claim]:
        """Those of `claims`, on members that are not there, that may be given up."""
        if not self._unconfirmed:
            return claims
        late = asyncio.get_running_loop().time() - LATE_SECONDS
        return [claim for claim in claims if self._unconfirmed.get(claim.key, late) <= late]

    def _lasts(self) -> bool:
        return asyncio.get_running_loop().time() < self._until
