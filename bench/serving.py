"""Single adds over keep-alive, against the floor (no work at all) and the peer (a transaction for each request)."""

import contextlib
import itertools
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import msgspec

from bench import database, roster
from bench.chart import Chart
from bench.grid import Column, Grid
from bench.measure import BenchFailed, Goal, Row, Scale
from bench.plantel_server import ADD, Caller, PlantelServer
from bench.process import ROOT, ServerProcess, free_tcp_port
from bench.report import Report
from tests.support.tls import Certificate, make_certificate

_SCRIPT = Path(__file__).with_name("add.lua")

_TRANSPORTS = ("HTTP/1.1", "TLS", "HTTP/2")
"""TLS is HTTP/1.1 over TLS; HTTP/2 is over TLS, too."""

_CONNECTIONS = (1, 16, 64, 256)
_BUSY = 64

_WARM_SECONDS = 1

_GOALS = {("SQLite", "HTTP/1.1", _BUSY): (Goal(least=0.7), Goal(least=2.0))}
"""By database, transport and connections: against the floor, and against the peer."""

_FLOOR, _PEER = "a bare handler", "a raw transaction per request"

_SIDES = "Plantel : bare : raw"
_RATE = Column(f"adds ({_SIDES})", "/s")
_MEDIAN = Column(f"p50 ({_SIDES})", "ms")
_TAIL = Column(f"p99 ({_SIDES})", "ms")
_PROCESSOR = Column(f"processor time of each ({_SIDES})", "µs")
_OF_FLOOR = Column("adds ÷ bare", "")
_OF_PEER = Column("adds ÷ raw", "")
_THREAD = Column(_SIDES, "µs")
_COLUMNS = (_RATE, _OF_FLOOR, _OF_PEER, _MEDIAN, _TAIL, _PROCESSOR)


class Load(msgspec.Struct, frozen=True):
    """What one run of a load generator gave.

    rate              adds per second
    median, tail      milliseconds to the answer, of which half of the adds, and 99 in 100, take no more
    processor         microseconds of the server's processor time for each add
    threads           the same of its first thread (the event loop), of the busiest other, and of all others
    """

    rate: float
    median: float
    tail: float
    processor: float
    threads: tuple[float, float, float]


class Target(msgspec.Struct, frozen=True):
    """Somebody under load: a server that speaks HTTP/1.1, and one that speaks TLS and HTTP/2.

    `stores`: the URL of the store of each, in which every add has to be found.
    """

    plain: ServerProcess
    secured: ServerProcess
    tokens: tuple[str, str]
    stores: tuple[str, str] | None


def measure(scale: Scale, report: Report, folder: Path) -> None:
    """For each database, rounds of: Plantel, floor, peer; over each transport, with each number of connections."""
    grid = Grid("Single adds", ("database", "transport", "connections"), _COLUMNS)
    threads = Grid(
        f"Processor time of an add by thread, {_BUSY} connections", ("database", "transport", "thread"), (_THREAD,)
    )
    report.put(grid, threads)
    (campaign,) = roster.campaigns(1)
    certificate = make_certificate(folder)
    runs = itertools.count(1)
    with contextlib.ExitStack() as both:
        floor = _floor(both, folder, certificate)
        for one in database.DATABASES:
            chart = Chart(f"adds-{one.name.lower()}", f"Single adds on {one.name}", "connections", "per second")
            report.put(chart)
            with contextlib.ExitStack() as stack:
                new = stack.enter_context(one.private(folder))
                ours = _ours(stack, folder / one.name, certificate, campaign, (new("plain"), new("secured")))
                peer = _peer(stack, folder / one.name, certificate, campaign, (new("plain-raw"), new("secured-raw")))
                targets = (ours, floor, peer)
                for target in targets:
                    _probe(target, campaign)
                for transport, target in itertools.product(_TRANSPORTS, targets):
                    _load(target, transport, campaign, _BUSY, _WARM_SECONDS, next(runs))
                for _, transport, connections in itertools.product(range(scale.rounds), _TRANSPORTS, _CONNECTIONS):
                    figures = [
                        _load(target, transport, campaign, connections, scale.seconds, next(runs)) for target in targets
                    ]
                    _note(report, grid, chart, (one.name, transport, connections), *figures)
                    if connections == _BUSY:
                        _note_threads(threads, (one.name, transport), *figures)
                for url in (*(ours.stores or ()), *(peer.stores or ())):
                    with database.connect(url) as raw:
                        raw.check_consistent()


def _note(
    report: Report, grid: Grid, chart: Chart, case: tuple[str, str, int], ours: Load, floor: Load, peer: Load
) -> None:
    base, transport, connections = case
    line = (base, transport, str(connections))
    sides = (ours, floor, peer)
    grid.add(line, _RATE, *(side.rate for side in sides))
    grid.add(line, _OF_FLOOR, ours.rate / floor.rate)
    grid.add(line, _OF_PEER, ours.rate / peer.rate)
    grid.add(line, _MEDIAN, *(side.median for side in sides))
    grid.add(line, _TAIL, *(side.tail for side in sides))
    grid.add(line, _PROCESSOR, *(side.processor for side in sides))
    if transport != "TLS":
        chart.add(f"Plantel, {transport}", connections, ours.rate)
        chart.add(f"bare handler, {transport}", connections, floor.rate)
    if transport == "HTTP/1.1":
        chart.add("a transaction per request", connections, peer.rate)
    for against, theirs, goal in zip((_FLOOR, _PEER), (floor, peer), _GOALS.get(case, ()), strict=False):
        what = f"single adds, {base}, {transport}, {connections} connections"
        report.add(Row(what, against, "/s", goal), ours.rate, theirs.rate)


