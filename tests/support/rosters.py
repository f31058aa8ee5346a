"""Short ways to write units of work for a Store."""

import itertools
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta

from plantel.batch import Batch, Change, Kind, Problem, Source, decide_add, settle
from plantel.ports import Store, Transaction
from plantel.roster import Campaign, Member

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)

_numbers = itertools.count(1)


def a_batch(
    *,
    name: str | None = None,
    instance: str = "acme",
    minute: float = 0,
    items: int = 1,
    problems: Sequence[Problem] = (),
) -> Batch:
    """A batch by `robot`, `minute` minutes after noon, with an id of its own unless `name` gives one."""
    return Batch(
        id=name or f"batch-{next(_numbers):06}",
        instance=instance,
        actor="robot",
        source=Source.API,
        at=NOON + timedelta(minutes=minute),
        items=items,
        problems=tuple(problems),
    )


def declared(*names: str, instance: str = "acme") -> Callable[[Transaction], None]:
    """Declare campaigns."""

    def work(transaction: Transaction) -> None:
        for name in names:
            transaction.add_campaign(Campaign(instance, name))

    return work


def added(*items: Member, batch: Batch | None = None) -> Callable[[Transaction], int]:
    """Add members as the service does; returns the revision. The batch is one of instance `acme` unless given."""

    def work(transaction: Transaction) -> int:
        its = batch or a_batch(items=len(items))
        distinct, clashes = settle(items)
        assert not clashes
        return transaction.record(its, decide_add(distinct, transaction.members_like(its.instance, distinct)))

    return work


def removed(*members: Member, batch: Batch | None = None) -> Callable[[Transaction], int]:
    """Remove members."""
    changes = [Change(Kind.REMOVED, member, None) for member in members]
    return lambda transaction: transaction.record(batch or a_batch(items=len(members)), changes)


async def roster(store: Store) -> list[Member]:
    """All members of the instance `acme`."""
    return await store.read(lambda transaction: transaction.members("acme"))
