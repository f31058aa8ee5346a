"""Rows into a SQLite table, many at a time and in few steps."""

import sqlite3
from collections.abc import Sequence
from itertools import chain

import msgspec

_json = msgspec.json.Encoder()

_MANY = 500
"""So many rows are inserted at a time as bound values, in half the time that they take as JSON. The rest is JSON: a
statement for each number of rows would have to be prepared anew every time."""


class Insertion:
    """Inserts rows, whose values are those of `columns`, into `table`; `then` ends the statement."""

    def __init__(self, table: str, columns: str, then: str = "") -> None:
        self._table = table
        self._then = then
        self._columns = columns.split()
        self._statements: dict[int, tuple[str, str]] = {}

    def run(self, driver: sqlite3.Connection, rows: Sequence[Sequence[object]]) -> None:
        """Values missing at the end of a row are NULL; a column that no row has a value for costs nothing.

        Raises sqlite3.Error; rows of the same call may then be there, the caller's savepoint takes them back.
        """
        width = max(map(len, rows), default=0)
        if not width:
            return
        many, rest = self._statements.get(width) or self._prepared(width)
        done = 0
        while len(rows) - done >= _MANY:
            some = rows[done : done + _MANY]
            if min(map(len, some)) < width:
                some = [(*row, *[None] * (width - len(row))) for row in some]
            driver.execute(many, [*chain.from_iterable(some)])
            done += _MANY
        if done < len(rows):
            driver.execute(rest, (_json.encode(rows[done:]).decode(),))

    def _prepared(self, width: int) -> tuple[str, str]:
        columns = ", ".join(self._columns[:width])
        row = f"({', '.join('?' * width)})"
        values = ", ".join(f"json_extract(value, '$[{place}]')" for place in range(width))
        into = f"INSERT INTO {self._table} ({columns})"
        self._statements[width] = (
            f"{into} VALUES {', '.join([row] * _MANY)} {self._then}",
            f"{into} SELECT {values} FROM json_each(?) WHERE true {self._then}",  # noqa: S608 - constants of ours
        )
        return self._statements[width]
