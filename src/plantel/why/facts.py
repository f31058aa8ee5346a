"""What is known of an agent whose phone does not ring."""

import msgspec

from plantel.device import DeviceState
from plantel.errors import PlantelError
from plantel.ports import Entry
from plantel.roster import Member
from plantel.why.closeup import Closeup


class Trace(msgspec.Struct, frozen=True):
    """What the roster knows of an agent in a campaign.

    agent      as it was asked for: a membername or an interface
    campaign   None where the agent is in none
    interface  the phone: that of the roster, else the last one known, else "" where there is none
    member     None where the agent is not in the campaign
    history    the journal lines of this agent in this campaign, oldest first
    reason     what was given for the pause in which the agent is
    holder     who is on that phone in the campaign now, if not this agent
    similar    members of the campaign with a name like `agent`, where nobody has that one
    """

    agent: str
    campaign: str | None
    interface: str = ""
    member: Member | None = None
    history: tuple[Entry, ...] = ()
    reason: str = ""
    holder: str | None = None
    similar: tuple[str, ...] = ()


class Sight(msgspec.Struct, frozen=True):
    """What one server shows.

    error     why it could not be asked
    seen      None where it has no such queue
    device    the phone's state, in the queue or not; None where the server does not tell
    ours      whether Plantel put the phone into the queue there
    obliged   whether a missing queue is a fault, and not just another server's share
    lag       what keeps the member from being delivered there, as far as is known
    interface what the server calls the phone, where that is not what was sent
    """

    server: str
    error: PlantelError | None = None
    seen: Closeup | None = None
    device: DeviceState | None = None
    ours: bool = False
    obliged: bool = True
    lag: PlantelError | None = None
    interface: str = ""


class Facts(msgspec.Struct, frozen=True):
    """All that is known. `sights`: of the servers that carry the campaign. `servers`: how many are configured."""

    trace: Trace
    sights: tuple[Sight, ...]
    servers: int
