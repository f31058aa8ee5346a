"""One queue of one Asterisk, seen closely: all that decides whether a phone in it rings."""

from datetime import datetime, timedelta

import msgspec

from plantel.device import DeviceState
from plantel.plan import LiveMember
from plantel.roster import fold

_CONDITIONS = frozenset({"penalty", "invalid", "unavailable", "paused", "inuse", "ringing", "unknown", "wrapup"})
_NO = frozenset({"penalty", "invalid", "paused"})
_WORDS = {
    "strict": _NO | {"unavailable"},
    "loose": frozenset({"penalty", "invalid"}),
    **dict.fromkeys(("no", "false", "n", "f", "0", "off"), _NO),
    **dict.fromkeys(("yes", "true", "y", "t", "1", "on"), frozenset[str]()),
}
"""What a single word of `joinempty` stands for: `parse_empty_options` of app_queue.c."""

_STATES = {
    DeviceState.INVALID: "invalid",
    DeviceState.UNAVAILABLE: "unavailable",
    DeviceState.INUSE: "inuse",
    DeviceState.RINGING: "ringing",
    DeviceState.UNKNOWN: "unknown",
}


class Seat(msgspec.Struct, frozen=True):
    """A member of the queue and what it has been doing.

    paused_at, joined, last_call    None where there was no such thing
    wrapup           seconds of rest after a call that are this member's own; 0: the queue's count
    """

    member: LiveMember
    paused_at: datetime | None = None
    joined: datetime | None = None
    last_call: datetime | None = None
    wrapup: int = 0

    @property
    def state(self) -> DeviceState:
        """The phone's state as the queue has it."""
        return DeviceState(self.member.status)


class QueueRules(msgspec.Struct, frozen=True):
    """What `queues.conf` says of a queue and QueueStatus does not.

    wrapup        seconds of rest after a call
    join_empty    `joinempty` as it is written: when callers are turned away; "" lets every caller in
    """

    wrapup: int = 0
    join_empty: str = ""

    @property
    def absent_when(self) -> frozenset[str]:
        """The conditions (`paused`, `invalid`, `inuse` ...) under which a member counts as absent for a new caller."""
        conditions: frozenset[str] = frozenset()
        for part in self.join_empty.lower().split(","):
            word = part.strip()
            conditions = _WORDS[word] if word in _WORDS else conditions | ({word} & _CONDITIONS)
        return conditions


class Closeup(msgspec.Struct, frozen=True):
    """A queue at one moment.

    queue          in the server's spelling
    strategy       `ringall`, `rrmemory` ...
    callers        how many are waiting
    seats          its members
    now            the server's own clock
    ring_in_use    whether the phone that was asked about is rung while in a call; None where it is not in the queue, or
                   the server does not tell
    rules          None where the server does not tell
    """

    queue: str
    strategy: str
    callers: int
    seats: tuple[Seat, ...]
    now: datetime
    ring_in_use: bool | None = None
    rules: QueueRules | None = None

    def seat(self, interface: str) -> Seat | None:
        """The member at this phone."""
        return next((seat for seat in self.seats if fold(seat.member.interface) == fold(interface)), None)

    def resting_until(self, seat: Seat) -> datetime | None:
        """The end of the rest that `seat` takes after its last call; None where it takes none, as far as can be seen.

        Asterisk takes the member's own time, where it has one, for the queue's.
        """
        wrapup = seat.wrapup or (self.rules.wrapup if self.rules is not None else 0)
        if not wrapup or seat.last_call is None:
            return None
        end = seat.last_call + timedelta(seconds=wrapup)
        return end if end > self.now else None

    def turns_away(self) -> bool:
        """Whether a new caller is not let in, since every member counts as absent (`get_member_status`).

        As far as can be seen: a penalty limit is the dialplan's (QUEUE_MAX_PENALTY), so none is assumed.
        """
        if self.rules is None or not self.rules.join_empty:
            return False
        conditions = self.rules.absent_when
        return bool(conditions) and not any(self._counts(seat, conditions) for seat in self.seats)

    def _counts(self, seat: Seat, conditions: frozenset[str]) -> bool:
        if _STATES.get(seat.state) in conditions or (seat.member.paused and "paused" in conditions):
            return False
        return "wrapup" not in conditions or self.resting_until(seat) is None
