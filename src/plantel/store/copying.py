"""A roster moved from one database to another, with its whole history."""

import hashlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import msgspec
import sqlalchemy
from sqlalchemy import Select, Table, delete, func, insert, select, update

from plantel import errors
from plantel.store import schema
from plantel.store.connection import Connection
from plantel.store.opening import open_database, shown

_CHUNK = 2_000
"""Rows held in memory at a time."""

_HASH_BYTES = 8

Report = Callable[[str, int, int], None]
"""Called with a table's name, how many of its rows are done, and how many there are. Each is done twice: copied, then
read again."""


class Copied(msgspec.Struct, frozen=True):
    """One table, as it was found in both databases. `checksum`: of its rows in whatever order, in hexadecimal."""

    table: str
    rows: int
    checksum: str


def copy_store(source: str, target: str, report: Report) -> list[Copied]:
    """Copy all that the store at `source` holds into the empty one at `target`, which is made where there is none.

    The source is read in one view, the target written in one transaction, and read again before it is committed: it
    has all or nothing. Each of the two may be silent for long while the other is at work. Memory is bounded. Leases are
    not copied, nor does a store that is in use stop. Blocks, for as long as it takes. Raises StoreNotEmpty, StoreError
    where the target does not give back what it was given, and what `open_store` raises.
    """
    with _told_of("SOURCE", source):
        origin = open_database(source, migrate=False, make=False)
    with _told_of("TARGET", target):
        destination = open_database(target)
    reader = origin.connect(writable=False, patient=True)
    try:
        writer = destination.connect(writable=True, patient=True)
        try:
            with origin.translating(), destination.translating():
                reader.begin_reading()
                writer.begin()
                copied = _copy(reader, writer, shown(target), report)
                writer.commit()
        finally:
            writer.close()  # whatever was not committed goes with it
    finally:
        reader.close()
    return copied


@contextmanager
def _told_of(side: str, url: str) -> Iterator[None]:
    """Have what is wrong with one of two databases say with which. `side`: what its argument is called."""
    try:
        yield
    except errors.InvalidSetting as error:
        raise errors.InvalidSetting(setting=side, detail=error.params["detail"]) from error
    except errors.StoreMissing as error:
        raise errors.StoreUnavailable(detail=f"{side} {shown(url)}: {error}") from error
    except (errors.StoreUnavailable, errors.StoreFull) as error:
        raise type(error)(detail=f"{side} {shown(url)}: {error.params['detail']}") from error


def _copy(reader: Connection, writer: Connection, target: str, report: Report) -> list[Copied]:
    writer.save("copy")
    # a table that only counts the time that this database was met, and the key that the copy brings
    writer.core.execute(delete(schema.keys).where(schema.keys.c.name == "token"))
    tables = [table for table in schema.metadata.sorted_tables if table is not schema.alembic_version]
    if any(_count(writer, table) for table in tables):
        raise errors.StoreNotEmpty(store=target)
    copied = []
    for table in tables:
        total = _count(reader, table)
        sums = _Sum()
        for rows in _chunks(reader, table):
            writer.core.execute(insert(table), [dict(zip(table.c.keys(), row, strict=True)) for row in rows])
            sums.add(rows)
            report(table.name, sums.rows, 2 * total)
        found = _Sum()
        for rows in _chunks(writer, table):
            found.add(rows)
            report(table.name, sums.rows + found.rows, 2 * total)
        if found.copied(table) != sums.copied(table):
            raise errors.StoreError(detail=f"{table.name} is not in {target} as it was sent: nothing was copied")
        copied.append(sums.copied(table))
    _number_on(writer.core, tables)
    # whoever has the target open already knows of no campaigns
    stamp = update(schema.keys).where(schema.keys.c.name == schema.CAMPAIGNS).values(value=schema.new_stamp())
    writer.core.execute(stamp)
    writer.release("copy")
    return copied


class _Sum:
    """A checksum of rows that does not depend on their order."""

    def __init__(self) -> None:
        self.rows = 0
        self._sum = 0

    def add(self, rows: Sequence[Sequence[Any]]) -> None:
        self.rows += len(rows)
        for row in rows:
            digest = hashlib.blake2b(msgspec.msgpack.encode(tuple(row)), digest_size=_HASH_BYTES).digest()
            self._sum += int.from_bytes(digest)

    def copied(self, table: Table) -> Copied:
        return Copied(str(table.name), self.rows, f"{self._sum % 2 ** (8 * _HASH_BYTES):0{2 * _HASH_BYTES}x}")


def _rows_of(table: Table) -> Select[Any]:
    """All that belongs to the roster; other keys say what was last heard of this one database."""
    rows = select(table)
    return rows.where(schema.keys.c.name.in_(["token", schema.FORGOTTEN])) if table is schema.keys else rows


def _count(connection: Connection, table: Table) -> int:
    return int(connection.core.execute(select(func.count()).select_from(_rows_of(table).subquery())).scalar_one())


def _chunks(connection: Connection, table: Table) -> Iterator[Sequence[Sequence[Any]]]:
    """The rows in the order of their keys, in which they are written fastest too."""
    rows = _rows_of(table).order_by(*table.primary_key).execution_options(yield_per=_CHUNK)
    with connection.core.execute(rows) as result:
        yield from result.partitions()


def _number_on(connection: sqlalchemy.Connection, tables: Sequence[Table]) -> None:
    """Have the numbers that the database gives out go on after those that are there; others do so by themselves."""
    if connection.dialect.name != "postgresql":
        return
    for table in tables:
        column = table.autoincrement_column
        if column is not None:
            newest = select(func.max(column)).scalar_subquery()
            sequence = func.pg_get_serial_sequence(table.name, column.name)
            connection.execute(select(func.setval(sequence, newest)))
