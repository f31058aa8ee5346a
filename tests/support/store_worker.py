"""A process that adds members to a store from many tasks at once.

Of each, once it is stored, it says `campaign agent batch` on a line of standard output.

    python store_worker.py URL PREFIX [COUNT]

The agents are PREFIX-0, PREFIX-1 and so on, without end where no COUNT is given.
"""

import asyncio
import itertools
import os
import sys

from plantel.batch import Batch, Source, decide_add
from plantel.ports import Transaction
from plantel.roster import Member
from plantel.store import open_store
from tests.support.rosters import NOON

TASKS = 32
CAMPAIGNS = ("Ventas->", "Cobros", "Soporte")


async def main(url: str, prefix: str, count: int | None) -> None:
    store = open_store(url)
    numbers = itertools.count() if count is None else iter(range(count))

    def unit(number: int) -> tuple[Batch, Member]:
        campaign = CAMPAIGNS[number % len(CAMPAIGNS)]
        batch = Batch(f"{prefix}-{number:08}", "acme", prefix, Source.API, NOON, 1)
        return batch, Member(campaign, f"{prefix}-{number}", f"SIP/{prefix}-{number}", number % 10)

    async def task() -> None:
        for number in numbers:
            batch, item = unit(number)

            def work(transaction: Transaction, batch: Batch = batch, item: Member = item) -> None:
                transaction.record(batch, decide_add([item], transaction.members_like("acme", [item])))

            await store.write(work)
            # One write of a short line is whole or not there, even where the process is killed.
            os.write(1, f"{item.campaign} {item.membername} {batch.id}\n".encode())

    await asyncio.gather(*(task() for _ in range(TASKS)))
    await store.close()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], sys.argv[2], int(sys.argv[3]) if len(sys.argv) > 3 else None))
