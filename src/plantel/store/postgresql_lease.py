"""What only one may do at a time, of all nodes on one PostgreSQL database.

A lease is an advisory lock of a session that all leases of a node share. The server ends a session from which it hears
nothing for LEASE_SECONDS, and with it goes the lock: that of a node which died (at once), is stopped or is cut off.
The node counts as well: VALID_SECONDS after it last asked and was answered it trusts its leases no more. As that is
sooner, two nodes never believe in one lease, whichever of them is stopped and wakes up again.

A server that starts anew, or a standby that becomes primary, knows nothing of the locks there were. So the first node
to meet such a server notes the time, and for LEASE_SECONDS from then on nobody is given a lease.
"""

import asyncio
import contextlib
import hashlib
import os
import socket
import time
from collections.abc import AsyncIterator, Coroutine, Mapping
from typing import Any, TypeVar

import psycopg

from plantel import errors
from plantel.ports import Lease
from plantel.store.postgresql import translated

T = TypeVar("T")

LEASE_SECONDS = 6.0
"""How long a node may be silent before the server gives its leases to others."""

VALID_SECONDS = 4.0
"""How long it trusts in them itself. The rest is for clocks that differ, and for what is sent in the last moment."""

BEAT_SECONDS = 1.0
"""Between two signs of life."""

_FIRST_WAIT, _LONGEST_WAIT = 0.005, 0.05
"""Seconds between two tries while somebody else holds it."""

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


async def _give_back(session: "_Session", key: int, locked: asyncio.Task[bool]) -> None:
    if await locked:
        await session.unlock(key)


def _now() -> float:
    """Seconds, those in which the machine sleeps with them."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


class PostgresqlLeases:
    """The leases of one node. For one event loop at a time."""

    def __init__(self, parameters: Mapping[str, Any]) -> None:
        """`parameters`: of the connection, which is made when it is first needed."""
        self._parameters = parameters
        self._session: _Session | None = None
        self._connecting = asyncio.Lock()
        self._here: dict[str, asyncio.Lock] = {}
        self._tasks: set[asyncio.Task[Any]] = set()
        self._closed = False

    @contextlib.asynccontextmanager
    async def hold(self, name: str, seconds: float) -> AsyncIterator[Lease]:
        """Hold `name`. Raises TimeoutError where another holds it for `seconds`; StoreUnavailable."""
        key = int.from_bytes(hashlib.blake2b(name.encode(), digest_size=8).digest(), signed=True)
        here = self._here.setdefault(name, asyncio.Lock())
        async with asyncio.timeout(seconds):
            # a session's locks exclude nobody among its own tasks
            await here.acquire()
            try:
                session = await self._take(key)
            except BaseException as error:
                here.release()
                if (failure := translated(error)) is not None:
                    raise failure from error
                raise
        try:
            yield _Held(session, name)
        finally:
            try:
                await asyncio.shield(self._keep(session.unlock(key)))
            finally:
                here.release()

    async def close(self) -> None:
        """Give everything back."""
        self._closed = True
        if self._session is not None:
            self._session.end()
        while self._tasks:
            await asyncio.wait(self._tasks)

    async def _take(self, key: int) -> "_Session":
        wait = _FIRST_WAIT
        tries = 2  # of which the first may find that the server has ended the session
        while True:
            session = await self._connected()
            try:
                if session.open_from <= _now() and await self._lock(session, key):
                    return session
            except (psycopg.OperationalError, errors.StoreUnavailable):
                session.end()
                tries -= 1
                if not tries:
                    raise
                continue
            await asyncio.sleep(wait)
            wait = min(2 * wait, _LONGEST_WAIT)

    async def _lock(self, session: "_Session", key: int) -> bool:
        locked = self._keep(session.lock(key))
        try:
            return await asyncio.shield(locked)
        except asyncio.CancelledError:
            self._keep(_give_back(session, key, locked))
            raise

    async def _connected(self) -> "_Session":
        async with self._connecting:
            if self._closed:
                raise errors.StoreUnavailable(detail="closed")
            if self._session is None or self._session.ended:
                self._session = await _Session.open(self._parameters)
                self._keep(self._session.beat())
            return self._session

    def _keep(self, work: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
        # it goes on where the caller is cancelled: half a question would spoil the session
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._done)
        return task

    def _done(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        if not task.cancelled():
            task.exception()  # whoever waits for it is told; where nobody does, nobody needs to be


class _Session:
    """One connection, and until when its locks are to be trusted."""

    def __init__(self, connection: psycopg.AsyncConnection[Any]) -> None:
        self._connection = connection
        self._until = 0.0
        self._over: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.open_from = 0.0
        """From when on locks may be asked for."""
        self.ended = False

    @classmethod
    async def open(cls, parameters: Mapping[str, Any]) -> "_Session":
        """Raises psycopg.Error, StoreUnavailable."""
        session = cls(await psycopg.AsyncConnection.connect(**parameters, autocommit=True))
        try:
            await session.ask(
                "SELECT set_config('idle_session_timeout', %s, false), set_config('lock_timeout', '2s', false)",
                f"{LEASE_SECONDS}s",
            )
            known = await session.ask(_KNOWN)
            if known is None:
                await session.ask(_MEET)
                known = await session.ask(_KNOWN)
            session.open_from = _now() + LEASE_SECONDS - (known[0] if known is not None else 0)
        except BaseException:
            session.end()
            await session._connection.close()
            raise
        return session

    @property
    def trusted(self) -> bool:
        """Whether its locks are there for certain."""
        return not self.ended and _now() < self._until

    async def lock(self, key: int) -> bool:
        """Whether it is ours."""
        return bool((await self.ask("SELECT pg_try_advisory_lock(%s)", key))[0])

    async def unlock(self, key: int) -> None:
        with contextlib.suppress(psycopg.Error, errors.StoreUnavailable):  # it went with the session
            await self.ask("SELECT pg_advisory_unlock(%s)", key)

    async def beat(self) -> None:
        """Give signs of life, as long as it lasts."""
        with contextlib.suppress(psycopg.Error, errors.StoreUnavailable):
            while not self.ended:
                await asyncio.wait({self._over}, timeout=BEAT_SECONDS)
                await self.ask("SELECT 1")
        self.end()
        await self._connection.close()

    async def ask(self, query: str, *values: object) -> Any:
        """The first row, or None. Raises psycopg.Error; StoreUnavailable where no answer comes. Not to be cancelled."""
        if self.ended:
            raise errors.StoreUnavailable(detail="the connection has ended")
        asked = _now()
        answer = asyncio.ensure_future(self._connection.execute(query, values))
        if not (await asyncio.wait({answer}, timeout=VALID_SECONDS))[0]:
            self.end()
        row = await (await answer).fetchone()
        self._until = asked + VALID_SECONDS
        return row

    def end(self) -> None:
        """Trust it no more, and break the connection: whoever waits for an answer is told at once."""
        if not self.ended:
            self.ended = True
            self._over.set_result(None)
            with (
                contextlib.suppress(OSError, psycopg.OperationalError),
                socket.socket(fileno=os.dup(self._connection.fileno())) as wire,
            ):
                wire.shutdown(socket.SHUT_RDWR)


class _Held(Lease):
    def __init__(self, session: _Session, name: str) -> None:
        self._session = session
        self._name = name

    def check(self) -> None:
        if not self._session.trusted:
            raise errors.LeaseLost(name=self._name)
