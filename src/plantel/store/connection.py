"""The seam between the store and the databases that it can stand on: what each of them has to bring.

A `Database` is what a URL leads to, a `Connection` one way into it. All else (`writer`, `readers`, `unit`,
`transaction`, `opening`) is written against these two and `schema`, and knows no driver. Rows go to and from the hot
statements as plain tuples.
"""

import asyncio
from abc import abstractmethod
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, contextmanager
from typing import Any, Protocol

import sqlalchemy

from plantel import errors
from plantel.ports import Lease
from plantel.store.node import Node

LikeRow = tuple[int, str, str]
"""campaign id, membername, folded interface"""

MemberRow = tuple[int, str, str, int, int]
"""campaign id, membername, interface, penalty, paused"""

UndoneRow = tuple[int, str, str | None, int | None, int | None]
"""campaign id, membername, interface, penalty, paused; the last three None where there was no such member"""

PlacedRow = tuple[int, str, str, str, int, int]
"""campaign id, membername, folded interface, interface, penalty, paused"""

ClaimRow = tuple[str, str, int, int | None, int | None, str, str]
"""queue, interface, added, paused, penalty, reason, membername"""


PATIENT_SECONDS = 6 * 3600
"""How long a patient connection may be silent within its transaction, and how long it waits for an answer."""


class Translator(Protocol):
    """Who knows a driver's errors."""

    @abstractmethod
    def translated(self, error: BaseException) -> errors.StoreError | None:
        """The StoreError for a driver's (or SQLAlchemy's) error; None where `error` is something else.

        StoreFull: no room. StoreError: a row that is refused (a constraint). StoreUnavailable: all else, a lost
        connection with it; the fate of a COMMIT that it took along is unknown.
        """
        ...

    @contextmanager
    def translating(self) -> Iterator[None]:
        """Raise StoreError where the block raises an error of the database."""
        try:
            yield
        except Exception as error:
            translated = self.translated(error)
            if translated is None:
                raise
            raise translated from error


class Connection(Translator, Protocol):
    """One connection. For one thread at a time; every method raises what `translating` translates.

    The transaction is begun and ended by hand, never by SQLAlchemy. Methods that write and return nothing may be put
    off, in their order, until a result is asked for: their error is then raised there, or by `release`, or by `commit`,
    whichever comes first.
    """

    core: sqlalchemy.Connection
    """For statements of SQLAlchemy Core. Another one after the connection was made anew."""

    @abstractmethod
    def close(self) -> None: ...

    # --- the transaction ---------------------------------------------------------------------------------------------

    def outrun(self, _error: BaseException) -> bool:
        """Whether this error ended a transaction for another's sake only, so that the same, done again, may succeed."""
        return False

    @property
    @abstractmethod
    def in_transaction(self) -> bool:
        """Whether there is one that can go on; False also where the database itself gave it up."""
        ...

    @abstractmethod
    def begin(self) -> None:
        """Begin one that may write, the only one of all processes: what it reads is what the last of them committed.

        A connection that was lost is made anew first.
        """
        ...

    @abstractmethod
    def begin_reading(self) -> None:
        """Begin one that sees one state throughout, with all that was committed before. Connects anew as `begin`."""
        ...

    @abstractmethod
    def commit(self) -> None:
        """Make it durable: once this returns, a crash of the database or its machine loses nothing of it."""
        ...

    def tidy(self) -> None:
        """Do what can wait until those who waited for a commit have their answers. Raises nothing."""
        return

    @abstractmethod
    def rollback(self) -> None:
        """Undo the transaction, if there is still one."""
        ...

    @abstractmethod
    def check_transaction(self) -> None:
        """Raise StoreUnavailable where the transaction is lost: what is written now would be stored by itself."""
        ...

    @abstractmethod
    def save(self, point: str) -> None:
        """Set a savepoint within the transaction. Raises as `check_transaction`."""
        ...

    @abstractmethod
    def release(self, point: str) -> None: ...

    @abstractmethod
    def undo(self, point: str) -> None:
        """Undo and end the savepoint."""
        ...

    @abstractmethod
    def data_version(self) -> int:
        """Another number than before where another connection has committed a change in between.

        Asked for once before the first `begin`, and right after each.
        """
        ...

    @abstractmethod
    def newest(self) -> tuple[int, int, int]:
        """The highest batch number and revision, and the time (µs) of that batch; 0 where there is none."""
        ...

    # --- members and the journal -------------------------------------------------------------------------------------

    @abstractmethod
    def members_like(self, rows: Sequence[LikeRow]) -> list[MemberRow]:
        """The members that share agent or phone with one of `rows`; one may come twice."""
        ...

    @abstractmethod
    def first_members(self, most: Mapping[int, int]) -> list[MemberRow]:
        """Of each campaign in `most` so many members, or all where it has fewer."""
        ...

    @abstractmethod
    def members(self, campaigns: Iterable[int]) -> list[MemberRow]:
        """All members of these campaigns, by campaign id and then by membername in the order of its code points."""
        ...

    @abstractmethod
    def members_after(self, campaigns: Collection[int], revision: int) -> list[MemberRow]:
        """The members of these campaigns after line `revision`, from the journal alone, in no order.

        Takes time in proportion to the members that there ever were, however many lines each has.
        """
        ...

    @abstractmethod
    def undone(self, campaigns: Collection[int], revision: int) -> list[UndoneRow]:
        """Those about whom there are lines after `revision`, as they were then. In proportion to all these lines."""
        ...

    @abstractmethod
    def vacate(self, campaign: int, membernames: Sequence[str]) -> None:
        """Remove these members. Raises StoreError unless each of them was there."""
        ...

    @abstractmethod
    def update(self, rows: Sequence[MemberRow]) -> None:
        """Change members whose phone stays. Raises StoreError unless each of them was there."""
        ...

    @abstractmethod
    def place(self, rows: Sequence[PlacedRow]) -> None:
        """Add members. Raises an error that translates to StoreError where one of them, or its phone, is there."""
        ...

    @abstractmethod
    def add_batches(self, rows: Sequence[Sequence[Any]]) -> None:
        """The columns of `schema.batches`, in their order."""
        ...

    @abstractmethod
    def add_journal(self, rows: Sequence[Sequence[Any]]) -> None:
        """The columns of `schema.journal`, in their order; values missing at the end of a row are NULL."""
        ...

    @abstractmethod
    def add_new(self, slices: Iterable[Sequence[Sequence[Any]]], after: int) -> None:
        """Add these journal lines, the only ones above revision `after`, and the agents whom they add as members.

        A slice is asked for as the one before is on its way. Raises as `place`.
        """
        ...

    # --- the ledger --------------------------------------------------------------------------------------------------

    @abstractmethod
    def claims(
        self, instance: str, server: str, queues: Collection[str] | None, phones: Collection[str] | None
    ) -> list[ClaimRow]:
        """By folded queue and phone; `queues` and `phones` folded, None: all."""
        ...

    @abstractmethod
    def claim(self, rows: Sequence[Sequence[Any]]) -> None:
        """Insert or replace (instance, server, folded queue, folded interface, queue, interface, added, paused,
        penalty, reason, membername)."""
        ...

    @abstractmethod
    def disclaim(self, instance: str, server: str, queue: str, phones: Sequence[str]) -> None:
        """`queue` and `phones` folded; absent ones are no error."""
        ...

    @abstractmethod
    def forget_pauses(self, rows: Sequence[tuple[str, str, str]]) -> None:
        """`rows`: instance, folded queue, folded interface."""
        ...


