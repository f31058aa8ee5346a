"""The one thread that writes: whoever waits at the same time shares a commit."""

import asyncio
import threading
from collections.abc import Callable
from contextlib import suppress
from queue import SimpleQueue
from typing import Any

from plantel import errors
from plantel.ports import Like, Transaction
from plantel.store.connection import Connection
from plantel.store.unit import Group, Unit

WAITING_MOST = 10_000
"""So many units may wait; more are refused at once, which is kinder than a late answer."""

TRIES = 5
"""How often a group is run whose transaction is given up for another's sake."""

GROUP_MOST = 1_000
"""So many units share a commit: more would hardly be cheaper, and all would wait for the last."""


class _Job:
    """A unit of work and whoever waits for it."""

    __slots__ = ("error", "future", "like", "loop", "result", "unit", "work")

    def __init__(self, work: Callable[[Transaction], Any], like: Like | None, loop: asyncio.AbstractEventLoop) -> None:
        self.work = work
        self.like = like
        self.loop = loop
        self.future: asyncio.Future[Any] = loop.create_future()
        self.unit: Unit | None = None
        self.result: Any = None
        self.error: Exception | None = None


class Writer:
    """Runs units of work one after another, in the order submitted, in transactions of as many as are waiting."""

    def __init__(self, connection: Connection) -> None:
        """Takes `connection` over, and closes it at the end."""
        self._connection = connection
        self._group = Group(connection)
        self._jobs: SimpleQueue[list[_Job] | None] = SimpleQueue()
        self._arrived: list[_Job] = []
        self._waiting = 0
        self._submitting = threading.Lock()
        self._closed = False
        self.failing = False
        """Whether the database refused to store something; to be taken back by whoever finds that it stores again."""
        self._thread = threading.Thread(target=self._run, name="plantel-writer", daemon=True)
        self._thread.start()

    def submit(self, work: Callable[[Transaction], Any], like: Like | None = None) -> asyncio.Future[Any]:
        """The future of what `work` returns. Raises ServerBusy, and StoreUnavailable after `close`."""
        loop = asyncio.get_running_loop()
        job = _Job(work, like, loop)
        with self._submitting:
            if self._closed:
                raise errors.StoreUnavailable(detail="closed")
            if self._waiting >= WAITING_MOST:
                raise errors.ServerBusy()
            self._waiting += 1
            self._arrived.append(job)
            first = len(self._arrived) == 1
        if first:
            # handed over together at the end of the loop's round: a thread woken for each would fight for the lock
            loop.call_soon(self._hand_over)
        return job.future

    def _hand_over(self) -> None:
        with self._submitting:
            if self._arrived:
                self._jobs.put(self._arrived)
                self._arrived = []

    def close(self) -> None:
        """Wait until all that was submitted is done, then end the thread."""
        self._hand_over()
        with self._submitting:
            if not self._closed:
                self._closed = True
                self._jobs.put(None)
        self._thread.join()

    @property
    def elsewhere(self) -> int:
        """How many times another process was seen to have committed, up to the last group."""
        return self._group.elsewhere

    def _run(self) -> None:
        closing = False
        while not closing:
            jobs, closing = self._next()
            if jobs:
                self._carry_out(jobs)
                _answer(jobs)
                self._connection.tidy()
        self._connection.close()

    def _next(self) -> tuple[list[_Job], bool]:
        """Wait for jobs; those and all others that wait by then, and whether they are the last."""
        jobs: list[_Job] = []
        arrived = self._jobs.get()
        while arrived is not None:
            jobs += arrived
            if len(jobs) >= GROUP_MOST or self._jobs.empty():
                break
            arrived = self._jobs.get()  # this thread alone takes from it, so there is one
        with self._submitting:
            self._waiting -= len(jobs)
        return jobs, arrived is None

    def _carry_out(self, jobs: list[_Job]) -> None:
        for _ in range(TRIES):
            failure = self._try(jobs)
            if failure is None or not self._connection.outrun(failure):
                break
        if failure is not None:
            failure = self._connection.translated(failure) or failure
        for job in jobs:
            if failure is not None:
                job.error = failure
            elif job.unit is not None and job.unit.failure is not None:
                job.error = job.unit.failure
            if job.error is not None and isinstance(job.error, errors.StoreFull | errors.StoreUnavailable):
                self.failing = True

    def _try(self, jobs: list[_Job]) -> Exception | None:
        """Run the units and commit what they write; else why nothing of it remains."""
        group = self._group
        try:
            group.begin()
            if len(jobs) > 1:
                group.look_up([job.like for job in jobs if job.like is not None])
            for job in jobs:
                self._work(job)
            group.commit()
        except Exception as error:  # noqa: BLE001 - whatever a dying disk brings, this thread has to go on
            with suppress(Exception):
                group.rollback()
            return error
        return None

    def _work(self, job: _Job) -> None:
        """Run one unit. Raises where the transaction of the whole group is lost."""
        unit = job.unit = Unit(self._group)
        job.result = job.error = None
        try:
            job.result = job.work(unit)
            unit.finish()
        except BaseException as error:  # noqa: BLE001 - it belongs to whoever submitted the unit
            job.error = self._presentable(error)
            unit.abandon()
        if not self._connection.in_transaction and isinstance(job.error, errors.StoreError):
            raise job.error
        self._connection.check_transaction()

    def _presentable(self, error: BaseException) -> Exception:
        """What a future can carry: a StopIteration it refuses, and a SystemExit would end the whole event loop."""
        if isinstance(error, Exception) and not isinstance(error, StopIteration):
            if (translated := self._connection.translated(error)) is None:
                return error
            translated.__cause__ = error
            return translated
        wrapped = RuntimeError(f"a unit of work raised {error!r}")
        wrapped.__cause__ = error
        return wrapped


def _answer(jobs: list[_Job]) -> None:
    """Hand the outcomes over to the event loops, one call for each loop."""
    by_loop: dict[asyncio.AbstractEventLoop, list[_Job]] = {}
    for job in jobs:
        by_loop.setdefault(job.loop, []).append(job)
    for loop, those in by_loop.items():
        with suppress(RuntimeError):  # that loop has been closed: nobody waits there any more
            loop.call_soon_threadsafe(_settle, those)


def _settle(jobs: list[_Job]) -> None:
    for job in jobs:
        if job.future.done():
            continue  # cancelled: the unit's outcome stands all the same
        if job.error is None:
            job.future.set_result(job.result)
        else:
            job.future.set_exception(job.error)
