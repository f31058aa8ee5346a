"""One large batch, against raw `executemany` of the same rows into the same tables of a fresh file."""

import contextlib
import sqlite3
import statistics
import time
from collections.abc import Sequence
from pathlib import Path

from bench import database, roster
from bench.database import INSERT_BATCH, INSERT_LINE, INSERT_MEMBER
from bench.measure import BenchFailed, Goal, Row, Scale, Table
from bench.plantel_server import Caller, PlantelServer
from plantel.roster import Member, fold

_SMALL, _LARGE = 10, 500
"""Campaigns of 100 members."""

_TIMES = 5
"""Small batches in each round, of which the median counts: a single one is over too soon to be steady."""

_AGAINST = "raw executemany"
_SMALL_ROW = Row("1,000 members in one batch: from its last byte to the answer", _AGAINST, "ms")
_LARGE_ROW = Row("50,000 members in one batch: from its last byte to the answer", _AGAINST, "ms", Goal(most=2.5))
_MEMORY_ROW = Row("50,000 members in one batch: growth of the server to its peak", "size of the body", "MB")
_PEAK_ROW = Row("50,000 members in one batch: peak memory of the server", "size of the body", "MB")


def measure(scale: Scale, table: Table, folder: Path) -> None:
    """Rounds of: a new Plantel, a new file.

    Into each, one after another and into different campaigns: a single member, so that the file and its log are open;
    the small batches; the large one.
    """
    names = roster.campaigns(1 + _TIMES * _SMALL + _LARGE)
    batches = [roster.members(names[:1])[:1]]
    batches += [roster.members(names[start : start + _SMALL]) for start in range(1, 1 + _TIMES * _SMALL, _SMALL)]
    batches.append(roster.members(names[-_LARGE:]))
    bodies = [roster.form(batch) for batch in batches]
    for number in range(scale.rounds):
        with (
            PlantelServer(folder / f"bulk-{number}", names) as plantel,
            contextlib.closing(Caller(plantel.port, plantel.token)) as caller,
        ):
            _, *small = [_add(caller, body) for body in bodies[:-1]]
            before = plantel.resident()
            large = _add(caller, bodies[-1])
            peak = plantel.peak()
        raw_file = folder / f"executemany-{number}.db"
        _, *raw_small, raw_large = _executemany(raw_file, names, batches)
        for file in (plantel.database, raw_file):
            _check(file, sum(map(len, batches)))
        table.add(_SMALL_ROW, statistics.median(small), statistics.median(raw_small))
        table.add(_LARGE_ROW, large, raw_large)
        table.add(_MEMORY_ROW, (peak - before) / 1e6, len(bodies[-1]) / 1e6)
        table.add(_PEAK_ROW, peak / 1e6, len(bodies[-1]) / 1e6)


def _add(caller: Caller, body: bytes) -> float:
    """Milliseconds from the last byte handed to the socket to the beginning of the answer."""
    caller.send(body)
    sent = time.perf_counter()
    return (caller.answer() - sent) * 1e3


def _executemany(path: Path, names: Sequence[str], batches: Sequence[list[Member]]) -> list[float]:
    """Milliseconds for each batch, its rows being at hand, in a transaction of its own."""
    database.make(path, names)
    with contextlib.closing(database.connect(path)) as connection:
        ids = database.campaign_ids(connection)
        return [_insert(connection, ids, number, batch) for number, batch in enumerate(batches, 1)]


def _insert(connection: sqlite3.Connection, ids: dict[str, int], number: int, batch: list[Member]) -> float:
    members = [
        (ids[one.campaign], one.membername, fold(one.interface), one.interface, one.penalty, one.paused)
        for one in batch
    ]
    lines = [
        (number, ids[one.campaign], one.membername, "added", one.interface, one.penalty, one.paused) for one in batch
    ]
    record = (number, f"batch {number}", database.INSTANCE, "bench", "wire", 0, len(batch), "[]", 0, len(batch))
    started = time.perf_counter()
    connection.execute("BEGIN IMMEDIATE")
    connection.executemany(INSERT_MEMBER, members)
    connection.executemany(INSERT_LINE, lines)
    connection.execute(INSERT_BATCH, record)
    connection.execute("COMMIT")
    return (time.perf_counter() - started) * 1e3


def _check(path: Path, wanted: int) -> None:
    database.check_consistent(path)
    if (found := database.journal_lines(path)) != wanted:
        raise BenchFailed(f"{found} changes are stored, not {wanted}")
