"""Questions about the past have the same answer whichever way it is found, on every database as in memory."""

from datetime import datetime, timedelta

import pytest

from plantel.ports import Transaction
from plantel.store import open_store, past
from plantel.testing.memory_store import MemoryStore
from tests.support.pasts import BATCHES, INSTANCES, filled
from tests.support.rosters import NOON

pytestmark = pytest.mark.anyio


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
