"""What has to change on one Asterisk so that it agrees with the roster: a pure function.

`plan(desired, snapshot, claims)` looks at the members that the roster wants, at those that the server has, and at the
ledger of claims (what Plantel put there, and which pause it last asserted). Whatever Plantel did not add is never
removed. What the server calls a phone follows its `PhoneRules`: actions and claims use its names, members the roster's.

Pause belongs to both sides, so it is a three-way comparison. The claim remembers what was asserted last: where the
roster says something else, the roster changed and the server follows; where only the server says something else,
somebody paused the phone there, and that is *observed* into the roster. The reason for a pause goes with it: to assert
the one is to assert the other. QueueAdd of Asterisk 16 takes no reason, so it is given by a QueuePause after it.
"""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from enum import StrEnum
from typing import NamedTuple

import msgspec

from plantel.errors import InvalidItem, MemberNotOurs, PhoneNotUsable, PhoneShared, QueueMissing, SwitchRefused
from plantel.phones import AS_SENT, PhoneRules, shown
from plantel.roster import Member, as_reason, fold

Reasons = Mapping[tuple[str, str], str]
"""What was given for pauses, by folded campaign and membername."""

NO_REASONS: Reasons = {}


class Membership(StrEnum):
    """Who made a live member. Asterisk reports realtime members as static."""

    DYNAMIC = "dynamic"
    STATIC = "static"


class LiveMember(msgspec.Struct, frozen=True, gc=False):
    """A member of a queue as one Asterisk reports it, in its own spelling.

    `status` is the device state: 0 unknown, 1 not in use, 2 in use, 3 busy, 4 invalid, 5 unavailable, 6 ringing,
    7 ringing and in use, 8 on hold. `state_interface` is the device whose state that is, empty where it is the
    interface itself. `once_paused`: whether it was ever paused since it came into the queue (a restart brings a static
    member in anew); True where that is not known. `paused_reason`: what was given for the pause, if anything.
    """

    interface: str
    membername: str
    penalty: int = 0
    paused: bool = False
    membership: Membership = Membership.DYNAMIC
    status: int = 0
    state_interface: str = ""
    once_paused: bool = True
    paused_reason: str = ""


class Snapshot(msgspec.Struct, frozen=True):
    """The queues of one Asterisk at one moment: every member by queue name, in the server's spelling.

    A queue that is not in `queues` was not asked for or does not exist; `asked` (folded names) tells which, None being
    all.
    """

    queues: Mapping[str, tuple[LiveMember, ...]]
    asked: frozenset[str] | None = None


class Claim(msgspec.Struct, frozen=True, gc=False):
    """One line of a server's ledger: Plantel has to do with this interface in this queue.

    `added`: Plantel put it there, so Plantel may remove it. `paused` and `penalty`: what was last asserted and
    confirmed, None when an attempt has not been confirmed; `reason` goes with `paused`. `membername`: of whom that was
    asserted, since the roster may give the phone to another; empty where nothing was. `queue` is spelled as the roster
    spells it, `interface` is what the server calls the phone; they compare folded.
    """

    queue: str
    interface: str
    added: bool
    paused: bool | None = None
    penalty: int | None = None
    reason: str = ""
    membername: str = ""

    @property
    def key(self) -> tuple[str, str]:
        return fold(self.queue), fold(self.interface)

    @property
    def unconfirmed(self) -> bool:
        """Whether it is not known if the interface ever was there. A pause alone is also forgotten on purpose."""
        return self.paused is None and self.penalty is None


class Add(msgspec.Struct, frozen=True, gc=False, tag=True):
    """QueueAdd. An empty `state_interface` is the interface itself.

    `sent`, here and in the other actions, is the roster's interface where that is another; it is shown to people, not
    sent to the server.
    """

    queue: str
    interface: str
    membername: str
    penalty: int
    paused: bool
    state_interface: str = ""
    sent: str = ""


class Remove(msgspec.Struct, frozen=True, gc=False, tag=True):
    """QueueRemove. What the roster called a phone that it no longer names is not known."""

    queue: str
    interface: str
    sent: str = ""


class Penalise(msgspec.Struct, frozen=True, gc=False, tag=True):
    """QueuePenalty."""

    queue: str
    interface: str
    penalty: int
    sent: str = ""


class Pause(msgspec.Struct, frozen=True, gc=False, tag=True):
    """QueuePause, in one queue. Of a member that is paused already it changes the reason."""

    queue: str
    interface: str
    paused: bool
    reason: str = ""
    sent: str = ""


Action = Add | Remove | Penalise | Pause


