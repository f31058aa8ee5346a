"""The reconciler, with FakeSwitch for an Asterisk and MemoryStore for the store: what is on the server afterwards."""

import asyncio
from collections.abc import AsyncIterator, Callable, Collection, Sequence
from contextlib import asynccontextmanager

import pytest
from structlog.testing import capture_logs

from plantel import doubt, errors, reconcile, service
from plantel.batch import Source
from plantel.contest import FREE
from plantel.delivery import LARGE, Delivery
from plantel.device import DeviceState
from plantel.neighbours import Neighbours
from plantel.phones import AS_SENT, PhoneRules
from plantel.plan import Action, LiveMember, Membership, Penalise, Snapshot
from plantel.ports import Lease, Outcome
from plantel.reconcile import QUEUES_WAITING_MOST, Reconciler, State
from plantel.roster import Interfaces, Member, fold
from plantel.service import Receipt, Service
from plantel.testing.app_queue import Answer
from plantel.testing.fake_switch import FakeSwitch
from plantel.testing.memory_store import MemoryData, MemoryStore
from tests.support.door import OPERATOR, SetClock
from tests.support.virtual_time import VirtualTimeLoop

pytestmark = pytest.mark.anyio

VENTAS = "Ventas->"


class Site:
    """One instance with its servers."""

    def __init__(
        self,
        *switches: FakeSwitch,
        campaigns: tuple[str, ...] = (),
        interval: float = 60,
        data: MemoryData | None = None,
        store: MemoryStore | None = None,
        repair: bool = True,
        phones: PhoneRules = AS_SENT,
    ) -> None:
        self.data = data or MemoryData()
        self.store = store or MemoryStore(self.data)
        self.added: list[Member] = []
        clock = SetClock()
        self.delivery = Delivery(())
        self.service = Service(
            self.store, "default", clock, Interfaces(), self.delivery.wake, names=self.delivery.names
        )
        self.delivery.reconcilers = tuple(
            Reconciler(
                self.store,
                switch,
                self.service,
                clock,
                campaigns=campaigns,
                sole=len(switches) == 1,
                repair=repair,
                phones=phones,
                interval=interval,
            )
            for switch in switches
        )

    @property
    def only(self) -> Reconciler:
        return self.delivery.reconcilers[0]

    async def add(self, *members: Member) -> None:
        self.added += members
        await self.service.add(OPERATOR, members, Source.CLI)

    def whole(self, *campaigns: str) -> Receipt:
        """As if all that was ever added to these campaigns had been one batch."""
        folded = frozenset(fold(campaign) for campaign in campaigns)
        return Receipt("", 0, (), folded, [one for one in self.added if fold(one.campaign) in folded])

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        tasks = [asyncio.create_task(one.run()) for one in self.delivery.reconcilers]
        try:
            yield
        finally:
            for task in tasks:
                task.cancel()

    async def until(self, condition: Callable[[], bool]) -> None:
        """Return once `condition` holds after some round; each round is an event, so nothing is polled."""
        async with asyncio.timeout(30):
            while not condition():
                await self.only.settled()


class Interrupted(FakeSwitch):
    """Something happens on it between a look and the changes."""

    before_apply: Callable[[], object] = staticmethod(lambda: None)

    async def apply(self, actions: Sequence[Action]) -> list[Outcome]:
        self.before_apply()
        return await super().apply(actions)


def shown(switch: FakeSwitch, queue: str = VENTAS) -> list[tuple[str, str, int, bool]]:
    return sorted(
        (one.membername, one.interface, one.penalty, one.paused) for one in switch.pbx.members().get(queue, ())
    )


def member(name: str = "ana", phone: str = "SIP/1001", penalty: int = 0, paused: bool = False) -> Member:
    return Member(VENTAS, name, phone, penalty, paused)


async def manned(*members: Member) -> tuple[FakeSwitch, Site]:
    """A server where these members are live already, and its site."""
    switch = FakeSwitch(queues=[VENTAS])
    site = Site(switch)
    await site.only.run_once()
    if members:
        await site.add(*members)
        await site.only.run_once()
    return switch, site


async def test_what_is_over_at_once_is_not_logged() -> None:
    with capture_logs() as logs:
        switch, site = await manned()
        await site.service.declare(OPERATOR, "POWER<-")
        await site.add(Member("POWER<-", "eva", "SIP/1002"))
        await site.only.run_once()
        before = site.only.status.state
        switch.pbx.configure("POWER<-")
        await site.only.run_once()
    assert (before, site.only.status.state) == (State.LAGGING, State.AGREED)
    assert [line["state"] for line in logs if line["event"] == "server"] == ["agreed"]


async def test_a_round_discovers_the_servers_queues_and_brings_the_members() -> None:
    switch = FakeSwitch(queues=[VENTAS, "POWER<-"])
    site = Site(switch)
    await site.only.run_once()
    assert [one.name for one in await site.service.campaigns(OPERATOR)] == ["POWER<-", VENTAS]
    await site.add(member(penalty=2, paused=True))
    assert (await site.only.run_once()).agreed
    assert shown(switch) == [("ana", "SIP/1001", 2, True)]
    assert site.only.status.state is State.AGREED


async def test_adds_moves_replacements_removals_penalty_and_pause_all_arrive() -> None:
    switch, site = await manned(member("ana", "SIP/1"), member("eva", "SIP/2"), member("leo", "SIP/3"))
    await site.add(member("ana", "SIP/2"), member("leo", "SIP/3", penalty=4, paused=True))
    await site.only.run_once()
    assert shown(switch) == [("ana", "SIP/2", 0, False), ("leo", "SIP/3", 4, True)]
    await site.service.remove(OPERATOR, VENTAS, ["ana"], Source.CLI)
    await site.service.pause(OPERATOR, VENTAS, ["SIP/3"], Source.CLI, paused=False)
    await site.only.run_once()
    assert shown(switch) == [("leo", "SIP/3", 4, False)]


async def test_a_member_that_was_there_already_gets_the_penalty_and_outlives_the_removal() -> None:
    switch = FakeSwitch(queues=[VENTAS])
    switch.pbx.add(VENTAS, "SIP/1001", "ana", 0, paused=False)
    switch.pbx.add(VENTAS, "SIP/9", "other", 0, paused=False)
    site = Site(switch)
    await site.only.run_once()
    await site.add(member(penalty=3, paused=True))
    assert (await site.only.run_once()).agreed
    assert shown(switch) == [("ana", "SIP/1001", 3, True), ("other", "SIP/9", 0, False)]
    await site.service.remove(OPERATOR, VENTAS, ["ana"], Source.CLI)
    assert (await site.only.run_once()).agreed
    assert [name for name, *_ in shown(switch)] == ["ana", "other"]


async def test_a_restart_brings_everything_back() -> None:
    switch = FakeSwitch(queues=[VENTAS])
    site = Site(switch)
    async with site.running():
        await site.until(lambda: site.only.status.state is State.AGREED)
        await site.add(member(paused=True))
        await site.until(lambda: shown(switch) != [])
        switch.restart()
        assert shown(switch) == []
        await site.until(lambda: shown(switch) == [("ana", "SIP/1001", 0, True)])


