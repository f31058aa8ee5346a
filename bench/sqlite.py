"""SQLite: a file for each store, with the settings of a store's own."""

import contextlib
import os
import sqlite3
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Self

from bench.filler import Filler
from bench.raw import BATCH, LINE, MEMBER, LineRow, MemberRow, Raw, batch_row
from plantel.store.sqlite.connection import CACHE_KIB

_TOGETHER = 500
"""Rows in one statement."""

_FILLING_KIB = 1024 * 1024
"""The cache of a filler."""


def open_file(url: str) -> sqlite3.Connection:
    """A connection with the settings of a store's own; transactions are begun and ended by hand."""
    connection = sqlite3.connect(url.removeprefix("sqlite:///"), isolation_level=None, timeout=5)
    connection.execute("PRAGMA synchronous = FULL")
    connection.execute(f"PRAGMA cache_size = -{CACHE_KIB}")
    connection.execute("PRAGMA temp_store = MEMORY")
    return connection


class Sqlite:
    """`database.Database`: a file for each store."""

    name = "SQLite"
    schemes = ("sqlite",)

    @contextmanager
    def private(self, folder: Path) -> Iterator[Callable[[str], str]]:
        yield lambda name: f"sqlite:///{folder / name}.db"

    def connect(self, url: str) -> "RawSqlite":
        return RawSqlite(open_file(url))

    def filler(self) -> "SqliteFiller":
        return SqliteFiller()


def _values(columns: Sequence[str], rows: int = 1) -> str:
    return ", ".join([f"({', '.join('?' * len(columns))})"] * rows)


def _into(table: str, columns: Sequence[str]) -> str:
    return f"INSERT INTO {table} ({', '.join(columns)}) VALUES "


_MEMBER, _LINE, _BATCH = _into("members", MEMBER), _into("journal", LINE), _into("batches", BATCH)
_UPSERT = f"""{_MEMBER}{_values(MEMBER)} ON CONFLICT (campaign, membername) DO UPDATE SET
    phone = excluded.phone, interface = excluded.interface, penalty = excluded.penalty, paused = excluded.paused"""


class RawSqlite(Raw):
    """Through the standard library's driver."""

    ways = ("executemany", "rows together")

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    def add(self, member: MemberRow) -> None:
        campaign, agent, _, interface, penalty, paused = member
        self._connection.execute("BEGIN IMMEDIATE")
        self._connection.execute(_UPSERT, member)
        line = (None, 0, campaign, agent, "updated", interface, penalty, paused)  # None: SQLite counts on by itself
        self._connection.execute(_LINE + _values(LINE), line)
        self._connection.execute("COMMIT")

    def insert(self, way: str, members: Sequence[MemberRow], lines: Sequence[LineRow]) -> None:
        self._connection.execute("BEGIN IMMEDIATE")
        if way == "executemany":
            self._connection.executemany(_MEMBER + _values(MEMBER), members)
            self._connection.executemany(_LINE + _values(LINE), lines)
        else:
            self._together(_MEMBER, MEMBER, members)
            self._together(_LINE, LINE, lines)
        self._connection.execute(_BATCH + _values(BATCH), batch_row(lines))
        self._connection.execute("COMMIT")

    def _together(self, into: str, columns: Sequence[str], rows: Sequence[tuple[Any, ...]]) -> None:
        for start in range(0, len(rows), _TOGETHER):
            part = rows[start : start + _TOGETHER]
            self._connection.execute(into + _values(columns, len(part)), [value for row in part for value in row])

    def rows(self, query: str) -> Iterable[tuple[Any, ...]]:
        return self._connection.execute(query)

    def _close(self) -> None:
        self._connection.close()


class SqliteFiller(Filler):
    """On the file itself, in one transaction."""

    _connection: sqlite3.Connection
    _index: str

    @contextmanager
    def open(self, url: str) -> Iterator[Self]:
        with contextlib.closing(open_file(url)) as self._connection:
            # without a log every page is written once, where it belongs; with one twice, and the log is as long
            self.execute("PRAGMA journal_mode = DELETE")
            self.execute("PRAGMA journal_mode = OFF")
            self.execute("PRAGMA synchronous = OFF")
            self.execute(f"PRAGMA cache_size = -{_FILLING_KIB}")
            self.execute("PRAGMA temp_store = FILE")  # the entries of an index of 100 million lines are some gigabytes
            self.execute("BEGIN IMMEDIATE")
            yield self
            self.execute("COMMIT")
            self.execute("PRAGMA journal_mode = WAL")
        with Path(url.removeprefix("sqlite:///")).open("rb") as file:
            os.fsync(file.fileno())  # else the kernel writes it while others are measured

    def execute(self, statement: str) -> None:
        self._connection.execute(statement)

    def count(self, rows: int) -> str:
        return (
            "(WITH RECURSIVE count(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM count"
            f" WHERE i + 1 < {rows}) SELECT i FROM count)"
        )

    def quotient(self, number: str, by: int) -> str:
        return f"({number} / {by})"

    def text(self, before: str, number: str, digits: int, after: str = "") -> str:
        return f"printf('{before}%0{digits}d{after}', {number})"

    def drop_index(self) -> None:
        (self._index,) = self._connection.execute(
            "SELECT sql FROM sqlite_master WHERE name = 'journal_member'"
        ).fetchone()
        self.execute("DROP INDEX journal_member")

    def make_index(self) -> None:
        self.execute(self._index)