class Blocked(msgspec.Struct, frozen=True):
    """A member that cannot be made true on this server, and why. `interface` is its phone, as a reason shows it."""

    member: Member
    error: type[SwitchRefused]
    interface: str

    def reason(self, server: str) -> SwitchRefused:
        """The error, which needs the server's name; a plan does not know it."""
        return self.error(server=server, queue=self.member.campaign, interface=self.interface)


class Observed(msgspec.Struct, frozen=True):
    """A roster member whose pause, or the reason for it, was changed on the server.

    `member` has the pause found there, `reason` what was given for it; `claim` is the ledger line that acknowledges it.
    """

    member: Member
    claim: Claim
    reason: str = ""


class DriftKind(StrEnum):
    """What was changed on a server that had agreed with the roster."""

    REMOVED = "removed"
    PENALTY = "penalty"
    PAUSED = "paused"
    DUPLICATED = "duplicated"
    """The same phone twice in one queue, as when a row of a realtime table is added to a dynamic member."""


class Drift(msgspec.Struct, frozen=True):
    """A member that was as the roster has it and is no more, though the roster has not changed.

    `interface` is what the server calls the phone. `found`: how it is now; None where it is gone.
    """

    kind: DriftKind
    member: Member
    interface: str
    found: LiveMember | None


class Plan(msgspec.Struct, frozen=True):
    """The difference between roster and server.

    actions    to apply, in this order: a queue never stands empty in between where that can be avoided
    claims     ledger lines that hold once the actions succeeded; those of an Add must be stored (unconfirmed) before it
    settled    ledger lines that hold as it is, without any action
    released   ledger lines that no longer stand for anything
    observed   pauses made or ended on the server by somebody else, for the roster to take over
    drifts     what was changed on the server, whether `actions` and `observed` deal with it or not
    blocked    what cannot be done, and why
    ours       of the additions, the keys (folded) of those that Plantel had put there before, as far as the ledger
               knows: where such a one is there after all, it is Plantel's
    strangers  the phones (folded) on the server that Plantel did not put there, by folded queue; left empty where
               nothing is added without a look at the whole queue
    """

    actions: tuple[Action, ...] = ()
    claims: tuple[Claim, ...] = ()
    settled: tuple[Claim, ...] = ()
    released: tuple[Claim, ...] = ()
    observed: tuple[Observed, ...] = ()
    drifts: tuple[Drift, ...] = ()
    blocked: tuple[Blocked, ...] = ()
    ours: frozenset[tuple[str, str]] = frozenset()
    strangers: Mapping[str, Collection[str]] = {}

    @property
    def agreed(self) -> bool:
        """Nothing to do and nothing in the way."""
        return not (self.actions or self.observed or self.drifts or self.blocked)


def plan(
    desired: Iterable[Member],
    snapshot: Snapshot,
    claims: Iterable[Claim],
    *,
    obliged: Callable[[str], bool] = lambda _queue: True,
    repair: bool = True,
    phones: PhoneRules = AS_SENT,
    reasons: Reasons = NO_REASONS,
) -> Plan:
    """The changes that bring the server seen in `snapshot` into agreement with `desired`.

    `obliged(queue)` tells whether a queue that the server lacks is a fault (Blocked) or just not this server's share.
    Without `repair`, drifts are told but not undone; what the roster changes is still brought about.
    Members and claims of queues outside `snapshot.asked` are passed over. Applying the result and planning again with a
    fresh snapshot and ledger gives nothing.

    `reasons`: for the pauses that have one, as `ports.Transaction.reasons` gives them.

    Where `phones` leads two members of a campaign to one phone, the one who was sent with it has it, else the first by
    name; the other is Blocked.
    """
    return compare(Demand(desired, phones, reasons), snapshot, claims, obliged=obliged, repair=repair)


class Demand:
    """What the roster wants of one server: good for every plan until the roster changes.

    `desired`, `phones`, `reasons`: as for `plan`. `size`: how many members.
    """

    def __init__(self, desired: Iterable[Member], phones: PhoneRules = AS_SENT, reasons: Reasons = NO_REASONS) -> None:
        self.size = 0
        self.shares: dict[str, _Share] = {}
        """By folded campaign."""
        for member in desired:
            folded = fold(member.campaign)
            share = self.shares.get(folded)
            if share is None:
                share = self.shares[folded] = _Share()
            share.put(member, phones, reasons.get((folded, member.membername), "") if member.paused else "")
            self.size += 1