async def test_a_commit_alone_wakes_the_loop_and_delivery_becomes_live() -> None:
    switch = FakeSwitch(queues=[VENTAS])
    site = Site(switch)
    async with site.running():
        await site.until(lambda: site.only.status.state is State.AGREED)
        await site.add(member())
        assert site.delivery.behind(site.whole(VENTAS)) is not None
        assert await site.delivery.live(site.whole(VENTAS), 10) is None
        assert shown(switch) == [("ana", "SIP/1001", 0, False)]


async def test_a_server_that_is_away_is_lag_with_a_reason_and_catches_up() -> None:
    switch = FakeSwitch(queues=[VENTAS])
    site = Site(switch)
    async with site.running():
        await site.until(lambda: site.only.status.state is State.AGREED)
        switch.cut()
        await site.until(lambda: site.only.status.state is State.AWAY)
        await site.add(member())
        reason = site.delivery.behind(site.whole(VENTAS))
        assert isinstance(reason, errors.SwitchUnreachable)
        switch.mend()
        await site.until(lambda: shown(switch) == [("ana", "SIP/1001", 0, False)])
        assert await site.delivery.live(site.whole(VENTAS), 10) is None


@pytest.mark.parametrize("cut_after", range(7))
async def test_a_line_cut_amid_an_apply_loses_nothing_and_owns_what_it_put_there(cut_after: int) -> None:
    switch = FakeSwitch(queues=[VENTAS])
    switch.pbx.add(VENTAS, "SIP/999", "stranger", 0, paused=False)
    site = Site(switch)
    await site.only.run_once()
    crew = [member(f"agent {number}", f"SIP/{number}", number) for number in range(6)]
    await site.add(*crew)
    switch.cut_after = cut_after
    with pytest.raises(errors.SwitchUnreachable):
        await site.only.run_once()
    assert (await site.only.run_once()).agreed
    assert len(shown(switch)) == 7
    await site.service.remove(OPERATOR, VENTAS, [one.membername for one in crew], Source.CLI)
    await site.only.run_once()
    assert shown(switch) == [("stranger", "SIP/999", 0, False)]


async def test_a_pause_made_on_the_server_is_journalled_under_its_name_and_kept() -> None:
    switch, site = await manned(member())
    switch.pbx.pause(VENTAS, "SIP/1001", paused=True)
    assert (await site.only.run_once()).agreed
    assert await site.service.members(OPERATOR, VENTAS) == [member(paused=True)]
    entry = (await site.service.journal(OPERATOR))[-1]
    assert (entry.actor, entry.change.kind) == ("server:pbx1", "updated")
    switch.restart()
    await site.only.run_once()
    assert shown(switch) == [("ana", "SIP/1001", 0, True)]
    await site.service.pause(OPERATOR, VENTAS, ["ana"], Source.CLI, paused=False)
    await site.only.run_once()
    assert shown(switch) == [("ana", "SIP/1001", 0, False)]


async def test_the_later_pause_wins_also_where_a_server_was_away_for_both() -> None:
    switch, site = await manned(member())
    switch.pbx.pause(VENTAS, "SIP/1001", paused=True)
    for paused in (True, False):  # back to what the ledger has as asserted
        await site.service.pause(OPERATOR, VENTAS, ["ana"], Source.API, paused=paused)
    assert (await site.only.run_once()).agreed
    assert shown(switch) == [("ana", "SIP/1001", 0, False)]
    switch.pbx.pause(VENTAS, "SIP/1001", paused=True)
    await site.service.pause(OPERATOR, VENTAS, ["ana"], Source.API, paused=False)  # as the roster has it already
    assert (await site.only.run_once()).agreed
    assert shown(switch) == [("ana", "SIP/1001", 0, False)]
    await site.service.pause(OPERATOR, VENTAS, ["ana"], Source.API, paused=False)
    await site.only.run_once()
    switch.pbx.pause(VENTAS, "SIP/1001", paused=True)
    assert (await site.only.run_once()).agreed
    assert await site.service.members(OPERATOR, VENTAS) == [member(paused=True)]


async def test_the_later_pause_wins_also_where_the_server_calls_the_phone_otherwise() -> None:
    switch = FakeSwitch(queues=[VENTAS])
    site = Site(switch, phones=PhoneRules({"SIP/": "PJSIP/"}))
    await site.only.run_once()
    await site.add(member())
    await site.only.run_once()
    switch.pbx.pause(VENTAS, "PJSIP/1001", paused=True)
    await site.service.pause(OPERATOR, VENTAS, ["ana"], Source.API, paused=False)
    assert (await site.only.run_once()).agreed
    assert shown(switch) == [("ana", "PJSIP/1001", 0, False)]


async def test_a_pause_declared_between_the_look_and_its_taking_over_stands() -> None:
    switch, site = await manned(member())
    switch.pbx.pause(VENTAS, "SIP/1001", paused=True)
    _, found = await site.only.look()
    await site.service.pause(OPERATOR, VENTAS, ["ana"], Source.API, paused=False)
    await site.service.observe("pbx1", found.observed)
    assert await site.service.members(OPERATOR, VENTAS) == [member()]
    assert (await site.only.run_once()).agreed
    assert shown(switch) == [("ana", "SIP/1001", 0, False)]


async def test_a_pause_that_a_restart_took_from_a_static_member_is_made_again() -> None:
    switch = FakeSwitch()
    switch.add_queue(VENTAS, [LiveMember("SIP/1001", "ana")])
    site = Site(switch)
    await site.only.run_once()
    await site.add(member(paused=True))
    await site.only.run_once()
    switch.restart()
    assert shown(switch) == [("ana", "SIP/1001", 0, False)]
    assert (await site.only.run_once()).agreed
    assert shown(switch) == [("ana", "SIP/1001", 0, True)]
    switch.pbx.pause(VENTAS, "SIP/1001", paused=False)
    assert (await site.only.run_once()).agreed
    assert await site.service.members(OPERATOR, VENTAS) == [member()]


async def test_a_pause_that_was_refused_is_not_taken_for_one_ended_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reconcile, "CHUNK", 1)
    switch, site = await manned(member())
    await site.add(member(penalty=3, paused=True))
    apply = switch.apply

    async def penalties_only(actions: Sequence[Action]) -> list[Outcome]:
        switch.privileged = isinstance(actions[0], Penalise)
        return await apply(actions)

    with monkeypatch.context() as patch:
        patch.setattr(switch, "apply", penalties_only)
        await site.only.run_once()
    assert shown(switch) == [("ana", "SIP/1001", 3, False)]
    switch.privileged = True
    assert (await site.only.run_once()).agreed
    assert shown(switch) == [("ana", "SIP/1001", 3, True)]


async def test_a_replacement_that_is_refused_leaves_the_phone_ours() -> None:
    switch, site = await manned(member("ana"))
    switch.privileged = False
    await site.add(member("eva"))
    await site.only.run_once()
    switch.privileged = True
    assert (await site.only.run_once()).agreed
    assert shown(switch) == [("eva", "SIP/1001", 0, False)]
    await site.service.remove(OPERATOR, VENTAS, ["eva"], Source.CLI)
    await site.only.run_once()
    assert shown(switch) == []


async def test_a_pause_taken_back_while_its_fate_is_unknown_is_not_taken_for_the_servers() -> None:
    switch, site = await manned(member("ana", "SIP/1"), member("eva", "SIP/2"))
    await site.service.pause(OPERATOR, VENTAS, ["ana", "eva"], Source.CLI, paused=True)
    switch.cut_after = 1
    with pytest.raises(errors.SwitchUnreachable):
        await site.only.run_once()
    await site.service.pause(OPERATOR, VENTAS, ["ana", "eva"], Source.CLI, paused=False)
    assert (await site.only.run_once()).agreed
    assert shown(switch) == [("ana", "SIP/1", 0, False), ("eva", "SIP/2", 0, False)]
    assert {entry.actor for entry in await site.service.journal(OPERATOR)} == {OPERATOR.name}


