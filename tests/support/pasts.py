"""Random histories to ask questions about."""

import random
from collections.abc import Callable, Sequence

from plantel.batch import Change, Kind, decide_add, settle
from plantel.ports import Store, Transaction
from plantel.roster import Campaign, Member
from tests.support.rosters import a_batch

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
            Member(
                source.choice(CAMPAIGNS),
                f"Ñ {source.randrange(9)}",
                f"SIP/{source.randrange(9)}",
                number,
                source.random() < 0.5,
            )
            for _ in range(4)
        ]
        units.append(change(instance, items, number, number + source.choice((0, 0, 0, -3, 2.5))))
    return units


async def filled(store: Store, seed: int) -> Store:
    for unit in history(seed):
        await store.write(unit)
    return store
