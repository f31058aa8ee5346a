"""Where the time of one add goes, by stage, in process: all but the HTTP server."""

import asyncio
import time
from pathlib import Path

from bench import database, roster
from bench.grid import Column, Grid
from bench.measure import BenchFailed, Scale
from bench.plantel_server import ADD
from bench.report import Report
from bench.stopwatch import Stage, Stopwatch
from plantel.config import Settings, StoreSettings
from plantel.http import app, auth, integra, queuemember, request
from plantel.roster import Member
from plantel.server import front_door, spare_collector
from plantel.service import Service
from plantel.store import store, writer
from plantel.store.sqlite import connection as sqlite
from plantel.wiring import assembled
from tests.support.rsgi import Exchange, Scope

_AT_ONCE = 64

_AGENTS = 5_000

_STAGES = (
    Stage("front door: host, path, headers", app.FrontDoor, ("__rsgi__",)),
    Stage("the call: which, and its answer's headers", integra.Integra, ("__call__",)),
    Stage("authorisation: the token, remembered", auth.Authenticator, ("actor",)),
    Stage("reading the body", request.Request, ("body",)),
    Stage("form decoding", queuemember, ("decode_json_field",)),
    Stage("JSON and the rules of a member", queuemember, ("parse_members",)),
    Stage("service: rights, interfaces, batch, receipt", Service, ("add",)),
    Stage("handing over to the writer", store.SqlStore, ("write",)),
    Stage("sending the answer", request.Request, ("respond",)),
    Stage("writer: taking, grouping, answering", writer.Writer, ("_carry_out",)),
    Stage("writer: deciding the change, making its rows", writer.Writer, ("_work",)),
    Stage("SQL: beginning", sqlite.SqliteConnection, ("begin", "data_version", "save", "release")),
    Stage("SQL: looking the member up", sqlite.SqliteConnection, ("members_like",)),
    Stage("SQL: the member", sqlite.SqliteConnection, ("update", "place", "vacate")),
    Stage("SQL: the journal line", sqlite.SqliteConnection, ("add_journal",)),
    Stage("SQL: the batch", sqlite.SqliteConnection, ("add_batches",)),
    Stage("SQL: commit, until it is on the disk", sqlite.SqliteConnection, ("commit",)),
)
"""In the order in which an add comes by. Some of the names are private: a profile looks behind the doors."""

_WHOLE = "the whole of it, from the handler's call to its end"
_UNTIMED = "the same without the watch"

_SIDES = "processor : clock"
_ALONE, _TOGETHER = Column(f"alone ({_SIDES})", "µs"), Column(f"{_AT_ONCE} at a time, each ({_SIDES})", "µs")


def measure(scale: Scale, report: Report, folder: Path) -> None:
    """Rounds of: single adds one at a time, then many at a time; watched, and not watched."""
    grid = Grid("Where the time of one add goes (SQLite; without the HTTP server)", ("stage",), (_ALONE, _TOGETHER))
    report.put(grid)
    for number in range(scale.rounds):
        (campaign,) = roster.campaigns(1)
        url = f"sqlite:///{folder / f'path-{number}.db'}"
        token = database.make(url, [campaign])
        asyncio.run(_round(grid, url, token, campaign, scale.adds))


async def _round(grid: Grid, url: str, token: str, campaign: str, adds: int) -> None:
    async with assembled(Settings(store=StoreSettings(url=url))) as plantel:
        adder = _Adder(front_door(plantel), token, campaign)
        spare_collector()  # as the service does, too
        await adder.add(adds, 1)
        for column, at_once, count in ((_ALONE, 1, adds), (_TOGETHER, _AT_ONCE, adds // 5 * _AT_ONCE)):
            untimed = await adder.add(count, at_once)
            with Stopwatch(_STAGES) as watch:
                watch.take()
                whole = await adder.add(count, at_once)
                stages = watch.take()
            for stage in _STAGES:
                spent = stages[stage.name]
                grid.add((stage.name,), column, spent.processor * 1e6 / count, spent.wall * 1e6 / count)
            grid.add((_WHOLE,), column, *whole)
            grid.add((_UNTIMED,), column, *untimed)


class _Adder:
    """Calls the application as the server would, and changes or adds a member with each add."""

    def __init__(self, application: app.FrontDoor, token: str, campaign: str) -> None:
        self._application = application
        self._token = token
        self._campaign = campaign
        self._number = 0

    async def add(self, count: int, at_once: int) -> tuple[float, float]:
        """Add so many, `at_once` under way; microseconds of the processor, and by the clock, for each."""
        processor, started = time.process_time(), time.perf_counter()
        await asyncio.gather(*(self._some(count // at_once) for _ in range(at_once)))
        return (time.process_time() - processor) * 1e6 / count, (time.perf_counter() - started) * 1e6 / count

    async def _some(self, count: int) -> None:
        for _ in range(count):
            await self._one()

    async def _one(self) -> None:
        self._number += 1
        agent = self._number % _AGENTS
        body = roster.form([Member(self._campaign, f"agent-{agent}", f"SIP/{agent}", penalty=self._number)])
        headers = (
            ("host", "127.0.0.1"),
            ("authorization", f"Basic {self._token}"),
            ("content-type", "application/x-www-form-urlencoded"),
            ("content-length", str(len(body))),
        )
        exchange = Exchange([body])
        await self._application.__rsgi__(Scope("POST", ADD, headers=headers), exchange)
        if exchange.answer.body != b"1":
            raise BenchFailed(f"{exchange.answer.body!r} in place of 1")
