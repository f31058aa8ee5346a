"""Contenders whose Asterisk reads its members from PostgreSQL: Plantel's view, and a table that the client fills.

No event tells of such members. Asterisk reads a queue's rows when a call enters it, or when it is asked to; QueueStatus
alone shows what was read before (16.28). So once the contender has committed, Asterisk is asked to read each queue of
the batch, as the next call would have it do, and then for the queue's last member: seen is what a call would find that
comes right after the answer. Plantel has Asterisk read by itself, too, at the same time; after direct SQL nobody does.
"""

import contextlib
import itertools
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import psycopg

from bench import roster
from bench.ami import READER, Ami
from bench.contender import Add, Contender, Entry
from bench.direct_sql import TABLE, DirectSql
from bench.plantel_server import Caller, PlantelServer
from plantel.roster import Member
from plantel.testing.asterisk import PrivateAsterisk
from plantel.testing.postgresql import PrivatePostgresql
from plantel.testing.realtime import pgsql

_ROLE = "pbx"
"""Asterisk's user of the database, who may read and update `queue_members`, and nothing else."""


class Realtime:
    """Contenders with a database each, on one server; commits are durable."""

    def __init__(self, server: PrivatePostgresql) -> None:
        self._server = server
        self._names = (f"roster_{number}" for number in itertools.count())
        server.execute(f"CREATE ROLE {_ROLE} LOGIN PASSWORD '{server.password}'")

    @contextmanager
    def plantel(self, folder: Path, names: Sequence[str]) -> Iterator[Contender]:
        """Plantel with `delivery = "realtime"`."""
        database = next(self._names)
        url = self._server.database(database)
        asterisk = self._asterisk(folder, names, database)
        with PlantelServer(folder / "plantel", names, asterisk, url=url, delivery="realtime") as plantel:
            self._grant(database)
            with self._running(asterisk) as start:
                plantel.wait_until_agreed()
                with contextlib.closing(Caller(plantel.port, plantel.token)) as caller:
                    yield start(lambda batch: caller.add(roster.form(batch)))

    def direct(self, way: Callable[[DirectSql, Sequence[Member]], None]) -> Entry:
        """A client that adds in this way."""

        @contextmanager
        def entry(folder: Path, names: Sequence[str]) -> Iterator[Contender]:
            database = next(self._names)
            url = self._server.database(database)
            with psycopg.connect(url, connect_timeout=5) as connection:
                connection.execute(TABLE)
            self._grant(database)
            with (
                self._running(self._asterisk(folder, names, database)) as start,
                contextlib.closing(DirectSql(url)) as client,
            ):
                yield start(lambda batch: way(client, batch))

        return entry

    def _asterisk(self, folder: Path, names: Sequence[str], database: str) -> PrivateAsterisk:
        server = self._server
        return PrivateAsterisk(
            folder / "asterisk",
            queues={name: [] for name in names},
            users=[READER],
            realtime=pgsql(server.host, server.port, database, _ROLE, server.password),
        )

    def _grant(self, database: str) -> None:
        """Before Asterisk starts: it looks at the columns once."""
        self._server.execute(f"GRANT SELECT, UPDATE ON queue_members TO {_ROLE}", database=database)

    @contextmanager
    def _running(self, asterisk: PrivateAsterisk) -> Iterator[Callable[[Add], Contender]]:
        """Starts Asterisk; gives what makes the contender of its way to add."""
        with asterisk, contextlib.closing(Ami(asterisk, READER)) as eyes:

            def watch(batch: Sequence[Member]) -> Callable[[], float]:
                last = roster.last(batch)

                def seen() -> float:
                    eyes.read_anew(last)
                    return time.perf_counter()

                return seen

            yield lambda add: Contender(asterisk, add, watch)
