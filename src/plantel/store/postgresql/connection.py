"""What is particular to PostgreSQL: connections, the words for its errors, and the statements on the hot paths.

The hot statements take a whole set of rows as one array for each column; a large set goes by COPY. Statements that
return nothing are put off, and sent together with the next that does, so that a group of units costs a server on
another machine four round trips: begin, look up, write, commit. They go as one text with the values in it: to take an
add apart into parameters, plans and pipelines costs both sides more than to write and to read it.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from contextlib import suppress
from typing import Any, NamedTuple

import msgspec
import psycopg
import sqlalchemy
from psycopg.pq import TransactionStatus
from psycopg.types.string import StrDumper
from sqlalchemy import exc

from plantel import errors
from plantel.store.connection import (
    PATIENT_SECONDS,
    ClaimRow,
    Connection,
    LikeRow,
    MemberRow,
    PlacedRow,
    UndoneRow,
)

COPY_FROM = 500
"""From so many rows on they go by COPY, which costs two round trips more but nothing to parse."""

PAUSE_SECONDS = 5
"""How long a writer may be silent within a transaction: one that is stopped, or cut off, would keep all others out."""

LOCK_SECONDS = 7
"""How long to wait while another node writes: longer than one that is silent there can keep it."""

STATEMENT_SECONDS = 60
"""Nobody waits any longer for what a statement gives (`store.ANSWER_SECONDS`)."""

WRITE_LOCK = int.from_bytes(b"plantel0")
"""The advisory lock of whoever writes: numbers in the batches and the journal follow the order of commits."""

# The server has no deadline for a node that falls silent in the middle of a message, or of a COPY: to the server, that
# session is at work. Whoever waits in vain for the lock ends it. A copy into a database
# that is served meanwhile may be taken for one: it fails then, as a whole.
_END_SILENT = f"""SELECT pg_terminate_backend(pid) FROM pg_locks JOIN pg_stat_activity AS session USING (pid)
    WHERE locktype = 'advisory' AND classid::bigint = {WRITE_LOCK >> 32} AND objid::bigint = {WRITE_LOCK & 0xFFFFFFFF}
    AND objsubid = 1 AND granted AND session.datname = current_database() AND session.wait_event = 'ClientRead'
    AND session.xact_start < clock_timestamp() - interval '{PAUSE_SECONDS} s'"""  # noqa: S608 - only constants

_COMMON = {
    "statement_timeout": f"{STATEMENT_SECONDS}s",
    "lock_timeout": f"{LOCK_SECONDS}s",
    "client_connection_check_interval": "2s",
    # a node whose machine or network is gone is noticed by the server as well
    "tcp_keepalives_idle": "4",
    "tcp_keepalives_interval": "2",
    "tcp_keepalives_count": "3",
    # what is asked here is quick: to compile it takes longer
    "jit": "off",
    # a plan made while a table was empty takes any index for as good as any other, and would be kept while it grows
    "plan_cache_mode": "force_custom_plan",
    # the values are quoted on this side
    "standard_conforming_strings": "on",
}
_WRITER = _COMMON | {
    "idle_in_transaction_session_timeout": f"{PAUSE_SECONDS}s",
    # members are found by key, also before there are statistics
    "enable_seqscan": "off",
    "enable_hashjoin": "off",
    "enable_mergejoin": "off",
}
# also over what an administrator has set for the role or the database
_PATIENT = dict.fromkeys(("statement_timeout", "idle_in_transaction_session_timeout"), f"{PATIENT_SECONDS}s")

# OFFSET 0 keeps each look-up one of its own, by key
_LIKE = """SELECT m.campaign, m.membername, m.interface, m.penalty, m.paused
    FROM unnest(%s::int[], %s::text[], %s::text[]) AS item(campaign, membername, phone) CROSS JOIN LATERAL (
    SELECT * FROM members AS one WHERE one.campaign = item.campaign AND one.membername = item.membername
    UNION ALL
    SELECT * FROM members AS one WHERE one.campaign = item.campaign AND one.phone = item.phone
    AND one.membername <> item.membername OFFSET 0) AS m"""

_FIRST = """SELECT m.campaign, m.membername, m.interface, m.penalty, m.paused
    FROM unnest(%s::int[], %s::int[]) AS item(campaign, most) CROSS JOIN LATERAL (
    SELECT * FROM members AS one WHERE one.campaign = item.campaign LIMIT item.most) AS m"""

_OF = """SELECT campaign, membername, interface, penalty, paused FROM members WHERE campaign = ANY(%s::int[])
    ORDER BY campaign, membername"""

# from member to member, and for each to the newest line at that revision: two jumps in the index, however long it is
_AFTER = """WITH RECURSIVE walk(campaign, membername) AS (
    SELECT id, (SELECT min(membername) FROM journal WHERE campaign = id) FROM unnest(%s::int[]) AS id
    UNION ALL
    SELECT campaign, (SELECT min(one.membername) FROM journal AS one
        WHERE one.campaign = walk.campaign AND one.membername > walk.membername)
    FROM walk WHERE membername IS NOT NULL)
