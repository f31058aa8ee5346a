"""A call centre's floor for faults: a real Asterisk with members of others, Plantels on it over a weak line."""

import asyncio
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import NamedTuple

from plantel.ami import AmiSwitch, Deadlines
from plantel.batch import Source
from plantel.delivery import Delivery
from plantel.errors import PlantelError, SwitchError
from plantel.plan import Add, Membership, Pause
from plantel.ports import Clock, Store
from plantel.reconcile import Reconciler
from plantel.roster import Interfaces, Member, fold
from plantel.service import Receipt, Service
from plantel.store import open_store
from plantel.testing.asterisk import AmiUser, PrivateAsterisk
from plantel.wiring import SystemClock
from tests.support.ami_proxy import AmiProxy
from tests.support.door import OPERATOR

VENTAS, POWER, LINEA = "Ventas->", "POWER<-", "Línea 100%"
IMPATIENT = Deadlines(connect=1, login=1, boot=1, answer=1, idle=1)
"""A twentieth of the time that passes by default until a silent line is given up, about."""

LONG = 600.0
"""An interval that no test reaches: what is mended before, an event or a failure has brought about."""


class Seen(NamedTuple):
    """A live member, as far as Plantel might have changed it."""

    queue: str
    interface: str
    membername: str
    penalty: int
    paused: bool
    membership: Membership


STATIC = Seen(VENTAS, "SIP/9001", "Static Sam", 2, False, Membership.STATIC)
STRANGERS = (
    Seen(VENTAS, "SIP/9002", "Stranger", 4, False, Membership.DYNAMIC),
    Seen(POWER, "SIP/9003", "Paused Stranger", 0, True, Membership.DYNAMIC),
)
FOREIGN = frozenset({STATIC, *STRANGERS})

QUEUES_CONF = {
    VENTAS: [f"member => {STATIC.interface},{STATIC.penalty},{STATIC.membername}"],
    POWER: [],
    LINEA: [],
}


def crew(count: int, first: int = 0) -> list[Member]:
    """So many agents, half of them in each campaign, with penalties and pauses."""
    return [
        Member((VENTAS, POWER)[number % 2], f"José Ñandú {number}", f"SIP/{20000 + number}", number % 5, not number % 3)
        for number in range(first, first + count)
    ]


def shown(members: Iterable[Member]) -> frozenset[Seen]:
    """What Asterisk shows where these are live."""
    return frozenset(
        Seen(one.campaign, one.interface, one.membername, one.penalty, one.paused, Membership.DYNAMIC)
        for one in members
    )


class Observer:
    """Another program on the same Asterisk, over a line of its own that does not fail."""

    def __init__(self, asterisk: PrivateAsterisk, user: AmiUser) -> None:
        self._switch = AmiSwitch("observer", asterisk.host, asterisk.ami_port, user.name, user.secret)
        self._news = asyncio.Event()
        self._switch.listen(lambda _queue, _interface: self._news.set())

    async def seen(self) -> frozenset[Seen]:
        """Every live member. Raises SwitchError."""
        snapshot = await self._switch.snapshot()
        return frozenset(
            Seen(queue, one.interface, one.membername, one.penalty, one.paused, one.membership)
            for queue, members in snapshot.queues.items()
            for one in members
        )

    async def until(self, members: frozenset[Seen], seconds: float) -> None:
        """Return once Asterisk shows exactly these. Raises AssertionError, with the difference, after `seconds`."""
        found: frozenset[Seen] = frozenset()
        try:
            async with asyncio.timeout(seconds):
                while True:
                    self._news.clear()
                    try:
                        found = await self.seen()
                    except SwitchError:
                        await asyncio.sleep(0.05)  # nothing announces that it listens
                        continue
                    if found == members:
                        return
                    await self._news.wait()
        except TimeoutError:
            raise AssertionError(
                f"after {seconds} s: missing {sorted(members - found)}, too many {sorted(found - members)}"
            ) from None

    async def put(self, *members: Seen) -> None:
        """Add these, as a program of somebody else does."""
        await self._switch.snapshot()
        adds = [Add(one.queue, one.interface, one.membername, one.penalty, one.paused) for one in members]
        assert await self._switch.apply(adds) == [None] * len(adds)

    async def pause(self, member: Member) -> None:
        await self._switch.snapshot()
        assert await self._switch.apply([Pause(member.campaign, member.interface, True)]) == [None]

    async def close(self) -> None:
        await self._switch.close()


