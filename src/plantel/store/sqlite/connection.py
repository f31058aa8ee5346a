"""What is particular to SQLite: connections, the words for its errors, and the statements on the hot paths.

The hot statements take and give whole sets of rows as one JSON text. Python's `sqlite3` gives up the interpreter lock
for every row, and beside a busy event loop each time may cost 5 ms to get it back (the switch interval): row by row,
50,000 members could take minutes. As JSON a set of rows is one step, done without the lock.
"""

import sqlite3
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from typing import Any

import msgspec
from sqlalchemy import Engine, create_engine, exc
from sqlalchemy.engine import URL
from sqlalchemy.pool import NullPool

from plantel import errors
from plantel.store.connection import ClaimRow, Connection, LikeRow, MemberRow, PlacedRow, UndoneRow
from plantel.store.sqlite.insertion import Insertion
from plantel.store.sqlite.place import Place

BUSY_SECONDS = 5.0
"""How long to wait for the lock while another process writes."""

CACHE_KIB = 32 * 1024
"""A writer's page cache: a batch of 50,000 members fits, so that nothing is written twice."""

TIDY_AFTER = 500
"""Rows changed: some thousand pages of the log."""

_claim_rows = msgspec.json.Decoder(list[ClaimRow])
_member_rows = msgspec.json.Decoder(list[MemberRow])
_undone_rows = msgspec.json.Decoder(list[UndoneRow])
_json = msgspec.json.Encoder()

# Nobody else can have the phone of an agent who is on it already: looking would touch one more page in a place of its
# own, which for a large roster is neither in the cache nor shared with another item.
_LIKE = """SELECT json_group_array(json_array(campaign, membername, interface, penalty, paused)) FROM (
    SELECT m.campaign, m.membername, m.interface, m.penalty, m.paused
    FROM json_each(?1) AS item CROSS JOIN members AS m
    WHERE m.campaign = json_extract(item.value, '$[0]') AND m.membername = json_extract(item.value, '$[1]')
    UNION ALL
    SELECT m.campaign, m.membername, m.interface, m.penalty, m.paused
    FROM json_each(?1) AS item CROSS JOIN members AS m
    WHERE m.campaign = json_extract(item.value, '$[0]') AND m.phone = json_extract(item.value, '$[2]')
    AND json_extract(item.value, '$[2]') IS NOT (SELECT own.phone FROM members AS own
        WHERE own.campaign = json_extract(item.value, '$[0]') AND own.membername = json_extract(item.value, '$[1]')))"""

_FIRST = """SELECT json_group_array(json_array(campaign, membername, interface, penalty, paused)) FROM (
    SELECT * FROM members WHERE campaign = ? LIMIT ?)"""

_OF = """SELECT json_group_array(json_array(campaign, membername, interface, penalty, paused)) FROM (
    SELECT * FROM members WHERE campaign IN (SELECT value FROM json_each(?)) ORDER BY campaign, membername)"""

# from member to member, and for each to the newest line at that revision: two jumps in the index, however long it is
_AFTER = """WITH RECURSIVE walk(campaign, membername) AS (
    SELECT value, (SELECT min(membername) FROM journal WHERE campaign = value) FROM json_each(?1)
    UNION ALL
    SELECT campaign, (SELECT min(membername) FROM journal AS one
        WHERE one.campaign = walk.campaign AND one.membername > walk.membername)
    FROM walk WHERE membername IS NOT NULL)
SELECT json_group_array(json_array(campaign, membername, after_interface, after_penalty, after_paused)) FROM (
    SELECT j.campaign, j.membername, j.after_interface, j.after_penalty, j.after_paused
    FROM walk CROSS JOIN journal AS j ON j.revision = (SELECT max(revision) FROM journal AS one
        WHERE one.campaign = walk.campaign AND one.membername = walk.membername AND one.revision <= ?2)
    WHERE walk.membername IS NOT NULL AND j.after_interface IS NOT NULL)"""

