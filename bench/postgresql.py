"""PostgreSQL: a database for each store, in a private server, with durable commits."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, LiteralString, Self

import psycopg
from psycopg import sql

from bench.measure import BenchFailed
from bench.raw import ASTRAY, BATCH, LINE, MEMBER, REFUSED, LineRow, MemberRow, batch_row
from plantel.testing.postgresql import PrivatePostgresql


class Postgresql:
    """`database.Database`."""

    name = "PostgreSQL"
    schemes = ("postgresql",)

    @contextmanager
    def private(self, folder: Path) -> Iterator[Callable[[str], str]]:
        with PrivatePostgresql(within=folder) as server:
            yield lambda name: server.database(f'"{name}"').replace('"', "")

    def connect(self, url: str) -> "RawPostgresql":
        return RawPostgresql(psycopg.connect(url, autocommit=True, connect_timeout=5))


def _columns(names: Sequence[str]) -> sql.Composed:
    return sql.SQL(", ").join(map(sql.Identifier, names))


def _insertion(table: str, columns: Sequence[str], then: LiteralString = "") -> sql.Composed:
    marks = sql.SQL(", ").join([sql.Placeholder()] * len(columns))
    statement = sql.SQL("INSERT INTO {} ({}) VALUES ({}) {}")
    return statement.format(sql.Identifier(table), _columns(columns), marks, sql.SQL(then))


_UPSERT = _insertion(
    "members",
    MEMBER,
    """ON CONFLICT (campaign, membername) DO UPDATE SET phone = excluded.phone, interface = excluded.interface,
    penalty = excluded.penalty, paused = excluded.paused""",
)
_MEMBER, _LINE, _BATCH = _insertion("members", MEMBER), _insertion("journal", LINE), _insertion("batches", BATCH)
_COPY = sql.SQL("COPY {} ({}) FROM STDIN")


class RawPostgresql:
    """`raw.Raw` through psycopg."""

    ways: tuple[str, ...] = ("COPY", "executemany")

    def __init__(self, connection: psycopg.Connection[tuple[Any, ...]]) -> None:
        self._connection = connection
        self._revision = -1

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._connection.close()

    def campaign_ids(self) -> dict[str, int]:
        return dict(self._connection.execute("SELECT name, id FROM campaigns").fetchall())

    def add(self, member: MemberRow) -> None:
        if self._revision < 0:
            self._revision = self._number("SELECT coalesce(max(revision), 0) FROM journal")
        self._revision += 1  # there is one such process
        campaign, agent, _, interface, penalty, paused = member
        with self._connection.transaction():
            self._connection.execute(_UPSERT, member)
            line = (self._revision, 0, campaign, agent, "updated", interface, penalty, paused)
            self._connection.execute(_LINE, line)

    def insert(self, way: str, members: Sequence[MemberRow], lines: Sequence[LineRow]) -> None:
        with self._connection.transaction(), self._connection.cursor() as cursor:
            if way == "COPY":
                _copy(cursor, "members", MEMBER, members)
                _copy(cursor, "journal", LINE, lines)
            else:
                cursor.executemany(_MEMBER, members)
                cursor.executemany(_LINE, lines)
            cursor.execute(_BATCH, batch_row(lines))

    def journal_lines(self) -> int:
        return self._number("SELECT count(*) FROM journal")

    def check_consistent(self) -> None:
        refused, astray = self._number(REFUSED), self._number(ASTRAY)
        if refused or astray:
            raise BenchFailed(f"{refused} batches were refused, {astray} members are not as they were sent")

    def _number(self, query: LiteralString) -> int:
        row = self._connection.execute(query).fetchone()
        assert row is not None
        return int(row[0])


def _copy(
    cursor: psycopg.Cursor[tuple[Any, ...]], table: str, columns: Sequence[str], rows: Sequence[tuple[Any, ...]]
) -> None:
    with cursor.copy(_COPY.format(sql.Identifier(table), _columns(columns))) as copy:
        for row in rows:
            copy.write_row(row)
