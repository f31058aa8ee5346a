"""Members of queues, as QueueStatus lists them."""

from collections.abc import Mapping
from datetime import UTC, datetime

from plantel.closeup import Seat
from plantel.plan import LiveMember, Membership

Headers = Mapping[str, str]
"""Those of a QueueMember item."""


def live_member(headers: Headers) -> LiveMember:
    """The member that these tell of. Raises KeyError, ValueError."""
    interface, state_interface = headers["Location"], headers["StateInterface"]
    return LiveMember(
        interface=interface,
        membername=headers["Name"],
        penalty=int(headers["Penalty"]),
        paused=headers["Paused"] != "0",
        membership=Membership.DYNAMIC if headers["Membership"] == "dynamic" else Membership.STATIC,
        status=int(headers["Status"]),
        once_paused=headers.get("LastPause") != "0",
        state_interface="" if state_interface == interface else state_interface,
    )


def seat(headers: Headers) -> Seat:
    """The same, with what the member has been doing. Raises KeyError, ValueError."""
    return Seat(
        live_member(headers),
        paused_reason=headers.get("PausedReason", ""),
        paused_at=_moment(headers.get("LastPause", "0")),
        joined=_moment(headers.get("LoginTime", "0")),
        last_call=_moment(headers.get("LastCall", "0")),
        wrapup=int(headers.get("Wrapuptime", "0")),
    )


def _moment(seconds: str) -> datetime | None:
    return datetime.fromtimestamp(int(seconds), UTC) if int(seconds) else None