@pytest.mark.parametrize("kept", [True, False])
async def test_an_addition_that_arrives_after_the_next_look_is_still_ours(kept: bool) -> None:
    switch = Interrupted(queues=[VENTAS])
    switch.pbx.add(VENTAS, "SIP/9", "other", 0, paused=False)
    site = Site(switch)
    await site.only.run_once()
    await site.add(member())
    switch.cut_after = 0
    with pytest.raises(errors.SwitchUnreachable):
        await site.only.run_once()
    if kept:
        # between the look and our addition
        switch.before_apply = lambda: switch.pbx.add(VENTAS, "SIP/1001", "ana", 0, paused=False)
        await site.only.run_once()
    else:
        await site.service.remove(OPERATOR, VENTAS, ["ana"], Source.CLI)
        assert (await site.only.run_once()).agreed
        switch.pbx.add(VENTAS, "SIP/1001", "ana", 0, paused=False)
    assert (await site.only.run_once()).agreed
    if kept:
        assert shown(switch) == [("ana", "SIP/1001", 0, False), ("other", "SIP/9", 0, False)]
        await site.service.remove(OPERATOR, VENTAS, ["ana"], Source.CLI)
        assert (await site.only.run_once()).agreed
    assert shown(switch) == [("other", "SIP/9", 0, False)]


async def test_what_was_never_answered_is_not_ours_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doubt, "LATE_SECONDS", 0)
    switch, site = await manned()
    await site.add(member())
    switch.cut_after = 0
    with pytest.raises(errors.SwitchUnreachable):
        await site.only.run_once()
    await site.service.remove(OPERATOR, VENTAS, ["ana"], Source.CLI)
    await site.only.run_once()
    switch.pbx.add(VENTAS, "SIP/1001", "ana", 0, paused=False)
    assert (await site.only.run_once()).agreed
    assert shown(switch) == [("ana", "SIP/1001", 0, False)]


async def test_a_removal_that_was_never_answered_is_not_taken_for_somebody_elses() -> None:
    switch = FakeSwitch(queues=[VENTAS])
    site = Site(switch, repair=False)
    await site.only.run_once()
    await site.add(member())
    await site.only.run_once()
    await site.service.remove(OPERATOR, VENTAS, ["ana"], Source.CLI)
    switch.cut_after = 1
    with pytest.raises(errors.SwitchUnreachable):
        await site.only.run_once()
    assert shown(switch) == []
    await site.add(member("eva"))
    assert (await site.only.run_once()).agreed
    assert shown(switch) == [("eva", "SIP/1001", 0, False)]


def test_what_another_process_sent_without_an_answer_may_arrive_late_again_and_again() -> None:
    async def story() -> None:
        switch = FakeSwitch(queues=[VENTAS])
        data = MemoryData()
        one, other = Site(switch, data=data), Site(FakeSwitch(pbx=switch.pbx), data=data)
        await one.only.run_once()
        await other.only.run_once()
        switch.aftermath = lambda: 5.0
        for _ in range(2):
            await one.add(member())
            switch.cut_after = 0
            with pytest.raises(errors.SwitchUnreachable):
                await one.only.run_once()
            await one.service.remove(OPERATOR, VENTAS, ["ana"], Source.CLI)
            await other.only.run_once()
            await asyncio.sleep(5)
            switch.pbx.catch_up()
            assert shown(switch) == [("ana", "SIP/1001", 0, False)], "it has arrived"
            assert (await other.only.run_once()).agreed
            assert shown(switch) == []
            await asyncio.sleep(60)

    with asyncio.Runner(loop_factory=VirtualTimeLoop) as runner:
        runner.run(story())


async def test_a_penalty_that_arrived_does_not_confirm_the_pause_that_did_not(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reconcile, "CHUNK", 1)
    switch, site = await manned(member())
    await site.add(member(penalty=4, paused=True))
    with monkeypatch.context() as broken:
        broken.setattr(switch.pbx, "pause", lambda *_arguments, **_keys: Answer.PAUSE_REFUSED)
        await site.only.run_once()
    assert shown(switch) == [("ana", "SIP/1001", 4, False)]
    assert (await site.only.run_once()).agreed
    assert shown(switch) == [("ana", "SIP/1001", 4, True)]


async def test_what_another_process_has_committed_is_not_live_before_somebody_has_looked() -> None:
    data = MemoryData()
    switch = FakeSwitch(queues=[VENTAS])
    one, other = Site(switch, data=data), Site(FakeSwitch(pbx=switch.pbx), data=data)
    await one.only.run_once()
    await other.only.run_once()
    await one.service.add(OPERATOR, [member()], Source.API)
    again = await other.service.add(OPERATOR, [member()], Source.API)  # a retry by way of the other process
    assert not again.changes
    assert isinstance(other.delivery.behind(again), errors.SwitchBehind)
    await other.only.run_once([fold(VENTAS)])
    assert other.delivery.behind(again) is None
    assert shown(switch) == [("ana", "SIP/1001", 0, False)]


async def test_an_addition_over_a_strangers_other_spelling_never_makes_the_stranger_ours() -> None:
    switch = FakeSwitch(queues=[VENTAS])
    switch.pbx.add(VENTAS, "SIP/ANA", "stranger", 0, paused=False)
    site = Site(switch)
    async with site.running():
        await site.until(lambda: site.only.status.state is State.AGREED)
        switch.cut_after = 0
        await site.add(member("ana", "sip/ana"))
        await site.until(lambda: site.only.status.state is State.LAGGING)
        assert shown(switch) == [("stranger", "SIP/ANA", 0, False)]
        assert not await site.only.owns(VENTAS, "SIP/ANA")


async def test_nor_does_it_where_another_agent_had_that_phone_in_vain() -> None:
    switch = FakeSwitch(queues=[VENTAS])
    switch.pbx.add(VENTAS, "SIP/ANA", "stranger", 0, paused=False)
    site = Site(switch)
    async with site.running():
        await site.until(lambda: site.only.status.state is State.AGREED)
        await site.add(member("leo", "sip/ana"))
        await site.until(lambda: isinstance(site.delivery.behind(site.whole(VENTAS)), errors.MemberNotOurs))
        switch.cut_after = 0
        await site.add(member("ana", "sip/ana"))
        await site.until(lambda: not site.only._awaited)
        assert shown(switch) == [("stranger", "SIP/ANA", 0, False)]
        assert not await site.only.owns(VENTAS, "SIP/ANA")


async def test_a_queue_that_a_look_at_some_comes_upon_is_waited_for_from_then_on() -> None:
    one, two = FakeSwitch("one", [VENTAS]), FakeSwitch("two", ["Cobros"])
    site = Site(one, two)
    for reconciler in site.delivery.reconcilers:
        await reconciler.run_once()
    two.pbx.configure(VENTAS)
    await site.delivery.reconcilers[1].run_once([fold(VENTAS)])
    assert site.delivery.reconcilers[1].carries(fold(VENTAS))
    two.pbx.drop(VENTAS)
    await site.delivery.reconcilers[1].run_once([fold(VENTAS)])
    assert not site.delivery.reconcilers[1].carries(fold(VENTAS))


