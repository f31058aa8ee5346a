"""A few threads that read, each over a connection of its own."""

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

from plantel import errors
from plantel.ports import Transaction
from plantel.store.campaigns import KnownToAll
from plantel.store.connection import Connection
from plantel.store.transaction import ReadTransaction

T = TypeVar("T")

THREADS = 2
"""A database's work is done without the interpreter lock, all else is not: more would only get in each other's way."""


class Readers:
    def __init__(self, connect: Callable[[], Connection]) -> None:
        self._connect = connect
        self._own = threading.local()
        self._known = KnownToAll()
        self._connections: list[Connection] = []
        self._threads = ThreadPoolExecutor(THREADS, "plantel-reader")
        self._closed = False

    async def read(self, work: Callable[[Transaction], T]) -> T:
        """Run `work` on a consistent view. Raises StoreUnavailable after `close`."""
        if self._closed:
            raise errors.StoreUnavailable(detail="closed")
        return await asyncio.get_running_loop().run_in_executor(self._threads, self._work, work)

    def close(self) -> None:
        """Wait until all that was submitted is done, then close the connections."""
        self._closed = True
        self._threads.shutdown()
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
