"""MariaDB: a database for each store, in a private server, with durable commits."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, LiteralString
from urllib.parse import urlsplit

import pymysql
from pymysql.cursors import Cursor

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
        place = urlsplit(url)
        connection = pymysql.connect(
            host=place.hostname,
            port=place.port or 3306,
            user=place.username,
            password=place.password or "",
            database=place.path.removeprefix("/"),
            charset="utf8mb4",
            autocommit=True,
            connect_timeout=5,
            read_timeout=60,
            write_timeout=60,
        )
        return RawMariadb(connection)


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

    def _rows(self, query: LiteralString) -> Iterable[tuple[Any, ...]]:
        with self._connection.cursor() as cursor:
            cursor.execute(query)
            return cursor.fetchall()

    def _close(self) -> None:
        self._connection.close()
