"""What a store remembers of campaigns is what there is, whoever changes them, and whatever comes of it."""

import random
from functools import partial

import pytest

from plantel import errors
from plantel.ports import Store, Transaction
from plantel.roster import Campaign
from plantel.store import open_store
from plantel.testing.memory_store import MemoryData, MemoryStore
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
