"""What has to change on one Asterisk so that it agrees with the roster: a pure function.

`plan(desired, snapshot, claims)` looks at the members that the roster wants, at those that the server has, and at the
ledger of claims (what Plantel put there, and which pause it last asserted). Whatever Plantel did not add is never
removed.

Pause belongs to both sides, so it is a three-way comparison. The claim remembers what was asserted last: where the
roster says something else, the roster changed and the server follows; where only the server says something else,
somebody paused the phone there, and that is *observed* into the roster.
"""

from collections.abc import Callable, Iterable, Mapping
from enum import StrEnum

import msgspec

from plantel.errors import MemberNotOurs, QueueMissing, SwitchRefused
from plantel.roster import Member, fold


class Membership(StrEnum):
    """Who made a live member. Asterisk reports realtime members as static."""

    DYNAMIC = "dynamic"
    STATIC = "static"


class LiveMember(msgspec.Struct, frozen=True, gc=False):
    """A member of a queue as one Asterisk reports it, in its own spelling.

    `status` is the device state: 0 unknown, 1 not in use, 2 in use, 3 busy, 4 invalid, 5 unavailable, 6 ringing,
    7 ringing and in use, 8 on hold. `once_paused`: whether it was ever paused since it came into the queue (a restart
    brings a static member in anew); True where that is not known.
    """

    interface: str
    membername: str
    penalty: int = 0
    paused: bool = False
    membership: Membership = Membership.DYNAMIC
    status: int = 0
    once_paused: bool = True


class Snapshot(msgspec.Struct, frozen=True):
    """The queues of one Asterisk at one moment: every member by queue name, in the server's spelling.

    A queue that is not in `queues` was not asked for or does not exist; `asked` (folded names) tells which, None being
    all.
    """

    queues: Mapping[str, tuple[LiveMember, ...]]
    asked: frozenset[str] | None = None


class Claim(msgspec.Struct, frozen=True, gc=False):
    """One line of a server's ledger: Plantel has to do with this interface in this queue.

    `added`: Plantel put it there, so Plantel may remove it. `paused`: the pause last asserted and confirmed, None when
    an attempt has not been confirmed. `queue` and `interface` are spelled as the roster spells them; they compare
    folded.
    """

    queue: str
    interface: str
    added: bool
    paused: bool | None = None

    @property
    def key(self) -> tuple[str, str]:
        return fold(self.queue), fold(self.interface)


class Add(msgspec.Struct, frozen=True, gc=False, tag=True):
    """QueueAdd."""

    queue: str
    interface: str
    membername: str
    penalty: int
    paused: bool


class Remove(msgspec.Struct, frozen=True, gc=False, tag=True):
    """QueueRemove."""

    queue: str
    interface: str


class Penalise(msgspec.Struct, frozen=True, gc=False, tag=True):
    """QueuePenalty."""

    queue: str
    interface: str
    penalty: int


class Pause(msgspec.Struct, frozen=True, gc=False, tag=True):
    """QueuePause, in one queue."""

    queue: str
    interface: str
    paused: bool


Action = Add | Remove | Penalise | Pause


class Blocked(msgspec.Struct, frozen=True):
    """A member that cannot be made true on this server, and why.

    `error` lacks the `server`, which a plan does not know.
    """

    member: Member
    error: type[SwitchRefused]


class Observed(msgspec.Struct, frozen=True):
    """A roster member whose pause was changed on the server.

    `member` has the pause found there; `claim` is the ledger line that acknowledges it.
    """

    member: Member
    claim: Claim


class Plan(msgspec.Struct, frozen=True):
    """The difference between roster and server.

    actions    to apply, in this order: a queue never stands empty in between where that can be avoided
    claims     ledger lines that hold once the actions succeeded; those of an Add must be stored (unconfirmed) before it
    settled    ledger lines that hold as it is, without any action
    released   ledger lines that no longer stand for anything
    observed   pauses made or ended on the server by somebody else, for the roster to take over
    blocked    what cannot be done, and why
    ours       of the additions, the keys (folded) of those that Plantel had put there before, as far as the ledger
               knows: where such a one is there after all, it is Plantel's
    """

    actions: tuple[Action, ...] = ()
    claims: tuple[Claim, ...] = ()
    settled: tuple[Claim, ...] = ()
    released: tuple[Claim, ...] = ()
    observed: tuple[Observed, ...] = ()
    blocked: tuple[Blocked, ...] = ()
    ours: frozenset[tuple[str, str]] = frozenset()

    @property
    def agreed(self) -> bool:
        """Nothing to do and nothing in the way."""
        return not (self.actions or self.observed or self.blocked)


