"""Adds that wait together share a commit and a look-up, and are still decided one after another."""

import asyncio
import random
from collections.abc import AsyncIterator

import pytest

from plantel.batch import Kind, Source
from plantel.ports import Store
from plantel.roster import Interfaces, Member, fold
from plantel.service import Service
from plantel.store import open_store
from plantel.testing.memory_store import MemoryStore
from tests.support.door import OPERATOR, SetClock

pytestmark = pytest.mark.anyio


@pytest.fixture(params=["memory", "sqlite", "postgresql", "mariadb"])
async def store(request: pytest.FixtureRequest) -> AsyncIterator[Store]:
    made: Store = (
        MemoryStore() if request.param == "memory" else open_store(request.getfixturevalue(f"{request.param}_url"))
    )
    yield made
    await made.close()


@pytest.mark.parametrize("seed", range(6))
async def test_concurrent_adds_leave_a_journal_in_which_each_line_continues_the_one_before(
    store: Store, seed: int
) -> None:
    chance = random.Random(seed)
    service = Service(store, "default", SetClock(), Interfaces(), lambda _campaigns, _revision, _changes: None)
    for campaign in ("Ventas->", "POWER<-"):
        await service.declare(OPERATOR, campaign)

    def crew() -> list[Member]:
        """One to three members, few agents and few phones, so that they often get into each other's way."""
        agents = chance.sample(["ana", "eva", "leo", "luz"], size := chance.choice([1, 1, 1, 2, 3]))
        phones = chance.sample(["SIP/1", "sip/2", "SIP/3", "PJSIP/4"], size)
        campaign = chance.choice(["Ventas->", "ventas->", "POWER<-"])
        return [
            Member(campaign, agent, phone, chance.randrange(3))
            for agent, phone in zip(agents, phones, strict=True)
        ]  # fmt: skip

    for _ in range(10):
        await asyncio.gather(*(service.add(OPERATOR, crew(), Source.CLI) for _ in range(30)))

    present: dict[tuple[str, str], Member] = {}
    for entry in await store.read(lambda transaction: transaction.journal("default", limit=100_000)):
        change = entry.change
        key = (fold(change.member.campaign), change.member.membername)
        assert present.get(key) == change.before, entry
        assert (change.before is None) is (change.kind is Kind.ADDED), entry
        if change.after is None:
            del present[key]
        else:
            present[key] = change.after
    members = await store.read(lambda transaction: transaction.members("default"))
    assert {(fold(one.campaign), one.membername): one for one in members} == present
    phones = [(fold(one.campaign), fold(one.interface)) for one in members]
    assert len(set(phones)) == len(phones)