class Database(Translator, Protocol):
    """What a URL leads to. Safe to use from several threads; made without an event loop."""

    engine: sqlalchemy.Engine
    """Without a pool, in autocommit: transactions are begun and ended by hand."""

    @abstractmethod
    def connect(self, *, writable: bool, patient: bool = False) -> Connection:
        """A new connection: for the writer, or for one reader. Raises StoreError.

        `patient`: for one long transaction. A server ends others that are silent for some seconds, as the node of such
        a one has stopped; this one is given PATIENT_SECONDS.
        """
        ...

    @abstractmethod
    def lock_schema(self, connection: sqlalchemy.Connection) -> None:
        """Have this connection be the only one, of all processes, that makes or migrates the schema.

        Called within `connection.begin()`; holds until that transaction has ended, or the connection is closed.
        """
        ...

    def announce_migration(self, _connection: sqlalchemy.Connection, _version: str) -> None:
        """Have nobody write between this and the end of the migration to `version`, which comes next, within the same
        transaction. Raises an error that is translated where somebody writes for too long. A file is locked by then."""
        return

    def tell_of_migration(self, _connection: sqlalchemy.Connection) -> None:
        """Have processes that are at work take their next look at the store for the first, within the transaction that
        migrates it. A file tells of every commit by itself."""
        return

    def check_sessions(self) -> None:
        """Raise InvalidSetting where what is between us and the server does not leave each connection its session."""
        return

    def nodes(self, _leases: Sequence[str]) -> list[Node]:
        """Who is connected as we are, and which of these leases each of them holds. Raises as `connect`."""
        return []

    @abstractmethod
    def lease(self, name: str, seconds: float) -> AbstractAsyncContextManager[Lease]:
        """As `ports.Store.lease`."""
        ...

    async def wait_elsewhere(self, seconds: float) -> None:
        """As `ports.Store.wait_elsewhere`. One task at a time."""
        await asyncio.sleep(seconds)

    @abstractmethod
    async def close(self) -> None:
        """Give back leases and whatever else is held; the connections are closed before."""
        ...
