"""Asking roster, journal and servers why a phone does not ring; a FakeSwitch stands for each Asterisk."""

import pytest

from plantel import errors
from plantel.access import Actor, Role
from plantel.batch import Source
from plantel.delivery import Delivery
from plantel.device import DeviceState
from plantel.reconcile import Reconciler
from plantel.roster import Interfaces, Member
from plantel.service import Service
from plantel.testing.fake_switch import FakeSwitch
from plantel.testing.memory_store import MemoryData, MemoryStore
from plantel.why import inquiry
from plantel.why.inquiry import inquire
from plantel.why.report import Report, Verdict
from plantel.why.tracing import CAMPAIGNS_MOST
from tests.support.door import OPERATOR, SetClock

pytestmark = pytest.mark.anyio

VENTAS, POWER = "Ventas->", "POWER<-"
ANA, EVA = Member(VENTAS, "ana", "SIP/1"), Member(VENTAS, "eva", "SIP/2")


class Site:
    """One instance whose campaigns are the queues of its servers."""

    def __init__(self, *switches: FakeSwitch, data: MemoryData | None = None, repair: bool = True) -> None:
        self.data = data or MemoryData()
        store, clock = MemoryStore(self.data), SetClock()
        self.delivery = Delivery(())
        self.service = Service(store, "default", clock, Interfaces(), self.delivery.wake)
        self.delivery.reconcilers = tuple(
            Reconciler(store, switch, self.service, clock, sole=len(switches) == 1, repair=repair)
            for switch in switches
        )

    async def deliver(self) -> None:
        for reconciler in self.delivery.reconcilers:
            await reconciler.run_once()

    async def add(self, *members: Member) -> None:
        await self.service.add(OPERATOR, members, Source.CLI)

    async def remove(self, member: Member) -> None:
        await self.service.remove(OPERATOR, member.campaign, [member.membername], Source.CLI)

    async def ask(self, agent: str, campaign: str | None = None, actor: Actor = OPERATOR) -> list[Report]:
        return await inquire(self.service, self.delivery, actor, agent, campaign)


@pytest.fixture
def switch() -> FakeSwitch:
    return FakeSwitch(queues=[VENTAS, POWER])


@pytest.fixture
async def site(switch: FakeSwitch) -> Site:
    site = Site(switch)
    await site.deliver()
    return site


def codes(report: Report) -> list[str]:
    return [finding.cause.code for finding in report.findings]


def campaigns(reports: list[Report]) -> list[str | None]:
    return [report.trace.campaign for report in reports]


async def test_there_is_an_answer_for_each_campaign_of_the_agent_named_by_name_or_phone(site: Site) -> None:
    await site.add(ANA, Member(POWER, "ana", "SIP/1"), Member(POWER, "eva", "SIP/2"))
    await site.deliver()
    for agent in ("ana", "sip/1"):
        assert campaigns(await site.ask(agent)) == [POWER, VENTAS]
        assert campaigns(await site.ask(agent, "ventas->")) == [VENTAS]
    assert all(report.verdict is Verdict.YES for report in await site.ask("ana"))


async def test_who_is_in_none_is_answered_for_the_campaigns_that_the_journal_knows(site: Site) -> None:
    await site.add(ANA)
    await site.remove(ANA)
    for agent in ("ana", "SIP/1"):
        (report,) = await site.ask(agent)
        assert (report.trace.campaign, codes(report)) == (VENTAS, ["removed"])
    assert [codes(report) for report in await site.ask("nobody")] == [["unknown_agent"]]


async def test_a_phone_that_its_agent_left_and_one_given_to_another(site: Site) -> None:
    await site.add(ANA)
    await site.add(Member(VENTAS, "ana", "SIP/9"))
    (left,) = await site.ask("SIP/1")
    assert (codes(left), left.findings[0].params["other"]) == (["moved"], "SIP/9")
    await site.add(Member(VENTAS, "eva", "SIP/9"))
    await site.deliver()
    (replaced,) = await site.ask("ana", VENTAS)
    assert (replaced.verdict, codes(replaced)) == (Verdict.NO, ["replaced", "phone_taken"])
    assert replaced.findings[1].params["holder"] == "eva"


async def test_a_phone_in_no_campaign_is_asked_about_all_the_same(site: Site, switch: FakeSwitch) -> None:
    switch.pbx.set_device("SIP/7", DeviceState.INVALID)
    assert [codes(report) for report in await site.ask("SIP/7")] == [["unknown_agent", "phone_invalid"]]
    switch.told = False
    assert [codes(report) for report in await site.ask("SIP/7")] == [["unknown_agent", "state_unseen"]]


async def test_a_server_that_is_late_is_part_of_the_answer(
    site: Site, switch: FakeSwitch, monkeypatch: pytest.MonkeyPatch
) -> None:
    await site.add(ANA)
    monkeypatch.setattr(inquiry, "PATIENCE", 0.01)
    switch.hanging = True
    (report,) = await site.ask("ana")
    assert codes(report) == ["server_away", "in_roster"]
    assert isinstance(report.findings[0].params["reason"], errors.SwitchTimeout)


