"""What is wrong with a history."""

from enum import StrEnum

import msgspec


class Fault(StrEnum):
    LOST = "lost"
    """An answer names a batch that is not in the record."""
    PHANTOM = "phantom"
    """A batch that nobody asked for."""
    TWICE = "twice"
    """One operation, two batches; or one batch, two operations."""
    STORED_THOUGH_REFUSED = "stored though refused"
    REFUSED_WITHOUT_REASON = "refused without reason"
    """With the roster as it was at that point, it had to be done, or to be refused for something else."""
    TORN = "torn"
    """A part of what the operation changes."""
    WRONG = "wrong"
    """Something else than what was asked for, or told."""
    GAP = "gap"
    """A line of the journal does not continue those before it."""
    REORDERED = "reordered"
    """One operation had been answered before the other began, and comes after it."""
    STALE = "stale"
    """A read of what was no longer so when it began."""
    EARLY = "early"
    """A read of what was stored only later."""
    NEVER = "never"
    """A read of what never was so."""
    PAST = "past"
    """A past roster that is not the one after the last batch of that moment or before."""
    END = "end"
    """The journal does not lead to the roster that there is."""


class Violation(msgspec.Struct, frozen=True):
    """`operations` by number. `places`: of the batches that have to do with it, counted from 1."""

    fault: Fault
    text: str
    operations: tuple[int, ...] = ()
    places: tuple[int, ...] = ()
