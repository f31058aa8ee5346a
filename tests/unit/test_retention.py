"""The journal is kept as long as it has to be, by one node at a time."""

import asyncio
from datetime import datetime, timedelta

import pytest

from plantel.retention import LEASE, Retention
from plantel.roster import Member
from plantel.testing.memory_store import MemoryData, MemoryStore
from tests.support.rosters import NOON, a_batch, added, declared

pytestmark = pytest.mark.anyio

KEEP = timedelta(minutes=30)


class Clock:
    """An hour after noon, unless told otherwise."""

    def __init__(self, minute: int = 60) -> None:
        self.time = NOON + timedelta(minutes=minute)

    def now(self) -> datetime:
        return self.time


def memory() -> MemoryData:
    """Where it is an hour after noon."""
    data = MemoryData()
    data.now = Clock().now
    return data


def retention(store: MemoryStore) -> tuple[Retention, list[datetime]]:
    known: list[datetime] = []
    return Retention(store, Clock(), KEEP, known.append), known


async def test_what_is_older_is_forgotten() -> None:
    store = MemoryStore(memory())
    await store.write(declared("Ventas->"))
    for minute in (0, 10, 29, 31, 50):
        await store.write(added(Member("Ventas->", "Ana", "SIP/1", minute), batch=a_batch(minute=minute)))
    one, _ = retention(store)
    await one.run_once()
    left = await store.read(lambda t: [line.at for line in t.journal("acme")])
    assert left == [NOON + timedelta(minutes=minute) for minute in (29, 31, 50)]
    assert await store.read(lambda t: t.known_since()) == NOON + timedelta(minutes=29)


@pytest.mark.parametrize(("node", "database"), [(60, 10_000_000), (10_000_000, 60)])
async def test_one_wrong_clock_does_not_cost_the_history(node: int, database: int) -> None:
    data = memory()
    data.now = Clock(database).now
    store = MemoryStore(data)
    await store.write(declared("Ventas->"))
    for minute in (0, 10, 29, 31, 50):
        await store.write(added(Member("Ventas->", "Ana", "SIP/1", minute), batch=a_batch(minute=minute)))
    await Retention(store, Clock(node), KEEP, lambda _: None).run_once()
    left = await store.read(lambda t: [line.at for line in t.journal("acme")])
    assert left == [NOON + timedelta(minutes=minute) for minute in (29, 31, 50)]


async def test_while_another_node_does_it_nothing_is_done(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("plantel.retention.LEASE_SECONDS", 0.01)
    data = memory()
    store = MemoryStore(data)
    await store.write(declared("Ventas->"))
    await store.write(added(Member("Ventas->", "Ana", "SIP/1"), batch=a_batch(minute=1)))
    one, _ = retention(store)
    async with MemoryStore(data).lease(LEASE, 1):
        with pytest.raises(TimeoutError):
            await one.run_once()
    assert await store.read(lambda t: t.known_since()) is None


async def test_it_tells_since_when_everything_is_known() -> None:
    store = MemoryStore(memory())
    await store.write(declared("Ventas->"))
    await store.write(added(Member("Ventas->", "Ana", "SIP/1"), batch=a_batch(minute=1)))
    told: asyncio.Future[datetime] = asyncio.get_running_loop().create_future()
    running = asyncio.create_task(Retention(store, Clock(), KEEP, told.set_result).run())
    async with asyncio.timeout(30):
        assert await told == NOON + timedelta(minutes=1)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
