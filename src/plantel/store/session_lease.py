"""What only one may do at a time, of all nodes on one database: locks of a session that all leases of a node share.

The server ends a session from which it hears nothing for LEASE_SECONDS, and with it go its locks: those of a node which
died (at once), is stopped or is cut off. The node counts as well: VALID_SECONDS after it last asked and was answered it
no longer trusts its leases. As that is sooner, two nodes never hold one lease, whichever of them is stopped and wakes
up again.

A session may also be ended sooner, as by an administrator; its locks are then free at once. But the server says so, or
hangs up, before it gives them to others: PostgreSQL sends its FATAL, MariaDB shuts the connection down, and only then
do they let go of locks. So the node looks at the connection, too, each time that it makes sure of a lease. That asks
nobody and takes a microsecond: an idle session has nothing to read unless it has ended.
"""

import asyncio
import contextlib
import select
import time
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from typing import Any, TypeVar

from plantel import errors
from plantel.ports import Lease

T = TypeVar("T")

LEASE_SECONDS = 6
"""How long a node may be silent before the server gives its leases to others."""

VALID_SECONDS = 4.0
"""How long it trusts in them itself. The difference is for clocks, and for what was sent in the last moment."""

BEAT_SECONDS = 1.0
"""Between two signs of life."""

_FIRST_WAIT, _LONGEST_WAIT = 0.005, 0.05
"""Seconds between two tries while somebody else holds it; a lock that is waited for would keep the session."""


def now() -> float:
    """Seconds, those in which the machine sleeps with them."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


class LeaseSession(ABC):
    """One connection whose locks the server gives up LEASE_SECONDS after its last question."""

    def __init__(self) -> None:
        self.open_from = 0.0
        """From when on locks may be asked for: a server that was started anew forgets those there were."""
        self.ended = False
        self._until = 0.0
        self._asked = self._answered = 0
        self._over = asyncio.Event()

    @property
    def trusted(self) -> bool:
        """Whether its locks are there for certain. From any thread."""
        # the descriptor is another's once the connection is closed, which `ended` tells: so that is looked at last
        return now() < self._until and not self._hung_up and not self.ended

    @property
    def _hung_up(self) -> bool:
        """Whether the server has ended the connection, as far as that has reached this machine."""
        descriptor = self._descriptor
        if descriptor < 0:
            return True
        answered, asked = self._answered, self._asked
        poll = select.poll()
        poll.register(descriptor, select.POLLIN | select.POLLRDHUP)
        found = poll.poll(0)
        if not found:
            return False
        if found[0][1] != select.POLLIN:
            return True
        # there is something to read, which is an answer where one was due, or is by now, as other threads go on
        return answered == asked == self._asked

    async def ask(self, query: str, *values: object) -> Any:
        """The first row. Raises StoreError; StoreUnavailable where no answer comes in time. Not to be cancelled."""
        if self.ended:
            raise errors.StoreUnavailable(detail="the connection has ended")
        asked = now()
        self._asked += 1
        answer = asyncio.ensure_future(self._answer(query, values))
        if not (await asyncio.wait({answer}, timeout=VALID_SECONDS))[0]:
            self.end()
        try:
            row = await answer
        except errors.StoreError:
            self.end()
            raise
        self._answered += 1
        self._until = asked + VALID_SECONDS
        return row

    async def beat(self) -> None:
        """Give signs of life, as long as it lasts; then close the connection."""
        with contextlib.suppress(errors.StoreError):
            while not self.ended:
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(BEAT_SECONDS):
                        await self._over.wait()
                await self.ask("SELECT 1")
        await self._close()

    def end(self) -> None:
        """Trust it no more."""
        self.ended = True
        self._over.set()

    @abstractmethod
    async def lock(self, name: str) -> bool:
        """Whether it is ours. Raises StoreError."""

    @abstractmethod
    async def unlock(self, name: str) -> None:
        """Raises StoreError: then it went with the session."""

    @abstractmethod
    async def _answer(self, query: str, values: tuple[object, ...]) -> Any:
        """The first row. Raises StoreError. Ends soon after `end`."""

    @property
    @abstractmethod
    def _descriptor(self) -> int:
        """The connection's; -1 where there is none any more. From any thread."""

    @abstractmethod
    async def _close(self) -> None: ...


class SessionLeases:
    """The leases of one node. For one event loop at a time."""

    def __init__(self, connect: Callable[[], Awaitable[LeaseSession]]) -> None:
        """`connect` makes the session, when it is first needed and after it was lost. It may raise StoreError."""
        self._connect = connect
        self._session: LeaseSession | None = None
        self._connecting = asyncio.Lock()
        self._here: dict[str, asyncio.Lock] = {}
        self._tasks: set[asyncio.Task[Any]] = set()
        self._closed = False

    @contextlib.asynccontextmanager
    async def hold(self, name: str, seconds: float) -> AsyncIterator[Lease]:
        """Hold `name`. Raises TimeoutError where another holds it for `seconds`; StoreUnavailable."""
        here = self._here.setdefault(name, asyncio.Lock())
        async with asyncio.timeout(seconds):
            await here.acquire()  # a session's locks exclude nobody among its own tasks
            try:
                session = await self._take(name)
            except BaseException:
                here.release()
                raise
        try:
            yield _Held(session, name)
        finally:
            try:
                await asyncio.shield(self._keep(_unlocked(session, name)))
            finally:
                here.release()

    async def close(self) -> None:
        """Give everything back."""
        self._closed = True
        if self._session is not None:
            self._session.end()
        while self._tasks:
            await asyncio.wait(self._tasks)

    async def _take(self, name: str) -> LeaseSession:
        wait = _FIRST_WAIT
        tries = 2  # of which the first may find that the server has ended the session
        while True:
            session = await self._connected()
            try:
                if session.open_from <= now() and await self._lock(session, name):
                    return session
            except errors.StoreError:
                tries -= 1
                if not tries:
                    raise
                continue
            await asyncio.sleep(wait)
            wait = min(2 * wait, _LONGEST_WAIT)

    async def _lock(self, session: LeaseSession, name: str) -> bool:
        locked = self._keep(session.lock(name))
        try:
            return await asyncio.shield(locked)
        except asyncio.CancelledError:
            self._keep(_undone(session, name, locked))
            raise

    async def _connected(self) -> LeaseSession:
        async with self._connecting:
            if self._closed:
                raise errors.StoreUnavailable(detail="closed")
            if self._session is None or self._session.ended:
                self._session = await self._connect()
                self._keep(self._session.beat())
            return self._session

    def _keep(self, work: Coroutine[Any, Any, T]) -> "asyncio.Task[T]":
        # it goes on where the caller is cancelled: half a question would spoil the session
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._done)
        return task

    def _done(self, task: "asyncio.Task[Any]") -> None:
        self._tasks.discard(task)
        if not task.cancelled():
            task.exception()  # whoever waits for it is told; where nobody does, nobody needs to be


async def _unlocked(session: LeaseSession, name: str) -> None:
    with contextlib.suppress(errors.StoreError):  # it went with the session
        await session.unlock(name)


async def _undone(session: LeaseSession, name: str, locked: "asyncio.Task[bool]") -> None:
    if await locked:
        await _unlocked(session, name)


class _Held(Lease):
    def __init__(self, session: LeaseSession, name: str) -> None:
        self._session = session
        self._name = name

    def check(self) -> None:
        if not self._session.trusted:
            raise errors.LeaseLost(name=self._name)
