"""What is particular to MariaDB: its connections, the words for its errors, and the statements on the hot paths.

The hot statements take and give whole sets of rows as one JSON text, as those of SQLite do and for the same reason:
PyMySQL is pure Python, and row by row it would hold the interpreter lock ten times as long. Statements that return
nothing wait until an answer is needed, and then go in one packet: a group of adds takes four round trips.
"""

import functools
import re
import socket
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from typing import Any

import msgspec
import pymysql
import sqlalchemy
from pymysql.constants import ER, SERVER_STATUS
from sqlalchemy import event, exc

from plantel import errors
from plantel.roster import fold
from plantel.store import schema
from plantel.store.connection import (
    PATIENT_SECONDS,
    ClaimRow,
    Connection,
    LikeRow,
    MemberRow,
    PlacedRow,
    UndoneRow,
)

_ROW_BYTES = 512
"""More than a member or a ledger line takes as JSON."""

_SEND_BYTES = 2**16
"""So much is put off at most: on its way it is in memory several times."""

_CAMPAIGNS = 100
"""So many campaigns are asked for their first members in one round trip."""

_claim_rows = msgspec.json.Decoder(list[ClaimRow])
_member_rows = msgspec.json.Decoder(list[MemberRow])
_json = msgspec.json.Encoder()

_TEXTS = {
    column.name
    for table in schema.metadata.tables.values()
    for column in table.columns
    if isinstance(column.type, sqlalchemy.String)
}


def _type(column: str) -> str:
    """Wider than any column of that name: JSON_TABLE cuts what is too long without a word, an INSERT does not."""
    if column not in _TEXTS:
        return "BIGINT"
    return f"{'LONGTEXT' if column == 'problems' else 'VARCHAR(256)'} CHARACTER SET utf8mb4 COLLATE utf8mb4_nopad_bin"


def _items(columns: str) -> str:
    """A table `item` with these columns, made of one JSON text: an array of arrays."""
    places = ", ".join(f"`{name}` {_type(name)} PATH '$[{place}]'" for place, name in enumerate(columns.split()))
    return f"JSON_TABLE(%(rows)s, '$[*]' COLUMNS ({places})) AS item"


def _statement(text: str) -> bytes:
    """`text` with ITEMS(columns) and MEMBER spelled out."""
    text = re.sub(r"ITEMS\(([\w ]+)\)", lambda found: _items(found[1]), text)
    text = text.replace("MEMBER", "JSON_ARRAY(m.campaign, m.membername, m.interface, m.penalty, m.paused)")
    return " ".join(text.split()).encode()


def _insertion(table: str, columns: str, then: str = "") -> bytes:
    names = ", ".join(f"`{name}`" for name in columns.split())
    return _statement(f"INSERT INTO {table} ({names}) SELECT {names} FROM ITEMS({columns}) {then}")  # noqa: S608 - only the constants below


_LIKE = _statement("""SELECT JSON_ARRAYAGG(MEMBER) FROM ITEMS(campaign membername phone)
    STRAIGHT_JOIN members AS m FORCE INDEX (PRIMARY) ON m.campaign = item.campaign AND m.membername = item.membername
    UNION ALL SELECT JSON_ARRAYAGG(MEMBER) FROM ITEMS(campaign membername phone)
    STRAIGHT_JOIN members AS m FORCE INDEX (members_campaign_key) ON m.campaign = item.campaign
    AND m.phone = item.phone AND m.membername <> item.membername""")

_FIRST = _statement("""SELECT JSON_ARRAYAGG(MEMBER) FROM (SELECT * FROM members
    WHERE campaign = %(campaign)d LIMIT %(most)d) AS m""")

_OF = _statement("""SELECT JSON_ARRAYAGG(MEMBER ORDER BY m.campaign, m.membername) FROM (
    SELECT * FROM members FORCE INDEX (PRIMARY)
    WHERE campaign IN (%(campaigns)s) OR campaign = %(campaign)d AND membername > %(membername)s
    ORDER BY campaign, membername LIMIT %(most)d) AS m""")

