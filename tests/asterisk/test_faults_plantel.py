"""Plantel itself is killed or frozen, runs twice, or its clock jumps: then a real Asterisk agrees with the roster."""

import asyncio
import contextlib
import random
import signal
import time
from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

import anyio.to_thread
import httpx
import msgspec
import pytest

from plantel.batch import Source
from plantel.errors import MemberContested, SwitchTimeout
from plantel.reconcile import State
from plantel.roster import Member
from tests.support.asterisks import on_one_version, server_table
from tests.support.door import ADD, FORM, OPERATOR, item
from tests.support.floor import FOREIGN, IMPATIENT, VENTAS, Floor, crew, shown
from tests.support.server import PlantelServer
from tests.support.wire import form

pytestmark = [pytest.mark.anyio, pytest.mark.asterisk]

SECONDS = 20.0
"""Within which there must be agreement once Plantel runs again: its start, a look and the changes."""

KILLS = 8
CREW = 1200


class Service:
    """A real `plantel serve` before the floor's proxy, and who calls it."""

    def __init__(self, floor: Floor, folder: Path) -> None:
        self._proxy = floor.proxy
        self.server = PlantelServer(folder, config=server_table(floor.asterisk, port=floor.proxy.port))
        self._token = ""

    async def start(self) -> None:
        self._token = self._token or await anyio.to_thread.run_sync(lambda: self.server.token)
        await anyio.to_thread.run_sync(self.server.start)

    def strike(self, kind: signal.Signals, point: int, after: float = 0) -> asyncio.Event:
        """Send it the signal `after` seconds from when so many changes have left for Asterisk; the event tells it."""
        struck = asyncio.Event()
        process = self.server.process
        assert process is not None

        def send() -> None:
            process.send_signal(kind)
            struck.set()

        def watch(count: int) -> None:
            if count == point:
                asyncio.get_running_loop().call_later(after, send) if after else send()

        self._proxy.watch = watch
        return struck

    async def kill(self) -> None:
        await anyio.to_thread.run_sync(self.server.kill)

    async def add(self, members: Sequence[Member]) -> None:
        """The published call."""
        items = [
            item(one.membername, one.campaign, one.interface, penalty=one.penalty, paused=int(one.paused))
            for one in members
        ]
        answer = await self._post(ADD, form(items), FORM)
        assert answer == "1"

    async def remove(self, members: Sequence[Member]) -> None:
        for campaign in sorted({one.campaign for one in members}):
            agents = [one.membername for one in members if one.campaign == campaign]
            order = {"campaign": campaign, "agents": agents}
            await self._post("/api/v1/members/remove", msgspec.json.encode(order), "application/json")

    async def _post(self, path: str, body: bytes, kind: str) -> str:
        headers = {"authorization": f"Basic {self._token}", "content-type": kind}
        async with httpx.AsyncClient(base_url=self.server.url, headers=headers, timeout=SECONDS) as client:
            answer = await client.post(path, content=body)
        assert answer.status_code == 200, answer.text
        return answer.text


@pytest.fixture
async def service(floor: Floor, tmp_path: Path) -> AsyncIterator[Service]:
    service = Service(floor, tmp_path)
    await service.start()
    yield service
    if service.server.process is not None:
        await service.kill()


@on_one_version
async def test_killed_at_any_point_of_an_apply(floor: Floor, service: Service) -> None:
    """Amid additions and amid removals by turns: the ledger knows ever after whose members they are."""
    seed = random.randrange(2**32)
    print(f"seed {seed}")  # noqa: T201 - pytest shows it where the test fails
    moments = random.Random(seed)
    everybody = [one for one in crew(2 * CREW) if one.campaign == VENTAS]
    there: list[Member] = []
    for _ in range(KILLS):
        point = len(floor.proxy.changes) + moments.randrange(1, CREW)
        # just after an action, or anywhere between two
        killed = service.strike(signal.SIGKILL, point, after=moments.choice([0, moments.uniform(0, 0.02)]))
        there = [] if there else everybody
        with contextlib.suppress(httpx.TransportError):  # killed before it answered, but not before it stored
            await (service.add(everybody) if there else service.remove(everybody))
        async with asyncio.timeout(SECONDS):
            await killed.wait()
        await service.kill()
        await service.start()
        await floor.observer.until(shown(there) | FOREIGN, SECONDS)
    assert there == []
    assert len(floor.proxy.lines) > KILLS
    assert floor.proxy.blind == []


async def test_frozen_amid_an_apply(floor: Floor, service: Service) -> None:
    """It does not read while Asterisk writes; whatever Asterisk makes of that, in the end they agree."""
    assert service.server.process is not None
    frozen = service.strike(signal.SIGSTOP, 300)
    adding = asyncio.create_task(service.add(crew(CREW)))
    async with asyncio.timeout(SECONDS):
        await frozen.wait()
    assert len(await floor.observer.seen()) < CREW, "not all has left yet; Asterisk serves others meanwhile"
    service.server.process.send_signal(signal.SIGCONT)
    await adding
    await floor.observer.until(shown(crew(CREW)) | FOREIGN, SECONDS)
    await service.remove(crew(CREW))
    await floor.observer.until(FOREIGN, SECONDS)


