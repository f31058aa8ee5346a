"""What an add costs as the roster grows, in process: the service and its store, without HTTP."""

import asyncio
import itertools
import random
import time
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from pathlib import Path

from bench import filling
from bench.chart import Chart
from bench.measure import BenchFailed, Goal, Row, Scale
from bench.raw import INSTANCE
from bench.report import Report
from plantel.access import Actor, Role
from plantel.batch import Source
from plantel.ports import Store, Transaction
from plantel.roster import Interfaces, Member
from plantel.server import spare_collector
from plantel.service import Service
from plantel.store import open_store
from plantel.wiring import SystemClock

_SMALLEST = 1_000

_TOGETHER = 64
"""Adds under way at a time, where it is not one."""

_WAVES = 10
"""So many times more of them than of those alone: each takes less."""

_BATCH, _CREWS = 1_000, 10
"""Members of a batch, and the campaigns that they are of where there are so many."""

_BATCHES = 5

_ALONE, _AT_ONCE = "a single add, alone", f"a single add, {_TOGETHER} at a time"
_LOOK, _LARGE = "a look at one member", f"a batch of {_BATCH:,}"
_GOALS = {_ALONE: Goal(most=1.3), _AT_ONCE: Goal(most=1.3)}

_BENCH = Actor("bench", Role.INTEGRATOR)


def measure(scale: Scale, report: Report, folder: Path) -> None:
    """Rounds of: every size of roster, from 1,000 members, ten times larger each. Every add changes a random member."""
    chart = Chart("growth", "An add as the roster grows (SQLite)", "members of the roster", "µs, mean")
    report.put(chart)
    sizes = [_SMALLEST * 10**power for power in range(10) if _SMALLEST * 10**power <= scale.members_most]
    urls = {size: f"sqlite:///{folder / f'{size}.db'}" for size in sizes}
    for size, url in urls.items():
        filling.fill_roster(url, size)
    for _ in range(scale.rounds):
        figures = {size: asyncio.run(_measure(url, size, scale.adds)) for size, url in urls.items()}
        for size, what in itertools.product(sizes, (_ALONE, _AT_ONCE, _LOOK, _LARGE)):
            chart.add(what, size, figures[size][what])
            if size > _SMALLEST:
                row = Row(f"{what}, of {size:,} members", f"of {_SMALLEST:,}", "µs", _GOALS.get(what))
                report.add(row, figures[size][what], figures[_SMALLEST][what])


class _Members:
    """Random members of a roster of `size`, each with a penalty that nobody had before."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._penalties = itertools.count(time.time_ns() // 1_000 % 1_000_000_000)

    def one(self) -> Member:
        return self._member(random.randrange(self._size))

    def batch(self) -> list[Member]:
        campaigns = self._size // filling.PER_CAMPAIGN
        chosen = random.sample(range(campaigns), min(_CREWS, campaigns))
        places = (
            place + campaign * filling.PER_CAMPAIGN
            for campaign in chosen
            for place in random.sample(range(filling.PER_CAMPAIGN), _BATCH // len(chosen))
        )
        return [self._member(place) for place in places]

    def _member(self, place: int) -> Member:
        return Member(filling.campaign(place), filling.agent(place), filling.phone(place), next(self._penalties))


async def _measure(url: str, size: int, adds: int) -> dict[str, float]:
    """Microseconds for one of each: their mean, since what is put off (a checkpoint) has to be paid, too."""
    store = open_store(url)
    calls = _Calls(store, _Members(size))
    spare_collector()  # as the service does, too
    try:
        await calls.add(adds)  # opens files and fills caches
        return {
            _ALONE: await _mean(calls.add, adds),
            _AT_ONCE: await _mean(calls.add_at_once, adds * _WAVES // _TOGETHER * _TOGETHER),
            _LOOK: await _mean(calls.look, adds),
            _LARGE: await _mean(calls.add_batches, _BATCHES),
        }
    finally:
        await store.close()


async def _mean(calls: Callable[[int], Awaitable[None]], count: int) -> float:
    started = time.perf_counter()
    await calls(count)
    return (time.perf_counter() - started) * 1e6 / count


class _Calls:
    """What is timed: so many of each, on random members. Raises BenchFailed where one does not do its work."""

    def __init__(self, store: Store, members: _Members) -> None:
        self._store = store
        self._members = members
        self._service = Service(store, INSTANCE, SystemClock(), Interfaces(), lambda *_: None)

    async def add(self, count: int) -> None:
        for _ in range(count):
            receipt = await self._service.add(_BENCH, [self._members.one()], Source.WIRE)
            if len(receipt.changes) != 1:
                raise BenchFailed("an add has changed nothing")

    async def add_at_once(self, count: int) -> None:
        await asyncio.gather(*(self.add(count // _TOGETHER) for _ in range(_TOGETHER)))

    async def look(self, count: int) -> None:
        for _ in range(count):
            one = self._members.one()
            if len(await self._store.read(partial(_like, one))) != 1:
                raise BenchFailed(f"{one.membername} is not there")

    async def add_batches(self, count: int) -> None:
        for _ in range(count):
            await self._service.add(_BENCH, self._members.batch(), Source.WIRE)


def _like(one: Member, transaction: Transaction) -> Sequence[Member]:
    return transaction.members_like(INSTANCE, [one])
