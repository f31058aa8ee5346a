"""Nodes whose clocks differ, and are set back, on one store: what was the roster once stays so."""

import itertools
import random
from datetime import datetime, timedelta

import pytest

from plantel.access import Actor, Role
from plantel.batch import Source
from plantel.batch_ids import BatchIds
from plantel.ports import Store
from plantel.roster import Interfaces, Member
from plantel.service import Service
from plantel.store import open_store
from plantel.testing.memory_store import MemoryData, MemoryStore
from tests.support.rosters import NOON, declared

pytestmark = pytest.mark.anyio

ROBOT = Actor("robot", Role.INTEGRATOR)


class Clock:
    """Shows what it is set to."""

    def __init__(self) -> None:
        self.time = NOON

    def now(self) -> datetime:
        return self.time


def node(store: Store, clock: Clock) -> Service:
    return Service(store, "acme", clock, Interfaces(), lambda *_: None)


async def lives_through(stores: list[Store], seed: int) -> None:
    """Adds through nodes whose clocks are up to five minutes off; each past roster is asked for again and again."""
    chance = random.Random(seed)
    clocks = [Clock() for _ in stores]
    nodes = [node(store, clock) for store, clock in zip(stores, clocks, strict=True)]
    await stores[0].write(declared("Ventas->"))
    known: dict[datetime, list[Member]] = {}
    rosters: list[list[Member]] = [[]]
    for second in range(0, 1200, 60):
        place = chance.randrange(len(nodes))
        clocks[place].time = NOON + timedelta(seconds=second + chance.randint(-300, 300))
        agent = Member("Ventas->", f"Ana {chance.randrange(3)}", f"SIP/{chance.randrange(9)}", second)
        await nodes[place].add(ROBOT, [agent], Source.API)
        rosters.append(await nodes[0].members(ROBOT, "Ventas->"))
        newest = (await nodes[-1].batches(ROBOT, 1))[0].at
        assert newest >= clocks[place].time
        for moment, before in known.items():
            assert await chance.choice(nodes).members_at(ROBOT, moment) == before
        moment = newest - timedelta(seconds=chance.randint(1, 90))
        known[moment] = await chance.choice(nodes).members_at(ROBOT, moment)
        assert known[moment] in rosters
        assert await chance.choice(nodes).members_at(ROBOT, newest) == rosters[-1]
    times = [line.at for line in await nodes[0].journal(ROBOT, limit=1000)]
    assert times == sorted(times)
    assert [rosters.index(known[moment]) for moment in sorted(known)] == sorted(
        rosters.index(found) for found in known.values()
    )


@pytest.mark.parametrize("seed", range(3))
async def test_two_nodes_on_one_database(store_url: str, seed: int) -> None:
    stores: list[Store] = [open_store(store_url), open_store(store_url)]
    try:
        await lives_through(stores, seed)
    finally:
        for store in stores:
            await store.close()


@pytest.mark.parametrize("seed", range(20))
async def test_three_nodes_in_memory(seed: int) -> None:
    data = MemoryData()
    await lives_through([MemoryStore(data), MemoryStore(data), MemoryStore(data)], seed)


def test_ids_are_unique_and_in_order_while_the_clock_stands_still_or_is_set_back() -> None:
    ids = BatchIds()
    given = [ids.new(NOON + timedelta(minutes=5))]
    given += [ids.new(NOON + timedelta(milliseconds=number % 3)) for number in range(70_000)]
    given.append(ids.new(NOON + timedelta(minutes=6)))
    assert all(one < other for one, other in itertools.pairwise(given))
    assert {len(one) for one in given} == {28}