async def test_nobody_waits_for_a_late_server_once_for_each_campaign(
    site: Site, switch: FakeSwitch, monkeypatch: pytest.MonkeyPatch
) -> None:
    await site.add(ANA, Member(POWER, "ana", "SIP/1"))
    monkeypatch.setattr(inquiry, "PATIENCE", 0.01)
    switch.hanging = True
    reports = await site.ask("ana")
    assert [codes(report)[0] for report in reports] == ["server_away"] * 2
    first, second = (report.findings[0].params["reason"] for report in reports)
    assert first is second


async def test_an_agent_in_very_many_campaigns_is_asked_about_in_one(site: Site) -> None:
    names = [f"Campaign {number}" for number in range(CAMPAIGNS_MOST + 1)]
    for name in names:
        await site.service.declare(OPERATOR, name)
    await site.add(*(Member(name, "ana", "SIP/1") for name in names))
    with pytest.raises(errors.TooManyCampaigns):
        await site.ask("ana")
    assert len(await site.ask("ana", names[0])) == 1
    await site.service.remove(OPERATOR, names[0], ["ana"], Source.CLI)
    assert len(await site.ask("ana")) == CAMPAIGNS_MOST


async def test_a_queue_of_very_many_members_is_weighed_as_a_small_one(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    await site.add(ANA, EVA)
    await site.deliver()
    here = await site.ask("ana")
    monkeypatch.setattr(inquiry, "WEIGHED_AT_ONCE", 0)
    assert await site.ask("ana") == here


async def test_of_two_servers_each_answers_for_its_share() -> None:
    one, two = FakeSwitch("pbx1", [VENTAS, POWER]), FakeSwitch("pbx2", [VENTAS])
    site = Site(one, two)
    await site.deliver()
    await site.add(ANA, Member(POWER, "ana", "SIP/1"))
    await site.deliver()
    two.pbx.set_device("SIP/1", DeviceState.UNAVAILABLE)
    power, ventas = await site.ask("ana")
    assert (power.verdict, {finding.server for finding in power.findings}) == (Verdict.YES, {None, "pbx1"})
    assert (ventas.verdict, codes(ventas)[0]) == (Verdict.PARTLY, "phone_unavailable")
    assert ventas.findings[0].server == "pbx2"


async def test_a_refusal_is_told_as_long_as_it_lasts(site: Site, switch: FakeSwitch) -> None:
    await site.add(ANA)
    (waiting,) = await site.ask("ana")
    assert codes(waiting)[0] == "not_live"
    switch.privileged = False
    await site.deliver()
    (refused,) = await site.ask("ana")
    assert codes(refused)[0] == "not_delivered"
    switch.privileged = True
    await site.deliver()
    (done,) = await site.ask("ana")
    assert done.verdict is Verdict.YES


async def test_what_plantel_itself_has_still_to_change_is_told_apart(site: Site, switch: FakeSwitch) -> None:
    await site.add(ANA)
    await site.deliver()
    await site.add(Member(VENTAS, "eva", "SIP/1"))
    (renamed,) = await site.ask("eva")
    assert codes(renamed)[0] == "renaming"
    await site.remove(Member(VENTAS, "eva", "SIP/1"))
    (removed,) = await site.ask("eva")
    assert (removed.verdict, codes(removed)[0]) == (Verdict.MAYBE, "leaving")
    await site.deliver()
    (gone,) = await site.ask("eva")
    assert codes(gone) == ["removed"]


async def test_a_stranger_on_the_phone_stays_one(site: Site, switch: FakeSwitch) -> None:
    switch.pbx.add(VENTAS, "SIP/1", "Stranger", 0, False)
    await site.add(ANA)
    await site.deliver()
    (report,) = await site.ask("ana")
    assert codes(report)[0] == "other_name"
    await site.remove(ANA)
    await site.deliver()
    (report,) = await site.ask("ana")
    assert codes(report)[0] == "stray"


async def test_asking_takes_the_right_to_the_campaign_and_to_change_it(site: Site) -> None:
    await site.add(ANA, Member(POWER, "ana", "SIP/1"))
    narrow = Actor("narrow", Role.INTEGRATOR, ("POWER*",))
    assert campaigns(await site.ask("ana", actor=narrow)) == [POWER]
    with pytest.raises(errors.CampaignForbidden):
        await site.ask("ana", VENTAS, narrow)
    with pytest.raises(errors.ActionForbidden):
        await site.ask("ana", actor=Actor("reader", Role.READER))
    with pytest.raises(errors.UnknownCampaign):
        await site.ask("ana", "Nada")
    await site.remove(ANA)
    await site.remove(Member(POWER, "ana", "SIP/1"))
    assert campaigns(await site.ask("ana", actor=narrow)) == [POWER]
    assert [codes(report) for report in await site.ask("ana", actor=Actor("n", Role.ADMIN, ("x",)))] == [
        ["unknown_agent"]
    ]


@pytest.mark.parametrize("repair", [True, False])
async def test_who_only_asks_is_told_whether_what_somebody_removed_will_be_put_back(
    switch: FakeSwitch, repair: bool
) -> None:
    site = Site(switch, repair=repair)
    await site.deliver()
    await site.add(ANA, EVA)
    await site.deliver()
    switch.pbx.remove(VENTAS, "SIP/1")
    (report,) = await Site(switch, data=site.data, repair=repair).ask("ana")
    assert codes(report)[0] == ("not_live" if repair else "not_delivered")
