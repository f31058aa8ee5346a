"""What a run has found: the table of ratios, the wide tables beside it, and the plots."""

from bench.chart import Chart
from bench.grid import Grid
from bench.measure import Row, Table


class Report:
    """Filled by one benchmark after the other."""

    def __init__(self) -> None:
        self._table = Table()
        self._grids: list[Grid] = []
        self.charts: list[Chart] = []

    def add(self, row: Row, ours: float, theirs: float) -> None:
        """Add one round's figures to the table of ratios."""
        self._table.add(row, ours, theirs)

    def put(self, *parts: Grid | Chart) -> None:
        """Show these, too; they may be filled later."""
        self._grids += (part for part in parts if isinstance(part, Grid))
        self.charts += (part for part in parts if isinstance(part, Chart))

    def markdown(self) -> str:
        """The tables, without the plots."""
        ratios = [self._table.markdown()] if self._table else []
        return "\n\n".join([*ratios, *(grid.markdown() for grid in self._grids)])
