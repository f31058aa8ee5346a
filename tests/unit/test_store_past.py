"""Questions about the past have the same answer whichever way it is found, on every database as in memory."""

import random
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta

import pytest

from plantel.batch import Change, Kind, decide_add, settle
from plantel.ports import Store, Transaction
from plantel.roster import Campaign, Member
from plantel.store import open_store, past
from plantel.testing.memory_store import MemoryStore
from tests.support.rosters import NOON, a_batch

pytestmark = pytest.mark.anyio

INSTANCES = ("acme", "globex")
CAMPAIGNS = ("Ventas->", "Cobros")
BATCHES = 60

Unit = Callable[[Transaction], object]


def declare(instance: str, name: str) -> Unit:
    return lambda transaction: transaction.add_campaign(Campaign(instance, name))


def dissolve(instance: str, name: str, number: int) -> Unit:
    def work(transaction: Transaction) -> None:
        gone = [Change(Kind.REMOVED, member, None) for member in transaction.members(instance, [name])]
        transaction.record(a_batch(name=f"{number:03}", instance=instance, minute=number), gone)
        transaction.remove_campaign(instance, name)
        transaction.add_campaign(Campaign(instance, name.upper()))

    return work


def change(instance: str, items: Sequence[Member], number: int, minute: float) -> Unit:
    def work(transaction: Transaction) -> None:
        distinct, _ = settle(items)
        leaving = {item.membername for item in items[2:]}
        changes = decide_add(distinct[:2], transaction.members_like(instance, distinct[:2]))
        touched = {one.member.membername for one in changes}
        there = [one for one in transaction.members(instance) if one.membername in leaving - touched]
        gone = [Change(Kind.REMOVED, one, None) for one in there]
        transaction.record(a_batch(name=f"{number:03}", instance=instance, minute=minute), [*changes, *gone])

    return work


def history(seed: int) -> list[Unit]:
    """Agents who come, change, replace one another and leave, in two customers' campaigns, one of which ends twice."""
    source = random.Random(seed)
    units = [declare(instance, name) for instance in INSTANCES for name in CAMPAIGNS]
    for number in range(BATCHES):
        instance = source.choice(INSTANCES)
        if number in {20, 40}:
            units.append(dissolve("acme", "Cobros", number))
            continue
        items = [
            Member(source.choice(CAMPAIGNS), f"Ñ {source.randrange(9)}", f"SIP/{source.randrange(9)}", number, False)
            for _ in range(4)
        ]
        units.append(change(instance, items, number, number + source.choice((0, 0, 0, -3, 2.5))))
    return units


async def filled(store: Store, seed: int) -> Store:
    for unit in history(seed):
        await store.write(unit)
    return store


def answers(transaction: Transaction) -> list[object]:
    """To every question about the past."""
    moments: list[datetime] = [NOON + timedelta(minutes=minute / 2) for minute in range(-8, 2 * BATCHES + 8)]
    return [
        (
            [transaction.members_at(instance, moment) for moment in moments],
            [transaction.members_at(instance, moment, "COBROS") for moment in moments],
            transaction.members_at(instance, NOON + timedelta(minutes=30), "nowhere"),
            [transaction.journal(instance, limit=limit) for limit in (1, 7, 1000)],
            [transaction.journal(instance, campaign="cobros", limit=limit) for limit in (1, 7, 1000)],
            [transaction.journal(instance, membername="Ñ 3", limit=limit) for limit in (1, 7, 1000)],
            transaction.journal(instance, membername="Ñ 3", campaign="ventas->"),
            [transaction.journal(instance, batch=f"{number:03}", campaign="cobros") for number in range(BATCHES)],
        )
        for instance in INSTANCES
    ]


SHORT_WAYS = {"_UNDONE_MOST": 1000, "_PAGE": 4096, "_NEAR": 100_000}
LONG_WAYS = {"_UNDONE_MOST": -1, "_UNDONE_EACH": -1, "_SKEW": 360_000_000, "_PAGE": 1, "_NEAR": 5}


@pytest.mark.parametrize("ways", [SHORT_WAYS, LONG_WAYS], ids=["undone", "walked"])
@pytest.mark.parametrize("seed", [1, 2])
async def test_the_past_is_the_same_whichever_way_it_is_found(
    store_url: str, ways: dict[str, int], seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in ways.items():
        monkeypatch.setattr(past, name, value)
    store = open_store(store_url)
    try:
        found = await (await filled(store, seed)).read(answers)
        assert found == await (await filled(MemoryStore(), seed)).read(answers)
    finally:
        await store.close()
