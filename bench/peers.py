"""From a request to the members in their queues: Plantel, and what integrators have in its place."""

import contextlib
import secrets
import statistics
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

from bench import roster
from bench.ami import OBSERVER, Ami, Watcher, check, queue_add
from bench.chart import Chart
from bench.contender import Add, Contender, Entry
from bench.direct_sql import DirectSql
from bench.measure import Row, Scale
from bench.plantel_server import Caller, PlantelServer
from bench.process import ServerProcess, free_tcp_port
from bench.realtime import Realtime
from bench.report import Report
from plantel.roster import Member
from plantel.testing.asterisk import PrivateAsterisk
from plantel.testing.postgresql import PrivatePostgresql

_FEW = {1: 20, 100: 5}
"""So many batches of a small size in each round, of which the median counts."""

_TYPED_MOST = 100
"""Members that are typed in; for more, the time of these is multiplied. It is the same for each."""

_LONGEST = 120
"""Seconds until a batch has to be visible."""

Peer = Callable[[Path, Sequence[str], PrivateAsterisk], AbstractContextManager[Add]]
"""Adds to this Asterisk over AMI or its command line."""


def measure(scale: Scale, report: Report, folder: Path) -> None:
    """Rounds of: every size of batch, every contender, each with an Asterisk of its own whose queues are empty."""
    chart = Chart("peers", "From a request to members in their queues", "members in the request", "ms")
    report.put(chart)
    with PrivatePostgresql(within=folder) as server:
        realtime = Realtime(server)
        entries = {
            **{name: _dynamic(peer) for name, peer in _PEERS.items()},
            _OURS_READ: realtime.plantel,
            **{name: realtime.direct(way) for name, way in _DIRECT.items()},
        }
        for number in range(scale.rounds):
            for size in scale.roster:
                took = {
                    name: _until_visible(folder / f"{number}-{size}-{place}", name, entry, size)
                    for place, (name, entry) in enumerate(entries.items())
                }
                _report(report, size, took)
                for name, figure in took.items():
                    chart.add(name, size, figure)


def _report(report: Report, size: int, took: Mapping[str, float]) -> None:
    """Each against the Plantel whose members come to Asterisk in the same way; and the two ways of Plantel."""
    many = f"{size:,} member{'s' if size > 1 else ''}"
    what = "from the request until visible in Asterisk"
    for name, figure in took.items():
        if name in _DIRECT:
            report.add(Row(f"{many}, realtime: {what}", name, "ms"), took[_OURS_READ], figure)
        elif name != _OURS:
            report.add(Row(f"{many}: {what}", name, "ms"), took[_OURS], figure)


def _until_visible(folder: Path, name: str, entry: Entry, size: int) -> float:
    """Milliseconds, the median of the batches; the first member of all, which opens connections, does not count."""
    folder.mkdir()
    crews = -(-size // roster.PER_CAMPAIGN)
    names = roster.campaigns(1 + _FEW.get(size, 1) * crews)
    batches = [roster.members(names[start : start + crews])[:size] for start in range(1, len(names), crews)]
    if name == _TYPED and size >= _TYPED_MOST:
        batches = [batches[0][:_TYPED_MOST]]
    with entry(folder, names) as contender:
        _visible(contender, roster.members(names[:1])[:1])
        took = [_visible(contender, batch) for batch in batches]
        check(contender.asterisk, 1 + sum(map(len, batches)))
    return statistics.median(took) * size / len(batches[0])


def _visible(contender: Contender, batch: Sequence[Member]) -> float:
    """Milliseconds until the last of the batch, and of each of its campaigns, is there."""
    seen = contender.watch(batch)
    started = time.perf_counter()
    contender.add(batch)
    return (seen() - started) * 1e3


def _dynamic(peer: Peer) -> Entry:
    """The peer with an Asterisk to add to. That members are there is told by events."""

    @contextmanager
    def entry(folder: Path, names: Sequence[str]) -> Iterator[Contender]:
        queues: dict[str, list[str]] = {name: [] for name in names}
        with (
            PrivateAsterisk(folder / "asterisk", queues=queues, users=[OBSERVER]) as asterisk,
            peer(folder, names, asterisk) as add,
        ):

            def watch(batch: Sequence[Member]) -> Callable[[], float]:
                watcher = Watcher(asterisk, batch[-1].membername, len(roster.last(batch)))
                return lambda: watcher.seen(_LONGEST)

            yield Contender(asterisk, add, watch)

    return entry


@contextmanager
def _plantel(folder: Path, names: Sequence[str], asterisk: PrivateAsterisk) -> Iterator[Add]:
    with PlantelServer(folder / "plantel", names, asterisk) as plantel:
        plantel.wait_until_agreed()
        with contextlib.closing(Caller(plantel.port, plantel.token)) as caller:
            yield lambda batch: caller.add(roster.form(batch))


@contextmanager
def _flask(folder: Path, _names: Sequence[str], asterisk: PrivateAsterisk) -> Iterator[Add]:
    port, token = free_tcp_port(), secrets.token_urlsafe()
    environment = {
        "BENCH_DATABASE": f"sqlite:///{folder / 'flask.db'}",
        "BENCH_AMI_PORT": str(asterisk.ami_port),
        "BENCH_AMI_USER": asterisk.user.name,
        "BENCH_AMI_SECRET": asterisk.user.secret,
        "BENCH_TOKEN": token,
    }
    command = [
        *(sys.executable, "-m", "gunicorn", "--bind", f"127.0.0.1:{port}", "--workers", "2", "--threads", "4"),
        *("--timeout", "120", "--preload", "--no-control-socket", "bench.flask_service:app"),
    ]
    with (
        ServerProcess(command, port, folder / "flask.log", environment),
        contextlib.closing(Caller(port, token)) as caller,
    ):
        yield lambda batch: caller.add(roster.form(batch))


@contextmanager
def _typing(_folder: Path, _names: Sequence[str], asterisk: PrivateAsterisk) -> Iterator[Add]:
    def add(batch: Sequence[Member]) -> None:
        for one in batch:
            words = f'queue add member {one.interface} to {one.campaign} penalty {one.penalty} as "{one.membername}"'
            asterisk.cli(words)

    yield add


@contextmanager
def _raw(_folder: Path, _names: Sequence[str], asterisk: PrivateAsterisk) -> Iterator[Add]:
    with contextlib.closing(Ami(asterisk, asterisk.user)) as ami:
        yield lambda batch: ami.pipeline([queue_add(one) for one in batch])


_OURS, _OURS_READ = "Plantel", "Plantel, realtime"
_TYPED = "asterisk -rx for each"
_PEERS: dict[str, Peer] = {
    _OURS: _plantel,
    "a Flask service": _flask,
    _TYPED: _typing,
    "raw pipelined QueueAdd": _raw,
}
_DIRECT: dict[str, Callable[[DirectSql, Sequence[Member]], None]] = {
    "direct SQL, row by row": DirectSql.add_each,
    "direct SQL, executemany": DirectSql.add_many,
}
