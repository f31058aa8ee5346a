"""Single adds over keep-alive, against the floor (no work at all) and the peer (a transaction for each request)."""

import contextlib
import itertools
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import msgspec

from bench import database, roster
from bench.measure import BenchFailed, Goal, Row, Scale, Table
from bench.plantel_server import ADD, Caller, PlantelServer
from bench.process import ServerProcess, free_tcp_port

_SCRIPT = Path(__file__).with_name("add.lua")
_GOALS = {64: (Goal(least=0.5), Goal(least=2.0))}
"""By connections: against the floor, and against the peer."""


class Load(msgspec.Struct, frozen=True):
    """What one run of wrk gave. `processor`: microseconds of the server's processor time for each request."""

    rate: float
    processor: float


class Target(msgspec.Struct, frozen=True):
    """A server under load. `stored`: the database in which every add has to be found."""

    process: ServerProcess
    campaign: str
    token: str
    stored: Path | None


def measure(scale: Scale, table: Table, folder: Path) -> None:
    """Rounds of: Plantel, floor, peer; at 1 and at 64 connections."""
    (campaign,) = roster.campaigns(1)
    peer_file = folder / "transactions.db"
    token = database.make(peer_file, [campaign])
    with contextlib.ExitStack() as stack:
        plantel = stack.enter_context(PlantelServer(folder / "serving", [campaign]))
        ours = Target(plantel, campaign, plantel.token, plantel.database)
        floor = Target(stack.enter_context(_floor(folder, "bare")), campaign, token, None)
        peer = Target(stack.enter_context(_floor(folder, "transactions", peer_file)), campaign, token, peer_file)
        runs = itertools.count(1)
        for target in (ours, floor, peer):
            _probe(target)
            _load(target, 64, 1, next(runs))  # to warm up
        for _ in range(scale.rounds):
            for connections in (1, 64):
                figures = [_load(target, connections, scale.seconds, next(runs)) for target in (ours, floor, peer)]
                _note(table, connections, *figures)
        for file in (plantel.database, peer_file):
            database.check_consistent(file)


def _note(table: Table, connections: int, ours: Load, floor: Load, peer: Load) -> None:
    what = f"single adds, {connections} connection{'s' if connections > 1 else ''}"
    goals = _GOALS.get(connections, (None, None))
    against = (("a bare handler", floor, goals[0]), ("a raw transaction per request", peer, goals[1]))
    for name, theirs, goal in against:
        table.add(Row(what, name, "/s", goal), ours.rate, theirs.rate)
    for name, theirs, _ in against:
        table.add(Row(f"{what}: processor time of each", name, "µs"), ours.processor, theirs.processor)


def _floor(folder: Path, kind: str, *arguments: Path) -> ServerProcess:
    port = free_tcp_port()
    command = [sys.executable, "-m", "bench.floors", kind, str(port), *map(str, arguments)]
    return ServerProcess(command, port, folder / f"{kind}.log")


def _probe(target: Target) -> None:
    """Raise BenchFailed unless one add is answered 200 and `1`, to the byte."""
    with contextlib.closing(Caller(target.process.port, target.token)) as caller:
        caller.add(roster.form(roster.members([target.campaign])[:1]))


def _load(target: Target, connections: int, seconds: int, run: int) -> Load:
    """Have wrk add for so many seconds. Raises BenchFailed unless each of its adds was answered 200 and is stored."""
    program = shutil.which("wrk")
    if program is None:
        raise BenchFailed("there is no wrk on this machine: scripts/debian-packages bench installs it")
    process = target.process
    before = database.journal_lines(target.stored) if target.stored else 0
    started = process.processor_seconds()
    done = subprocess.run(
        [
            *(program, "--threads", "1", "--connections", str(connections), "--duration", f"{seconds}s"),
            *("--script", str(_SCRIPT), f"http://127.0.0.1:{process.port}{ADD}"),
        ],
        env={**os.environ, "BENCH_RUN": str(run), "BENCH_TOKEN": target.token, "BENCH_CAMPAIGN": target.campaign},
        capture_output=True,
        text=True,
        timeout=seconds + 30,
        check=False,
    )
    used = process.processor_seconds() - started
    if done.returncode:
        raise BenchFailed(f"wrk: {done.stderr or done.stdout}")
    summary = json.loads(done.stdout.splitlines()[-1])
    requests = summary["requests"]
    if summary["errors"] or not requests:
        raise BenchFailed(f"wrk: {summary}")
    if target.stored:
        # those under way when wrk ended may be stored, too
        lines = database.journal_lines(target.stored) - before
        if not requests <= lines <= requests + connections:
            raise BenchFailed(f"{requests} adds were answered, {lines} are in the journal")
    return Load(requests * 1e6 / summary["microseconds"], used * 1e6 / requests)
