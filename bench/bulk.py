"""Batches of every size, against the driver's fastest way to write the same rows into the same tables."""

import contextlib
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import msgspec

from bench import database, roster
from bench.chart import Chart
from bench.database import Database
from bench.measure import BenchFailed, Goal, Row, Scale
from bench.plantel_server import Caller, PlantelServer
from bench.process import ServerProcess, free_tcp_port
from bench.raw import LineRow, MemberRow, Raw
from bench.report import Report
from plantel.roster import Member

_REPEATED = 1_000
"""Up to this size a round has several batches, of which the median counts: a single one is over too soon."""

_TIMES = 5

_SIZED = 10_000
"""From this size on memory is looked at: a smaller body is lost in what any request takes."""

_LIMIT = 'body_limit = "64MiB"'
"""Percent-encoded, 100,000 members take 17 MB."""


def measure(scale: Scale, report: Report, folder: Path) -> None:
    """On each database, rounds of: every size, a new Plantel and new stores for each.

    A Plantel gets one after another and into different campaigns: a single member, so that the file and its log are
    open; the batches; the last batch once more; and again, after a change of the single member each time.
    """
    for one in database.DATABASES:
        chart = Chart(f"batches-{one.name.lower()}", f"A batch on {one.name}", "members in the batch", "ms")
        report.put(chart)
        with one.private(folder) as new:
            for number in range(scale.rounds):
                for size in scale.batches:
                    _size(report, chart, folder / f"{one.name}-{number}-{size}", one, new, size)


def _size(report: Report, chart: Chart, folder: Path, base: Database, new: Callable[[str], str], size: int) -> None:
    crews = -(-size // roster.PER_CAMPAIGN)
    times = _TIMES if size <= _REPEATED else 1
    names = roster.campaigns(1 + times * crews)
    batches = [roster.members(names[:1])[:1]]
    batches += [roster.members(names[start : start + crews])[:size] for start in range(1, 1 + times * crews, crews)]
    first, *bodies = [roster.form(batch) for batch in batches]
    with (
        PlantelServer(folder, names, url=new(folder.name), http=[_LIMIT]) as plantel,
        contextlib.closing(Caller(plantel.port, plantel.token)) as caller,
    ):
        _add(caller, first)
        before = plantel.resident()
        plantel.forget_peak()
        ours = statistics.median([_add(caller, body) for body in bodies])
        peak = plantel.peak()
        again = statistics.median([_add(caller, bodies[-1]) for _ in bodies])
        changed = [_changed(batches[0], penalty) for penalty in range(1, 1 + times)]
        later = statistics.median([(_add(caller, change), _add(caller, bodies[-1]))[1] for change in changed])
    with database.connect(plantel.url) as raw:
        _check(raw, sum(map(len, batches)) + len(changed))
        ways = raw.ways
    theirs = min(_raw(base, new(f"{folder.name}-{way}"), way, names, batches) for way in ways)
    what = f"{base.name}, a batch of {size:,}"
    report.add(
        Row(f"{what}: from its last byte to the answer", "the driver's fastest", "ms", Goal(most=1.5)), ours, theirs
    )
    if size <= _REPEATED:
        # of larger ones it would take long to put the pieces together
        bare = Row(f"{what}: from its last byte to the answer", "a bare handler that reads it", "ms")
        report.add(bare, ours, _bare(folder / "bare.log", bodies))
    report.add(Row(f"{what}: sent for the first time", "sent again", "ms", Goal(least=2.0)), ours, again)
    row = Row(f"{what}: sent for the first time", "sent again, something else having changed", "ms")
    report.add(row, ours, later)
    if size >= _SIZED:
        grown = Row(f"{what}: growth of the server to its peak", "size of the body", "MB", Goal(most=4.0))
        report.add(grown, (peak - before) / 1e6, len(bodies[-1]) / 1e6)
    chart.add("Plantel", size, ours)
    chart.add("Plantel, the same again", size, again)
    chart.add("the driver's fastest", size, theirs)


def _bare(log: Path, bodies: Sequence[bytes]) -> float:
    """The same of a handler that only answers `1`: what HTTP takes, of which nobody gets rid."""
    port = free_tcp_port()
    with (
        ServerProcess([sys.executable, "-m", "bench.floors", "bare", str(port)], port, log),
        contextlib.closing(Caller(port, "")) as caller,
    ):
        _add(caller, bodies[0])
        return statistics.median([_add(caller, body) for body in bodies])


def _changed(one: Sequence[Member], penalty: int) -> bytes:
    return roster.form([msgspec.structs.replace(member, penalty=penalty) for member in one])


def _add(caller: Caller, body: bytes) -> float:
    """Milliseconds from the last byte handed to the socket to the beginning of the answer."""
    caller.send(body)
    sent = time.perf_counter()
    return (caller.answer() - sent) * 1e3


def _raw(base: Database, url: str, way: str, names: Sequence[str], batches: Sequence[list[Member]]) -> float:
    """Milliseconds for a batch but the first, its rows being at hand: the median."""
    database.make(url, names)
    took = []
    with base.connect(url) as raw:
        ids = raw.campaign_ids()
        revision = 0
        for number, batch in enumerate(batches, 1):
            members, lines = _rows(ids, number, revision, batch)
            revision += len(batch)
            started = time.perf_counter()
            raw.insert(way, members, lines)
            took.append((time.perf_counter() - started) * 1e3)
        _check(raw, revision)
    return statistics.median(took[1:])


def _rows(
    ids: dict[str, int], number: int, revision: int, batch: Sequence[Member]
) -> tuple[list[MemberRow], list[LineRow]]:
    members: list[MemberRow] = []
    lines: list[LineRow] = []
    for place, one in enumerate(batch, revision + 1):
        campaign = ids[one.campaign]
        members.append((campaign, one.membername, one.phone, one.interface, one.penalty, one.paused))
        lines.append((place, number, campaign, one.membername, "added", one.interface, one.penalty, one.paused))
    return members, lines


def _check(raw: Raw, wanted: int) -> None:
    raw.check_consistent()
    if (found := raw.journal_lines()) != wanted:
        raise BenchFailed(f"{found} changes are stored, not {wanted}")
