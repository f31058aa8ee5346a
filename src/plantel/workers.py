"""Room for one kind of work, and a bounded queue before it, so that no kind waits for another."""

import asyncio
from collections.abc import AsyncIterator, Callable, Hashable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from typing import TypeVar

from plantel import errors

T = TypeVar("T")


class Workers:
    """`threads` threads of their own. At most `waiting` pieces of work wait for one of them; more are refused.

    A piece that has not begun is dropped if its caller is cancelled, e.g. since the client hung up.
    """

    def __init__(
        self,
        name: str,
        threads: int,
        waiting: int,
        *,
        full: Callable[[], errors.PlantelError] = errors.ServerBusy,
    ) -> None:
        """`full` makes the error that refuses work. Threads start when there is work for them."""
        self._threads = ThreadPoolExecutor(threads, f"plantel-{name}")
        self._most = threads + waiting
        self._taken = 0
        self._full = full

    async def run(self, work: Callable[[], T]) -> T:
        """What `work` returns, or raises, in one of the threads. Raises what `full` makes when too much waits.

        To be called on the event loop. A cancelled caller does not stop work that has begun: it still counts until its
        end.
        """
        if self._taken >= self._most:
            raise self._full()
        self._taken += 1
        loop = asyncio.get_running_loop()
        job = self._threads.submit(work)
        job.add_done_callback(lambda _: self._free(loop))
        try:
            return await asyncio.wrap_future(job)
        finally:
            del job  # it has what it raises, which knows this frame: they would hold each other

    def _free(self, loop: asyncio.AbstractEventLoop) -> None:
        try:
            loop.call_soon_threadsafe(self._release)
        except RuntimeError:  # the loop was closed: nobody counts any more
            return

    def _release(self) -> None:
        self._taken -= 1

    def close(self) -> None:
        """Drop what has not begun, and wait for what has."""
        self._threads.shutdown(cancel_futures=True)


class Lanes:
    """A lane for each of many callers, so that none is held up by what another asks for: in each, one at a time.

    In all lanes together `most` go at one time. In each `waiting` more wait.

    async with lanes.take("ana"):
        ...
    """

    def __init__(self, most: int, waiting: int) -> None:
        self._room = asyncio.Semaphore(most)
        self._waiting = waiting
        self._lanes: dict[Hashable, _Lane] = {}

    @asynccontextmanager
    async def take(self, whose: Hashable) -> AsyncIterator[None]:
        """Wait for a turn, and have it until the end of the block. Raises ServerBusy if this caller has too many."""
        lane = self._lanes.setdefault(whose, _Lane())
        if lane.taken > self._waiting:
            raise errors.ServerBusy
        lane.taken += 1
        try:
            async with lane.turn, self._room:
                yield
        finally:
            lane.taken -= 1
            if not lane.taken:
                del self._lanes[whose]


class _Lane:
    """One caller's turns."""

    def __init__(self) -> None:
        self.turn = asyncio.Lock()
        self.taken = 0