async def test_a_queue_that_no_server_has_is_a_reason_until_it_appears() -> None:
    switch = FakeSwitch()
    site = Site(switch)
    await site.service.declare(OPERATOR, VENTAS)
    await site.add(member())
    await site.only.run_once()
    assert site.only.status.state is State.LAGGING
    assert isinstance(site.delivery.behind(site.whole(VENTAS)), errors.QueueMissing)
    switch.add_queue(VENTAS)
    await site.only.run_once()
    assert site.delivery.behind(site.whole(VENTAS)) is None
    assert shown(switch) == [("ana", "SIP/1001", 0, False)]


async def test_two_servers_each_get_the_campaigns_whose_queues_they_have() -> None:
    one, two = FakeSwitch("one", [VENTAS]), FakeSwitch("two", ["Cobros"])
    site = Site(one, two)
    for reconciler in site.delivery.reconcilers:
        await reconciler.run_once()
    await site.add(member(), Member("Cobros", "eva", "SIP/2"))
    for reconciler in site.delivery.reconcilers:
        assert (await reconciler.run_once()).agreed
    assert shown(one) == [("ana", "SIP/1001", 0, False)]
    assert shown(two, "Cobros") == [("eva", "SIP/2", 0, False)]
    assert site.delivery.behind(site.whole(VENTAS, "Cobros")) is None
    await site.service.declare(OPERATOR, "Nowhere")
    assert isinstance(site.delivery.behind(site.whole("nowhere")), errors.QueueMissing)


async def test_a_missing_privilege_is_a_reason_and_does_not_spin() -> None:
    switch, site = await manned()
    await site.add(member())
    switch.privileged = False
    await site.only.run_once()
    assert isinstance(site.delivery.behind(site.whole(VENTAS)), errors.PrivilegeMissing)
    switch.privileged = True
    await site.only.run_once()
    assert site.only.status.state is State.AGREED


async def test_a_static_member_under_another_name_is_in_the_way_and_stays() -> None:
    switch = FakeSwitch()
    static = LiveMember("SIP/1001", "fixed", membership=Membership.STATIC)
    switch.add_queue(VENTAS, [static])
    site = Site(switch)
    await site.only.run_once()
    await site.add(member(penalty=5))
    await site.only.run_once()
    assert isinstance(site.delivery.behind(site.whole(VENTAS)), errors.MemberNotOurs)
    assert shown(switch) == [("fixed", "SIP/1001", 5, False)]


async def test_of_a_large_batch_it_is_told_in_a_thread_why_a_member_is_not_delivered() -> None:
    switch = FakeSwitch()
    switch.add_queue(VENTAS, [LiveMember("SIP/1001", "fixed", membership=Membership.STATIC)])
    site = Site(switch)
    await site.only.run_once()
    others = [Member(VENTAS, f"agent {number}", f"SIP/a{number}") for number in range(LARGE)]
    await site.add(*others, member())
    assert isinstance(await site.delivery.lag(site.whole(VENTAS)), errors.SwitchBehind)
    await site.only.run_once()
    for reason in (await site.delivery.lag(site.whole(VENTAS)), await site.delivery.live(site.whole(VENTAS), 0.01)):
        assert isinstance(reason, errors.MemberNotOurs)


async def test_somebody_elses_removal_is_repaired_when_the_event_comes() -> None:
    switch = FakeSwitch(queues=[VENTAS])
    site = Site(switch)
    async with site.running():
        await site.until(lambda: site.only.status.state is State.AGREED)
        await site.add(member())
        assert await site.delivery.live(site.whole(VENTAS), 10) is None
        assert switch.pbx.remove(VENTAS, "SIP/1001") is Answer.REMOVED
        await site.until(lambda: shown(switch) == [("ana", "SIP/1001", 0, False)])


async def test_a_penalty_that_is_always_set_back_is_contested_and_holds_nobody_else_up() -> None:
    switch = FakeSwitch(queues=[VENTAS])
    site = Site(switch)
    times = 0

    def set_back(queue: str | None, interface: str) -> None:
        nonlocal times
        if queue == VENTAS and any(line[:3] == ("ana", "SIP/1001", 7) for line in shown(switch)):
            times += 1
            switch.pbx.penalise(VENTAS, "SIP/1001", 0)
        site.only._heard(queue, interface)

    switch.listen(set_back)
    async with site.running():
        await site.until(lambda: site.only.status.state is State.AGREED)
        await site.add(member(penalty=7))
        await site.until(lambda: isinstance(site.delivery.behind(site.whole(VENTAS)), errors.MemberContested))
        done = times
        await site.add(member("eva", "SIP/2", 5))
        await site.until(lambda: ("eva", "SIP/2", 5, False) in shown(switch))
        assert times - done <= 1
        assert ("ana", "penalty", "7", "0", "event", "contested", 1) in kept(site)
        await site.add(member(penalty=0))
        assert await site.delivery.live(site.whole(VENTAS), 10) is None


async def test_a_plan_changes_nothing() -> None:
    switch = FakeSwitch(queues=[VENTAS])
    site = Site(switch)
    await site.service.declare(OPERATOR, VENTAS)
    await site.add(member())
    _, found = await site.only.look()
    assert len(found.actions) == 1
    assert shown(switch) == []
    _, again = await site.only.look()
    assert again == found


def kept(site: Site) -> list[tuple[str, str, str, str, str, str, int]]:
    return [
        (one.membername, one.kind, one.expected, one.found, one.route, one.done, one.count)
        for _, one in site.data.state.drifts
    ]


async def test_drift_is_repaired_and_kept_with_its_route_and_what_was_done() -> None:
    switch, site = await manned()
    async with site.running():
        await site.add(member(penalty=2), member("bea", "SIP/1002"))
        await site.until(lambda: len(shown(switch)) == 2 and site.only.status.state is State.AGREED)
        assert kept(site) == []
        switch.pbx.penalise(VENTAS, "SIP/1001", 9)
        await site.until(lambda: len(kept(site)) == 1)
        switch.pbx.remove(VENTAS, "SIP/1002")
        await site.until(lambda: len(kept(site)) == 2)
        switch.pbx.pause(VENTAS, "SIP/1001", paused=True)
        await site.until(lambda: len(kept(site)) == 3)
    assert kept(site) == [
        ("ana", "penalty", "2", "9", "event", "repaired", 1),
        ("bea", "removed", "", "", "event", "repaired", 1),
        ("ana", "paused", "0", "1", "event", "taken_over", 1),
    ]
    assert shown(switch) == [("ana", "SIP/1001", 2, True), ("bea", "SIP/1002", 0, False)]


async def test_a_restart_is_one_record_for_each_campaign() -> None:
    switch = FakeSwitch(queues=[VENTAS, "Ñ"])
    site = Site(switch)
    await site.only.run_once()
    await site.add(member(), member("bea", "SIP/1002"), Member("Ñ", "ana", "SIP/1001"))
    await site.only.run_once()
    switch.restart()
    await site.only.run_once()
    assert sorted(kept(site)) == [
        ("", "removed", "", "", "restart", "repaired", 1),
        ("", "removed", "", "", "restart", "repaired", 2),
    ]


