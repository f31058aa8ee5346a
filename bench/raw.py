"""What a peer needs of a database: the plainest statements of its driver on a store's own tables."""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from types import TracebackType
from typing import Any, ClassVar, Self

from bench.measure import BenchFailed

INSTANCE = "default"

MemberRow = tuple[int, str, str, str, int, bool]
"""campaign id, membername, folded interface, interface, penalty, paused"""

MEMBER = ("campaign", "membername", "phone", "interface", "penalty", "paused")

LineRow = tuple[int, int, int, str, str, str, int, bool]
"""revision, batch, campaign id, membername, kind, interface, penalty, paused"""

LINE = ("revision", "batch", "campaign", "membername", "kind", "after_interface", "after_penalty", "after_paused")

BATCH = ("number", "id", "instance", "actor", "source", "at", "items", "problems", "revision", "changes")

_REFUSED = "SELECT count(*) FROM batches WHERE problems <> '[]'"

_ASTRAY = """SELECT count(*) FROM journal JOIN
    (SELECT max(revision) AS newest FROM journal GROUP BY campaign, membername) AS those ON revision = newest
    LEFT JOIN members ON members.campaign = journal.campaign AND members.membername = journal.membername
    WHERE members.penalty IS NULL OR members.penalty <> journal.after_penalty"""
"""How many members are not as their newest change left them. No measurement removes anybody."""


class Raw(ABC):
    """One connection; closed at the end of its `with` block."""

    ways: ClassVar[tuple[str, ...]]
    """In which it can insert many rows."""

    _revision = -1

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._close()

    def campaign_ids(self) -> dict[str, int]:
        """The number of each campaign, by name."""
        return dict(self.rows("SELECT name, id FROM campaigns"))

    @abstractmethod
    def add(self, member: MemberRow) -> None:
        """Upsert the member and insert a journal line, in a durable transaction. The revision is given here."""

    @abstractmethod
    def insert(self, way: str, members: Sequence[MemberRow], lines: Sequence[LineRow]) -> None:
        """Insert all of these and a batch of the lines' number in one durable transaction, the way named."""

    def journal_lines(self) -> int:
        """How many changes are stored."""
        return self._number("SELECT count(*) FROM journal")

    def check_consistent(self) -> None:
        """Raise BenchFailed unless no batch was refused and every member is as its newest change left it."""
        refused, astray = self._number(_REFUSED), self._number(_ASTRAY)
        if refused or astray:
            raise BenchFailed(f"{refused} batches were refused, {astray} members are not as they were sent")

    @abstractmethod
    def rows(self, query: str) -> Iterable[tuple[Any, ...]]:
        """What it finds."""

    @abstractmethod
    def _close(self) -> None: ...

    def _number(self, query: str) -> int:
        ((number,),) = self.rows(query)
        return int(number)

    def _next_revision(self) -> int:
        if self._revision < 0:
            self._revision = self._number("SELECT coalesce(max(revision), 0) FROM journal")
        self._revision += 1  # there is one such process
        return self._revision


def batch_row(lines: Sequence[LineRow]) -> tuple[int, str, str, str, str, int, int, str, int, int]:
    """The row of the batch that brought these lines, as BATCH names its columns."""
    number = lines[0][1]
    return (number, f"batch {number}", INSTANCE, "bench", "wire", 0, len(lines), "[]", lines[-1][0], len(lines))