def compare(
    demand: Demand,
    snapshot: Snapshot,
    claims: Iterable[Claim],
    *,
    obliged: Callable[[str], bool] = lambda _queue: True,
    repair: bool = True,
) -> Plan:
    """What `plan` gives for the members and phones of `demand`."""
    ledger = _by_queue(claims)
    draft = _Draft(repair=repair)
    present = {fold(queue): queue for queue in snapshot.queues}
    for folded, queue in present.items():
        share = demand.shares.get(folded, _NOBODY)
        draft.blocked += share.blocked
        draft.queue(queue, share.members, snapshot.queues[queue], ledger.get(folded, {}))
    for folded, share in demand.shares.items():
        if folded not in present and (snapshot.asked is None or folded in snapshot.asked):
            members = [each.member for each in share.members.values()]
            members += [each.member for each in share.blocked]
            draft.blocked += [Blocked(one, QueueMissing, one.interface) for one in members if obliged(one.campaign)]
    return draft.plan()


def _by_queue(claims: Iterable[Claim]) -> dict[str, dict[str, Claim]]:
    """By folded queue and interface. They come queue by queue, so that hardly any name has to be folded."""
    ledger: dict[str, dict[str, Claim]] = {}
    queue, lines = "", dict[str, Claim]()
    for claim in claims:
        if claim.queue != queue:
            queue = claim.queue
            lines = ledger.setdefault(fold(queue), {})
        lines[claim.interface.lower()] = claim  # as `Claim.key` folds it: an interface of ours is ASCII
    return ledger


def foreign(snapshot: Snapshot, claims: Iterable[Claim]) -> list[LiveMember]:
    """The members in `snapshot` that Plantel did not add; if dynamic, they may be adopted."""
    ours = {claim.key for claim in claims if claim.added}
    return [
        one
        for queue, members in snapshot.queues.items()
        for one in members
        if (fold(queue), fold(one.interface)) not in ours
    ]


class Wanted(NamedTuple):
    """A member as this server has to have it."""

    member: Member
    interface: str
    state_interface: str
    reason: str

    @property
    def sent(self) -> str:
        """The roster's interface where that is another, else empty."""
        return "" if self.interface == self.member.interface else self.member.interface


class _Share:
    """What one campaign wants of this server: its members by folded interface, and those who cannot have theirs."""

    def __init__(self) -> None:
        self.members: dict[str, Wanted] = {}
        self.blocked: list[Blocked] = []

    def put(self, member: Member, phones: PhoneRules, reason: str) -> None:
        if phones is AS_SENT:
            self.members[member.phone] = Wanted(member, member.interface, "", reason)
            return
        try:
            interface = phones.interface(member.interface)
            one = Wanted(member, interface, phones.state(interface), reason)
        except InvalidItem:
            self.blocked.append(Blocked(member, PhoneNotUsable, member.interface))
            return
        phone = fold(interface)
        other = self.members.get(phone)
        if other is not None:
            pair = [one, other]
            pair.sort(key=lambda each: (each.member.phone != phone, each.member.membername))
            one, lost = pair[0], pair[1].member
            self.blocked.append(Blocked(lost, PhoneShared, phones.shown(lost.interface)))
        self.members[phone] = one


_NOBODY = _Share()


def _phone(interface: str) -> str:
    """`fold`, whose memory is too small for all the phones of a server."""
    return interface.lower() if interface.isascii() else fold(interface)