SELECT j.campaign, j.membername, j.after_interface, j.after_penalty, j.after_paused
FROM walk CROSS JOIN LATERAL (SELECT * FROM journal AS one
    WHERE one.campaign = walk.campaign AND one.membername = walk.membername AND one.revision <= %s
    ORDER BY one.campaign, one.membername, one.revision DESC LIMIT 1) AS j
WHERE walk.membername IS NOT NULL AND j.after_interface IS NOT NULL"""

# OFFSET 0 has the lines found by their numbers
_UNDONE = """SELECT DISTINCT ON (campaign, membername)
    campaign, membername, before_interface, before_penalty, before_paused FROM (
    SELECT * FROM journal WHERE revision > %s ORDER BY revision OFFSET 0) AS line
    WHERE campaign = ANY(%s::int[]) ORDER BY campaign, membername, revision"""

_CLAIMS = """SELECT queue, interface, added, paused, penalty, reason, membername
    FROM claims WHERE instance = %s AND server = %s"""
_OF_QUEUES = " AND folded_queue = ANY(%s)"
_OF_PHONES = " AND phone = ANY(%s)"
_IN_ORDER = " ORDER BY folded_queue, phone"

_UPDATE = """UPDATE members AS m
    SET interface = item.interface, penalty = item.penalty, paused = item.paused
    FROM unnest(%s::int[], %s::text[], %s::text[], %s::int[], %s::bool[])
    AS item(campaign, membername, interface, penalty, paused)
    WHERE m.campaign = item.campaign AND m.membername = item.membername"""

_VACATE = "DELETE FROM members WHERE campaign = %s AND membername = ANY(%s::text[])"

_DISCLAIM = "DELETE FROM claims WHERE instance = %s AND server = %s AND folded_queue = %s AND phone = ANY(%s)"

# the few servers are found by jumping from one to the next, and each line by its key: the ledger is never read whole
_FORGET_PAUSES = """WITH RECURSIVE item(instance, queue, phone) AS (
    SELECT * FROM unnest(%s::text[], %s::text[], %s::text[])),
servers(instance, server) AS (
    SELECT one.instance, (SELECT min(server) FROM claims WHERE instance = one.instance)
    FROM (SELECT DISTINCT instance FROM item) AS one
    UNION ALL
    SELECT instance, (SELECT min(server) FROM claims
        WHERE instance = servers.instance AND claims.server > servers.server)
    FROM servers WHERE server IS NOT NULL)