def plan(
    desired: Iterable[Member],
    snapshot: Snapshot,
    claims: Iterable[Claim],
    *,
    obliged: Callable[[str], bool] = lambda _queue: True,
) -> Plan:
    """The changes that bring the server seen in `snapshot` into agreement with `desired`.

    `obliged(queue)` tells whether a queue that the server lacks is a fault (Blocked) or just not this server's share.
    Members and claims of queues outside `snapshot.asked` are passed over. Applying the result and planning again with a
    fresh snapshot and ledger gives nothing.
    """
    wanted: dict[str, dict[str, Member]] = {}
    for member in desired:
        wanted.setdefault(fold(member.campaign), {})[member.phone] = member
    ledger: dict[str, dict[str, Claim]] = {}
    for claim in claims:
        ledger.setdefault(fold(claim.queue), {})[fold(claim.interface)] = claim

    draft = _Draft()
    present = {fold(queue): queue for queue in snapshot.queues}
    for folded, queue in present.items():
        live: dict[str, LiveMember] = {}
        for one in snapshot.queues[queue]:
            live.setdefault(fold(one.interface), one)
        draft.queue(queue, wanted.get(folded, {}), live, ledger.get(folded, {}))
    for folded, members in wanted.items():
        if folded not in present and (snapshot.asked is None or folded in snapshot.asked):
            draft.blocked += [Blocked(one, QueueMissing) for one in members.values() if obliged(one.campaign)]
    return draft.plan()


class _Draft:
    """A plan in the making. Its dictionaries go by folded interface."""

    def __init__(self) -> None:
        self.additions: list[Action] = []
        self.adjustments: list[Action] = []
        self.removals: list[Action] = []
        self.claims: list[Claim] = []
        self.settled: list[Claim] = []
        self.released: list[Claim] = []
        self.observed: list[Observed] = []
        self.blocked: list[Blocked] = []
        self.ours: set[tuple[str, str]] = set()

    def plan(self) -> Plan:
        # additions first and removals last: a queue that stands empty for a moment may throw its callers out
        return Plan(
            (*self.additions, *self.adjustments, *self.removals),
            tuple(self.claims),
            tuple(self.settled),
            tuple(self.released),
            tuple(self.observed),
            tuple(self.blocked),
            frozenset(self.ours),
        )

    def queue(
        self, queue: str, members: dict[str, Member], live: dict[str, LiveMember], lines: dict[str, Claim]
    ) -> None:
        """Compare one queue that the server has."""
        for phone, member in members.items():
            there = live.get(phone)
            if there is None:
                self._add(self.additions, queue, member, lines.get(phone))
            else:
                self._adjust(queue, member, there, lines.get(phone))
        for phone, line in lines.items():
            if phone in members:
                continue
            stray = live.get(phone)
            if stray is not None and line.added and stray.membership is Membership.DYNAMIC:
                self.removals.append(Remove(queue, stray.interface))
            else:
                self.released.append(line)

    def _add(self, to: list[Action], queue: str, member: Member, line: Claim | None) -> None:
        to.append(Add(queue, member.interface, member.membername, member.penalty, member.paused))
        self.claims.append(Claim(queue, member.interface, added=True, paused=member.paused))
        if line is not None and line.added:
            self.ours.add(line.key)

    def _adjust(self, queue: str, member: Member, there: LiveMember, line: Claim | None) -> None:
        ours = line is not None and line.added
        if there.membername != member.membername:
            if ours and there.membership is Membership.DYNAMIC:
                # Asterisk has no action that renames a member
                self.adjustments.append(Remove(queue, there.interface))
                self._add(self.adjustments, queue, member, line)
                return
            self.blocked.append(Blocked(member, MemberNotOurs))
        if there.penalty != member.penalty:
            self.adjustments.append(Penalise(queue, there.interface, member.penalty))
        claim = Claim(queue, member.interface, added=ours, paused=member.paused)
        asserted = line is not None and line.paused is member.paused
        if there.paused is member.paused:
            if not asserted:
                self.settled.append(claim)
        elif not asserted or not (there.paused or there.once_paused):
            # never paused since it came into the queue: the pause was lost with a restart, nobody ended it
            self.adjustments.append(Pause(queue, there.interface, member.paused))
            self.claims.append(claim)
        else:
            self.observed.append(
                Observed(
                    msgspec.structs.replace(member, paused=there.paused),
                    msgspec.structs.replace(claim, paused=there.paused),
                )
            )