# beside min() SQLite gives the columns of the row that has it
_UNDONE = """SELECT json_group_array(json_array(campaign, membername, before_interface, before_penalty, before_paused))
FROM (SELECT campaign, membername, before_interface, before_penalty, before_paused, min(revision)
    FROM journal NOT INDEXED WHERE revision > ?2 AND campaign IN (SELECT value FROM json_each(?1))
    GROUP BY campaign, membername)"""

_CLAIMS = """SELECT json_group_array(json_array(queue, interface, added, paused, penalty, reason, membername)) FROM (
    SELECT * FROM claims WHERE instance = ? AND server = ?{} ORDER BY folded_queue, phone)"""
_OF_QUEUES = " AND folded_queue IN (SELECT value FROM json_each(?))"
_OF_PHONES = " AND phone IN (SELECT value FROM json_each(?))"

_UPDATE = """UPDATE members SET interface = json_extract(value, '$[2]'), penalty = json_extract(value, '$[3]'),
    paused = json_extract(value, '$[4]') FROM json_each(?)
    WHERE campaign = json_extract(value, '$[0]') AND membername = json_extract(value, '$[1]')"""

_VACATE = "DELETE FROM members WHERE campaign = ? AND membername IN (SELECT value FROM json_each(?))"


_PLACE = Insertion("members", "campaign membername phone interface penalty paused")
_BATCHES = Insertion("batches", "number id instance actor source at items problems revision changes")
_JOURNAL = Insertion(
    "journal",
    "revision batch campaign membername kind after_interface after_penalty after_paused"
    " before_interface before_penalty before_paused reason",
)
_PLACE_NEW = """INSERT INTO members (campaign, membername, phone, interface, penalty, paused)
    SELECT campaign, membername, lower(after_interface), after_interface, after_penalty, after_paused
    FROM journal WHERE revision > ?"""
_CLAIM = Insertion(
    "claims",
    "instance server folded_queue phone queue interface added paused penalty reason membername",
    "ON CONFLICT DO UPDATE SET queue = excluded.queue, interface = excluded.interface, added = excluded.added,"
    " paused = excluded.paused, penalty = excluded.penalty, reason = excluded.reason,"
    " membername = excluded.membername",
)
_DISCLAIM = """DELETE FROM claims WHERE instance = ? AND server = ? AND folded_queue = ?
    AND phone IN (SELECT value FROM json_each(?))"""

# the few servers are found by jumping from one to the next, and each line by its key: the ledger is never read whole
_FORGET_PAUSES = """WITH RECURSIVE servers(server) AS (
    SELECT min(server) FROM claims WHERE instance = ?1
    UNION ALL
    SELECT (SELECT min(server) FROM claims WHERE instance = ?1 AND server > servers.server)
    FROM servers WHERE servers.server IS NOT NULL)
UPDATE claims SET paused = NULL
WHERE instance = ?1 AND server IN (SELECT server FROM servers) AND folded_queue = ?2 AND phone = ?3"""

_NEWEST = """SELECT (SELECT max(number) FROM batches), (SELECT max(revision) FROM journal),
    (SELECT at FROM batches ORDER BY number DESC LIMIT 1)"""

_FULL = sqlite3.SQLITE_FULL
_CONSTRAINT = sqlite3.SQLITE_CONSTRAINT


def translated(error: BaseException) -> errors.StoreError | None:
    """The StoreError for a driver's (or SQLAlchemy's) error; None where `error` is something else."""
    if isinstance(error, exc.DBAPIError) and error.orig is not None:
        error = error.orig
    if not isinstance(error, sqlite3.Error):
        return None
    primary = getattr(error, "sqlite_errorcode", 0) & 0xFF
    if primary == _FULL:
        return errors.StoreFull(detail=str(error))
    if primary == _CONSTRAINT:
        return errors.StoreError(detail=str(error))
    return errors.StoreUnavailable(detail=str(error))


@contextmanager
def translating() -> Iterator[None]:
    """Raise StoreError where the block raises an error of the database."""
    try:
        yield
    except (sqlite3.Error, exc.DBAPIError) as error:
        raise translated(error) or error from error