UPDATE claims SET paused = NULL FROM item JOIN servers USING (instance)
WHERE claims.instance = item.instance AND claims.server = servers.server AND claims.folded_queue = item.queue
AND claims.phone = item.phone AND claims.paused IS NOT NULL"""

# counted only where something was written, and without a limit: one that is reached while standbys are waited for ends
# the wait, and the commit with it, as if all were well
_CLOSE = """SELECT set_config('statement_timeout', '0', true),
    CASE WHEN pg_current_xact_id_if_assigned() IS NOT NULL THEN nextval('commits') END"""

CHANNEL = "plantel"
"""On which a node tells the others of commits with journal lines."""

_TELL = f"SELECT pg_notify('{CHANNEL}', %s)"

_COMMITS = "SELECT last_value + is_called::int FROM commits"


class _Table(NamedTuple):
    """How rows get into a table: by an INSERT that takes an array for each column, or by COPY."""

    insert: str
    copy: str


def _table(name: str, columns: str, types: str, then: str = "", *, first: int | None = None) -> _Table:
    """`first`: how many of the columns; None: all."""
    names = ", ".join(columns.split()[:first])
    arrays = ", ".join(f"%s::{kind}[]" for kind in types.split()[:first])
    return _Table(
        f"INSERT INTO {name} ({names}) SELECT * FROM unnest({arrays}) {then}",  # noqa: S608 - only the constants below
        f"COPY {name} ({names}) FROM STDIN (FORMAT csv, ESCAPE '\\', NULL 'null')",
    )


_MEMBERS = _table("members", "campaign membername phone interface penalty paused", "int text text text int bool")
_BATCHES = _table(
    "batches",
    "number id instance actor source at items problems revision changes",
    "bigint text text text text bigint int text bigint int",
)
_LINE = (
    "revision batch campaign membername kind after_interface after_penalty after_paused"
    " before_interface before_penalty before_paused reason"
)
_LINE_TYPES = "bigint bigint int text text text int bool text int bool text"
# hardly any line has a reason, and those of agents who are new have no past: what is not there is not sent
_NEW, _PAST, _REASON = 8, 11, 12
_JOURNAL = {width: _table("journal", _LINE, _LINE_TYPES, first=width) for width in (_NEW, _PAST, _REASON)}
_PLACE_NEW = """INSERT INTO members (campaign, membername, phone, interface, penalty, paused)
    SELECT campaign, membername, lower(after_interface), after_interface, after_penalty, after_paused
    FROM journal WHERE revision > %s"""
_CLAIM = _table(
    "claims",
    "instance server folded_queue phone queue interface added paused penalty reason membername",
    "text text text text text text bool bool int text text",
    "ON CONFLICT (instance, server, folded_queue, phone) DO UPDATE SET queue = excluded.queue,"
    " interface = excluded.interface, added = excluded.added, paused = excluded.paused, penalty = excluded.penalty,"
    " reason = excluded.reason, membername = excluded.membername",
)

_json = msgspec.json.Encoder()


class _Statement(NamedTuple):
    text: str
    values: Sequence[object] = ()
    found: int | None = None
    """How many rows it has to change."""


def translated(error: BaseException) -> errors.StoreError | None:
    """The StoreError for a driver's (or SQLAlchemy's) error; None where `error` is something else."""
    if isinstance(error, exc.DBAPIError) and error.orig is not None:
        error = error.orig
    if not isinstance(error, psycopg.Error):
        return None
    detail = "; ".join(line.strip() for line in str(error).splitlines() if line.strip())
    if isinstance(error, psycopg.errors.DiskFull):
        return errors.StoreFull(detail=detail)
    if isinstance(error, psycopg.IntegrityError | psycopg.DataError):
        return errors.StoreError(detail=detail)
    return errors.StoreUnavailable(detail=detail)


class Text(StrDumper):
    """PostgreSQL's text cannot hold NUL, and no name here has one: whoever looks for such a name finds nothing."""

    def dump(self, obj: str) -> Any:
        return super().dump(obj.replace("\0", "\N{REPLACEMENT CHARACTER}") if "\0" in obj else obj)


