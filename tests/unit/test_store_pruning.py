"""What is forgotten is missed by no question about a moment after the cutoff."""

import re
from datetime import timedelta
from functools import partial

import pytest

from plantel import errors
from plantel.ports import Needless, Store, Transaction
from plantel.store import open_store, past, pruning
from plantel.testing.memory_store import MemoryStore
from tests.support.pasts import BATCHES, INSTANCES, filled
from tests.support.rosters import NOON

pytestmark = pytest.mark.anyio


def about(since: float, transaction: Transaction) -> list[object]:
    """Every answer about this moment (minutes after noon) and later ones, and about the present."""
    moments = [NOON + timedelta(minutes=since + 1.5 * step) for step in range(BATCHES // 2)]
    return [
        (
            [transaction.members_at(instance, moment) for moment in moments],
            [transaction.members_at(instance, moment, "cobros") for moment in moments],
            transaction.members(instance),
            transaction.reasons(instance, transaction.members(instance)),
            transaction.revision(),
        )
        for instance in INSTANCES
    ]


async def pruned(store: Store, minute: float) -> int:
    """Forget all that may go; the steps that it took."""
    steps = 0
    while needless := await store.read(lambda transaction: transaction.needless(NOON + timedelta(minutes=minute))):
        await store.write(partial(prune, needless))
        steps += 1
    return steps


def prune(needless: Needless, transaction: Transaction) -> None:
    transaction.prune(needless)


def kept(transaction: Transaction) -> list[object]:
    """What is left, all of it."""
    return [
        (
            [(line.batch, line.change) for line in transaction.journal(instance)],
            [batch.id for batch in transaction.batches(instance, 1000)],
        )
        for instance in INSTANCES
    ]


@pytest.mark.parametrize("walked", [False, True])
@pytest.mark.parametrize("seed", [1, 2])
async def test_later_moments_are_told_as_before(
    store_url: str, seed: int, walked: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pruning, "STEP", 7)
    if walked:
        monkeypatch.setattr(past, "_UNDONE_MOST", -1)
        monkeypatch.setattr(past, "_UNDONE_EACH", -1)
    store, whole, other = open_store(store_url), MemoryStore(), MemoryStore()
    try:
        for each in (store, whole, other):
            await filled(each, seed)
        before = await store.read(kept)
        for minute in (10.5, 10.5, 30, 47, BATCHES + 9):
            steps = await pruned(store, minute)
            assert steps or minute == 10.5
            await pruned(other, minute)
            right = await whole.read(partial(about, minute))
            assert await store.read(partial(about, minute)) == right
            assert await other.read(partial(about, minute)) == right
            assert await store.read(lambda t: t.known_since()) == await other.read(lambda t: t.known_since())
        assert before != await store.read(kept)
        # all was old enough: a line or two for each who is there, and the newest batch of each customer
        assert await store.read(kept) == await other.read(kept)
    finally:
        await store.close()


def refused(transaction: Transaction) -> None:
    since = transaction.known_since()
    assert since is not None
    assert NOON + timedelta(minutes=20) < since <= NOON + timedelta(minutes=30)
    transaction.members_at("acme", since)
    with pytest.raises(errors.HistoryForgotten, match=re.escape(since.isoformat())):
        transaction.members_at("acme", since - timedelta(microseconds=1))
    lines = [(instance, line) for instance in INSTANCES for line in transaction.journal(instance)]
    old = {(instance, line.batch) for instance, line in lines if line.at <= since - timedelta(minutes=5)}
    young = {(instance, line.batch) for instance, line in lines if line.at > since}
    assert old
    assert young
    for instance, batch in old:
        with pytest.raises(errors.HistoryForgotten):
            transaction.journal(instance, batch=batch)
    for instance, batch in young:
        assert transaction.journal(instance, batch=batch)


async def test_what_is_forgotten_is_not_told_wrongly(store_url: str) -> None:
    for store in (open_store(store_url), MemoryStore()):
        try:
            await filled(store, 1)
            assert await store.read(lambda t: t.known_since()) is None
            await pruned(store, 30)
            await store.read(refused)
        finally:
            await store.close()


async def test_a_step_is_taken_only_where_no_other_was_since_it_was_found(
    store_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pruning, "STEP", 7)
    for store in (open_store(store_url), MemoryStore()):
        try:
            await filled(store, 1)
            found = await store.read(lambda t: t.needless(NOON + timedelta(minutes=20)))
            assert found is not None
            await pruned(store, 30)
            before = await store.read(kept)
            await store.write(partial(prune, found))
            assert await store.read(kept) == before
            assert await pruned(store, 30) == 0
        finally:
            await store.close()
