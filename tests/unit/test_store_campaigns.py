"""What a store remembers of campaigns is what there is, whoever changes them, and whatever comes of it."""

import asyncio
import random
from functools import partial
from pathlib import Path

import pytest
from sqlalchemy import Engine, event

import plantel.service
from plantel import errors
from plantel.ports import Store, Transaction
from plantel.roster import Campaign, Interfaces
from plantel.service import CAMPAIGNS_SLICE, Service
from plantel.store import open_store
from plantel.testing.memory_store import MemoryData, MemoryStore
from tests.support.door import OPERATOR, SetClock
from tests.support.rosters import a_batch

pytestmark = pytest.mark.anyio

INSTANCES = ("acme", "globex")
NAMES = ("Ventas->", "VENTAS->", "Cobros", "Ñandú")


class Refusal(Exception):
    """What a unit raises after it has done its work."""


def something_else(name: str, transaction: Transaction) -> None:
    transaction.record(a_batch(name=name), ())


async def story(stores: list[Store], seed: int) -> list[object]:
    """Campaigns come and go over two stores of the same database; now and then a unit fails. What is seen of them."""
    source = random.Random(seed)
    seen: list[object] = []
    for number in range(60):
        instance, name = source.choice(INSTANCES), source.choice(NAMES)
        remove, fails, twice = source.random() < 0.4, source.random() < 0.3, source.random() < 0.3

        def work(
            transaction: Transaction,
            change: tuple[str, str, bool, bool, bool] = (instance, name, remove, fails, twice),
        ) -> list[object]:
            instance, name, remove, fails, twice = change
            found: list[object] = []
            for _ in range(1 + twice):
                if remove:
                    transaction.remove_campaign(instance, name)
                else:
                    transaction.add_campaign(Campaign(instance, name))
                found.append(sorted(transaction.campaigns(instance)))
                remove = not remove
            if fails:
                raise Refusal
            return found

        store = source.choice(stores)
        try:
            seen.append(await store.write(work))
        except (errors.NameTaken, errors.NoSuchThing, Refusal) as error:
            seen.append(type(error))
        seen += [await one.read(lambda t: [dict(t.campaigns(whose)) for whose in INSTANCES]) for one in stores]
        # so that a store sees that another has written, and that it was not about campaigns
        await source.choice(stores).write(partial(something_else, f"{number:02}"))
    return seen


@pytest.mark.parametrize("seed", range(3))
async def test_campaigns_are_known_as_they_are(store_url: str, seed: int) -> None:
    stores = [open_store(store_url), open_store(store_url)]
    data = MemoryData()
    try:
        assert await story([*stores], seed) == await story([MemoryStore(data), MemoryStore(data)], seed)
    finally:
        for store in stores:
            await store.close()


async def test_many_queues_become_campaigns_in_slices_with_others_in_between(tmp_path: Path) -> None:
    """Statements grow with the queues and no faster, and no unit of work has more than a slice of them."""
    statements = 0

    def count(*_: object) -> None:
        nonlocal statements
        statements += 1

    needed: list[int] = []
    event.listen(Engine, "before_cursor_execute", count)
    try:
        for many in (1000, 4000):
            store = open_store(f"sqlite:///{tmp_path}/{many}.db")
            service = Service(store, "acme", SetClock(), Interfaces(), lambda *_: None)
            before = statements
            found = asyncio.create_task(service.discover([f"queue {number}" for number in range(many)]))
            seen: set[int] = set()
            while not found.done():
                seen.add(await store.write(lambda transaction: len(transaction.campaigns("acme"))))
            assert await found == 0
            needed.append(statements - before - len(seen))
            assert seen <= set(range(0, many + 1, CAMPAIGNS_SLICE))
            assert len(await store.read(lambda transaction: transaction.campaigns("acme"))) == many
            await store.close()
    finally:
        event.remove(Engine, "before_cursor_execute", count)
    assert needed[1] < 8 * needed[0]


async def test_a_server_with_other_queues_each_time_does_not_fill_the_store(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plantel.service, "CAMPAIGNS_MOST", 3)
    service = Service(MemoryStore(MemoryData()), "acme", SetClock(), Interfaces(), lambda *_: None)
    await service.declare(OPERATOR, "Ventas->")
    assert await service.discover(["VENTAS->", "a", "b|c", "b", "c", "d"]) == 2
    assert await service.discover(["VENTAS->", "a", "b"]) == 0
    assert await service.discover(["e"]) == 1
    await service.declare(OPERATOR, "one more")
    assert [one.name for one in await service.campaigns(OPERATOR)] == ["Ventas->", "a", "b", "one more"]
