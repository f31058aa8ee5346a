"""Pairs of figures, each pair taken in one round, and the table of the ratios between them."""

import statistics
from collections.abc import Sequence
from typing import Literal

import msgspec

Unit = Literal["", "/s", "s", "ms", "µs", "kB", "MB"]
"""Empty: a bare number, such as a ratio."""


class BenchFailed(Exception):
    """Something did not work, so that its figures would mean nothing; the message says what."""


class Scale(msgspec.Struct, frozen=True):
    """How much is done.

    rounds         times that everything is measured
    seconds        of load for each figure of `serving`, in every round
    adds           single adds for each figure of `visibility` and `growth`, in every round
    queues         of 100 members each, in `delivery` and `rest`
    crowd          members of the one large campaign of `visibility`
    batches        sizes of the batches of `bulk`
    members_most   members of the largest roster of `growth`
    lines          journal lines of `history`
    roster         members that `peers` bring to Asterisk, in one go
    """

    rounds: int = 3
    seconds: int = 1
    adds: int = 200
    queues: int = 500
    crowd: int = 5000
    batches: tuple[int, ...] = (1, 10, 100, 1_000, 10_000, 50_000, 100_000)
    members_most: int = 1_000_000
    lines: tuple[int, ...] = (1_000_000, 10_000_000)
    roster: tuple[int, ...] = (1, 100, 5_000)


QUICK = Scale(
    rounds=1,
    seconds=1,
    adds=50,
    queues=100,
    crowd=1000,
    batches=(1, 100, 1_000, 10_000),
    members_most=10_000,
    lines=(200_000, 400_000),
    roster=(1, 100),
)


class Goal(msgspec.Struct, frozen=True):
    """The ratio to reach."""

    least: float | None = None
    most: float | None = None

    def reached(self, ratio: float) -> bool:
        return (self.least is None or ratio >= self.least) and (self.most is None or ratio <= self.most)

    def __str__(self) -> str:
        return f"at most {self.most:g}" if self.least is None else f"at least {self.least:g}"


class Row(msgspec.Struct, frozen=True):
    """One comparison: Plantel's `what` divided by that of `against`, both in `unit`. A row without a goal informs."""

    what: str
    against: str
    unit: Unit
    goal: Goal | None = None


class Table:
    """The comparisons, in the order in which they were first measured."""

    def __init__(self) -> None:
        self._rounds: dict[Row, list[tuple[float, float]]] = {}

    def __bool__(self) -> bool:
        """Whether there is anything in it."""
        return bool(self._rounds)

    def add(self, row: Row, ours: float, theirs: float) -> None:
        """Add one round's figures."""
        self._rounds.setdefault(row, []).append((ours, theirs))

    def markdown(self) -> str:
        """The table. Ratios are taken within each round; what is shown is their median, and the least and the most."""
        lines = [
            "| what | against | ratio | from - to | goal | reached | medians |",
            "| --- | --- | ---: | ---: | --- | --- | ---: |",
        ]
        lines += (f"| {' | '.join(_cells(row, pairs))} |" for row, pairs in self._rounds.items())
        return "\n".join(lines)


def _cells(row: Row, pairs: list[tuple[float, float]]) -> tuple[str, ...]:
    ratios = [ours / theirs for ours, theirs in pairs]
    ratio = statistics.median(ratios)
    ours, theirs = (figure(statistics.median(side), row.unit) for side in zip(*pairs, strict=True))
    goal, reached = ("", "") if row.goal is None else (str(row.goal), "yes" if row.goal.reached(ratio) else "**no**")
    return (
        row.what,
        row.against,
        f"{ratio:.2f}",
        f"{min(ratios):.2f} - {max(ratios):.2f}",
        goal,
        reached,
        f"{ours} : {theirs}",
    )


def figure(value: float, unit: Unit) -> str:
    """`value` with as many digits as tell something, and its unit."""
    digits = 0 if value >= 100 else 1 if value >= 10 else 2 if value >= 0.1 or not value else 3
    return f"{value:,.{digits}f}{unit}" if unit in {"", "/s"} else f"{value:,.{digits}f} {unit}"


def percentile(figures: Sequence[float], percent: int) -> float:
    """The smallest figure that so many percent of them do not exceed."""
    return sorted(figures)[-(-len(figures) * percent // 100) - 1]
