"""Members of queues, as QueueStatus lists them."""

import re
from collections.abc import Mapping
from datetime import UTC, datetime

from plantel.ami.wire import number
from plantel.device import DeviceState
from plantel.plan import LiveMember, Membership
from plantel.why.closeup import Seat

Headers = Mapping[str, str]
"""Those of a QueueMember item."""


def live_member(headers: Headers) -> LiveMember:
    """The member that these tell of. Raises KeyError, ValueError."""
    interface, state_interface = headers["Location"], headers["StateInterface"]
    return LiveMember(
        interface=interface,
        membername=headers["Name"],
        penalty=number(headers["Penalty"]),
        paused=headers["Paused"] != "0",
        membership=Membership.DYNAMIC if headers["Membership"] == "dynamic" else Membership.STATIC,
        status=_state(headers["Status"]),
        once_paused=headers.get("LastPause") != "0",
        state_interface="" if state_interface == interface else state_interface,
        paused_reason=_shown(headers.get("PausedReason", "")),
    )


# In the order in which Asterisk 16 to 22 write them; what is in another is read by name, at twice the price.
_USUAL = re.compile(
    r"Event: QueueMember\r\nQueue: ([^\r]+)\r\nName: ([^\r]*)\r\nLocation: ([^\r]*)\r\n"
    r"StateInterface: (?:\3|([^\r]*))\r\nMembership: ([a-z]+)\r\nPenalty: (\d{1,10})\r\nCallsTaken: \d+\r\n"
    r"LastCall: (?:0|\d+)\r\nLastPause: (\d+)\r\nLoginTime: \d+\r\nInCall: [01]\r\nStatus: ([0-8])\r\n"
    r"Paused: ([01])\r\nPausedReason: ([^\r]*)(?:\r\n|\Z)",
    re.ASCII,
)
_DYNAMIC, _STATIC = Membership.DYNAMIC, Membership.STATIC


def usual_member(block: bytes) -> tuple[str, LiveMember] | None:
    """The queue and the member of which an item tells; None where it has not the usual form."""
    found = _USUAL.match(block.decode("utf-8", "surrogateescape"))
    if found is None:
        return None
    queue, name, interface, other_state, membership, penalty, last_pause, status, paused, reason = found.groups()
    member = LiveMember(
        interface,
        name,
        int(penalty),
        paused != "0",
        _DYNAMIC if membership == "dynamic" else _STATIC,
        int(status),
        other_state or "",
        last_pause != "0",
        _shown(reason) if reason else "",
    )
    return queue, member


def seat(headers: Headers) -> Seat:
    """The same, with what the member has been doing. Raises KeyError, ValueError."""
    return Seat(
        live_member(headers),
        paused_at=_moment(headers.get("LastPause", "0")),
        joined=_moment(headers.get("LoginTime", "0")),
        last_call=_moment(headers.get("LastCall", "0")),
        wrapup=number(headers.get("Wrapuptime", "0")),
    )


def _shown(text: str) -> str:
    """`text` without what cannot be shown: it is kept for people, never sent back."""
    return text if text.isprintable() else "".join(one if one.isprintable() else " " for one in text).strip()


def _state(status: str) -> int:
    """The device state; 0, unknown, for one that there is not."""
    told = number(status)
    return told if told in _STATES else 0


_STATES = frozenset(map(int, DeviceState))


def _moment(seconds: str) -> datetime | None:
    told = number(seconds)
    return moment(told) if told else None


def moment(seconds: float) -> datetime:
    """A time as Asterisk tells it. Raises ValueError for one that is in no calendar."""
    try:
        return datetime.fromtimestamp(seconds, UTC)
    except (OverflowError, OSError) as error:
        raise ValueError(str(error)) from None
