"""What an add costs as the roster grows, in process: the service and its store, without HTTP."""

import asyncio
import contextlib
import itertools
import random
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import partial
from pathlib import Path

from bench import database, filling
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

_TURNS = 5
"""Of every size in each round, for each figure: taken alternately, so that a slow second of the disk hits them all."""

_TIMES = 5
"""So many times the adds of a round: a commit waits for the disk now much, now little."""

_WAVES = 10
"""So many times more of them than of those alone: each takes less."""

_BATCH, _CREWS = 1_000, 10
"""Members of a batch, and the campaigns that they are of where there are so many."""

_ALONE, _AT_ONCE = "a single add, alone", f"a single add, {_TOGETHER} at a time"
_LOOK, _LARGE = "a look at one member", f"a batch of {_BATCH:,}"
_GOALS = {_ALONE: Goal(most=1.3), _AT_ONCE: Goal(most=1.3)}

_BENCH = Actor("bench", Role.INTEGRATOR)


def measure(scale: Scale, report: Report, folder: Path) -> None:
    """On each database, rounds of: every size of roster, from 1,000 members, ten times larger each.

    Every add changes a random member.
    """
    sizes = [_SMALLEST * 10**power for power in range(10) if _SMALLEST * 10**power <= scale.members_most]
    for one in database.DATABASES:
        chart = Chart(
            f"growth-{one.name.lower()}",
            f"An add as the roster grows on {one.name}",
            "members of the roster",
            "µs, mean",
        )
        report.put(chart)
        with one.private(folder) as new:
            urls = {size: new(f"{one.name}-{size}") for size in sizes}
            for size, url in urls.items():
                filling.fill_roster(url, size)
            for _ in range(scale.rounds):
                _report(report, chart, one.name, asyncio.run(_round(urls, scale.adds)))


def _report(report: Report, chart: Chart, name: str, figures: "Mapping[str, Mapping[int, _Spent]]") -> None:
    for what, by_size in figures.items():
        base = by_size[_SMALLEST]
        for size, spent in by_size.items():
            chart.add(what, size, spent.clock)
            if size > _SMALLEST:
                goal, measured = _GOALS.get(what), f"{name}, {what}, of {size:,} members"
                report.add(Row(measured, f"of {_SMALLEST:,}", "µs", goal), spent.clock, base.clock)
                row = Row(f"{measured}: processor time of Plantel", f"of {_SMALLEST:,}", "µs")
                report.add(row, spent.processor, base.processor)


class _Spent:
    """Microseconds for one of a kind: their mean, since what is put off (a checkpoint) has to be paid, too."""

    def __init__(self) -> None:
        self._count, self._clock, self._processor = 0, 0.0, 0.0

    async def on(self, calls: Callable[[int], Awaitable[None]], count: int) -> None:
        clock, processor = time.perf_counter(), time.process_time()
        await calls(count)
        self._clock += time.perf_counter() - clock
        self._processor += time.process_time() - processor
        self._count += count

    @property
    def clock(self) -> float:
        return self._clock * 1e6 / self._count

    @property
    def processor(self) -> float:
        """Of all threads; it does not wait for the disk."""
        return self._processor * 1e6 / self._count


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


async def _round(urls: Mapping[int, str], adds: int) -> dict[str, dict[int, _Spent]]:
    """What one of each kind takes, by kind and size."""
    spare_collector()  # as the service does, too
    turn = adds * _TIMES // _TURNS
    async with contextlib.AsyncExitStack() as stack:
        calls: dict[int, _Calls] = {}
        for size, url in urls.items():
            store = open_store(url)
            stack.push_async_callback(store.close)
            calls[size] = _Calls(store, _Members(size))
            await calls[size].add(adds)  # opens files and fills caches
        kinds: dict[str, tuple[Callable[[_Calls, int], Awaitable[None]], int]] = {
            _ALONE: (_Calls.add, turn),
            _AT_ONCE: (_Calls.add_at_once, turn * _WAVES // _TOGETHER * _TOGETHER),
            _LOOK: (_Calls.look, turn),
            _LARGE: (_Calls.add_batches, 1),
        }
        figures = {what: {size: _Spent() for size in urls} for what in kinds}
        for what, (kind, count) in kinds.items():
            for _ in range(_TURNS):
                for size, those in calls.items():
                    await figures[what][size].on(partial(kind, those), count)
    return figures


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