# from member to member in the index (a loose scan), however many lines each has
_AFTER = _statement("""SELECT j.campaign, j.membername, j.after_interface, j.after_penalty, j.after_paused FROM (
    SELECT campaign, membername, MAX(revision) AS revision FROM journal FORCE INDEX FOR GROUP BY (journal_member)
    WHERE campaign IN (%(campaigns)s) AND revision <= %(revision)d GROUP BY campaign, membername) AS newest
    STRAIGHT_JOIN journal AS j FORCE INDEX (PRIMARY) ON j.revision = newest.revision
    WHERE j.after_interface IS NOT NULL""")

_UNDONE = _statement("""SELECT j.campaign, j.membername, j.before_interface, j.before_penalty, j.before_paused FROM (
    SELECT MIN(revision) AS revision FROM journal FORCE INDEX (PRIMARY)
    WHERE campaign IN (%(campaigns)s) AND revision > %(revision)d GROUP BY campaign, membername) AS oldest
    STRAIGHT_JOIN journal AS j FORCE INDEX (PRIMARY) ON j.revision = oldest.revision""")

_CLAIMS = _statement("""SELECT JSON_ARRAYAGG(JSON_ARRAY(c.queue, c.interface, c.added, c.paused, c.penalty,
    c.reason, c.membername) ORDER BY c.folded_queue, c.phone) FROM (
    SELECT * FROM claims FORCE INDEX (PRIMARY) WHERE instance = %(instance)s AND server = %(server)s%(more)s
    AND (folded_queue > %(queue)s OR folded_queue = %(queue)s AND phone > %(phone)s)
    ORDER BY folded_queue, phone LIMIT %(most)d) AS c""")

_UPDATE = _statement("""UPDATE ITEMS(campaign membername interface penalty paused)
    STRAIGHT_JOIN members AS m FORCE INDEX (PRIMARY) ON m.campaign = item.campaign AND m.membername = item.membername
    SET m.interface = item.interface, m.penalty = item.penalty, m.paused = item.paused""")

_VACATE = _statement("""DELETE m FROM ITEMS(membername) STRAIGHT_JOIN members AS m FORCE INDEX (PRIMARY)
    ON m.campaign = %(campaign)d AND m.membername = item.membername""")

_PLACE = _insertion("members", "campaign membername phone interface penalty paused")
_PLACE_NEW = _statement("""INSERT INTO members (campaign, membername, phone, interface, penalty, paused)
    SELECT campaign, membername, LOWER(after_interface), after_interface, after_penalty, after_paused
    FROM journal FORCE INDEX (PRIMARY) WHERE revision > %(revision)d""")
_BATCHES = _insertion("batches", "number id instance actor source at items problems revision changes")
_CLAIM = _insertion(
    "claims",
    "instance server folded_queue phone queue interface added paused penalty reason membername",
    "ON DUPLICATE KEY UPDATE queue = VALUES(queue), interface = VALUES(interface), added = VALUES(added),"
    " paused = VALUES(paused), penalty = VALUES(penalty), reason = VALUES(reason),"
    " membername = VALUES(membername)",
)
_DISCLAIM = _statement("""DELETE c FROM ITEMS(phone) STRAIGHT_JOIN claims AS c FORCE INDEX (PRIMARY)
    ON c.instance = %(instance)s AND c.server = %(server)s AND c.folded_queue = %(queue)s AND c.phone = item.phone""")

# the few servers are found by jumping from one to the next, and each line by its key: the ledger is never read whole
_FORGET_PAUSES = _statement("""UPDATE ITEMS(instance folded_queue phone)
    STRAIGHT_JOIN (SELECT instance, server FROM claims GROUP BY instance, server) AS s ON s.instance = item.instance
    STRAIGHT_JOIN claims AS c FORCE INDEX (PRIMARY) ON c.instance = s.instance AND c.server = s.server
    AND c.folded_queue = item.folded_queue AND c.phone = item.phone
    SET c.paused = NULL""")

