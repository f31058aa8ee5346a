"""A server that reads the roster itself: what is seen of it, and that only Plantel's own leftovers are touched."""

import msgspec
import pytest

from plantel import realtime
from plantel.batch import Source
from plantel.delivery import Delivery
from plantel.drift import Done
from plantel.errors import MemberNotOurs, MemberUnread, PhoneShared, QueueMissing, QueueSpelled
from plantel.phones import PhoneRules
from plantel.plan import Claim, Demand, DriftKind, LiveMember, Membership, Plan, Remove, Snapshot
from plantel.reconcile import Reconciler, State
from plantel.roster import Interfaces, Member
from plantel.service import Service
from plantel.testing.fake_switch import FakeSwitch
from plantel.testing.memory_store import MemoryStore
from tests.support.door import OPERATOR, SetClock

pytestmark = pytest.mark.anyio

QUEUE = "Ventas->"
ANA = Member(QUEUE, "ana", "SIP/1001")
ROW = LiveMember("SIP/1001", "ana", membership=Membership.STATIC)
DYNAMIC = LiveMember("SIP/1001", "ana")
OURS = Claim(QUEUE, "SIP/1001", added=True, paused=False, penalty=0, membername="ana")


def seen(*live: LiveMember, claims: tuple[Claim, ...] = (), queue: str = QUEUE) -> Plan:
    """What is found of ANA where the server shows these."""
    return realtime.compare(Demand([ANA]), Snapshot({queue: live}), claims)


def test_a_member_that_was_read_agrees_and_one_that_was_not_is_told() -> None:
    assert seen(ROW) == Plan()
    found = seen()
    assert [one.error for one in found.blocked] == [MemberUnread]
    assert [one.kind for one in found.drifts] == [DriftKind.REMOVED]
    assert [one.error for one in seen(queue="VENTAS->").blocked] == [QueueSpelled]
    assert [one.error for one in realtime.compare(Demand([ANA]), Snapshot({}), ()).blocked] == [QueueMissing]


def test_a_mapped_member_is_looked_for_under_its_name_there_and_told_under_both() -> None:
    rules = PhoneRules({"SIP/": "PJSIP/"})
    demand = Demand([ANA, Member(QUEUE, "eva", "pjsip/1001")], rules)
    row = LiveMember("PJSIP/1001", "eva", membership=Membership.STATIC)
    (shared,) = realtime.compare(demand, Snapshot({QUEUE: (row,)}), ()).blocked
    assert (shared.member, shared.error, shared.interface) == (ANA, PhoneShared, "SIP/1001 -> PJSIP/1001")
    (unread,) = realtime.compare(Demand([ANA], rules), Snapshot({QUEUE: ()}), ()).blocked
    assert (unread.error, unread.interface) == (MemberUnread, "SIP/1001 -> PJSIP/1001")
    missing = realtime.compare(demand, Snapshot({}), ()).blocked
    assert [one.error for one in missing] == [QueueMissing, QueueMissing]


def test_what_differs_is_told_and_left() -> None:
    for there, kind in (
        (msgspec.structs.replace(ROW, penalty=3), DriftKind.PENALTY),
        (msgspec.structs.replace(ROW, paused=True), DriftKind.PAUSED),
    ):
        found = seen(there)
        assert [one.kind for one in found.drifts] == [kind]
        assert found.actions == ()
    other = seen(msgspec.structs.replace(ROW, membername="eva"))
    assert [one.error for one in other.blocked] == [MemberNotOurs]


def test_our_dynamic_member_goes_once_its_row_is_read_and_not_before() -> None:
    assert seen(DYNAMIC, claims=(OURS,)).actions == ()
    assert seen(DYNAMIC, ROW, claims=(OURS,)).actions == (Remove(QUEUE, "SIP/1001"),)
    assert seen(ROW, claims=(OURS,)).released == (OURS,)
    gone = realtime.compare(Demand([]), Snapshot({QUEUE: (DYNAMIC,)}), [OURS])
    assert gone.actions == (Remove(QUEUE, "SIP/1001"),)


def test_a_strangers_dynamic_member_stays() -> None:
    found = seen(DYNAMIC, ROW)
    assert found.actions == ()
    assert [one.kind for one in found.drifts] == [DriftKind.DUPLICATED]
    assert realtime.compare(Demand([]), Snapshot({QUEUE: (DYNAMIC,)}), []) == Plan()


def test_only_what_two_looks_saw_counts() -> None:
    assert realtime.standing(seen(ROW), seen()).agreed
    assert realtime.standing(seen(), seen(ROW)).agreed
    assert not realtime.standing(seen(), seen()).agreed


async def test_nothing_is_added_and_the_reason_stands_until_asterisk_has_read() -> None:
    switch = FakeSwitch(queues=[QUEUE])
    store, clock, delivery = MemoryStore(), SetClock(), Delivery(())
    service = Service(store, "default", clock, Interfaces(), delivery.wake)
    reconciler = Reconciler(store, switch, service, clock, realtime=True)
    delivery.reconcilers = (reconciler,)
    await reconciler.run_once()
    receipt = await service.add(OPERATOR, [ANA], Source.API)
    await reconciler.run_once()
    assert switch.pbx.members()[QUEUE] == ()
    assert isinstance(delivery.behind(receipt), MemberUnread)
    assert reconciler.status.reasons
    (record,) = await service.drifts(OPERATOR)
    assert (record.kind, record.done) == (DriftKind.REMOVED, Done.REPORTED)
    switch.pbx.configure(QUEUE, [ROW])
    assert (await reconciler.run_once()).agreed
    assert delivery.behind(receipt) is None
    assert reconciler.status.state is State.AGREED