class _Draft:
    """A plan in the making. Its dictionaries go by folded interface."""

    def __init__(self, *, repair: bool) -> None:
        self._repair = repair
        self.additions: list[Action] = []
        self.adjustments: list[Action] = []
        self.removals: list[Action] = []
        self.claims: list[Claim] = []
        self.settled: list[Claim] = []
        self.released: list[Claim] = []
        self.observed: list[Observed] = []
        self.drifts: list[Drift] = []
        self.blocked: list[Blocked] = []
        self.ours: set[tuple[str, str]] = set()
        self.strangers: dict[str, Collection[str]] = {}

    def plan(self) -> Plan:
        # additions first and removals last: a queue that stands empty for a moment may throw its callers out
        return Plan(
            (*self.additions, *self.adjustments, *self.removals),
            tuple(self.claims),
            tuple(self.settled),
            tuple(self.released),
            tuple(self.observed),
            tuple(self.drifts),
            tuple(self.blocked),
            frozenset(self.ours),
            self.strangers,
        )

    def queue(
        self, queue: str, members: dict[str, Wanted], found: Sequence[LiveMember], lines: dict[str, Claim]
    ) -> None:
        """Compare one queue that the server has."""
        live = self._live(members, found)
        if strangers := live.keys() - {phone for phone, line in lines.items() if line.added}:
            self.strangers[fold(queue)] = strangers
        for phone, wanted in members.items():
            there = live.get(phone)
            line = lines.get(phone)
            if there is not None:
                member = wanted.member
                # nearly all are so, and `_adjust` would find nothing in several times as long
                if (
                    line is None
                    or not (there.penalty == member.penalty == line.penalty)
                    or not (there.paused is member.paused is line.paused is False)
                    or line.reason
                    or not (there.membername == member.membername == line.membername)
                    or wanted.state_interface
                ):
                    self._adjust(queue, wanted, there, line)
            elif (
                line is None
                or line.unconfirmed
                or line.membername != wanted.member.membername  # whom the roster had there before is gone
                or self._drifted(DriftKind.REMOVED, wanted, None)
            ):
                self._add(self.additions, queue, wanted, line)
        if lines.keys() <= members.keys():
            return
        for phone, line in lines.items():
            if phone in members:
                continue
            stray = live.get(phone)
            if stray is not None and line.added and stray.membership is Membership.DYNAMIC:
                self.removals.append(Remove(queue, stray.interface))
            else:
                self.released.append(line)

    def _live(self, members: Mapping[str, Wanted], found: Sequence[LiveMember]) -> dict[str, LiveMember]:
        """By folded interface; of a phone that is there twice, the first."""
        live = {_phone(one.interface): one for one in reversed(found)}
        if len(live) < len(found):
            for one in found:
                phone = _phone(one.interface)
                if live[phone] is not one and phone in members:
                    self.drifts.append(Drift(DriftKind.DUPLICATED, members[phone].member, one.interface, one))
        return live

    def _drifted(self, kind: DriftKind, wanted: Wanted, found: LiveMember | None) -> bool:
        """Note it; whether it is to be repaired."""
        self.drifts.append(Drift(kind, wanted.member, wanted.interface, found))
        return self._repair

    def _add(self, to: list[Action], queue: str, wanted: Wanted, line: Claim | None) -> None:
        member, interface, state, reason = wanted
        to.append(Add(queue, interface, member.membername, member.penalty, member.paused, state, wanted.sent))
        if reason:
            to.append(Pause(queue, interface, True, reason, wanted.sent))
        self.claims.append(Claim(queue, interface, True, member.paused, member.penalty, reason, member.membername))
        if line is not None and line.added:
            self.ours.add(line.key)

    def _adjust(self, queue: str, wanted: Wanted, there: LiveMember, line: Claim | None) -> None:
        member, interface, state, reason = wanted
        ours = line is not None and line.added
        renamed = there.membername != member.membername
        if renamed or (state and fold(state) != fold(there.state_interface)):
            if ours and there.membership is Membership.DYNAMIC:
                # Asterisk has no action that changes a member's name or state interface
                self.adjustments.append(Remove(queue, there.interface, wanted.sent))
                self._add(self.adjustments, queue, wanted, line)
                return
            if renamed:
                self.blocked.append(Blocked(member, MemberNotOurs, shown(member.interface, there.interface)))
        if line is not None and line.membername != member.membername:
            line = None  # what was asserted of another says nothing of this one
        claim = Claim(queue, interface, ours, member.paused, member.penalty, reason, member.membername)
        news = line is None or (line.penalty, line.paused, line.reason) != (member.penalty, member.paused, reason)
        agrees = True
        if there.penalty != member.penalty and (
            line is None or line.penalty != member.penalty or self._drifted(DriftKind.PENALTY, wanted, there)
        ):
            self.adjustments.append(Penalise(queue, there.interface, member.penalty, wanted.sent))
            agrees = False
        told = as_reason(there.paused_reason) if there.paused else ""
        theirs = _changed_there(wanted, there, line, told)
        if theirs and line is not None:
            if there.paused is not member.paused:
                self.drifts.append(Drift(DriftKind.PAUSED, member, interface, there))
            self.observed.append(
                Observed(
                    msgspec.structs.replace(member, paused=there.paused),
                    msgspec.structs.replace(claim, paused=there.paused, penalty=line.penalty, reason=told),
                    told,
                )
            )
            return
        if theirs is False:
            self.adjustments.append(Pause(queue, there.interface, member.paused, reason, wanted.sent))
            agrees = False
            news = True
        if news:
            (self.settled if agrees else self.claims).append(claim)


def _changed_there(wanted: Wanted, there: LiveMember, line: Claim | None, told: str) -> bool | None:
    """Whether somebody has changed the pause, or its reason, on the server; None where it is as the roster has it.

    `told`: the reason given there.
    """
    asserted = line is not None and line.paused is wanted.member.paused and line.reason == wanted.reason
    if there.paused is not wanted.member.paused:
        # never paused since it came into the queue: the pause was lost with a restart, nobody ended it
        return asserted and (there.paused or there.once_paused)
    return None if told == wanted.reason else asserted
