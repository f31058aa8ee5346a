"""The store behind `ports.Store`: one writer and a few readers over a SQLite file."""

import asyncio
from collections.abc import Callable
from typing import TypeVar

from sqlalchemy import Engine

from plantel.ports import Transaction
from plantel.store.readers import Readers
from plantel.store.sqlite import SqliteConnection, translating
from plantel.store.writer import Writer

T = TypeVar("T")


class SqliteStore:
    """`ports.Store` over a file with the present schema. Needs no event loop until it is used."""

    def __init__(self, engine: Engine) -> None:
        """Raises StoreError."""
        with translating():
            self._writer = Writer(SqliteConnection(engine, writable=True))
        self._readers = Readers(lambda: SqliteConnection(engine, writable=False))
        self._elsewhere = 0

    async def write(self, work: Callable[[Transaction], T]) -> T:
        return await self._writer.submit(work)  # type: ignore[no-any-return] # a job's future holds Any

    async def read(self, work: Callable[[Transaction], T]) -> T:
        return await self._readers.read(work)

    async def changed_elsewhere(self) -> bool:
        await self._writer.submit(lambda _: None)
        before, self._elsewhere = self._elsewhere, self._writer.elsewhere
        return self._elsewhere != before

    async def close(self) -> None:
        await asyncio.to_thread(self._writer.close)
        await asyncio.to_thread(self._readers.close)
