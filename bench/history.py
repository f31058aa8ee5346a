"""The roster at a past moment, and the pruning of old lines, as the journal grows."""

import asyncio
import time
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path

from bench import database, filling
from bench.chart import Chart
from bench.measure import BenchFailed, Row, Scale
from bench.raw import INSTANCE
from bench.report import Report
from plantel.ports import Needless, Transaction
from plantel.store import open_store
from plantel.store.pruning import STEP

_MEMBERS = 50_000

_EACH = 10
"""Lines of a batch."""

_GROUPED_MOST = 1_000_000
"""Lines up to which the whole journal is grouped, too: beyond it takes minutes."""

_STEPS = 50
"""Of pruning, in each round."""

_GROUPED = """SELECT j.campaign, j.membername, j.after_interface, j.after_penalty, j.after_paused FROM journal AS j
WHERE j.after_interface IS NOT NULL AND j.revision IN (SELECT max(one.revision) FROM journal AS one
    JOIN campaigns AS c ON c.id = one.campaign WHERE c.instance = '{instance}' AND c.folded LIKE '{campaign}'
    AND one.revision <= (SELECT max(revision) FROM batches WHERE instance = '{instance}' AND at <= {moment})
    GROUP BY one.campaign, one.membername)"""
"""The plainest way: the newest line of each member, of all lines up to the moment."""


def measure(scale: Scale, report: Report, folder: Path) -> None:
    """On each database, rounds over journals of every length.

    The roster in their middle, for all campaigns and for one; and pruning.
    """
    for one in database.DATABASES:
        title = f"The roster at a past moment on {one.name}"
        chart = Chart(f"history-{one.name.lower()}", title, "lines of the journal", "ms")
        report.put(chart)
        with one.private(folder) as new:
            urls = {lines: new(f"{one.name}-{lines}") for lines in scale.lines}
            for lines, url in urls.items():
                filling.fill_journal(url, _MEMBERS, lines, _EACH)
            for _ in range(scale.rounds):
                rounds = {lines: _round(report, chart, one.name, url, lines) for lines, url in urls.items()}
                (shortest, base), *others = rounds.items()
                for lines, figures in others:
                    for what, took in figures.items():
                        row = Row(f"{one.name}, {what}, journal of {lines:,} lines", f"of {shortest:,}", "ms")
                        report.add(row, took, base[what])


def _round(report: Report, chart: Chart, name: str, url: str, lines: int) -> dict[str, float]:
    """Milliseconds of what should not depend on the length."""
    moment = datetime.fromtimestamp(lines // _EACH // 2 * filling.SECONDS, UTC) + timedelta(seconds=1)
    took = {}
    for campaign, what in ((None, f"{_MEMBERS:,} members"), (filling.campaign(0), "one campaign of 1,000")):
        asked = f"{what} at a past moment"
        took[asked], found = asyncio.run(_ours(url, moment, campaign))
        chart.add(what, lines, took[asked])
        if lines <= _GROUPED_MOST:
            grouped, same = _grouped(url, moment, campaign)
            if found != same:
                raise BenchFailed(f"{found} members by the one way, {same} by the other")
            row = Row(f"{name}, {asked}, journal of {lines:,} lines", "grouping the journal", "ms")
            report.add(row, took[asked], grouped)
            chart.add(f"{what}, grouping", lines, grouped)
    pruned = f"a step of pruning, {STEP:,} lines"
    took[pruned] = asyncio.run(_prune(url, moment))
    chart.add(pruned, lines, took[pruned])
    return took


async def _ours(url: str, moment: datetime, campaign: str | None) -> tuple[float, int]:
    """Milliseconds that the store takes, and how many members it finds."""
    store = open_store(url)
    try:
        await store.read(lambda transaction: transaction.campaigns(INSTANCE))  # opens the file
        started = time.perf_counter()
        members = await store.read(lambda transaction: transaction.members_at(INSTANCE, moment, campaign))
        return (time.perf_counter() - started) * 1e3, len(members)
    finally:
        await store.close()


def _grouped(url: str, moment: datetime, campaign: str | None) -> tuple[float, int]:
    """The same of grouping."""
    folded = "%" if campaign is None else campaign.lower()
    asked = _GROUPED.format(instance=INSTANCE, campaign=folded, moment=round(moment.timestamp() * 1e6))
    with database.connect(url) as connection:
        started = time.perf_counter()
        found = [*connection.rows(asked)]
        return (time.perf_counter() - started) * 1e3, len(found)


async def _prune(url: str, moment: datetime) -> float:
    """Milliseconds for one step of pruning, finding and forgetting: each takes the lines after those before it."""
    store = open_store(url)
    try:
        started = time.perf_counter()
        for _ in range(_STEPS):
            needless = await store.read(lambda transaction: transaction.needless(moment))
            if needless is None:
                raise BenchFailed("there is nothing left to prune")
            await store.write(partial(_forget, needless))
        return (time.perf_counter() - started) * 1e3 / _STEPS
    finally:
        await store.close()


def _forget(needless: Needless, transaction: Transaction) -> None:
    transaction.prune(needless)
