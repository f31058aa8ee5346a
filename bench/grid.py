"""A wide table: a line for each case, a column for each thing measured, in each cell whoever was measured."""

import statistics
from collections.abc import Sequence

import msgspec

from bench.measure import Unit, figure


class Column(msgspec.Struct, frozen=True):
    """`name` says whose figures a cell holds where it holds several (`Plantel : bare handler`)."""

    name: str
    unit: Unit


class Grid:
    """Medians over the rounds; `keys` are the names of what tells one line from another."""

    def __init__(self, title: str, keys: Sequence[str], columns: Sequence[Column]) -> None:
        self.title = title
        self._keys = tuple(keys)
        self._columns = tuple(columns)
        self._rounds: dict[tuple[str, ...], dict[Column, list[tuple[float, ...]]]] = {}

    def add(self, line: Sequence[str], column: Column, *figures: float) -> None:
        """Add one round's figures."""
        assert column in self._columns
        self._rounds.setdefault(tuple(line), {}).setdefault(column, []).append(figures)

    def markdown(self) -> str:
        """The title and the table, its lines in the order in which they were first measured."""
        heads = (*self._keys, *(column.name for column in self._columns))
        rulers = ("---",) * len(self._keys) + ("---:",) * len(self._columns)
        lines = [f"### {self.title}", "", *(f"| {' | '.join(cells)} |" for cells in (heads, rulers))]
        for line, cells in self._rounds.items():
            shown = (_cell(cells.get(column, []), column.unit) for column in self._columns)
            lines.append(f"| {' | '.join((*line, *shown))} |")
        return "\n".join(lines)


def _cell(rounds: Sequence[tuple[float, ...]], unit: Unit) -> str:
    return " : ".join(figure(statistics.median(side), unit) for side in zip(*rounds, strict=True))
