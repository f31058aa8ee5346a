"""What one client asked of one node, when, and what it was told."""

import msgspec

from plantel.roster import Member


class Add(msgspec.Struct, frozen=True, tag=True):
    """The published call."""

    members: tuple[Member, ...]


class Remove(msgspec.Struct, frozen=True, tag=True):
    """Agents named by membername or by interface."""

    campaign: str
    agents: tuple[str, ...]


class Pause(msgspec.Struct, frozen=True, tag=True):
    """Agents named by membername or by interface."""

    campaign: str
    agents: tuple[str, ...]
    paused: bool


class Read(msgspec.Struct, frozen=True, tag=True):
    """All members of one campaign."""

    campaign: str


class Declare(msgspec.Struct, frozen=True, tag=True):
    """A campaign."""

    campaign: str


class Dissolve(msgspec.Struct, frozen=True, tag=True):
    """A campaign, with all its members."""

    campaign: str


Ask = Add | Remove | Pause | Read | Declare | Dissolve


class Stored(msgspec.Struct, frozen=True, tag=True):
    """It was done, as the batch says. `changes`: how many, where the answer tells."""

    batch: str
    changes: int | None = None


class Done(msgspec.Struct, frozen=True, tag=True):
    """It was done, and no batch tells of it: a Declare."""


class Seen(msgspec.Struct, frozen=True, tag=True):
    """The answer of a Read."""

    members: tuple[Member, ...]


class Refused(msgspec.Struct, frozen=True, tag=True):
    """It was not done, and never will be. `batch`: under which id the refusal is recorded."""

    code: str
    batch: str = ""


NOT_SENT = "not_sent"
"""The code of what the client itself knows never to have left as a whole."""


class Unknown(msgspec.Struct, frozen=True, tag=True):
    """No answer, or one that leaves it open: it was done, or will yet be, once; or never."""

    why: str


Outcome = Stored | Done | Seen | Refused | Unknown


class Operation(msgspec.Struct, frozen=True):
    """`process` is the name under which the journal has it: one sequence of operations, none of which began before the
    last had been answered, and of which only the last may be Unknown (a client goes on under another name then).

    `invoked` and `returned` in seconds, of one clock for all, which never goes back.
    """

    number: int
    process: str
    node: str
    invoked: float
    returned: float
    ask: Ask
    outcome: Outcome
