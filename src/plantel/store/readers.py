"""A few threads that read, each over a connection of its own."""

import threading
from collections.abc import Callable
from functools import partial
from typing import Any, TypeVar

from plantel import errors
from plantel.ports import Transaction
from plantel.store.campaigns import KnownToAll
from plantel.store.connection import Connection
from plantel.store.transaction import ReadTransaction
from plantel.workers import Workers

T = TypeVar("T")

THREADS = 2
"""A database's work is done without the interpreter lock, all else is not: more would only get in each other's way."""

WAITING_READS = 1_000
"""Reads that wait for one of them; more are refused. A read takes a millisecond, one of a large campaign a tenth of a
second."""

WAITING_LONG = 32
"""Long reads that wait. Each takes a second at most; who would wait longer than half a minute is told to come back."""

WAITING_LOOK_UPS = 10_000
"""As many as writes: each small request of a token that was not seen lately waits for one."""


class Readers:
    """Reads, and apart from them, each in a thread of their own, look-ups and long reads: see `ports.Store`."""

    def __init__(self, connect: Callable[[], Connection]) -> None:
        self._connect = connect
        self._own = threading.local()
        self._known = KnownToAll()
        self._connections: list[Connection] = []
        self._reads = Workers("reader", THREADS, WAITING_READS)
        self._look_ups = Workers("look-up", 1, WAITING_LOOK_UPS)
        self._long = Workers("long-read", 1, WAITING_LONG)
        self._closed = False

    async def read(self, work: Callable[[Transaction], T]) -> T:
        """Run `work` on a consistent view. Raises ServerBusy, and StoreUnavailable after `close`."""
        return await self._run(self._reads, work)

    async def look_up(self, work: Callable[[Transaction], T]) -> T:
        """The same, for the one row that says who asks."""
        return await self._run(self._look_ups, work)

    async def read_long(self, work: Callable[[Transaction], T]) -> T:
        """The same, for what takes long: one at a time."""
        return await self._run(self._long, work)

    async def _run(self, threads: Workers, work: Callable[[Transaction], T]) -> T:
        if self._closed:
            raise errors.StoreUnavailable(detail="closed")
        return await threads.run(partial(self._work, work))

    def close(self) -> None:
        """Wait until all that was submitted is done, then close the connections."""
        self._closed = True
        for threads in (self._reads, self._look_ups, self._long):
            threads.close()
        while self._connections:
            self._connections.pop().close()

    def _work(self, work: Callable[[Transaction], T]) -> T:
        connection: Any = getattr(self._own, "connection", None)
        if connection is None:
            connection = self._own.connection = self._connect()
            self._connections.append(connection)
        with connection.translating():
            connection.begin_reading()
            try:
                return work(ReadTransaction(connection, self._known))
            finally:
                connection.rollback()