async def test_what_changed_without_a_word_or_while_nobody_watched_says_so() -> None:
    switch, site = await manned(member(), member("bea", "SIP/1002"))
    switch.deaf = True
    switch.pbx.remove(VENTAS, "SIP/1001")
    await site.only.run_once()
    switch.pbx.remove(VENTAS, "SIP/1002")
    later = Site(switch, data=site.data)
    await later.only.run_once()
    assert [(one[0], one[4]) for one in kept(site)] == [("ana", "look"), ("bea", "away")]


class Outrun(FakeSwitch):
    """Something happens on it just after a look, before what it showed is dealt with."""

    after_look: Callable[[], object] = staticmethod(lambda: None)

    async def snapshot(
        self, queues: Collection[str] | None = None, interfaces: Collection[str] | None = None
    ) -> Snapshot:
        found = await super().snapshot(queues, interfaces)
        self.after_look()
        await asyncio.sleep(0)  # and is heard of
        return found


async def test_a_look_that_was_quicker_than_the_event_leaves_the_route_to_the_event() -> None:
    switch, site = await manned(member(penalty=2), member("bea", "SIP/1002"))
    switch.lag = lambda: 0.01
    switch.pbx.penalise(VENTAS, "SIP/1001", 7)
    switch.pbx.remove(VENTAS, "SIP/1002")
    await site.only.run_once()
    assert sorted((one[0], one[4]) for one in kept(site)) == [("ana", "event"), ("bea", "event")]


async def test_an_event_during_a_look_that_does_not_show_its_change_counts_for_the_next_look() -> None:
    switch = Outrun(queues=[VENTAS])
    site = Site(switch)
    await site.only.run_once()
    await site.add(member(penalty=2))
    await site.only.run_once()
    switch.after_look = lambda: switch.pbx.penalise(VENTAS, "SIP/1001", 7)
    assert (await site.only.run_once()).agreed
    switch.after_look = lambda: None
    await site.only.run_once()
    assert [(one[0], one[4]) for one in kept(site)] == [("ana", "event")]


async def test_an_event_tells_of_one_member_and_only_once() -> None:
    switch, site = await manned(member(penalty=2), member("bea", "SIP/1002"))
    switch.pbx.penalise(VENTAS, "SIP/1001", 7)
    await asyncio.sleep(0)  # it is heard
    switch.deaf = True
    switch.pbx.remove(VENTAS, "SIP/1002")
    await site.only.run_once()
    await site.only.run_once()
    switch.pbx.penalise(VENTAS, "SIP/1001", 7)
    await site.only.run_once()
    assert sorted((one[0], one[4]) for one in kept(site)) == [("ana", "event"), ("ana", "look"), ("bea", "look")]


async def test_an_event_that_could_be_of_another_processs_change_is_still_an_event() -> None:
    switch = FakeSwitch(queues=[VENTAS])
    data = MemoryData()
    here, other = Site(switch, data=data), Site(FakeSwitch(pbx=switch.pbx), data=data)
    neighbours = Neighbours(here.store, {"default": here.delivery}, [])
    async with here.running():
        await here.until(lambda: here.only.status.state is State.AGREED)
        await neighbours.catch_up()
        await other.add(member(penalty=2))
        await neighbours.catch_up()
        await here.until(lambda: here.delivery.behind(other.whole(VENTAS)) is None)
        switch.pbx.penalise(VENTAS, "SIP/1001", 7)
        await here.until(lambda: len(kept(here)) == 1)
    assert [(one[0], one[4], one[5]) for one in kept(here)] == [("ana", "event", "repaired")]


async def test_a_server_that_is_observed_keeps_what_somebody_changed_there_and_is_reported_once() -> None:
    switch = FakeSwitch(queues=[VENTAS])
    site = Site(switch, repair=False)
    await site.only.run_once()
    await site.add(member(), member("bea", "SIP/1002"), member("cid", "SIP/1003"))
    await site.only.run_once()
    switch.pbx.remove(VENTAS, "SIP/1001")
    switch.pbx.penalise(VENTAS, "SIP/1002", 5)
    for state in (DeviceState.NOT_INUSE, DeviceState.RINGING, DeviceState.INUSE):
        switch.pbx.set_device("SIP/1002", state)
        await site.only.run_once()
    assert [(one[0], one[1], one[5]) for one in kept(site)] == [
        ("ana", "removed", "reported"),
        ("bea", "penalty", "reported"),
    ]
    assert shown(switch) == [("bea", "SIP/1002", 5, False), ("cid", "SIP/1003", 0, False)]
    assert site.only.status.state is State.LAGGING
    assert isinstance(site.delivery.behind(site.whole(VENTAS)), errors.MemberDrifted)
    await site.add(member(penalty=1), member("bea", "SIP/1002", penalty=6))
    await site.only.run_once()
    assert shown(switch)[0] == ("bea", "SIP/1002", 6, False)


async def test_a_record_that_could_not_be_stored_is_stored_by_the_next_round(monkeypatch: pytest.MonkeyPatch) -> None:
    def away(*_: object) -> None:
        raise errors.StoreUnavailable(detail="away")

    switch = FakeSwitch(queues=[VENTAS])
    site = Site(switch, repair=False)
    await site.only.run_once()
    await site.add(member())
    await site.only.run_once()
    switch.pbx.penalise(VENTAS, "SIP/1001", 5)
    with monkeypatch.context() as patch:
        patch.setattr(reconcile, "_record_drifts", away)
        with pytest.raises(errors.StoreUnavailable):
            await site.only.run_once()
    for _ in range(2):
        await site.only.run_once()
    assert [one[:2] for one in kept(site)] == [("ana", "penalty")]


async def test_an_observed_server_gets_its_members_back_after_a_restart_seen_or_not() -> None:
    switch = FakeSwitch(queues=[VENTAS])
    site = Site(switch, repair=False)
    await site.only.run_once()
    await site.add(member(), member("bea", "SIP/1002"))
    await site.only.run_once()
    switch.restart()
    assert (await site.only.run_once()).agreed
    assert len(shown(switch)) == 2
    switch.pbx.restart()
    later = Site(switch, repair=False, data=site.data)
    assert (await later.only.run_once()).agreed
    assert len(shown(switch)) == 2
    assert [one[4:] for one in kept(site)] == [("restart", "repaired", 2)] * 2


async def test_an_adopted_member_is_the_rosters_and_may_be_removed() -> None:
    switch = FakeSwitch(queues=[VENTAS])
    switch.pbx.add(VENTAS, "SIP/1001", "ana", 3, paused=True)
    switch.pbx.add(VENTAS, "SIP/1002", "bea", 0, paused=False)
    site = Site(switch)
    await site.only.run_once()
    assert {one.membername for one in await site.only.foreign(VENTAS)} == {"ana", "bea"}
    await site.only.adopt(OPERATOR, VENTAS, ["ana"])
    assert await site.service.members(OPERATOR, VENTAS) == [member(penalty=3, paused=True)]
    assert {one.membername for one in await site.only.foreign(VENTAS)} == {"bea"}
    assert (await site.only.run_once()).agreed
    await site.service.remove(OPERATOR, VENTAS, ["ana"], Source.CLI)
    await site.only.run_once()
    assert shown(switch) == [("bea", "SIP/1002", 0, False)]
    assert kept(site) == []


