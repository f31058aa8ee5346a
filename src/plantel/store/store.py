"""The store behind `ports.Store`: one writer and a few readers over a database."""

import asyncio
import secrets
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from functools import partial
from typing import TypeVar

from plantel import errors
from plantel.ports import Lease, Like, Transaction
from plantel.store.connection import Database
from plantel.store.readers import Readers
from plantel.store.transaction import SqlTransaction
from plantel.store.writer import Writer
from plantel.watch import Watch

T = TypeVar("T")

ANSWER_SECONDS = 60.0
"""How long to wait for a disk that may be dead. A batch of 50,000 members takes about one second."""


TRIAL_BYTES = 60 * 1024
"""No less than a small batch takes, and no more than MariaDB takes for one value."""


class SqlStore:
    """`ports.Store` over a database with the present schema. Needs no event loop until it is used."""

    def __init__(self, database: Database) -> None:
        """Takes `database` over. Raises StoreError."""
        self._database = database
        self._writer = Writer(database.connect(writable=True))
        self._readers = Readers(lambda: database.connect(writable=False))
        self._elsewhere = 0
        self._watch = Watch()

    async def write(self, work: Callable[[Transaction], T], *, like: Like | None = None) -> T:
        return await self._in_time(self._writer.submit(work, like))

    async def read(self, work: Callable[[Transaction], T]) -> T:
        return await self._in_time(self._readers.read(work))

    async def look_up(self, work: Callable[[Transaction], T]) -> T:
        return await self._in_time(self._readers.look_up(work))

    async def read_long(self, work: Callable[[Transaction], T]) -> T:
        return await self._in_time(self._readers.read_long(work))

    def lease(self, name: str, seconds: float) -> AbstractAsyncContextManager[Lease]:
        return self._database.lease(name, seconds)

    async def changed_elsewhere(self) -> bool:
        if self._writer.failing:
            await self._try_to_store()
        await self.write(lambda _: None)  # the writer looks whenever it begins
        before, self._elsewhere = self._elsewhere, self._writer.elsewhere
        return self._elsewhere != before

    async def _try_to_store(self) -> None:
        """Store something, and take it away again: a look alone does not tell whether there is room."""
        self._writer.failing = False
        for size in (TRIAL_BYTES, 0):
            await self.write(partial(_try, size=size))

    async def wait_elsewhere(self, seconds: float) -> None:
        await self._database.wait_elsewhere(seconds)

    async def close(self) -> None:
        await self._in_time(asyncio.to_thread(self._writer.close))
        await self._in_time(asyncio.to_thread(self._readers.close))
        await self._database.close()

    async def _in_time(self, answer: Awaitable[T]) -> T:
        """Raises StoreUnavailable where the answer does not come: what becomes of the work is then unknown."""
        wait = self._watch.begin(ANSWER_SECONDS)
        try:
            return await answer
        finally:
            if self._watch.end(wait):
                raise errors.StoreUnavailable(detail=f"no answer within {ANSWER_SECONDS} s")


def _try(transaction: Transaction, size: int) -> None:
    assert isinstance(transaction, SqlTransaction)
    transaction.put_trial(secrets.token_bytes(size))
