"""What a peer needs of a database: the plainest statements of its driver on a store's own tables."""

from collections.abc import Sequence
from contextlib import AbstractContextManager
from typing import Protocol, Self

INSTANCE = "default"

MemberRow = tuple[int, str, str, str, int, bool]
"""campaign id, membername, folded interface, interface, penalty, paused"""

MEMBER = ("campaign", "membername", "phone", "interface", "penalty", "paused")

LineRow = tuple[int, int, int, str, str, str, int, bool]
"""revision, batch, campaign id, membername, kind, interface, penalty, paused"""

LINE = ("revision", "batch", "campaign", "membername", "kind", "after_interface", "after_penalty", "after_paused")

BATCH = ("number", "id", "instance", "actor", "source", "at", "items", "problems", "revision", "changes")

REFUSED = "SELECT count(*) FROM batches WHERE problems <> '[]'"

ASTRAY = """SELECT count(*) FROM journal JOIN
    (SELECT max(revision) AS newest FROM journal GROUP BY campaign, membername) AS those ON revision = newest
    LEFT JOIN members ON members.campaign = journal.campaign AND members.membername = journal.membername
    WHERE members.penalty IS NULL OR members.penalty <> journal.after_penalty"""
"""How many members are not as their newest change left them. No measurement removes anybody."""


class Raw(AbstractContextManager["Raw"], Protocol):
    """One connection; closed at the end of its `with` block."""

    @property
    def ways(self) -> tuple[str, ...]:
        """The ways in which it can insert many rows."""
        ...

    def __enter__(self) -> Self: ...

    def campaign_ids(self) -> dict[str, int]:
        """The number of each campaign, by name."""
        ...

    def add(self, member: MemberRow) -> None:
        """Upsert the member and insert a journal line, in a durable transaction. The revision is given here."""
        ...

    def insert(self, way: str, members: Sequence[MemberRow], lines: Sequence[LineRow]) -> None:
        """Insert all of these and a batch of the lines' number in one durable transaction, the way named."""
        ...

    def journal_lines(self) -> int:
        """How many changes are stored."""
        ...

    def check_consistent(self) -> None:
        """Raise BenchFailed unless no batch was refused and every member is as its newest change left it."""
        ...


def batch_row(lines: Sequence[LineRow]) -> tuple[int, str, str, str, str, int, int, str, int, int]:
    """The row of the batch that brought these lines, as BATCH names its columns."""
    number = lines[0][1]
    return (number, f"batch {number}", INSTANCE, "bench", "wire", 0, len(lines), "[]", lines[-1][0], len(lines))