async def test_what_cannot_be_adopted_is_named_and_nothing_is() -> None:
    sam = LiveMember("SIP/9001", "Static Sam", membership=Membership.STATIC)
    switch = FakeSwitch()
    switch.add_queue(VENTAS, [sam])
    switch.pbx.add(VENTAS, "SIP/1001", "ana", 0, paused=False)
    switch.pbx.add(VENTAS, "SIP/34900@trunk", "eva", 0, paused=False)
    site = Site(switch)
    await site.only.run_once()
    with pytest.raises(errors.BatchRefused) as refused:
        await site.only.adopt(OPERATOR, VENTAS, ["SIP/1001", "nobody", "Static Sam", "eva"])
    assert [(type(one), one.item) for one in refused.value.problems if isinstance(one, errors.InvalidItem)] == [
        (errors.UnknownMember, 2),
        (errors.UnknownMember, 3),
        (errors.InterfaceNotAllowed, 4),
    ]
    assert await site.service.members(OPERATOR, VENTAS) == []


async def test_a_released_member_stays_on_the_server_as_nobodys() -> None:
    switch, site = await manned(member(), member("bea", "SIP/1002"))
    await site.delivery.release(OPERATOR, VENTAS, ["ana"], site.service)
    assert (await site.only.run_once()).agreed
    assert [one[0] for one in shown(switch)] == ["ana", "bea"]
    assert [one.membername for one in await site.service.members(OPERATOR, VENTAS)] == ["bea"]
    assert [one.membername for one in await site.only.foreign(VENTAS)] == ["ana"]


async def test_two_processes_on_one_server_do_not_take_each_others_additions_for_foreign() -> None:
    data = MemoryData()
    first = FakeSwitch(queues=[VENTAS])
    switches = [first, FakeSwitch(pbx=first.pbx)]
    one, other = (Site(switch, data=data) for switch in switches)
    await one.only.run_once()
    await one.add(*(member(f"agent {number}", f"SIP/{number}") for number in range(20)))
    await asyncio.gather(one.only.run_once(), other.only.run_once(), one.only.run_once())
    assert len(shown(switches[0])) == 20
    await one.service.remove(OPERATOR, VENTAS, [f"agent {number}" for number in range(20)], Source.CLI)
    assert (await other.only.run_once()).agreed
    assert shown(switches[0]) == []


async def test_a_process_that_hangs_on_a_server_is_named_as_the_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reconcile, "TAKEN_SECONDS", 0.01)
    site = Site(FakeSwitch(queues=[VENTAS]))
    await site.only.run_once()
    await site.add(member())
    async with site.store.lease("reconcile default/pbx1", 1):
        with pytest.raises(errors.SwitchTaken):
            await site.only.run_once()
    assert (await site.only.run_once()).agreed


async def test_to_see_that_all_agrees_takes_no_lease() -> None:
    switch = FakeSwitch(queues=[VENTAS])
    one = Site(switch)
    await one.only.run_once()
    await one.add(member())
    await one.only.run_once()
    other = Site(FakeSwitch(pbx=switch.pbx), data=one.data)
    async with one.store.lease("reconcile default/pbx1", 1):
        assert (await other.only.run_once()).agreed
        assert other.only.status.state is State.AGREED


@pytest.mark.parametrize("phones", [1, 10])
async def test_what_another_process_stores_is_delivered_here_too(phones: int) -> None:
    """The other one cannot: it has no reconciler that runs."""
    switch = FakeSwitch(queues=[VENTAS])
    other, here = (Site(one, data=data) for data in [MemoryData()] for one in (FakeSwitch(pbx=switch.pbx), switch))
    neighbours = Neighbours(here.store, {"default": here.delivery}, [])
    async with here.running():
        await here.until(lambda: here.only.status.state is State.AGREED)
        await neighbours.catch_up()
        await here.add(member("eva", "SIP/2000"))
        await other.add(*(member(f"agent {number}", f"SIP/{number}") for number in range(phones)))
        await neighbours.catch_up()
        receipt = other.whole(VENTAS)
        assert here.delivery.behind(receipt) is not None
        await here.until(lambda: here.delivery.behind(receipt) is None)
    assert len(shown(switch)) == phones + 1


class Fading(Lease):
    """A lease that is lost after so many looks at it."""

    def __init__(self, looks: int) -> None:
        self._looks = looks

    def check(self) -> None:
        self._looks -= 1
        if self._looks < 0:
            raise errors.LeaseLost(name="pbx1")


class FadingStore(MemoryStore):
    looks = 0

    @asynccontextmanager
    async def lease(self, name: str, seconds: float) -> AsyncIterator[Lease]:
        async with super().lease(name, seconds):
            yield Fading(self.looks)


@pytest.mark.parametrize("looks", [0, 1, 2])
async def test_who_has_lost_the_lease_tells_the_server_nothing_more_and_leaves_the_ledger(looks: int) -> None:
    switch = FakeSwitch(queues=[VENTAS])
    data = MemoryData()
    site = Site(switch, data=data)
    await site.only.run_once()
    await site.add(member())
    store = FadingStore(data)
    store.looks = looks
    fading = Site(FakeSwitch(pbx=switch.pbx), data=data, store=store)
    with pytest.raises(errors.LeaseLost):
        await fading.only.run_once()
    # the second look is the one before anything is sent, the first and the third are those of the ledger
    assert len(shown(switch)) == (looks > 1)
    claims = await site.store.read(lambda transaction: transaction.claims("default", "pbx1"))
    assert len(claims) == (looks > 0)
    assert (await site.only.run_once()).agreed
    assert shown(switch) == [("ana", "SIP/1001", 0, False)]


async def test_a_mapped_phone_is_delivered_observed_and_removed_under_the_servers_name_for_it() -> None:
    switch = FakeSwitch(queues=[VENTAS])
    site = Site(switch, phones=PhoneRules({"SIP/": "PJSIP/"}))
    await site.only.run_once()
    await site.add(member())
    assert (await site.only.run_once()).agreed
    assert shown(switch) == [("ana", "PJSIP/1001", 0, False)]
    assert site.delivery.called(member()) == {"pbx1": "PJSIP/1001"}
    switch.pbx.pause(VENTAS, "PJSIP/1001", paused=True)
    assert (await site.only.run_once()).agreed
    assert await site.service.members(OPERATOR, VENTAS) == [member(paused=True)]
    await site.service.remove(OPERATOR, VENTAS, ["SIP/1001"], Source.CLI)
    assert (await site.only.run_once()).agreed
    assert shown(switch) == []


async def test_of_two_members_on_one_phone_of_a_server_one_waits_and_the_reason_says_why() -> None:
    switch = FakeSwitch(queues=[VENTAS])
    site = Site(switch, phones=PhoneRules({"SIP/": "PJSIP/"}))
    await site.only.run_once()
    await site.add(member("ana"), member("eva", "PJSIP/1001"))
    for _ in range(3):
        found = await site.only.run_once()
        assert found.actions == ()
        assert shown(switch) == [("eva", "PJSIP/1001", 0, False)]
    assert isinstance(site.delivery.behind(site.whole(VENTAS)), errors.PhoneShared)
    assert site.only.status.state is State.LAGGING
    await site.add(member("eva", "PJSIP/1002"))
    assert (await site.only.run_once()).agreed
    assert shown(switch) == [("ana", "PJSIP/1001", 0, False), ("eva", "PJSIP/1002", 0, False)]