def engine(path: str) -> Engine:
    """For connections to the file at `path`, without a pool. Transactions are begun and ended by hand."""
    return create_engine(
        URL.create("sqlite", database=path),
        poolclass=NullPool,
        hide_parameters=True,  # its errors would show them: digests of passwords
        isolation_level="AUTOCOMMIT",
        connect_args={
            "isolation_level": None,
            "check_same_thread": False,  # each is used by one thread at a time, but closed from another
            "timeout": BUSY_SECONDS,
            "cached_statements": 256,
        },
    )


class SqliteConnection(Connection):
    """To a SQLite file."""

    def __init__(self, engine: Engine, place: Place, *, writable: bool) -> None:
        self._engine = engine
        self._place = place
        place.opening()
        self.core = engine.connect()
        driver = self.core.connection.driver_connection
        assert isinstance(driver, sqlite3.Connection)
        self._driver = driver
        driver.execute(f"PRAGMA cache_size = -{CACHE_KIB}")
        driver.execute("PRAGMA synchronous = FULL")  # an answer means durable
        driver.execute("PRAGMA temp_store = MEMORY")
        driver.execute("PRAGMA wal_autocheckpoint = 0")  # see `tidy`
        self._tidied = 0
        if not writable:
            driver.execute("PRAGMA query_only = ON")
        _contents(driver)  # opens all files
        try:
            place.opened()
        except errors.StoreUnavailable:
            self.close()
            raise

    def translated(self, error: BaseException) -> errors.StoreError | None:
        return translated(error)

    def close(self) -> None:
        self.core.close()

    @property
    def in_transaction(self) -> bool:
        """False also where SQLite itself rolled back, as it may when the disk fails."""
        return self._driver.in_transaction

    def begin(self) -> None:
        """A transaction that may write: waits for other processes now, so that no later statement has to."""
        foreign = self._place.look()
        self._driver.execute("BEGIN IMMEDIATE")
        if foreign:
            self._place.compare(lambda: _contents(self._driver), self._contents_anew)

    def begin_reading(self) -> None:
        self._place.refuse()
        self._driver.execute("BEGIN")

    def commit(self) -> None:
        self._driver.execute("COMMIT")

    def tidy(self) -> None:
        """Copy the log into the file: by itself SQLite would do so within a commit that somebody waits for."""
        changes = self._driver.total_changes
        if changes - self._tidied >= TIDY_AFTER:
            self._tidied = changes
            # on a full disk the log stays as it is, and the next try comes
            with suppress(sqlite3.Error, OSError), self._place.writing():
                self._driver.execute("PRAGMA wal_checkpoint(PASSIVE)")

    def _contents_anew(self) -> object:
        """As a new connection has it."""
        try:
            with self._engine.connect() as core:
                driver = core.connection.driver_connection
                assert isinstance(driver, sqlite3.Connection)
                return _contents(driver)
        except (sqlite3.Error, exc.DBAPIError):  # what is there is no database any more
            return None

    def rollback(self) -> None:
        """Undo the transaction, if there is still one."""
        if self._driver.in_transaction:
            self._driver.execute("ROLLBACK")

    def check_transaction(self) -> None:
        """Raise StoreUnavailable where the transaction is lost: what is written now would be stored by itself."""
        if not self._driver.in_transaction:
            raise errors.StoreUnavailable(detail="the transaction was lost")

    def save(self, point: str) -> None:
        """Set a savepoint within the transaction."""
        self.check_transaction()
        self._driver.execute(f"SAVEPOINT {point}")

    def release(self, point: str) -> None:
        self._driver.execute(f"RELEASE {point}")

    def undo(self, point: str) -> None:
        """Undo and end the savepoint."""
        self._driver.execute(f"ROLLBACK TO {point}")
        self._driver.execute(f"RELEASE {point}")

    def data_version(self) -> int:
        """Another number than before where another connection has committed in between."""
        return int(self._driver.execute("PRAGMA data_version").fetchone()[0])

    def newest(self) -> tuple[int, int, int]:
        row = self._driver.execute(_NEWEST)
        number, revision, at = row.fetchone()
        return number or 0, revision or 0, at or 0

    def members_like(self, rows: Sequence[LikeRow]) -> list[MemberRow]:
        """The members that share agent or phone with one of `rows`; one may come twice."""
        return self._members(_LIKE, _encoded(rows))

    def first_members(self, most: Mapping[int, int]) -> list[MemberRow]:
        return [row for campaign_and_most in most.items() for row in self._members(_FIRST, *campaign_and_most)]

    def members(self, campaigns: Iterable[int]) -> list[MemberRow]:
        """All members of these campaigns, by campaign id and then by membername in the order of its code points."""
        return self._members(_OF, _encoded(list(campaigns)))

    def members_after(self, campaigns: Collection[int], revision: int) -> list[MemberRow]:
        return self._members(_AFTER, _encoded(list(campaigns)), revision)

    def undone(self, campaigns: Collection[int], revision: int) -> list[UndoneRow]:
        found = self._driver.execute(_UNDONE, (_encoded(list(campaigns)), revision))
        return _undone_rows.decode(found.fetchone()[0])

    def _members(self, statement: str, *values: object) -> list[MemberRow]:
        return _member_rows.decode(self._driver.execute(statement, values).fetchone()[0])

    def vacate(self, campaign: int, membernames: Sequence[str]) -> None:
        """Remove these members. Raises StoreError unless each of them was there."""
        cursor = self._driver.execute(_VACATE, (campaign, _encoded(membernames)))
        _check_found(cursor.rowcount, len(membernames))

    def update(self, rows: Sequence[MemberRow]) -> None:
        """Change members whose phone stays. Raises StoreError unless each of them was there."""
        cursor = self._driver.execute(_UPDATE, (_encoded(rows),))
        _check_found(cursor.rowcount, len(rows))

    def place(self, rows: Sequence[PlacedRow]) -> None:
        """Add members. Raises sqlite3.IntegrityError where one of them, or its phone, is there."""
        _PLACE.run(self._driver, rows)

    def add_batches(self, rows: Sequence[Sequence[object]]) -> None:
        _BATCHES.run(self._driver, rows)

    def add_journal(self, rows: Sequence[Sequence[object]]) -> None:
        """Values missing at the end of a row are NULL."""
        _JOURNAL.run(self._driver, rows)

    def add_new(self, slices: Iterable[Sequence[Sequence[object]]], after: int) -> None:
        for lines in slices:
            _JOURNAL.run(self._driver, lines)
        self._driver.execute(_PLACE_NEW, (after,))

    def claims(
        self, instance: str, server: str, queues: Collection[str] | None, phones: Collection[str] | None
    ) -> list[ClaimRow]:
        """By folded queue and phone; `queues` and `phones` folded, None: all."""
        values: list[object] = [instance, server]
        conditions = ""
        for wanted, condition in ((queues, _OF_QUEUES), (phones, _OF_PHONES)):
            if wanted is not None:
                conditions += condition
                values.append(_encoded(list(wanted)))
        return _claim_rows.decode(self._driver.execute(_CLAIMS.format(conditions), values).fetchone()[0])

    def claim(self, rows: Sequence[Sequence[object]]) -> None:
        _CLAIM.run(self._driver, rows)

    def disclaim(self, instance: str, server: str, queue: str, phones: Sequence[str]) -> None:
        """`queue` and `phones` folded."""
        self._driver.execute(_DISCLAIM, (instance, server, queue, _encoded(phones)))

    def forget_pauses(self, rows: Sequence[tuple[str, str, str]]) -> None:
        """`rows`: instance, folded queue, folded interface."""
        self._driver.executemany(_FORGET_PAUSES, rows)


def _contents(driver: sqlite3.Connection) -> object:
    """What tells one store, at one time, from another."""
    key = driver.execute("SELECT value FROM keys WHERE name = 'token'").fetchone()
    return key, driver.execute(_NEWEST).fetchone()


def _check_found(found: int, wanted: int) -> None:
    if found != wanted:
        raise errors.StoreError(detail=f"{wanted - found} of {wanted} members to change are not there")


def _encoded(rows: Any) -> str:
    return _json.encode(rows).decode()
