"""Pause belongs to both sides, on a real Asterisk: the later one wins, and it outlives a restart."""

from collections.abc import AsyncIterator

import anyio.to_thread
import pytest

from plantel.ami import AmiSwitch
from plantel.batch import Source
from plantel.delivery import Delivery
from plantel.plan import Pause
from plantel.reconcile import Reconciler
from plantel.roster import Interfaces, Member
from plantel.service import Service
from plantel.testing.asterisk import PrivateAsterisk
from plantel.testing.memory_store import MemoryStore
from tests.support.door import OPERATOR, SetClock

pytestmark = [pytest.mark.anyio, pytest.mark.asterisk]

QUEUE = "Ventas->"
ANA = Member(QUEUE, "ana", "Local/1001@agents")


class Site:
    """A Plantel on one Asterisk, and a phone that pauses itself there."""

    def __init__(self, switch: AmiSwitch, phone: AmiSwitch) -> None:
        self.switch = switch
        self._phone = phone
        store, clock, delivery = MemoryStore(), SetClock(), Delivery(())
        self.service = Service(store, "default", clock, Interfaces(), delivery.wake, names=delivery.names)
        self.reconciler = Reconciler(store, switch, self.service, clock)
        delivery.reconcilers = (self.reconciler,)

    async def settle(self) -> None:
        assert (await self.reconciler.run_once()).agreed

    async def declare(self, *, paused: bool) -> None:
        await self.service.pause(OPERATOR, QUEUE, ["ana"], Source.API, paused=paused)

    async def press(self, *, paused: bool, reason: str = "") -> None:
        assert await self._phone.apply([Pause(QUEUE, ANA.interface, paused, reason)]) == [None]

    async def reasons(self) -> tuple[str, str]:
        """In the roster and on the server."""
        (there,) = (await self.switch.snapshot([QUEUE])).queues[QUEUE]
        return (await self.service.reasons(OPERATOR, QUEUE)).get("ana", ""), there.paused_reason

    async def paused(self) -> tuple[bool, bool]:
        """In the roster and on the server."""
        (member,) = await self.service.members(OPERATOR, QUEUE)
        (there,) = (await self.switch.snapshot([QUEUE])).queues[QUEUE]
        return member.paused, there.paused


@pytest.fixture
async def site(asterisk: PrivateAsterisk, switch: AmiSwitch) -> AsyncIterator[Site]:
    phone = AmiSwitch("phone", asterisk.host, asterisk.ami_port, asterisk.user.name, asterisk.user.secret)
    site = Site(switch, phone)
    await site.settle()
    await site.service.add(OPERATOR, [ANA], Source.API)
    await site.settle()
    yield site
    await phone.close()


async def test_a_pause_declared_later_stands_against_one_made_at_the_phone(site: Site) -> None:
    await site.press(paused=True)
    await site.declare(paused=False)  # no look has shown the other one yet
    await site.settle()
    assert await site.paused() == (False, False)
    await site.press(paused=True)
    await site.declare(paused=True)
    await site.declare(paused=False)
    await site.settle()
    assert await site.paused() == (False, False)


async def test_a_pause_made_at_the_phone_later_is_the_rosters_and_outlives_a_restart(
    site: Site, asterisk: PrivateAsterisk
) -> None:
    await site.declare(paused=False)
    await site.settle()
    await site.press(paused=True)
    await site.settle()
    assert await site.paused() == (True, True)
    assert (await site.service.journal(OPERATOR))[-1].actor == "server:pbx1"
    await anyio.to_thread.run_sync(asterisk.restart)
    await site.settle()
    assert await site.paused() == (True, True)
    await site.press(paused=False)
    await site.settle()
    assert await site.paused() == (False, False)


async def test_a_static_member_loses_its_pause_in_a_restart_and_gets_it_back(
    asterisk: PrivateAsterisk, switch: AmiSwitch
) -> None:
    asterisk.configure({QUEUE: [f"member => {ANA.interface},0,ana"]})
    site = Site(switch, switch)
    await site.settle()
    await site.service.add(OPERATOR, [ANA], Source.API)
    await site.declare(paused=True)
    await site.settle()
    await anyio.to_thread.run_sync(asterisk.restart)
    await site.settle()
    assert await site.paused() == (True, True)


async def test_the_reason_is_that_of_who_gave_it_later_and_outlives_a_restart(
    site: Site, asterisk: PrivateAsterisk
) -> None:
    await site.service.pause(OPERATOR, QUEUE, ["ana"], Source.API, paused=True, reason="capacitación")
    await site.settle()
    assert await site.reasons() == ("capacitación", "capacitación")
    await site.press(paused=True, reason="almuerzo")
    await site.settle()
    assert await site.reasons() == ("almuerzo", "almuerzo")
    await anyio.to_thread.run_sync(asterisk.restart)
    await site.settle()
    assert await site.paused() == (True, True)
    assert await site.reasons() == ("almuerzo", "almuerzo")
    _, found = await site.reconciler.look()
    assert found.agreed