async def test_a_member_of_ours_gets_the_state_interface_of_a_new_rule_and_stays_ours() -> None:
    switch, site = await manned()
    luz = member("luz", "Local/77@agents/n", penalty=2, paused=True)
    await site.add(luz)
    await site.only.run_once()
    site = Site(switch, data=site.data, phones=PhoneRules({}, {"Local/{phone}@agents/n": "hint:{phone}@ext-local"}))
    assert (await site.only.run_once()).agreed
    (there,) = switch.pbx.members()[VENTAS]
    assert (there.state_interface, there.penalty, there.paused) == ("hint:77@ext-local", 2, True)
    await site.service.remove(OPERATOR, VENTAS, ["luz"], Source.CLI)
    assert (await site.only.run_once()).agreed
    assert shown(switch) == []


async def test_one_members_fault_is_nobody_elses_and_each_item_has_its_own_reason() -> None:
    switch = FakeSwitch(queues=[VENTAS])
    switch.pbx.add(VENTAS, "SIP/1001", "somebody else", 0, paused=False)
    site = Site(switch)
    await site.only.run_once()
    await site.add(member())
    receipt = await site.service.add(OPERATOR, [member("bea", "SIP/1002")], Source.CLI)
    await site.only.run_once()
    assert isinstance(site.delivery.behind(site.whole(VENTAS)), errors.MemberNotOurs)
    assert site.delivery.behind(receipt) is None
    ((_, ana),) = site.delivery.standing(member())
    ((_, bea),) = site.delivery.standing(member("bea", "SIP/1002"))
    assert isinstance(ana, errors.MemberNotOurs)
    assert bea is None


async def test_a_removal_that_asterisk_refuses_is_the_removals_reason() -> None:
    switch, site = await manned(member())
    switch.privileged = False
    receipt = await site.service.remove(OPERATOR, VENTAS, ["ana"], Source.CLI)
    await site.only.run_once()
    assert isinstance(site.delivery.behind(receipt), errors.PrivilegeMissing)
    switch.privileged = True
    await site.only.run_once()
    assert site.delivery.behind(receipt) is None


async def test_a_few_changes_are_brought_about_by_a_glance_and_nobody_else_is_looked_at() -> None:
    switch, site = await manned(member("ana", "SIP/1"), member("bea", "SIP/2"))
    seen: list[object] = []
    look = switch.snapshot

    async def snapshot(queues: Collection[str] | None = None, interfaces: Collection[str] | None = None) -> Snapshot:
        seen.append(interfaces and sorted(interfaces))
        return await look(queues, interfaces)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(switch, "snapshot", snapshot)
        async with site.running():
            await site.until(lambda: site.only.status.state is State.AGREED and seen == [None])
            await site.add(member("ana", "SIP/3", penalty=2))
            assert await site.delivery.live(site.whole(VENTAS), 10) is None
            receipt = await site.service.remove(OPERATOR, VENTAS, ["bea"], Source.CLI)
            assert await site.delivery.live(receipt, 10) is None
    assert shown(switch) == [("ana", "SIP/3", 2, False)]
    assert seen == [None, ["SIP/1", "SIP/3"], ["SIP/1", "SIP/3"], ["SIP/2"], ["SIP/2"]]


async def test_what_a_glance_finds_unusual_is_looked_at_wholly() -> None:
    switch, site = await manned()
    async with site.running():
        await site.until(lambda: site.only.status.state is State.AGREED)
        switch.deaf = True
        switch.pbx.add(VENTAS, "sip/1001", "ana", 7, paused=False)  # a glance does not see that spelling
        switch.pbx.add(VENTAS, "SIP/1002", "somebody else", 0, paused=False)
        await site.add(member(), member("bea", "SIP/1002"))
        await site.until(lambda: site.only.status.state is State.LAGGING)
    assert shown(switch) == [("ana", "sip/1001", 0, False), ("somebody else", "SIP/1002", 0, False)]
    assert isinstance(site.delivery.behind(site.whole(VENTAS)), errors.MemberNotOurs)


async def test_an_event_of_somebody_elses_right_after_ours_is_heard() -> None:
    switch, site = await manned()
    async with site.running():
        await site.until(lambda: site.only.status.state is State.AGREED)
        await site.add(member("ana", "SIP/1"))
        assert await site.delivery.live(site.whole(VENTAS), 10) is None
        switch.pbx.remove(VENTAS, "SIP/1")
        await site.until(lambda: len(kept(site)) == 1)
    assert shown(switch) == [("ana", "SIP/1", 0, False)]


async def test_a_round_has_the_roster_of_now_whoever_changed_it_since_the_last_one() -> None:
    pbx = FakeSwitch(queues=[VENTAS])
    data = MemoryData()
    here, elsewhere = Site(pbx, data=data), Site(pbx, data=data)
    await here.only.run_once()
    for site, crew in ((elsewhere, [member(), member("eva", "SIP/2")]), (here, [member(penalty=3)])):
        await site.add(*crew)
        await here.only.run_once()
        assert (await here.only.run_once()).agreed
    assert shown(pbx) == [("ana", "SIP/1001", 3, False), ("eva", "SIP/2", 0, False)]
    await elsewhere.service.remove(OPERATOR, VENTAS, ["ana"], Source.CLI)
    await here.only.run_once()
    assert shown(pbx) == [("eva", "SIP/2", 0, False)]
    pbx.pbx.remove(VENTAS, "SIP/2")
    await here.only.run_once()
    assert shown(pbx) == [("eva", "SIP/2", 0, False)]


async def reason(site: Site) -> str | None:
    return (await site.service.reasons(OPERATOR, VENTAS)).get("ana")


def told(switch: FakeSwitch) -> str:
    (there,) = switch.pbx.members()[VENTAS]
    return there.paused_reason if there.paused else "-"


async def test_the_reason_for_a_pause_goes_both_ways_and_outlives_a_restart() -> None:
    pbx = FakeSwitch(queues=[VENTAS])
    site = Site(pbx)
    await site.only.run_once()
    await site.add(member())
    await site.only.run_once()
    await site.service.pause(OPERATOR, VENTAS, ["ana"], Source.CLI, paused=True, reason="lunch")
    await site.only.run_once()
    assert told(pbx) == "lunch"
    for given in ("meeting", "", "back soon"):
        pbx.pbx.pause(VENTAS, "SIP/1001", True, given)
        assert (await site.only.run_once()).agreed
        assert (await reason(site) or "", told(pbx)) == (given, given)
        assert (await site.service.journal(OPERATOR))[-1].actor == "server:pbx1"
    pbx.restart()
    assert (await site.only.run_once()).agreed
    assert told(pbx) == "back soon"
    pbx.pbx.pause(VENTAS, "SIP/1001", True, "theirs")  # not seen before it is declared anew
    await site.service.pause(OPERATOR, VENTAS, ["ana"], Source.CLI, paused=True, reason="ours")
    assert (await site.only.run_once()).agreed
    assert (await reason(site), told(pbx)) == ("ours", "ours")
    await site.service.pause(OPERATOR, VENTAS, ["ana"], Source.CLI, paused=True)
    assert (await site.only.run_once()).agreed
    assert (await reason(site), told(pbx)) == ("ours", "ours")
    await site.service.pause(OPERATOR, VENTAS, ["ana"], Source.CLI, paused=False)
    assert (await site.only.run_once()).agreed
    assert (await reason(site), told(pbx)) == (None, "-")