class PostgresqlConnection(Connection):
    """To a PostgreSQL server."""

    def __init__(self, engine: sqlalchemy.Engine, *, writable: bool, node: str, patient: bool = False) -> None:
        """`patient`: as `Database.connect`. `node`: how it signs what it tells other nodes."""
        self._engine = engine
        self._node = node
        self._telling = False
        self._settings = (_WRITER if writable else _COMMON) | (_PATIENT if patient else {})
        self._made = 0
        self._pending: list[_Statement] = []
        self._warning = ""
        self._version = self._own = 0
        self._connect()
        if writable:
            ((self._version,),) = self._run([_Statement(_COMMITS)])

    @property
    def core(self) -> sqlalchemy.Connection:  # type: ignore[override]  # nobody sets it
        """What was put off goes before."""
        self._flush()
        return self._core

    def translated(self, error: BaseException) -> errors.StoreError | None:
        return translated(error)

    def close(self) -> None:
        with suppress(psycopg.Error, exc.SQLAlchemyError):  # a connection that is lost is closed already
            self._core.close()

    def _connect(self) -> None:
        core = self._engine.connect()
        driver = core.connection.driver_connection
        assert isinstance(driver, psycopg.Connection)
        wanted = ", ".join(["set_config(%s, %s, false)"] * len(self._settings))
        driver.execute(
            f"SELECT {wanted}",
            [part for setting in self._settings.items() for part in setting],
        )
        driver.add_notice_handler(self._noticed)
        self._core, self._driver = core, driver
        self._made += 1
        self._own = 0

    def _connected(self, statements: Sequence[_Statement]) -> list[Any]:
        """Run these, which begin a transaction; over a new connection where the server has ended this one."""
        self._pending.clear()
        try:
            if not self._driver.closed:
                return self._run(statements)
        except psycopg.OperationalError:
            if not self._driver.closed:
                raise
        self.close()
        self._connect()
        return self._run(statements)

    # --- the transaction ---------------------------------------------------------------------------------------------

    @property
    def in_transaction(self) -> bool:
        """Also where a statement has failed in it: it can go on from a savepoint."""
        return self._driver.info.transaction_status in (TransactionStatus.INTRANS, TransactionStatus.INERROR)

    def begin(self) -> None:
        try:
            self._begin()
        except psycopg.errors.LockNotAvailable:
            self.rollback()
            self._run([_Statement(_END_SILENT)])
            self._begin()

    def _begin(self) -> None:
        lock = _Statement(f"SELECT pg_advisory_xact_lock({WRITE_LOCK})")
        self._telling = False
        # the lock has to be had before the next statement takes its look at the database
        ((self._version,),) = self._connected([_Statement("BEGIN"), lock, _Statement(_COMMITS)])

    def begin_reading(self) -> None:
        self._connected([_Statement("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")])

    def commit(self) -> None:
        self._warning = ""
        if self._telling:
            self._pending.append(_Statement(_TELL, (self._node,)))
        ((_, number),) = self._run([*self._taken(), _Statement(_CLOSE), _Statement("COMMIT")])
        if self._warning:
            # a wait for standbys was cut short: what is stored here alone may be lost with this server
            raise errors.StoreUnavailable(detail=self._warning)
        if number is not None:
            self._own += 1

    def rollback(self) -> None:
        self._pending.clear()
        if self._driver.info.transaction_status is not TransactionStatus.IDLE and not self._driver.closed:
            self._driver.execute("ROLLBACK")

    def check_transaction(self) -> None:
        if self._driver.info.transaction_status is not TransactionStatus.INTRANS:
            raise errors.StoreUnavailable(detail="the transaction was lost")

    def save(self, point: str) -> None:
        self.check_transaction()
        self._pending.append(_Statement(f"SAVEPOINT {point}"))

    def release(self, point: str) -> None:
        # by itself, for whoever finds too few rows changed has to come back to the savepoint
        self._flush()
        self._pending.append(_Statement(f"RELEASE {point}"))

    def undo(self, point: str) -> None:
        for place in range(len(self._pending) - 1, -1, -1):
            if self._pending[place].text == f"SAVEPOINT {point}":  # not even the savepoint was sent
                del self._pending[place:]
                return
        self._pending.clear()
        self._run([_Statement(f"ROLLBACK TO {point}"), _Statement(f"RELEASE {point}")])

    def data_version(self) -> int:
        # nobody knows what was lost with a connection, or what another server has
        return (self._made << 64) + self._version - self._own

    def newest(self) -> tuple[int, int, int]:
        ((number, revision, at),) = self._rows(
            "SELECT (SELECT max(number) FROM batches), (SELECT max(revision) FROM journal),"
            " (SELECT at FROM batches ORDER BY number DESC LIMIT 1)"
        )
        return number or 0, revision or 0, at or 0

    # --- members and the journal -------------------------------------------------------------------------------------

    def members_like(self, rows: Sequence[LikeRow]) -> list[MemberRow]:
        return self._rows(_LIKE, _columns(rows))

    def first_members(self, most: Mapping[int, int]) -> list[MemberRow]:
        return self._rows(_FIRST, _columns(most.items())) if most else []

    def members(self, campaigns: Iterable[int]) -> list[MemberRow]:
        return self._rows(_OF, (_array(list(campaigns)),))

    def members_after(self, campaigns: Collection[int], revision: int) -> list[MemberRow]:
        return self._rows(_AFTER, (_array(list(campaigns)), revision))

    def undone(self, campaigns: Collection[int], revision: int) -> list[UndoneRow]:
        return self._rows(_UNDONE, (revision, _array(list(campaigns))))

    def vacate(self, campaign: int, membernames: Sequence[str]) -> None:
        self._pending.append(_Statement(_VACATE, (campaign, _array(membernames)), len(membernames)))

    def update(self, rows: Sequence[MemberRow]) -> None:
        self._pending.append(_Statement(_UPDATE, _columns(rows), len(rows)))

    def place(self, rows: Sequence[PlacedRow]) -> None:
        self._insert(_MEMBERS, rows)

    def add_batches(self, rows: Sequence[Sequence[Any]]) -> None:
        number, batch, instance, actor, source, at, items, problems, revision, changes = zip(*rows, strict=True)
        values = (
            _array(number),
            *map(_any_texts, (batch, instance, actor, source)),
            *map(_array, (at, items)),
            _any_texts(problems),
            *map(_array, (revision, changes)),
        )
        self._pending.append(_Statement(_BATCHES.insert, values))

    def add_journal(self, rows: Sequence[Sequence[Any]]) -> None:
        self._telling = True
        longest = max(map(len, rows), default=0)
        width = next(width for width in _JOURNAL if width >= longest)
        none = (None,) * width
        whole = [row if len(row) == width else (*row, *none[len(row) :]) for row in rows]
        if width == _REASON:
            self._pending.append(_Statement(_JOURNAL[width].insert, _columns_and_text(whole)))
        else:
            self._insert(_JOURNAL[width], whole)

    def add_new(self, slices: Iterable[Sequence[Sequence[Any]]], after: int) -> None:
        self._telling = True
        self._copy(_JOURNAL[_NEW], slices)
        self._pending.append(_Statement(_PLACE_NEW, (after,)))

    def _insert(self, table: _Table, rows: Sequence[Sequence[Any]]) -> None:
        """The texts are all names, or words of ours."""
        if len(rows) < COPY_FROM:
            self._pending.append(_Statement(table.insert, _columns(rows)))
        else:
            self._copy(table, [rows])

    def _copy(self, table: _Table, slices: Iterable[Sequence[Sequence[Any]]]) -> None:
        self._flush()
        with self._driver.cursor() as cursor, cursor.copy(table.copy) as copy:
            for rows in slices:
                copy.write(_csv(rows))

    # --- the ledger --------------------------------------------------------------------------------------------------

    def claims(
        self, instance: str, server: str, queues: Collection[str] | None, phones: Collection[str] | None
    ) -> list[ClaimRow]:
        text = _CLAIMS
        values: list[object] = [instance, server]
        for wanted, condition in ((queues, _OF_QUEUES), (phones, _OF_PHONES)):
            if wanted is not None:
                text += condition
                values.append(list(wanted))
        return self._rows(text + _IN_ORDER, values)

    def claim(self, rows: Sequence[Sequence[Any]]) -> None:
        # one statement may not change a row twice
        last = {tuple(row[:4]): row for row in rows}
        if last:
            self._pending.append(_Statement(_CLAIM.insert, _columns(last.values())))

    def disclaim(self, instance: str, server: str, queue: str, phones: Sequence[str]) -> None:
        self._pending.append(_Statement(_DISCLAIM, (instance, server, queue, list(phones))))

    def forget_pauses(self, rows: Sequence[tuple[str, str, str]]) -> None:
        if rows:
            self._pending.append(_Statement(_FORGET_PAUSES, _columns(rows)))

    # --- statements --------------------------------------------------------------------------------------------------

    def _rows(self, text: str, values: Sequence[object] = ()) -> list[Any]:
        return self._run([*self._taken(), _Statement(text, values)])

    def _flush(self) -> None:
        if self._pending:
            self._run(self._taken())

    def _taken(self) -> list[_Statement]:
        pending, self._pending = self._pending, []
        return pending

    def _run(self, statements: Sequence[_Statement]) -> list[Any]:
        """Run these, in one round trip; the rows of the last that gives any. Raises StoreError where one finds too few.

        After one that fails, none is run.
        """
        cursor = psycopg.ClientCursor(self._driver)
        cursor.execute(
            ";".join([statement.text for statement in statements]),
            [value for statement in statements for value in statement.values],
        )
        rows: list[Any] = []
        for statement in statements:
            if statement.found is not None and statement.found != cursor.rowcount:
                missing = statement.found - cursor.rowcount
                raise errors.StoreError(detail=f"{missing} of {statement.found} members to change are not there")
            if cursor.description is not None:
                rows = cursor.fetchall()
            cursor.nextset()
        return rows

    def _noticed(self, diagnostic: psycopg.errors.Diagnostic) -> None:
        if diagnostic.severity_nonlocalized == "WARNING":
            self._warning = f"{diagnostic.message_primary}: {diagnostic.message_detail}"


def _columns(rows: Iterable[Sequence[Any]]) -> list[str]:
    """An array of each column. At least one row."""
    return [_array(column) for column in zip(*rows, strict=True)]


def _columns_and_text(rows: Iterable[Sequence[Any]]) -> list[str]:
    """The same, where the last column may hold anything."""
    *names, texts = zip(*rows, strict=True)
    return [*map(_array, names), _any_texts(texts)]


def _array(values: Sequence[Any]) -> str:
    """PostgreSQL's literal for an array of numbers, booleans, NULLs, or names without control characters.

    It is JSON in other brackets: the two differ only in how they write control characters.
    """
    return f"{{{_json.encode(values)[1:-1].decode()}}}"


def _csv(rows: Sequence[Sequence[Any]]) -> bytes:
    """The same values as lines of CSV that escape as JSON does, which has no line break but those between the rows."""
    return _json.encode_lines(rows).replace(b"]\n[", b"\n")[1:-2] + b"\n"


def _any_texts(values: Iterable[str | None]) -> str:
    """The same for texts that may hold anything (but NUL, see `Text`)."""
    return "{" + ",".join("NULL" if value is None else _quoted(value) for value in values) + "}"


def _quoted(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'
