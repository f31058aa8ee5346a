"""Pairs of figures, each pair taken in one round, and the table of the ratios between them."""

import statistics
from typing import Literal

import msgspec

Unit = Literal["/s", "ms", "µs", "kB", "MB"]


class BenchFailed(Exception):
    """Something did not work, so that its figures would mean nothing; the message says what."""


class Scale(msgspec.Struct, frozen=True):
    """How much is done.

    rounds    times that everything is measured
    seconds   of load for each figure of `serving`, in every round
    adds      single adds for each figure of `visibility`, in every round
    queues    of 100 members each, in `delivery` and `rest`
    crowd     members of the one large campaign of `visibility`
    """

    rounds: int = 5
    seconds: int = 4
    adds: int = 200
    queues: int = 500
    crowd: int = 5000


QUICK = Scale(rounds=2, seconds=2, adds=100, queues=100, crowd=1000)


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
    ours, theirs = (_figure(statistics.median(side), row.unit) for side in zip(*pairs, strict=True))
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


def _figure(value: float, unit: Unit) -> str:
    digits = 0 if value >= 100 else 1 if value >= 10 else 2
    return f"{value:,.{digits}f}{unit}" if unit == "/s" else f"{value:,.{digits}f} {unit}"
