"""`verify_interface`: what becomes of an add for a phone that does not exist; FakeSwitch for an Asterisk."""

from typing import Literal

import pytest
from structlog.testing import capture_logs

from plantel import errors
from plantel.access import Actor, Role
from plantel.batch import Source
from plantel.delivery import Delivery
from plantel.device import DeviceState
from plantel.reconcile import Reconciler
from plantel.roster import Interfaces, Member
from plantel.service import Service
from plantel.testing.fake_switch import FakeSwitch
from plantel.testing.memory_store import MemoryStore
from plantel.verification import Phones
from tests.support.door import OPERATOR, SetClock

pytestmark = pytest.mark.anyio

VENTAS, POWER = "Ventas->", "POWER<-"
ANA = Member(VENTAS, "ana", "SIP/1")
TYPO = Member(VENTAS, "eva", "SIP/10001")


UNTOLD = (
    "phones were not verified: pbx1: Asterisk does not tell the state of phones: the AMI user needs"
    " write = agent,reporting, and Asterisk the module func_devstate"
)


class Site:
    """One instance that verifies, with VENTAS on every server; `pbx1` alone has POWER, too."""

    def __init__(self, verify: Literal["warn", "require"], servers: int = 1) -> None:
        store, clock = MemoryStore(), SetClock()
        self.delivery = Delivery(())
        self.told: dict[str, bool] = {}
        """By server, as the metrics are told."""
        self.service = Service(
            store,
            "default",
            clock,
            Interfaces(),
            self.delivery.wake,
            Phones(self.delivery, 0.05, self.told.__setitem__).verify,
            phones_required=verify == "require",
        )
        self.switches = [
            FakeSwitch(f"pbx{number}", [VENTAS, POWER] if number == 1 else [VENTAS]) for number in range(1, servers + 1)
        ]
        for switch in self.switches:
            switch.pbx.set_device(TYPO.interface, DeviceState.INVALID)
        self.delivery.reconcilers = tuple(
            Reconciler(store, switch, self.service, clock, sole=servers == 1) for switch in self.switches
        )

    async def begin(self) -> "Site":
        for reconciler in self.delivery.reconcilers:
            await reconciler.run_once()
        return self

    async def add(self, *items: Member | errors.InvalidItem, actor: Actor = OPERATOR) -> list[str]:
        """The warnings."""
        return [str(one) for one in (await self.service.add(actor, items, Source.CLI)).warnings]

    async def refused(self, *items: Member | errors.InvalidItem, actor: Actor = OPERATOR) -> list[str]:
        """The problems."""
        with pytest.raises(errors.BatchRefused) as caught:
            await self.add(*items, actor=actor)
        return [str(problem) for problem in caught.value.problems]

    async def roster(self) -> list[str]:
        return [member.membername for member in await self.service.members(OPERATOR, VENTAS)]


async def test_with_require_a_phone_that_does_not_exist_refuses_the_batch() -> None:
    site = await Site("require").begin()
    assert await site.refused(ANA, TYPO) == ["item 2: interface1: pbx1: there is no phone SIP/10001"]
    assert await site.roster() == []
    assert await site.add(ANA) == []
    assert await site.roster() == ["ana"]


async def test_with_warn_it_is_stored_and_told() -> None:
    site = await Site("warn").begin()
    assert await site.add(ANA, TYPO) == ["item 2: interface1: pbx1: there is no phone SIP/10001"]
    assert await site.roster() == ["ana", "eva"]


async def test_it_stands_beside_the_other_problems_in_item_order() -> None:
    site = await Site("require").begin()
    wrong = errors.NegativeValue(key="penalty", item=3)
    unknown = Member("Nada", "luz", "SIP/10001")
    assert await site.refused(TYPO, Member(VENTAS, "ivo", "SIP/34900@trunk"), wrong, unknown) == [
        "item 1: interface1: pbx1: there is no phone SIP/10001",
        f"item 2: {errors.InterfaceNotAllowed(key='interface1', interface='SIP/34900@trunk')}",
        "item 3: penalty: must be 0 or more",
        "item 4: interface1: pbx1: there is no phone SIP/10001",
        "item 4: queueName: there is no campaign Nada",
    ]


@pytest.mark.parametrize("verify", ["warn", "require"])
async def test_a_server_that_cannot_tell_refuses_nobody(verify: Literal["warn", "require"]) -> None:
    site = await Site(verify).begin()
    (switch,) = site.switches
    switch.told = False
    assert await site.add(TYPO, ANA) == [UNTOLD]
    switch.told = True
    switch.hanging = True
    assert await site.add(TYPO) == ["phones were not verified: pbx1: no answer within 0.05 s"]
    switch.mend()
    switch.cut()
    assert await site.add(TYPO) == ["phones were not verified: pbx1: no AMI connection: connection refused"]
    assert await site.roster() == ["ana", "eva"]


async def test_that_a_server_cannot_tell_is_logged_once() -> None:
    site = await Site("require").begin()
    (switch,) = site.switches
    with capture_logs() as logs:
        for told in (False, False, True, True, False):
            switch.told = told
            await site.add(ANA)
            assert site.told == {"pbx1": told}
    assert [(one["event"], one["server"], one.get("code")) for one in logs if one["event"].startswith("phones")] == [
        ("phones_unverified", "pbx1", "devices_untold"),
        ("phones_verified", "pbx1", None),
        ("phones_unverified", "pbx1", "devices_untold"),
    ]


async def test_a_phone_that_one_server_knows_is_verified_though_another_cannot_tell() -> None:
    site = await Site("require", servers=2).begin()
    site.switches[0].told = False
    assert await site.add(ANA) == []
    assert await site.add(TYPO) == [UNTOLD]


async def test_a_phone_that_is_not_registered_is_known() -> None:
    site = await Site("require").begin()
    site.switches[0].pbx.set_device("SIP/1", DeviceState.UNAVAILABLE)
    assert await site.add(ANA) == []


async def test_of_several_servers_all_that_carry_the_campaign_have_to_say_so() -> None:
    site = await Site("require", servers=2).begin()
    assert await site.refused(TYPO) == ["item 1: interface1: pbx1, pbx2: there is no phone SIP/10001"]
    site.switches[1].pbx.set_device(TYPO.interface, DeviceState.NOT_INUSE)
    assert await site.add(TYPO) == []
    assert await site.refused(Member(POWER, "eva", TYPO.interface)) == [
        "item 1: interface1: pbx1: there is no phone SIP/10001"
    ]


async def test_who_may_not_reach_the_campaign_learns_nothing_of_its_phones() -> None:
    site = await Site("require").begin()
    narrow = Actor("narrow", Role.INTEGRATOR, ("POWER*",))
    assert await site.refused(TYPO, actor=narrow) == ["this token has no right to campaign Ventas->"]
