"""From a request to the members in their queues: Plantel, and what integrators have in its place."""

import contextlib
import secrets
import statistics
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from bench import roster
from bench.ami import OBSERVER, Ami, Watcher, queue_add
from bench.chart import Chart
from bench.measure import Row, Scale
from bench.plantel_server import Caller, PlantelServer
from bench.process import ServerProcess, free_tcp_port
from bench.report import Report
from plantel.roster import Member
from plantel.testing.asterisk import PrivateAsterisk

_FEW = {1: 20, 100: 5}
"""So many batches of a small size in each round, of which the median counts."""

_TYPED_MOST = 100
"""Members that are typed in; for more, the time of these is multiplied. It is the same for each."""

_LONGEST = 120
"""Seconds until a batch has to be visible."""

Add = Callable[[Sequence[Member]], object]
"""Has the members added, and may return before they are."""

Contender = Callable[[Path, Sequence[str], PrivateAsterisk], contextlib.AbstractContextManager[Add]]


def measure(scale: Scale, report: Report, folder: Path) -> None:
    """Rounds of: every size of batch, every contender, each with an Asterisk of its own whose queues are empty."""
    chart = Chart("peers", "From a request to members in their queues", "members in the request", "ms")
    report.put(chart)
    for number in range(scale.rounds):
        for size in scale.roster:
            took = {
                name: _until_visible(folder / f"{number}-{size}-{place}", contender, size)
                for place, (name, contender) in enumerate(_CONTENDERS.items())
            }
            for name, figure in took.items():
                chart.add(name, size, figure)
                if name != _OURS:
                    what = f"{size:,} member{'s' if size > 1 else ''}: from the request until visible in Asterisk"
                    report.add(Row(what, name, "ms"), took[_OURS], figure)


def _until_visible(folder: Path, contender: Contender, size: int) -> float:
    """Milliseconds, the median of the batches; the first member of all, which opens connections, does not count."""
    folder.mkdir()
    crews = -(-size // roster.PER_CAMPAIGN)
    names = roster.campaigns(1 + _FEW.get(size, 1) * crews)
    batches = [roster.members(names[start : start + crews])[:size] for start in range(1, len(names), crews)]
    queues: dict[str, list[str]] = {name: [] for name in names}
    with (
        PrivateAsterisk(folder / "asterisk", queues=queues, users=[OBSERVER]) as asterisk,
        contender(folder, names, asterisk) as add,
    ):
        _visible(asterisk, add, roster.members(names[:1])[:1])
        if contender is _typing and size >= _TYPED_MOST:
            return _visible(asterisk, add, batches[0][:_TYPED_MOST]) * size / _TYPED_MOST
        return statistics.median([_visible(asterisk, add, batch) for batch in batches])


def _visible(asterisk: PrivateAsterisk, add: Add, batch: Sequence[Member]) -> float:
    """Milliseconds until the last of the batch, and of each of its campaigns, is there."""
    last = batch[-1].membername
    watcher = Watcher(asterisk, last, sum(one.membername == last for one in batch))
    started = time.perf_counter()
    add(batch)
    return (watcher.seen(_LONGEST) - started) * 1e3


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


_OURS = "Plantel"
_CONTENDERS: dict[str, Contender] = {
    _OURS: _plantel,
    "a Flask service": _flask,
    "asterisk -rx for each": _typing,
    "raw pipelined QueueAdd": _raw,
}
