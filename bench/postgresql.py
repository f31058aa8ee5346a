"""PostgreSQL: a database for each store, in a private server, with durable commits."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, LiteralString, Self

import psycopg
from psycopg import sql

from bench.filler import Filler
from bench.raw import BATCH, LINE, MEMBER, LineRow, MemberRow, Raw, batch_row
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

    def filler(self) -> "PostgresqlFiller":
        return PostgresqlFiller()


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


class RawPostgresql(Raw):
    """Through psycopg."""

    ways = ("COPY", "executemany")

    def __init__(self, connection: psycopg.Connection[tuple[Any, ...]]) -> None:
        self._connection = connection

    def add(self, member: MemberRow) -> None:
        campaign, agent, _, interface, penalty, paused = member
        with self._connection.transaction():
            self._connection.execute(_UPSERT, member)
            line = (self._next_revision(), 0, campaign, agent, "updated", interface, penalty, paused)
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

    def rows(self, query: str) -> Iterable[tuple[Any, ...]]:
        return self._connection.execute(query.encode())

    def _close(self) -> None:
        self._connection.close()


def _copy(
    cursor: psycopg.Cursor[tuple[Any, ...]], table: str, columns: Sequence[str], rows: Sequence[tuple[Any, ...]]
) -> None:
    with cursor.copy(_COPY.format(sql.Identifier(table), _columns(columns))) as copy:
        for row in rows:
            copy.write_row(row)


class PostgresqlFiller(Filler):
    """With statements that each commit by themselves."""

    _connection: psycopg.Connection[tuple[Any, ...]]
    _index: str

    @contextmanager
    def open(self, url: str) -> Iterator[Self]:
        with psycopg.connect(url, autocommit=True, connect_timeout=5) as self._connection:
            self.execute("SET maintenance_work_mem = '1GB'")
            yield self
            self.execute("VACUUM (ANALYZE)")  # as autovacuum would have done long before

    def execute(self, statement: str) -> None:
        self._connection.execute(statement.encode())

    def count(self, rows: int) -> str:
        return f"generate_series(0::bigint, {rows - 1}) AS count (i)"

    def quotient(self, number: str, by: int) -> str:
        return f"({number} / {by})"

    def text(self, before: str, number: str, digits: int, after: str = "") -> str:
        return f"'{before}' || lpad(({number})::text, {digits}, '0') || '{after}'"

    def drop_index(self) -> None:
        found = self._connection.execute("SELECT indexdef FROM pg_indexes WHERE indexname = 'journal_member'")
        ((self._index,),) = found.fetchall()
        self.execute("DROP INDEX journal_member")

    def make_index(self) -> None:
        self.execute(self._index)
