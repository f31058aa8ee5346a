"""MariaDB: a database for each store, in a private server, with durable commits."""

import contextlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Self
from urllib.parse import urlsplit

import pymysql
from pymysql.cursors import Cursor

from bench.filler import Filler
from bench.raw import BATCH, LINE, MEMBER, LineRow, MemberRow, Raw, batch_row
from plantel.testing.mariadb import PrivateMariadb


class Mariadb:
    """`database.Database`."""

    name = "MariaDB"
    schemes = ("mariadb", "mysql")

    @contextmanager
    def private(self, folder: Path) -> Iterator[Callable[[str], str]]:
        with PrivateMariadb(within=folder) as server:
            yield lambda _: server.make_database()

    def connect(self, url: str) -> "RawMariadb":
        return RawMariadb(_connection(url, patience=60))

    def filler(self) -> "MariadbFiller":
        return MariadbFiller()


def _connection(url: str, patience: int) -> "pymysql.Connection[Cursor]":
    """`patience`: seconds for an answer."""
    place = urlsplit(url)
    return pymysql.connect(
        host=place.hostname,
        port=place.port or 3306,
        user=place.username,
        password=place.password or "",
        database=place.path.removeprefix("/"),
        charset="utf8mb4",
        autocommit=True,
        connect_timeout=5,
        read_timeout=patience,
        write_timeout=patience,
    )


def _insertion(table: str, columns: Sequence[str], then: str = "") -> str:
    return f"INSERT INTO {table} ({', '.join(columns)}) VALUES ({', '.join(['%s'] * len(columns))}) {then}"


_UPSERT = _insertion(
    "members",
    MEMBER,
    """ON DUPLICATE KEY UPDATE phone = VALUES(phone), interface = VALUES(interface), penalty = VALUES(penalty),
    paused = VALUES(paused)""",
)
_MEMBER, _LINE, _BATCH = _insertion("members", MEMBER), _insertion("journal", LINE), _insertion("batches", BATCH)


class RawMariadb(Raw):
    """Through PyMySQL, whose `executemany` puts as many rows into a statement as go into a megabyte."""

    ways = ("executemany",)

    def __init__(self, connection: "pymysql.Connection[Cursor]") -> None:
        self._connection = connection

    def add(self, member: MemberRow) -> None:
        campaign, agent, _, interface, penalty, paused = member
        self._connection.begin()
        with self._connection.cursor() as cursor:
            cursor.execute(_UPSERT, member)
            cursor.execute(_LINE, (self._next_revision(), 0, campaign, agent, "updated", interface, penalty, paused))
        self._connection.commit()

    def insert(self, _way: str, members: Sequence[MemberRow], lines: Sequence[LineRow]) -> None:
        self._connection.begin()
        with self._connection.cursor() as cursor:
            cursor.executemany(_MEMBER, members)
            cursor.executemany(_LINE, lines)
            cursor.execute(_BATCH, batch_row(lines))
        self._connection.commit()

    def rows(self, query: str) -> Iterable[tuple[Any, ...]]:
        with self._connection.cursor() as cursor:
            cursor.execute(query)
            return cursor.fetchall()

    def _close(self) -> None:
        self._connection.close()


_FILLING = 3_600
"""Seconds that a statement of a filler may take."""


class MariadbFiller(Filler):
    """With statements that each commit by themselves."""

    _connection: "pymysql.Connection[Cursor]"

    @contextmanager
    def open(self, url: str) -> Iterator[Self]:
        with contextlib.closing(_connection(url, _FILLING)) as self._connection:
            # the first rows of a table are then not written to the log one by one
            self.execute("SET unique_checks = 0, foreign_key_checks = 0")
            yield self
            self.execute("ANALYZE TABLE members, journal, batches, campaigns")

    def execute(self, statement: str) -> None:
        with self._connection.cursor() as cursor:
            cursor.execute(statement)

    def count(self, rows: int) -> str:
        return f"(SELECT seq AS i FROM seq_0_to_{rows - 1}) AS count"

    def quotient(self, number: str, by: int) -> str:
        return f"({number} DIV {by})"

    def text(self, before: str, number: str, digits: int, after: str = "") -> str:
        return f"concat('{before}', lpad({number}, {digits}, '0'), '{after}')"

    def drop_index(self) -> None:
        self.execute("DROP INDEX journal_member ON journal")

    def make_index(self) -> None:
        self.execute("CREATE INDEX journal_member ON journal (campaign, membername)")