_LINE = tuple(schema.journal.columns.keys())


@functools.cache
def _journal(width: int) -> bytes:
    """For lines of at most so many columns: most are short, and a large batch would pay for each more."""
    return _insertion("journal", " ".join(_LINE[:width]))


_PATIENT = f"""SET SESSION
    idle_transaction_timeout = {PATIENT_SECONDS},
    idle_readonly_transaction_timeout = {PATIENT_SECONDS},
    idle_write_transaction_timeout = {PATIENT_SECONDS},
    wait_timeout = {PATIENT_SECONDS},
    net_write_timeout = {PATIENT_SECONDS}"""

_FULL = frozenset({ER.DISK_FULL, ER.RECORD_FILE_FULL})
_NO_SPACE = "No space left on device"


def translated(error: BaseException) -> errors.StoreError | None:
    """The StoreError for a driver's (or SQLAlchemy's) error; None where `error` is something else."""
    if isinstance(error, exc.PendingRollbackError):  # SQLAlchemy has seen the connection go
        return errors.StoreUnavailable(detail="the connection to MariaDB was lost")
    if isinstance(error, exc.DBAPIError) and error.orig is not None:
        error = error.orig
    if not isinstance(error, pymysql.MySQLError):
        return None
    code = error.args[0] if error.args else 0
    detail = f"{error.args[1]} ({code})" if len(error.args) > 1 and error.args[1] else "not connected"
    if code in _FULL or _NO_SPACE in detail:
        return errors.StoreFull(detail=detail)
    if isinstance(error, (pymysql.IntegrityError, pymysql.DataError)):
        return errors.StoreError(detail=detail)
    return errors.StoreUnavailable(detail=detail)


class Driver(pymysql.connections.Connection):
    """PyMySQL's connection, which after an error asks the server before it says whether there is a transaction."""

    server_status: int
    server_version: str
    """Both are PyMySQL's; the types that there are for it leave them out."""

    _sock: socket.socket | None
    """The same."""

    _doubtful = False

    def query(self, sql: str | bytes, unbuffered: bool = False) -> int:
        with self._doubting():
            return super().query(sql, unbuffered)

    def next_result(self, unbuffered: bool = False) -> int:
        with self._doubting():
            return super().next_result(unbuffered)

    @contextmanager
    def _doubting(self) -> Iterator[None]:
        try:
            yield
        except pymysql.MySQLError:
            self._doubtful = True  # an error does not tell whether it took the transaction along, as a deadlock does
            raise

    def wait_for_answers(self, seconds: float) -> None:
        """Give up each statement after so long, in place of the time that was allowed for connecting."""
        self._read_timeout = self._write_timeout = seconds

    @property
    def descriptor(self) -> int:
        """The socket's; -1 where there is none any more."""
        # of one moment: another thread may close the connection
        return -1 if (sock := self._sock) is None else sock.fileno()

    @property
    def in_transaction(self) -> bool:
        if self._doubtful and self.open:
            with suppress(pymysql.MySQLError):
                self.ping()
                self._doubtful = False
        return bool(self.open and not self._doubtful and self.server_status & SERVER_STATUS.SERVER_STATUS_IN_TRANS)