async def test_a_reason_changed_on_one_server_is_told_to_the_others_once() -> None:
    one, other = FakeSwitch("pbx1", [VENTAS]), FakeSwitch("pbx2", [VENTAS])
    site = Site(one, other)
    await site.only.run_once()
    await site.add(member(paused=True))

    async def rounds() -> None:
        for _ in range(2):
            for reconciler in site.delivery.reconcilers:
                assert (await reconciler.run_once()).agreed

    await rounds()
    for switch, given in ((one, "lunch"), (other, "meeting"), (one, "")):
        switch.pbx.pause(VENTAS, "SIP/1001", True, given)
        await rounds()
        lines = len(await site.service.journal(OPERATOR))
        await rounds()
        assert (await reason(site) or "", told(one), told(other)) == (given, given, given)
        assert len(await site.service.journal(OPERATOR)) == lines


async def test_a_line_lost_before_the_reason_was_given_does_not_lose_it() -> None:
    pbx = FakeSwitch(queues=[VENTAS])
    site = Site(pbx)
    await site.only.run_once()
    await site.add(member())
    await site.service.pause(OPERATOR, VENTAS, ["ana"], Source.CLI, paused=True, reason="lunch")
    pbx.cut_after = 1
    with pytest.raises(errors.SwitchUnreachable):
        await site.only.run_once()
    assert told(pbx) == ""
    assert (await site.only.run_once()).agreed
    assert (await reason(site), told(pbx)) == ("lunch", "lunch")


async def test_an_addition_that_comes_too_late_does_not_become_ours_by_the_reason_after_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(reconcile, "CHUNK", 1)
    pbx = Interrupted(queues=[VENTAS])
    site = Site(pbx)
    await site.only.run_once()
    await site.add(member())
    await site.service.pause(OPERATOR, VENTAS, ["ana"], Source.CLI, paused=True, reason="lunch")
    pbx.before_apply = lambda: pbx.pbx.add(VENTAS, "SIP/1001", "ana", 0, paused=False)
    assert (await site.only.run_once()).agreed
    assert told(pbx) == "lunch"
    assert not await site.only.owns(VENTAS, "SIP/1001")


async def test_an_addition_that_is_refused_is_not_taken_for_made_by_the_reason_after_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(reconcile, "CHUNK", 1)
    pbx = FakeSwitch(queues=[VENTAS])
    site = Site(pbx, repair=False)
    await site.only.run_once()
    await site.add(member())
    await site.service.pause(OPERATOR, VENTAS, ["ana"], Source.CLI, paused=True, reason="lunch")
    pbx.cut_after = 0
    with pytest.raises(errors.SwitchUnreachable):
        await site.only.run_once()
    pbx.privileged = False
    await site.only.run_once()
    pbx.privileged = True
    assert (await site.only.run_once()).agreed
    assert (shown(pbx), told(pbx)) == ([("ana", "SIP/1001", 0, True)], "lunch")


@pytest.mark.parametrize(("paused", "text"), [(True, "a|b"), (True, " "), (True, "ñ" * 40), (False, "lunch")])
async def test_a_reason_that_asterisk_could_not_keep_is_refused(paused: bool, text: str) -> None:
    site = Site(FakeSwitch(queues=[VENTAS]))
    await site.only.run_once()
    await site.add(member())
    with pytest.raises(errors.BatchRefused) as refused:
        await site.service.pause(OPERATOR, VENTAS, ["ana"], Source.CLI, paused=paused, reason=text)
    (problem,) = refused.value.problems
    assert isinstance(problem, errors.InvalidItem)
    assert problem.key == "reason"


async def test_what_asterisk_does_not_let_be_put_right_is_refused_and_not_contested() -> None:
    pbx = FakeSwitch(queues=[VENTAS])
    site = Site(pbx)
    await site.only.run_once()
    await site.add(member(penalty=2))
    await site.only.run_once()
    pbx.privileged = False
    pbx.pbx.penalise(VENTAS, "SIP/1001", 9)
    await site.only.run_once()
    assert kept(site) == [("ana", "penalty", "2", "9", "event", "refused", 1)]


async def test_a_penalty_that_is_held_back_is_not_taken_for_asserted_when_the_pause_beside_it_is() -> None:
    pbx = FakeSwitch(queues=[VENTAS])
    site = Site(pbx, repair=False)
    await site.only.run_once()
    await site.add(member(penalty=2))
    await site.only.run_once()
    pbx.privileged = False
    await site.add(member(penalty=7, paused=True))
    for _ in range(FREE):
        await site.only.run_once()
    pbx.privileged = True
    await site.only.run_once()  # makes the pause; the penalty has to wait
    assert shown(pbx) == [("ana", "SIP/1001", 2, True)]
    async with site.running():
        await site.until(lambda: shown(pbx) == [("ana", "SIP/1001", 7, True)])
    assert kept(site) == []


class Asked(FakeSwitch):
    """Keeps which queues it was asked for; None: all."""

    def __init__(self, *queues: str) -> None:
        super().__init__(queues=queues)
        self.asked: list[Collection[str] | None] = []

    def listen(self, heard: Callable[[str | None, str], None]) -> None:
        super().listen(heard)
        self.heard = heard

    async def snapshot(
        self, queues: Collection[str] | None = None, interfaces: Collection[str] | None = None
    ) -> Snapshot:
        self.asked.append(queues)
        return await super().snapshot(queues, interfaces)


@pytest.mark.parametrize("many", [1, QUEUES_WAITING_MOST + 1])
async def test_of_news_without_end_nothing_is_kept_but_that_there_is_some(many: int) -> None:
    switch = Asked(VENTAS)
    site = Site(switch)
    async with site.running():
        await site.until(lambda: site.only.status.state is State.AGREED)
        switch.asked.clear()
        for number in range(many):
            switch.heard(f"queue {number}", "SIP/1")
        # a round may be under way that knows nothing of the news
        await site.until(lambda: ({"queue 0"} if many == 1 else None) in switch.asked)
    assert all(one is None or len(one) <= QUEUES_WAITING_MOST for one in switch.asked)


async def test_many_pauses_made_on_the_server_are_taken_over_in_slices(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reconcile, "SLICE", 2)
    switch, site = await manned(*(member(f"a{number}", f"SIP/{number}") for number in range(5)))
    for number in range(5):
        switch.pbx.pause(VENTAS, f"SIP/{number}", True, "")
    await site.only.run_once()
    assert all(one.paused for one in await site.service.members(OPERATOR, VENTAS))
    assert sorted(one.items for one in await site.service.batches(OPERATOR) if one.source is Source.SERVER) == [1, 2, 2]


async def test_a_large_plan_is_made_elsewhere_and_comes_to_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reconcile, "LARGE", 1)
    monkeypatch.setattr(reconcile, "SLICE", 3)
    switch, site = await manned(*(member(f"a{number}", f"SIP/{number}") for number in range(10)))
    assert len(shown(switch)) == 10
    switch.pbx.restart()
    await site.only.run_once()
    assert len(shown(switch)) == 10
    assert site.only.status.state is State.AGREED


async def test_queues_that_are_too_many_are_a_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(service, "CAMPAIGNS_MOST", 2)
    switch = FakeSwitch(queues=["a", "b", "c"])
    site = Site(switch)
    await site.only.run_once()
    before = site.only.status
    switch.pbx.drop("c")
    await site.only.run_once()
    assert (before.state, [one.code for one in before.reasons]) == (State.LAGGING, ["switch_too_much"])
    assert (site.only.status.state, site.only.status.reasons) == (State.AGREED, ())
