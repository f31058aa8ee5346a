"""The roster at a past moment, and the pruning of old lines, as the journal grows."""

import asyncio
import contextlib
import sqlite3
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

from bench import filling
from bench.chart import Chart
from bench.measure import BenchFailed, Row, Scale
from bench.raw import INSTANCE
from bench.report import Report
from bench.sqlite import open_file
from plantel.store import open_store

_MEMBERS = 50_000

_EACH = 10
"""Lines of a batch."""

_TODAY_MOST = 1_000_000
"""Lines up to which the store is asked: it reads the whole journal, and is given up after a minute."""

_STEP = 1_000
"""Lines that are looked at in one step of pruning."""

_WALK = """WITH RECURSIVE walk (campaign, membername) AS (
    SELECT id, (SELECT min(membername) FROM journal WHERE campaign = id) FROM campaigns
    WHERE instance = ?1 AND (?3 IS NULL OR folded = ?3)
    UNION ALL
    SELECT campaign, (SELECT min(membername) FROM journal AS j
        WHERE j.campaign = walk.campaign AND j.membername > walk.membername)
    FROM walk WHERE membername IS NOT NULL)
SELECT j.campaign, j.membername, j.after_interface, j.after_penalty, j.after_paused FROM walk JOIN journal AS j
ON j.revision = (SELECT max(revision) FROM journal AS of_member WHERE of_member.campaign = walk.campaign
    AND of_member.membername = walk.membername AND of_member.revision <= ?2)
WHERE walk.membername IS NOT NULL AND j.after_interface IS NOT NULL"""
"""The same answer by going from member to member: two jumps in the index for each, however many lines there are."""

_BATCH_BEFORE = "SELECT number, at, revision FROM batches WHERE number <= ? ORDER BY number DESC LIMIT 1"

_PRUNE = """DELETE FROM journal WHERE revision IN (SELECT revision FROM journal AS old WHERE revision BETWEEN ?1 AND ?2
    AND EXISTS (SELECT 1 FROM journal AS newer WHERE newer.campaign = old.campaign
        AND newer.membername = old.membername AND newer.revision > old.revision AND newer.revision <= ?3))"""
"""The lines from ?1 to ?2 that no question about a moment after line ?3 needs: there is a newer one up to there."""


def measure(scale: Scale, report: Report, folder: Path) -> None:
    """Rounds over journals of every length: today's query and the walk, for all campaigns and for one; and pruning."""
    chart = Chart("history", "The roster at a past moment (SQLite)", "lines of the journal", "ms")
    report.put(chart)
    urls = {lines: f"sqlite:///{folder / f'{lines}.db'}" for lines in scale.lines}
    for lines, url in urls.items():
        filling.fill_journal(url, _MEMBERS, lines, _EACH)
    for _ in range(scale.rounds):
        walks = {lines: _round(report, chart, url, lines) for lines, url in urls.items()}
        (shortest, base), *others = walks.items()
        for lines, figures in others:
            for what, took in figures.items():
                row = Row(f"{what}, journal of {lines:,} lines", f"of {shortest:,}", "ms")
                report.add(row, took, base[what])


def _round(report: Report, chart: Chart, url: str, lines: int) -> dict[str, float]:
    """Milliseconds of what should not depend on the length."""
    moment = datetime.fromtimestamp(lines // _EACH // 2 * filling.SECONDS, UTC) + timedelta(seconds=1)
    took = {}
    for campaign, what in ((None, f"{_MEMBERS:,} members"), (filling.campaign(0), "one campaign of 1,000")):
        walked = f"{what} at a past moment, by a walk of the index"
        took[walked], found = _walk(url, moment, campaign)
        chart.add(f"{what}, a walk", lines, took[walked])
        if lines <= _TODAY_MOST:
            ours, same = asyncio.run(_ours(url, moment, campaign))
            if found != same:
                raise BenchFailed(f"{same} members by the one way, {found} by the other")
            row = Row(f"{what} at a past moment, journal of {lines:,} lines", "a walk of the index", "ms")
            report.add(row, ours, took[walked])
            chart.add(f"{what}, members_at", lines, ours)
    pruned = f"a step of pruning, {_STEP:,} lines"
    took[pruned] = _prune(url, lines)
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


def _walk(url: str, moment: datetime, campaign: str | None) -> tuple[float, int]:
    """The same of the walk."""
    with contextlib.closing(open_file(url)) as connection:
        started = time.perf_counter()
        revision = _revision_at(connection, round(moment.timestamp() * 1e6))
        folded = None if campaign is None else campaign.lower()
        found = connection.execute(_WALK, (INSTANCE, revision, folded)).fetchall()
        return (time.perf_counter() - started) * 1e3, len(found)


def _revision_at(connection: sqlite3.Connection, moment: int) -> int:
    """The store's revision after the last batch up to `moment` (µs), times being in the order of commits."""
    low, revision = 0, 0
    (high,) = connection.execute("SELECT max(number) FROM batches").fetchone()
    while low < high:
        middle = (low + high + 1) // 2
        number, at, after = connection.execute(_BATCH_BEFORE, (middle,)).fetchone()
        if at <= moment:
            low, revision = middle, after
        else:
            high = number - 1
    return int(revision)


def _prune(url: str, lines: int) -> float:
    """Milliseconds for one step of pruning in a transaction of its own: each takes the lines after those before it."""
    with contextlib.closing(open_file(url)) as connection:
        (first,) = connection.execute("SELECT min(revision) FROM journal").fetchone()
        started = time.perf_counter()
        connection.execute("BEGIN IMMEDIATE")
        pruned = connection.execute(_PRUNE, (first, first + _STEP - 1, lines // 2)).rowcount
        connection.execute("COMMIT")
        took = (time.perf_counter() - started) * 1e3
    if pruned != min(_STEP, max(lines // 2 - _MEMBERS, 0)):
        raise BenchFailed(f"{pruned} lines were pruned")
    return took