def _note_threads(grid: Grid, case: tuple[str, str], ours: Load, floor: Load, peer: Load) -> None:
    for place, thread in enumerate(("event loop", "busiest other", "all others")):
        grid.add((*case, thread), _THREAD, *(side.threads[place] for side in (ours, floor, peer)))


def _ours(
    stack: contextlib.ExitStack, folder: Path, certificate: Certificate, campaign: str, stores: tuple[str, str]
) -> Target:
    folder.mkdir()
    tls = (f"tls_cert = {json.dumps(str(certificate.cert))}", f"tls_key = {json.dumps(str(certificate.key))}")
    plain, secured = (
        stack.enter_context(PlantelServer(folder / name, [campaign], url=url, http=http))
        for name, url, http in (("plain", stores[0], ()), ("secured", stores[1], tls))
    )
    return Target(plain, secured, (plain.token, secured.token), stores)


def _floor(stack: contextlib.ExitStack, folder: Path, certificate: Certificate) -> Target:
    return Target(*_two_servers(stack, folder / "bare", certificate, "bare", None), ("none", "none"), None)


def _peer(
    stack: contextlib.ExitStack, folder: Path, certificate: Certificate, campaign: str, stores: tuple[str, str]
) -> Target:
    plain, secured = (database.make(url, [campaign]) for url in stores)
    servers = _two_servers(stack, folder / "transactions", certificate, "transactions", stores)
    return Target(*servers, (plain, secured), stores)


def _two_servers(
    stack: contextlib.ExitStack, folder: Path, certificate: Certificate, kind: str, stores: tuple[str, str] | None
) -> tuple[ServerProcess, ServerProcess]:
    folder.mkdir()

    def start(log: str, environment: Mapping[str, str], *arguments: str) -> ServerProcess:
        port = free_tcp_port()
        command = [sys.executable, "-m", "bench.floors", kind, str(port), *arguments]
        return stack.enter_context(ServerProcess(command, port, folder / log, environment))

    plain, secured = ({"BENCH_STORE": url} for url in stores or ("", ""))
    return start("plain.log", plain), start("secured.log", secured, str(certificate.cert), str(certificate.key))


def _probe(target: Target, campaign: str) -> None:
    """Raise BenchFailed unless one add is answered 200 and `1`, to the byte: wrk does not look at the body."""
    with contextlib.closing(Caller(target.plain.port, target.tokens[0])) as caller:
        caller.add(roster.form(roster.members([campaign])[:1]))


def _load(target: Target, transport: str, campaign: str, connections: int, seconds: int, run: int) -> Load:
    """Add for so many seconds. Raises BenchFailed unless each add was answered 200 and is stored."""
    secured = transport != "HTTP/1.1"
    process = target.secured if secured else target.plain
    store = target.stores[secured] if target.stores else ""
    before = _lines(store)
    started, threads = process.processor_seconds(), process.processor_seconds_by_thread()
    done = subprocess.run(
        _generator(transport, process.port, connections, seconds),
        cwd=ROOT,
        env={
            **os.environ,
            "BENCH_RUN": str(run),
            "BENCH_TOKEN": target.tokens[secured],
            "BENCH_CAMPAIGN": campaign,
        },
        capture_output=True,
        text=True,
        timeout=seconds + 30,
        check=False,
    )
    used, after = process.processor_seconds() - started, process.processor_seconds_by_thread()
    if done.returncode:
        raise BenchFailed(f"{transport}: {done.stderr or done.stdout}")
    summary = json.loads(done.stdout.splitlines()[-1])
    requests = summary["requests"]
    if summary["errors"] or not requests:
        raise BenchFailed(f"{transport}: {summary}")
    # those under way when the load ended may be stored, too
    if store and not requests <= (lines := _lines(store) - before) <= requests + connections:
        raise BenchFailed(f"{transport}: {requests} adds were answered, {lines} are in the journal")
    return Load(
        requests * 1e6 / summary["microseconds"],
        summary["p50"] / 1e3,
        summary["p99"] / 1e3,
        used * 1e6 / requests,
        _shares({name: (spent - threads.get(name, 0.0)) * 1e6 / requests for name, spent in after.items()}),
    )


def _shares(by_thread: dict[str, float]) -> tuple[float, float, float]:
    first = by_thread.pop("")
    busiest, *others = sorted(by_thread.values(), reverse=True)
    return first, busiest, sum(others)


def _generator(transport: str, port: int, connections: int, seconds: int) -> list[str]:
    if transport == "HTTP/2":
        return [sys.executable, "-m", "bench.http2", str(port), str(connections), str(seconds)]
    program = shutil.which("wrk")
    if program is None:
        raise BenchFailed("there is no wrk on this machine: scripts/debian-packages bench installs it")
    return [
        *(program, "--threads", "1", "--connections", str(connections), "--duration", f"{seconds}s"),
        *("--script", str(_SCRIPT), f"{'http' if transport == 'HTTP/1.1' else 'https'}://127.0.0.1:{port}{ADD}"),
    ]


def _lines(store: str) -> int:
    if not store:
        return 0
    with database.connect(store) as raw:
        return raw.journal_lines()