class MariadbConnection(Connection):
    """To a MariaDB, over a `Driver` with the session settings of `mariadb_database`."""

    def __init__(self, connect: Callable[[], sqlalchemy.Connection], *, writable: bool, patient: bool = False) -> None:
        """`connect` makes a new connection, also where an earlier one was lost. `patient`: as `Database.connect`."""
        self._connect = connect
        self._writable = writable
        self._patient = patient
        self._waiting: list[tuple[bytes, int | None]] = []
        """Statements not yet sent, and how many rows each has to find."""
        self._size = 0
        self._writes = False
        self._made = 0
        self._own = 0
        """How many of the turns are known to be this connection's."""
        self._turn = 0
        self._open()
        if writable:
            ((self._turn,),) = self._ask(b"SELECT version FROM turn")

    def _open(self) -> None:
        self.core = self._connect()
        driver = self.core.connection.driver_connection
        assert isinstance(driver, Driver)
        self._driver = driver
        event.listen(self.core, "before_execute", self._before_execute)
        level = "READ COMMITTED" if self._writable else "REPEATABLE READ"
        ((most,),) = self._ask(
            f"SET SESSION TRANSACTION ISOLATION LEVEL {level}".encode(), b"SELECT @@max_allowed_packet"
        )
        self._packet = int(most)
        if self._patient:
            self._ask(_PATIENT.encode())
            driver.wait_for_answers(PATIENT_SECONDS)
        self._made += 1
        self._own = 0

    def translated(self, error: BaseException) -> errors.StoreError | None:
        return translated(error)

    def outrun(self, error: BaseException) -> bool:
        # A write of Asterisk's locks its row, and then waits for its turn (`mariadb.realtime`): a batch that changes
        # the row meanwhile waits for it, and is who has to give way.
        cause: BaseException | None = error
        while cause is not None and not isinstance(cause, pymysql.MySQLError):
            cause = cause.__cause__
        return cause is not None and cause.args[:1] == (ER.LOCK_DEADLOCK,)

    def close(self) -> None:
        if not self.core.closed:
            self.core.invalidate()  # else SQLAlchemy would ask for a ROLLBACK first, of a server that may be gone
            self.core.close()

    # --- the transaction ---------------------------------------------------------------------------------------------

    @property
    def in_transaction(self) -> bool:
        return self._driver.in_transaction

    def begin(self) -> None:
        ((self._turn,),) = self._begin(b"START TRANSACTION", b"SELECT version FROM turn FOR UPDATE")

    def begin_reading(self) -> None:
        self._begin(b"START TRANSACTION WITH CONSISTENT SNAPSHOT, READ ONLY")

    def _begin(self, *statements: bytes) -> Sequence[Any]:
        self._forget()
        if self._driver.open:
            try:
                return self._ask(*statements)
            except pymysql.MySQLError:
                if self._driver.open:
                    raise
        # an idle connection ends when the server is restarted, which shows only now; nothing was done on it yet
        self.close()
        self._open()
        return self._ask(*statements)

    def commit(self) -> None:
        self._send()
        if self._writes:
            self._ask(b"UPDATE turn SET version = version + 1", b"COMMIT")
            self._own += 1
        else:
            self._ask(b"COMMIT")
        self._forget()

    def rollback(self) -> None:
        self._forget()
        if self._driver.in_transaction:
            self._ask(b"ROLLBACK")

    def _forget(self) -> None:
        self._waiting.clear()
        self._size = 0
        self._writes = False

    def check_transaction(self) -> None:
        if not self._driver.in_transaction:
            raise errors.StoreUnavailable(detail="the transaction was lost")

    def save(self, point: str) -> None:
        self.check_transaction()
        self._writes = True
        self._later(_save(point))

    def release(self, point: str) -> None:
        self._send()  # the point has to be there still where something was not found
        self._later(f"RELEASE SAVEPOINT {point}".encode())

    def undo(self, point: str) -> None:
        saved = (_save(point), None)
        if saved in self._waiting:  # then nothing since then has been sent either
            del self._waiting[self._waiting.index(saved) :]
        else:
            self._waiting.clear()
            self._ask(f"ROLLBACK TO SAVEPOINT {point}".encode(), f"RELEASE SAVEPOINT {point}".encode())

    def data_version(self) -> int:
        # nobody knows what was lost with a connection, or what another server has
        return (self._made << 64) + self._turn - self._own

    def newest(self) -> tuple[int, int, int]:
        ((number, revision, at),) = self._ask(
            b"SELECT (SELECT MAX(number) FROM batches), (SELECT MAX(revision) FROM journal),"
            b" (SELECT at FROM batches ORDER BY number DESC LIMIT 1)"
        )
        return number or 0, revision or 0, at or 0

    # --- members and the journal -------------------------------------------------------------------------------------

    def members_like(self, rows: Sequence[LikeRow]) -> list[MemberRow]:
        found: list[MemberRow] = []
        for _, part in self._parts(rows):
            for (text,) in self._ask(_LIKE % {b"rows": part}):
                found += _decoded(_member_rows, text)
        return found

    def first_members(self, most: Mapping[int, int]) -> list[MemberRow]:
        found: list[MemberRow] = []
        asked: list[bytes] = []
        for campaign, wanted in most.items():
            if wanted > self._page:  # else their text might be longer than a packet
                found += self.members([campaign])[:wanted]
            else:
                asked.append(_FIRST % {b"campaign": campaign, b"most": wanted})
        for start in range(0, len(asked), _CAMPAIGNS):
            for (text,) in self._ask(b" UNION ALL ".join(asked[start : start + _CAMPAIGNS])):
                found += _decoded(_member_rows, text)
        return found

    def members(self, campaigns: Iterable[int]) -> list[MemberRow]:
        wanted = sorted(campaigns)
        found: list[MemberRow] = []
        last, membername = -1, ""
        while True:
            rest = b",".join(b"%d" % campaign for campaign in wanted if campaign > last) or b"NULL"
            values = {b"campaigns": rest, b"campaign": last, b"membername": _literal(membername), b"most": self._page}
            ((text,),) = self._ask(_OF % values)
            page = _decoded(_member_rows, text)
            found += page
            if len(page) < self._page:
                return found
            last, membername, *_ = page[-1]

    def members_after(self, campaigns: Collection[int], revision: int) -> list[MemberRow]:
        return list(self._ask(_AFTER % {b"campaigns": _numbers(campaigns), b"revision": revision}))

    def undone(self, campaigns: Collection[int], revision: int) -> list[UndoneRow]:
        return list(self._ask(_UNDONE % {b"campaigns": _numbers(campaigns), b"revision": revision}))

    @property
    def _page(self) -> int:
        """So many rows at most are asked for as one text."""
        return self._packet // _ROW_BYTES

    def vacate(self, campaign: int, membernames: Sequence[str]) -> None:
        for count, part in self._parts([(name,) for name in membernames]):
            self._later(_VACATE % {b"rows": part, b"campaign": campaign}, count)

    def update(self, rows: Sequence[MemberRow]) -> None:
        for count, part in self._parts(rows):
            self._later(_UPDATE % {b"rows": part}, count)

    def place(self, rows: Sequence[PlacedRow]) -> None:
        self._write(_PLACE, rows)

    def add_batches(self, rows: Sequence[Sequence[Any]]) -> None:
        self._write(_BATCHES, rows)

    def add_journal(self, rows: Sequence[Sequence[Any]]) -> None:
        self._write(_journal(max(map(len, rows), default=0)), rows)

    def add_new(self, slices: Iterable[Sequence[Sequence[Any]]], after: int) -> None:
        for lines in slices:
            self.add_journal(lines)
        self._later(_PLACE_NEW % {b"revision": after})

    # --- the ledger --------------------------------------------------------------------------------------------------

    def claims(
        self, instance: str, server: str, queues: Collection[str] | None, phones: Collection[str] | None
    ) -> list[ClaimRow]:
        more = b""
        for column, wanted in ((b"folded_queue", queues), (b"phone", phones)):
            if wanted is not None:
                more += b" AND %s IN (%s)" % (column, b",".join(map(_literal, wanted)) or b"NULL")
        found: list[ClaimRow] = []
        queue = phone = ""
        while True:
            values = {
                b"instance": _literal(instance),
                b"server": _literal(server),
                b"more": more,
                b"queue": _literal(queue),
                b"phone": _literal(phone),
                b"most": self._page,
            }
            ((text,),) = self._ask(_CLAIMS % values)
            page = _decoded(_claim_rows, text)
            found += page
            if len(page) < self._page:
                return found
            queue, phone = fold(page[-1][0]), fold(page[-1][1])

    def claim(self, rows: Sequence[Sequence[Any]]) -> None:
        self._write(_CLAIM, rows)

    def disclaim(self, instance: str, server: str, queue: str, phones: Sequence[str]) -> None:
        names = {b"instance": _literal(instance), b"server": _literal(server), b"queue": _literal(queue)}
        for _, part in self._parts([(phone,) for phone in phones]):
            self._later(_DISCLAIM % {b"rows": part, **names})

    def forget_pauses(self, rows: Sequence[tuple[str, str, str]]) -> None:
        self._write(_FORGET_PAUSES, rows)

    # --- statements --------------------------------------------------------------------------------------------------

    def _write(self, statement: bytes, rows: Sequence[Sequence[Any]]) -> None:
        for _, part in self._parts(rows):
            self._later(statement % {b"rows": part})

    def _parts(self, rows: Sequence[Sequence[Any]]) -> Iterator[tuple[int, bytes]]:
        """`rows` as literals of a JSON text that a packet holds several of, and how many rows each has."""
        if not rows:
            return
        text = b"'" + _json.encode(rows).replace(b"'", b"''") + b"'"
        if len(text) <= self._packet // 4:
            yield len(rows), text
        elif len(rows) > 1:
            half = len(rows) // 2
            yield from self._parts(rows[:half])
            yield from self._parts(rows[half:])
        elif len(text) <= self._packet - 4096:
            yield 1, text
        else:
            raise errors.StoreError(detail=f"{len(text)} bytes are too many for MariaDB's max_allowed_packet")

    def _later(self, statement: bytes, found: int | None = None) -> None:
        """Send `statement` with the next that is asked for an answer."""
        if self._size + len(statement) > min(_SEND_BYTES, self._packet - 1024):
            self._send()
        self._waiting.append((statement, found))
        self._size += len(statement) + 1

    def _before_execute(self, *_: object) -> None:
        self._send()

    def _send(self) -> None:
        """Send what waits. Raises StoreError where a statement did not find all that it had to."""
        if self._waiting:
            waiting, self._waiting, self._size = self._waiting, [], 0
            with self._driver.cursor() as cursor:
                cursor.execute(b";".join(statement for statement, _ in waiting))  # type: ignore[call-overload]  # bytes will do, too
                for _, wanted in waiting:
                    if wanted is not None and cursor.rowcount != wanted:
                        missing = wanted - cursor.rowcount
                        raise errors.StoreError(detail=f"{missing} of {wanted} members to change are not there")
                    cursor.nextset()

    def _ask(self, *statements: bytes) -> Sequence[Any]:
        """The rows of the last of `statements`; what waits is sent first."""
        self._send()
        with self._driver.cursor() as cursor:
            cursor.execute(b";".join(statements))  # type: ignore[call-overload]  # bytes will do, too
            for _ in statements[1:]:
                cursor.nextset()
            return cursor.fetchall()


def _save(point: str) -> bytes:
    return f"SAVEPOINT {point}".encode()


def _literal(text: str) -> bytes:
    """For sessions with NO_BACKSLASH_ESCAPES, as all of ours are: only the quote means something."""
    return b"'" + text.encode().replace(b"'", b"''") + b"'"


def _numbers(values: Iterable[int]) -> bytes:
    return b",".join(b"%d" % value for value in values) or b"NULL"


def _decoded(decoder: "msgspec.json.Decoder[list[Any]]", text: str | None) -> list[Any]:
    return [] if text is None else decoder.decode(text)
