"""MariaDB: a database for each store, in a private server, with durable commits."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from urllib.parse import urlsplit

import pymysql  # type: ignore[import-untyped]  # it comes without types

from bench.measure import BenchFailed
from bench.raw import ASTRAY, BATCH, LINE, MEMBER, REFUSED, LineRow, MemberRow, batch_row
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
            port=place.port,
            user=place.username,
            password=place.password,
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


class RawMariadb:
    """`raw.Raw` through PyMySQL, whose `executemany` puts as many rows into a statement as go into a megabyte."""

    ways: tuple[str, ...] = ("executemany",)

    def __init__(self, connection: Any) -> None:
        self._connection = connection
        self._revision = -1

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._connection.close()

    def campaign_ids(self) -> dict[str, int]:
        return dict(self._rows("SELECT name, id FROM campaigns"))

    def add(self, member: MemberRow) -> None:
        if self._revision < 0:
            self._revision = self._number("SELECT coalesce(max(revision), 0) FROM journal")
        self._revision += 1  # there is one such process
        campaign, agent, _, interface, penalty, paused = member
        self._connection.begin()
        with self._connection.cursor() as cursor:
            cursor.execute(_UPSERT, member)
            cursor.execute(_LINE, (self._revision, 0, campaign, agent, "updated", interface, penalty, paused))
        self._connection.commit()

    def insert(self, _way: str, members: Sequence[MemberRow], lines: Sequence[LineRow]) -> None:
        self._connection.begin()
        with self._connection.cursor() as cursor:
            cursor.max_stmt_length = 1024 * 1024
            cursor.executemany(_MEMBER, members)
            cursor.executemany(_LINE, lines)
            cursor.execute(_BATCH, batch_row(lines))
        self._connection.commit()

    def journal_lines(self) -> int:
        return self._number("SELECT count(*) FROM journal")

    def check_consistent(self) -> None:
        refused, astray = self._number(REFUSED), self._number(ASTRAY)
        if refused or astray:
            raise BenchFailed(f"{refused} batches were refused, {astray} members are not as they were sent")

    def _number(self, query: str) -> int:
        return int(self._rows(query)[0][0])

    def _rows(self, query: str) -> Sequence[tuple[Any, ...]]:
        with self._connection.cursor() as cursor:
            cursor.execute(query)
            found: Sequence[tuple[Any, ...]] = cursor.fetchall()
            return found
