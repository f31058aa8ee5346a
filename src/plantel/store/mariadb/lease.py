"""The session behind leases in MariaDB: its locks are those of GET_LOCK, and `wait_timeout` ends it.

A server that starts anew, or a replica that becomes primary, knows nothing of the locks there were. So the first node
to meet such a server notes the time, and for LEASE_SECONDS from then on nobody is given a lease.
"""

import asyncio
import hashlib
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Self, TypeVar

from plantel.store.mariadb.connection import Driver, translated
from plantel.store.session_lease import LEASE_SECONDS, LeaseSession, now

T = TypeVar("T")

# This server since its start, and when it was met: 0 where no other was before, so that there is nothing to wait for.
_MEET = """INSERT INTO `keys` (name, value)
SELECT 'incarnation', CONCAT_WS(' ', @@hostname, @@port, @@server_id, UNIX_TIMESTAMP() - variable_value, 0)
FROM information_schema.global_status WHERE variable_name = 'UPTIME'
ON DUPLICATE KEY UPDATE value = IF(
    SUBSTRING_INDEX(value, ' ', 4) = SUBSTRING_INDEX(VALUES(value), ' ', 4), value,
    CONCAT(SUBSTRING_INDEX(VALUES(value), ' ', 4), ' ', UNIX_TIMESTAMP()))"""
_SINCE_MET = """SELECT UNIX_TIMESTAMP() - SUBSTRING_INDEX(CONVERT(value USING utf8mb4), ' ', -1)
FROM `keys` WHERE name = 'incarnation'"""


class MariadbLeaseSession(LeaseSession):
    """Over a connection of its own, and a thread, since PyMySQL blocks."""

    def __init__(self, database: str) -> None:
        """Locks are the server's: `database` is part of their names."""
        super().__init__()
        self._database = database
        self._thread = ThreadPoolExecutor(1, "plantel-lease")
        self._driver: Driver | None = None

    @classmethod
    async def open(cls, dial: Callable[[], Driver], database: str) -> Self:
        """`dial` makes the connection; its statements have to be given up within a few seconds. Raises StoreError."""
        session = cls(database)
        try:
            session._driver = await session._in_thread(dial)
            await session.ask("SET SESSION wait_timeout = %s", LEASE_SECONDS)
            await session.ask(_MEET)
            (since,) = await session.ask(_SINCE_MET)
        except BaseException:
            await session._close()
            raise
        session.open_from = now() + LEASE_SECONDS - float(since)
        return session

    async def lock(self, name: str) -> bool:
        (locked,) = await self.ask("SELECT GET_LOCK(%s, 0)", lock_name(self._database, name))
        return bool(locked)

    async def unlock(self, name: str) -> None:
        await self.ask("SELECT RELEASE_LOCK(%s)", lock_name(self._database, name))

    async def _answer(self, query: str, values: tuple[object, ...]) -> Any:
        def answer() -> Any:
            assert self._driver is not None
            with self._driver.cursor() as cursor:
                cursor.execute(query, values)
                return cursor.fetchone()

        return await self._in_thread(answer)

    @property
    def _descriptor(self) -> int:
        return -1 if self._driver is None else self._driver.descriptor

    async def _close(self) -> None:
        self.end()
        if self._driver is not None and self._driver.open:
            await self._in_thread(self._driver.close)
        self._thread.shutdown(wait=False)

    async def _in_thread(self, work: Callable[[], T]) -> T:
        try:
            return await asyncio.get_running_loop().run_in_executor(self._thread, work)
        except Exception as error:
            raise translated(error) or error from error


def lock_name(database: str, lease: str) -> str:
    """The name of the lock that stands for it."""
    return "plantel " + hashlib.blake2b(f"{database} {lease}".encode(), digest_size=20).hexdigest()
