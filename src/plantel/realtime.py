"""What stands between the roster and an Asterisk that reads it from the database itself (`delivery = "realtime"`).

There is nothing to add, remove, pause or penalise there: the rows are the roster. What can be seen is whether Asterisk
has read them. Over AMI a member from a row looks like one of `queues.conf`: static. A dynamic member that Plantel put
there, before the server was switched to realtime, goes once its row is read, so that no phone is left out meanwhile.

A pause made on Asterisk comes into the roster by itself, but without the reason: Asterisk does not write it, it tells.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence

import msgspec

from plantel.errors import MemberNotOurs, MemberUnread, QueueMissing, QueueSpelled
from plantel.phones import shown
from plantel.plan import (
    Action,
    Blocked,
    Claim,
    Demand,
    Drift,
    DriftKind,
    LiveMember,
    Membership,
    Observed,
    Plan,
    Remove,
    Snapshot,
    Wanted,
)
from plantel.roster import Member, as_reason, fold


def compare(
    demand: Demand,
    snapshot: Snapshot,
    claims: Iterable[Claim],
    *,
    obliged: Callable[[str], bool] = lambda _queue: True,
) -> Plan:
    """As `plan.compare`, for a server that reads the roster itself: its actions remove dynamic members of Plantel's
    only, and `observed` are reasons for pauses that have none in the roster.

    `snapshot` has to be of queues that Asterisk has just read anew.
    """
    ledger: dict[str, dict[str, Claim]] = {}
    for claim in claims:
        queue, phone = claim.key
        ledger.setdefault(queue, {})[phone] = claim
    draft = _Draft()
    present = {fold(queue): queue for queue in snapshot.queues}
    for folded, share in demand.shares.items():
        if folded in present:
            draft.blocked += share.blocked
        elif snapshot.asked is None or folded in snapshot.asked:
            members = [each.member for each in share.members.values()]
            members += [each.member for each in share.blocked]
            draft.blocked += [Blocked(one, QueueMissing, one.interface) for one in members if obliged(one.campaign)]
    for folded, queue in present.items():
        members_there = demand.shares[folded].members if folded in demand.shares else {}
        draft.queue(queue, members_there, snapshot.queues[queue], ledger.get(folded, {}))
    return draft.plan()


def standing(first: Plan, second: Plan) -> Plan:
    """`second` with only what was so in `first`, too: the roster and Asterisk are not seen at one moment, so that what
    is about to be read looks as if it were not."""
    drifts = {(_key(one), one.kind) for one in first.drifts}
    blocked = {(_key(one), one.error) for one in first.blocked}
    return msgspec.structs.replace(
        second,
        drifts=tuple(one for one in second.drifts if (_key(one), one.kind) in drifts),
        blocked=tuple(one for one in second.blocked if (_key(one), one.error) in blocked),
    )


def _key(one: Drift | Blocked) -> tuple[str, Member]:
    return fold(one.interface), one.member


class _Draft:
    """A plan in the making."""

    def __init__(self) -> None:
        self._removals: list[Action] = []
        self._released: list[Claim] = []
        self._observed: list[Observed] = []
        self._drifts: list[Drift] = []
        self.blocked: list[Blocked] = []

    def plan(self) -> Plan:
        return Plan(
            actions=tuple(self._removals),
            released=tuple(self._released),
            observed=tuple(self._observed),
            drifts=tuple(self._drifts),
            blocked=tuple(self.blocked),
        )

    def queue(
        self, queue: str, members: Mapping[str, Wanted], live: Sequence[LiveMember], lines: Mapping[str, Claim]
    ) -> None:
        """Compare one queue that the server has. The mappings go by folded interface."""
        rows = {fold(one.interface): one for one in live if one.membership is not Membership.DYNAMIC}
        dynamic = {fold(one.interface): one for one in live if one.membership is Membership.DYNAMIC}
        for phone, wanted in members.items():
            row, line = rows.get(phone), lines.get(phone)
            if row is None:
                why = MemberUnread if queue == wanted.member.campaign else QueueSpelled
                self.blocked.append(Blocked(wanted.member, why, shown(wanted.member.interface, wanted.interface)))
                self._drifted(DriftKind.REMOVED, wanted, None)
                continue
            self._read(queue, wanted, row)
            if phone in dynamic and not (line is not None and line.added):
                self._drifted(DriftKind.DUPLICATED, wanted, dynamic[phone])
        for phone, line in lines.items():
            if not line.added or phone not in dynamic:
                self._released.append(line)
            elif phone in rows or phone not in members:
                self._removals.append(Remove(queue, dynamic[phone].interface))

    def _drifted(self, kind: DriftKind, wanted: Wanted, found: LiveMember | None) -> None:
        self._drifts.append(Drift(kind, wanted.member, wanted.interface, found))

    def _read(self, queue: str, wanted: Wanted, row: LiveMember) -> None:
        """Compare a member that Asterisk shows."""
        member, interface, state, reason = wanted
        if row.membername != member.membername or (state and fold(state) != fold(row.state_interface)):
            self.blocked.append(Blocked(member, MemberNotOurs, shown(member.interface, interface)))
        elif row.penalty != member.penalty:
            self._drifted(DriftKind.PENALTY, wanted, row)
        elif row.paused is not member.paused:
            self._drifted(DriftKind.PAUSED, wanted, row)
        elif row.paused and not reason and (told := as_reason(row.paused_reason)):
            claim = Claim(queue, interface, False, True, member.penalty, told, member.membername)
            self._observed.append(Observed(member, claim, told))
