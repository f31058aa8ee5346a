"""The session behind leases in PostgreSQL: its locks are advisory ones, and `idle_session_timeout` ends it.

A server that starts anew, or a standby that becomes primary, knows nothing of the locks there were. So the first node
to meet such a server notes the time, and for LEASE_SECONDS from then on nobody is given a lease.
"""

import contextlib
import hashlib
import os
import socket
from collections.abc import Mapping
from typing import Any, Self

import psycopg

from plantel.store import session_lease
from plantel.store.postgresql.connection import translated
from plantel.store.session_lease import LeaseSession, now

# What is another one after each start, after each crash of one of its processes (which takes all locks along), and on a
# standby that was promoted.
_INCARNATION = """concat_ws(' ', extract(epoch FROM pg_postmaster_start_time()),
    (SELECT extract(epoch FROM stats_reset) FROM pg_stat_bgwriter),
    left(pg_walfile_name(pg_current_wal_insert_lsn()), 8))"""

# `keys` has one row with the incarnation and the time at which it was met
_KNOWN = f"""SELECT extract(epoch FROM clock_timestamp())::float8
    - split_part(convert_from(value, 'UTF8'), '|', 2)::float8
    FROM keys WHERE name = 'incarnation'
    AND split_part(convert_from(value, 'UTF8'), '|', 1) = {_INCARNATION}"""  # noqa: S608 - only the constant above
_MEET = f"""INSERT INTO keys AS known (name, value) VALUES ('incarnation', convert_to({_INCARNATION} || '|0', 'UTF8'))
    ON CONFLICT (name) DO UPDATE
    SET value = convert_to({_INCARNATION} || '|' || extract(epoch FROM clock_timestamp()), 'UTF8')
    WHERE split_part(convert_from(known.value, 'UTF8'), '|', 1) <> {_INCARNATION} RETURNING name"""  # noqa: S608 - the same


class PostgresqlLeaseSession(LeaseSession):
    """Over a connection of its own."""

    def __init__(self, connection: psycopg.AsyncConnection[Any]) -> None:
        super().__init__()
        self._connection = connection

    @classmethod
    async def open(cls, parameters: Mapping[str, Any]) -> Self:
        """`parameters`: of the connection. Raises StoreError."""
        try:
            session = cls(await psycopg.AsyncConnection.connect(**parameters, autocommit=True))
        except psycopg.Error as error:
            raise translated(error) or error from error
        try:
            await session.ask(
                "SELECT set_config('idle_session_timeout', %s, false), set_config('lock_timeout', '2s', false)",
                f"{session_lease.LEASE_SECONDS}s",
            )
            known = await session.ask(_KNOWN)
            if known is None:
                await session.ask(_MEET)
                known = await session.ask(_KNOWN)
        except BaseException:
            await session._close()
            raise
        session.open_from = now() + session_lease.LEASE_SECONDS - (known[0] if known is not None else 0)
        return session

    async def lock(self, name: str) -> bool:
        (locked,) = await self.ask("SELECT pg_try_advisory_lock(%s)", lock_key(name))
        return bool(locked)

    async def unlock(self, name: str) -> None:
        await self.ask("SELECT pg_advisory_unlock(%s)", lock_key(name))

    def end(self) -> None:
        """Trust it no more, and break the connection: whoever waits for an answer is told at once."""
        if self.ended:
            return
        super().end()
        with (
            contextlib.suppress(OSError, psycopg.OperationalError),
            socket.socket(fileno=os.dup(self._connection.fileno())) as wire,
        ):
            wire.shutdown(socket.SHUT_RDWR)

    async def _answer(self, query: str, values: tuple[object, ...]) -> Any:
        try:
            return await (await self._connection.execute(query, values)).fetchone()
        except psycopg.Error as error:
            raise translated(error) or error from error

    @property
    def _descriptor(self) -> int:
        try:
            return self._connection.fileno()
        except psycopg.OperationalError:
            return -1

    async def _close(self) -> None:
        self.end()
        await self._connection.close()


def lock_key(lease: str) -> int:
    """The key of the advisory lock that stands for it."""
    return int.from_bytes(hashlib.blake2b(lease.encode(), digest_size=8).digest(), signed=True)