@on_one_version
async def test_two_on_one_store_do_everything_once(floor: Floor) -> None:
    """As when a second service is started by mistake: each hears of the other's commits from the store."""
    async with floor.plantel() as one, floor.plantel() as other:
        for members in (crew(600), crew(600, first=600)):
            await one.add(members)
            assert await other.store.changed_elsewhere()
            other.delivery.wake(None)
            await floor.agreement(one, SECONDS)
            await floor.agreement(other, SECONDS)
        sent = len(floor.proxy.changes)
        assert sent == 1200, "each member was added once, by whichever came first"
        await other.remove(await other.roster())
        one.delivery.wake(None)
        await floor.agreement(other, SECONDS)
        await floor.agreement(one, SECONDS)
        assert len(floor.proxy.changes) == sent + 1200


async def test_two_on_stores_of_their_own_are_strangers_to_each_other(floor: Floor) -> None:
    async with floor.plantel(store="one") as one, floor.plantel(store="two") as other:
        mine, theirs = crew(300), crew(300, first=300)
        await asyncio.gather(one.add(mine), other.add(theirs))
        await floor.agreement(one, SECONDS, FOREIGN | shown(theirs))
        await floor.agreement(other, SECONDS, FOREIGN | shown(mine))
        assert len(floor.proxy.changes) == 600, "neither undid what the other did"
        await one.remove(mine)
        await floor.agreement(other, SECONDS)
        await floor.only_foreign_is_left(other)


async def test_two_on_stores_of_their_own_that_contradict_each_other_do_not_flap(floor: Floor) -> None:
    """Both have the same agent on the same phone: pauses travel from one to the other, the penalty is contested."""
    (ana, eva) = Member(VENTAS, "ana", "SIP/1001", 1), Member(VENTAS, "eva", "SIP/1002", 1, True)
    async with floor.plantel(store="one") as one, floor.plantel(store="two") as other:
        await one.add([ana, eva])
        await floor.agreement(one, SECONDS)
        await other.add([Member(VENTAS, "ana", "SIP/1001", 7), Member(VENTAS, "eva", "SIP/1002", 1)])
        async with asyncio.timeout(SECONDS):
            while not {MemberContested} & {type(await each.behind(VENTAS)) for each in (one, other)}:
                rounds = [asyncio.create_task(each.reconciler.settled()) for each in (one, other)]
                await asyncio.wait(rounds, return_when=asyncio.FIRST_COMPLETED)
                for each in rounds:
                    each.cancel()
        assert len(floor.proxy.changes) < 20, "each sets it a few times, then ever more rarely"
        assert not (await one.roster())[1].paused, "the pause ended by the other is one made at the server"

        await other.remove([ana])
        await floor.agreement(one, SECONDS)
        await one.remove(await one.roster())
        await other.remove(await other.roster())
        await floor.observer.until(FOREIGN, SECONDS)


class JumpingClock:
    """The wall clock of a machine whose time is set, back and forth, all the time."""

    def __init__(self) -> None:
        self._jumps = random.Random(7)

    def now(self) -> datetime:
        return datetime.now(UTC) + timedelta(days=self._jumps.randrange(-4000, 4000))


@on_one_version
async def test_clock_jumps_move_no_deadline(floor: Floor, monkeypatch: pytest.MonkeyPatch) -> None:
    """Deadlines, back-off and intervals go by the monotonic clock, which does not jump; records by the other."""
    clock = JumpingClock()
    monkeypatch.setattr(time, "time", lambda: clock.now().timestamp())
    async with floor.plantel(clock=clock, deadlines=IMPATIENT) as plantel:
        await plantel.add(crew(40))
        await floor.agreement(plantel, SECONDS)
        for round_ in range(1, 6):
            await plantel.add(crew(10, first=40 * round_))
            await plantel.remove(crew(5, first=5 * round_ - 5))
            await floor.agreement(plantel, SECONDS)
        floor.proxy.darken()
        async with asyncio.timeout(SECONDS):
            while plantel.reconciler.status.state is not State.AWAY:
                await plantel.reconciler.settled()
        assert isinstance(plantel.reconciler.status.reasons[0], SwitchTimeout)
        floor.proxy.clear_up()
        await floor.agreement(plantel, SECONDS)
        batches = await plantel.service.batches(OPERATOR)
        assert len({one.id for one in batches}) == len(batches) == 16
        assert {one.source for one in batches} == {Source.CLI}, "no jump was taken for a change at the server"
        await floor.only_foreign_is_left(plantel)
