"""What is wrong with one batch, in bounds: the first problems one by one, the others counted."""

from collections.abc import Iterable, Sequence
from typing import Any

from plantel.errors import InvalidItem, MoreProblems

PROBLEMS = 1_000
"""Problems of one batch that are kept and told one by one; the others are counted. Nobody mends more in one go."""

UNTOLD = InvalidItem()
"""Stands for each wrong item of a batch beyond the first PROBLEMS: one object for all, since it is only counted."""


class Tally:
    """Problems as they are found."""

    def __init__(self, found: Iterable[InvalidItem] = ()) -> None:
        self._kept: list[InvalidItem] = []
        self._more = 0
        for problem in found:
            self.add(problem)

    def add(self, problem: InvalidItem) -> None:
        """One more; or as many as it stands for, if it ended another tally."""
        if isinstance(problem, MoreProblems):
            self._more += problem.params["count"]
        elif len(self._kept) < PROBLEMS:
            self._kept.append(problem)
        else:
            self._more += 1

    def make(self, kind: type[InvalidItem], **params: Any) -> None:
        """One more, made only if it is kept: to make it takes longer than to find that it is one too many."""
        if len(self._kept) < PROBLEMS:
            self._kept.append(kind(**params))
        else:
            self._more += 1

    def told(self) -> list[InvalidItem]:
        """Those that are kept, by item, and at the end how many more there are."""
        kept = sorted(self._kept, key=lambda problem: problem.item or 0)
        return [*kept, MoreProblems(count=self._more)] if self._more else kept


def together(*found: Sequence[InvalidItem]) -> list[InvalidItem]:
    """What several tallies told, as one tells it."""
    return Tally(problem for some in found for problem in some).told()