class Plantel:
    """One instance with one server, in this process, its loop running."""

    def __init__(self, store: Store, service: Service, reconciler: Reconciler, delivery: Delivery) -> None:
        self.store = store
        self.service = service
        self.reconciler = reconciler
        self.delivery = delivery

    async def add(self, members: Sequence[Member]) -> None:
        await self.service.add(OPERATOR, members, Source.CLI)

    async def remove(self, members: Iterable[Member]) -> None:
        by_campaign: dict[str, list[str]] = {}
        for member in members:
            by_campaign.setdefault(member.campaign, []).append(member.membername)
        for campaign, agents in by_campaign.items():
            await self.service.remove(OPERATOR, campaign, agents, Source.CLI)

    async def pause(self, member: Member, *, paused: bool) -> None:
        await self.service.pause(OPERATOR, member.campaign, [member.membername], Source.CLI, paused=paused)

    async def roster(self) -> list[Member]:
        return await self.store.read(lambda transaction: transaction.members(self.service.instance))

    async def live(self, seconds: float) -> None:
        """Return once Plantel itself says that the roster is live. Raises AssertionError with its reason."""
        reason = await self.delivery.live(await self._whole(VENTAS, POWER), seconds)
        assert reason is None, f"after {seconds} s: {reason!r}"

    async def behind(self, campaign: str) -> PlantelError | None:
        """Why Plantel says that the campaign is not live."""
        return self.delivery.behind(await self._whole(campaign))

    async def _whole(self, *campaigns: str) -> Receipt:
        """As if these campaigns had been one batch."""
        members = [one for one in await self.roster() if one.campaign in campaigns]
        return Receipt("", 0, (), frozenset(fold(campaign) for campaign in campaigns), members)


class Floor:
    """`asterisk` with FOREIGN in its queues, and `proxy` before it."""

    def __init__(self, asterisk: PrivateAsterisk, proxy: AmiProxy, observer: Observer, folder: Path) -> None:
        self.asterisk = asterisk
        self.proxy = proxy
        self.observer = observer
        self.folder = folder

    @asynccontextmanager
    async def plantel(
        self,
        *,
        store: str = "plantel",
        interval: float = LONG,
        deadlines: Deadlines | None = None,
        clock: Clock | None = None,
    ) -> AsyncIterator[Plantel]:
        """A Plantel that looks at everything every `interval` seconds, in agreement when this is entered."""
        opened = await asyncio.to_thread(open_store, f"sqlite:///{self.folder / store}.db")
        user = self.asterisk.user
        switch = AmiSwitch("pbx1", "127.0.0.1", self.proxy.port, user.name, user.secret, deadlines=deadlines)
        delivery = Delivery(())
        clock = clock or SystemClock()
        service = Service(opened, "default", clock, Interfaces(), delivery.wake)
        reconciler = Reconciler(opened, switch, service, clock, interval=interval)
        delivery.reconcilers = (reconciler,)
        plantel = Plantel(opened, service, reconciler, delivery)
        running = asyncio.create_task(reconciler.run())
        try:
            await plantel.live(20)
            yield plantel
        finally:
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)
            await switch.close()
            await opened.close()

    async def agreement(self, plantel: Plantel, seconds: float, foreign: frozenset[Seen] = FOREIGN) -> None:
        """Return once Asterisk shows the roster and `foreign`, nothing else, and Plantel knows it; each in time.

        However it came about, nothing was changed over a connection on which nothing had been looked at.
        """
        await plantel.live(seconds)
        await self.observer.until(shown(await plantel.roster()) | foreign, seconds)
        await plantel.live(seconds)
        assert await self.observer.seen() == shown(await plantel.roster()) | foreign
        assert self.proxy.blind == []

    async def only_foreign_is_left(
        self, plantel: Plantel, seconds: float = 20, foreign: frozenset[Seen] = FOREIGN
    ) -> None:
        """Take everybody out of the roster: the queues then hold `foreign` alone, so the ledger was right."""
        await plantel.remove(await plantel.roster())
        await self.agreement(plantel, seconds, foreign)
