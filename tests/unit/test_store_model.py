"""Whatever is done to them, a store in a database and one in memory stay the same."""

import asyncio
import itertools
import tempfile
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import NamedTuple

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from plantel import errors
from plantel.batch import Batch, Change, Kind, decide_add, settle
from plantel.plan import Claim
from plantel.ports import Store, Transaction
from plantel.roster import Campaign, Member
from plantel.store import open_store
from plantel.testing.mariadb import PrivateMariadb
from plantel.testing.memory_store import MemoryStore
from plantel.testing.postgresql import PrivatePostgresql
from tests.support.rosters import NOON, a_batch

INSTANCES = ["acme", "globex"]
CAMPAIGNS = ["Ventas->", "VENTAS->", "Ñandú", "ñandú"]
AGENTS = ["Ana", "ana", "Bea", "Ñ", "ñ"]
PHONES = ["SIP/1", "sip/1", "SIP/2", "PJSIP/a", "PJSIP/A"]

instances = st.sampled_from(INSTANCES)
campaigns = st.sampled_from(CAMPAIGNS)
members = st.builds(
    Member, campaigns, st.sampled_from(AGENTS), st.sampled_from(PHONES), st.integers(0, 2), st.booleans()
)


class Refusal(Exception):
    """What a unit raises after it has done its work."""


class Declare(NamedTuple):
    instance: str
    campaign: str

    def work(self, transaction: Transaction, number: int) -> object:
        transaction.add_campaign(Campaign(self.instance, self.campaign))
        return None


class Drop(NamedTuple):
    """Remove a campaign and its members."""

    instance: str
    campaign: str

    def work(self, transaction: Transaction, number: int) -> object:
        there = transaction.members(self.instance, [self.campaign])
        transaction.record(_batch(self.instance, number), [Change(Kind.REMOVED, member, None) for member in there])
        transaction.remove_campaign(self.instance, self.campaign)
        return there


class Add(NamedTuple):
    instance: str
    items: list[Member]

    def work(self, transaction: Transaction, number: int) -> object:
        distinct, _ = settle(self.items)
        changes = decide_add(distinct, transaction.members_like(self.instance, distinct))
        transaction.record(_batch(self.instance, number), changes)
        return changes


class Remove(NamedTuple):
    instance: str
    items: list[Member]

    def work(self, transaction: Transaction, number: int) -> object:
        agents = {item.membername for item in self.items}
        changes = [
            Change(Kind.REMOVED, member, None)
            for member in transaction.members(self.instance)
            if member.membername in agents
        ]
        transaction.record(_batch(self.instance, number), changes)
        return changes


class Force(NamedTuple):
    """Record a change whether it fits or not."""

    instance: str
    before: Member | None
    after: Member

    def work(self, transaction: Transaction, number: int) -> object:
        change = Change(Kind.ADDED if self.before is None else Kind.MOVED, self.before, self.after)
        transaction.record(_batch(self.instance, number), [change])
        return None


class TakeOver(NamedTuple):
    """Write claims, then record: what the reconciler does."""

    instance: str
    items: list[Member]

    def work(self, transaction: Transaction, number: int) -> object:
        claims = [Claim(item.campaign, item.interface, item.paused) for item in self.items]
        transaction.put_claims(self.instance, "pbx", claims)
        transaction.drop_claims(self.instance, "pbx", claims[1:])
        return Add(self.instance, self.items).work(transaction, number)


lists = st.lists(members, min_size=1, max_size=4)
steps = st.one_of(
    st.builds(Declare, instances, campaigns),
    st.builds(Drop, instances, campaigns),
    st.builds(Add, instances, lists),
    st.builds(Add, instances, lists),
    st.builds(Remove, instances, lists),
    st.builds(Force, instances, st.none() | members, members).filter(
        lambda step: (
            step.before is None
            or (step.before.campaign, step.before.membername) == (step.after.campaign, step.after.membername)
        )
    ),
    st.builds(TakeOver, instances, lists),
)


class Unit(NamedTuple):
    """Some steps in one transaction, at the end of which it may fail, or read what it wrote."""

    steps: list[Declare | Drop | Add | Remove | Force | TakeOver]
    fails: bool
    reads: bool

    def work(self, number: int) -> Callable[[Transaction], object]:
        def work(transaction: Transaction) -> object:
            results = [step.work(transaction, 10 * number + place) for place, step in enumerate(self.steps)]
            if self.reads:
                results.append(state(transaction))
            if self.fails:
                raise Refusal
            return results

        return work


units = st.builds(Unit, st.lists(steps, min_size=1, max_size=3), st.sampled_from([False, False, True]), st.booleans())
groups = st.lists(st.lists(units, min_size=1, max_size=5), min_size=1, max_size=4)


def _batch(instance: str, number: int) -> Batch:
    return a_batch(name=f"{number:09}", instance=instance, minute=number)


def state(transaction: Transaction) -> object:
    """All that can be seen, but for revisions: a failed unit may leave a gap in them."""
    return [
        (
            dict(transaction.campaigns(instance)),
            transaction.members(instance),
            transaction.batches(instance, 100),
            [(entry.batch, entry.at, entry.change) for entry in transaction.journal(instance)],
            [transaction.members_at(instance, NOON + timedelta(minutes=10 * minute)) for minute in range(20)],
            transaction.claims(instance, "pbx"),
        )
        for instance in INSTANCES
    ]


async def outcomes(store: Store, groups: list[list[Unit]]) -> list[object]:
    """What becomes of groups of units that are submitted at once, and what is there after each group."""

    async def outcome(unit: Unit, number: int) -> object:
        try:
            return await store.write(unit.work(number))
        except (errors.PlantelError, Refusal) as error:
            # What does not fit comes to light in `record` or later, so another error of the unit may come first.
            return "failed" if any(isinstance(step, Force) for step in unit.steps) else type(error)

    seen: list[object] = []
    number = 0
    for group in groups:
        seen.append(await asyncio.gather(*(outcome(unit, number + place) for place, unit in enumerate(group))))
        number += len(group)
        seen.append(await store.read(state))
    return seen


def compare(store: Store, groups: list[list[Unit]]) -> None:
    async def both() -> None:
        try:
            assert await outcomes(store, groups) == await outcomes(MemoryStore(), groups)
        finally:
            await store.close()

    asyncio.run(both())


@settings(deadline=None, max_examples=100, suppress_health_check=[HealthCheck.too_slow])
@given(groups)
def test_a_store_in_sqlite_is_like_one_in_memory(groups: list[list[Unit]]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        compare(open_store(f"sqlite:///{Path(folder) / 'plantel.db'}"), groups)


_numbers = itertools.count()


@settings(deadline=None, max_examples=25, suppress_health_check=[HealthCheck.too_slow])
@given(groups)
def test_a_store_in_postgresql_is_like_one_in_memory(postgresql: PrivatePostgresql, groups: list[list[Unit]]) -> None:
    name = f"model_{next(_numbers)}"
    compare(open_store(postgresql.database(name)), groups)
    postgresql.execute(f"DROP DATABASE {name}")


@settings(deadline=None, max_examples=30, suppress_health_check=[HealthCheck.too_slow])
@given(groups)
def test_a_store_in_mariadb_is_like_one_in_memory(running_mariadb: PrivateMariadb, groups: list[list[Unit]]) -> None:
    url = running_mariadb.make_database()
    compare(open_store(url), groups)
    running_mariadb.sql(f"DROP DATABASE {url.rsplit('/', 1)[1]}")
