"""What stands between the roster and an Asterisk that reads it from the database itself (`delivery = "realtime"`).

There is nothing to add, remove, pause or penalise there: the rows are the roster. What can be seen is whether Asterisk
has read them. Over AMI a member from a row looks like one of `queues.conf`: static. A dynamic member that Plantel put
there, before the server was switched to realtime, goes once its row is read, so that no phone is left out meanwhile.
"""

from collections.abc import Callable, Collection, Iterable, Sequence

import msgspec

from plantel.errors import InvalidItem, MemberNotOurs, MemberUnread, PhoneNotUsable, QueueMissing, QueueSpelled
from plantel.phones import AS_SENT, PhoneRules
from plantel.plan import (
    Action,
    Blocked,
    Claim,
    Drift,
    DriftKind,
    LiveMember,
    Membership,
    Plan,
    Remove,
    Snapshot,
)
from plantel.roster import Member, fold


def compare(
    desired: Iterable[Member],
    snapshot: Snapshot,
    claims: Iterable[Claim],
    *,
    obliged: Callable[[str], bool] = lambda _: True,
    phones: PhoneRules = AS_SENT,
) -> Plan:
    """As `plan.plan`, for a server that reads the roster itself: its actions remove dynamic members of Plantel's only.

    `snapshot` has to be of queues that Asterisk has just read anew. `phones` without `map`.
    """
    wanted: dict[str, dict[str, Member]] = {}
    for member in desired:
        wanted.setdefault(fold(member.campaign), {})[member.phone] = member
    ledger: dict[str, dict[str, Claim]] = {}
    for claim in claims:
        queue, phone = claim.key
        ledger.setdefault(queue, {})[phone] = claim
    draft = _Draft(phones)
    for queue, live in snapshot.queues.items():
        folded = fold(queue)
        draft.queue(queue, wanted.pop(folded, {}), live, ledger.get(folded, {}))
    for folded, missing in wanted.items():
        if snapshot.asked is None or folded in snapshot.asked:
            for member in missing.values():
                if obliged(member.campaign):
                    draft.blocked.append(Blocked(member, QueueMissing, member.interface))
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
    def __init__(self, phones: PhoneRules) -> None:
        self._phones = phones
        self._removals: list[Action] = []
        self._released: list[Claim] = []
        self._drifts: list[Drift] = []
        self._strangers: dict[str, Collection[str]] = {}
        self.blocked: list[Blocked] = []

    def plan(self) -> Plan:
        return Plan(
            actions=tuple(self._removals),
            released=tuple(self._released),
            drifts=tuple(self._drifts),
            blocked=tuple(self.blocked),
            strangers=self._strangers,
        )

    def queue(
        self, queue: str, members: dict[str, Member], live: Sequence[LiveMember], lines: dict[str, Claim]
    ) -> None:
        """Compare one queue that the server has. The dictionaries go by folded interface."""
        rows = {fold(one.interface): one for one in live if one.membership is not Membership.DYNAMIC}
        dynamic = {fold(one.interface): one for one in live if one.membership is Membership.DYNAMIC}
        if strangers := (rows.keys() | dynamic.keys()) - members.keys() - lines.keys():
            self._strangers[fold(queue)] = strangers
        for phone, member in members.items():
            self._member(queue, member, rows.get(phone))
            line = lines.get(phone)
            if phone in rows and phone in dynamic and not (line is not None and line.added):
                self._drifts.append(Drift(DriftKind.DUPLICATED, member, member.interface, dynamic[phone]))
        for phone, line in lines.items():
            if not line.added or phone not in dynamic:
                self._released.append(line)
            elif phone in rows or phone not in members:
                self._removals.append(Remove(queue, dynamic[phone].interface))

    def _member(self, queue: str, member: Member, row: LiveMember | None) -> None:
        try:
            state = self._phones.state(member.interface)
        except InvalidItem:
            self.blocked.append(Blocked(member, PhoneNotUsable, member.interface))
            return
        if row is None:
            why = MemberUnread if queue == member.campaign else QueueSpelled
            self.blocked.append(Blocked(member, why, member.interface))
            self._drifts.append(Drift(DriftKind.REMOVED, member, member.interface, None))
        elif row.membername != member.membername or (state and fold(state) != fold(row.state_interface)):
            self.blocked.append(Blocked(member, MemberNotOurs, member.interface))
        elif row.penalty != member.penalty:
            self._drifts.append(Drift(DriftKind.PENALTY, member, member.interface, row))
        elif row.paused is not member.paused:
            self._drifts.append(Drift(DriftKind.PAUSED, member, member.interface, row))
