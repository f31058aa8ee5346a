"""A plot of lines as SVG, both axes logarithmic: the distance between two lines is the ratio between them.

Readable on white and on black: the colours are of middling brightness, and text and grid follow the reader's scheme.
"""

import math
import statistics
from collections.abc import Iterator, Sequence
from html import escape

_WIDTH, _HEIGHT = 840, 420
_LEFT, _RIGHT, _TOP, _BOTTOM = 70, 280, 48, 56
_COLOURS = ("#3b82f6", "#e8710a", "#16a34a", "#c026d3", "#a68a00", "#0d9488", "#dc2626")
_APART = 17.0
"""Between two labels."""

_STYLE = """text { font: 13px system-ui, sans-serif; fill: #24292f }
.title { font-size: 15px; font-weight: 600 }
.grid { stroke: #d0d7de } .line { fill: none; stroke-width: 2 }
@media (prefers-color-scheme: dark) { text { fill: #e6edf3 } .grid { stroke: #3d444d } }"""


class Chart:
    """`name` is the file's, without its ending. Values are more than 0."""

    def __init__(self, name: str, title: str, across: str, up: str) -> None:
        self.name = name
        self.title = title
        self._across = across
        self._up = up
        self._rounds: dict[str, dict[float, list[float]]] = {}

    def add(self, series: str, x: float, y: float) -> None:
        """Add one round's figure; the median of all rounds is shown."""
        self._rounds.setdefault(series, {}).setdefault(x, []).append(y)

    def svg(self) -> str:
        """The whole file."""
        lines = {
            series: sorted((x, statistics.median(figures)) for x, figures in points.items())
            for series, points in self._rounds.items()
        }
        wide = _Axis([x for points in lines.values() for x, _ in points], _LEFT, _WIDTH - _RIGHT)
        high = _Axis([y for points in lines.values() for _, y in points], _HEIGHT - _BOTTOM, _TOP)
        middle = (wide.start + wide.end) / 2
        body = [
            f'<text class="title" x="{_LEFT}" y="24">{escape(self.title)}</text>',
            f'<text x="{middle}" y="{_HEIGHT - 12}" text-anchor="middle">{escape(self._across)}</text>',
            f'<text x="8" y="{_TOP - 6}">{escape(self._up)}</text>',
            *_grid(wide, high),
        ]
        ends = _spread([high.place(points[-1][1]) for points in lines.values()])
        for (series, points), colour, end in zip(lines.items(), _cycle(len(lines)), ends, strict=True):
            places = [(wide.place(x), high.place(y)) for x, y in points]
            path = " ".join(f"{x:.1f},{y:.1f}" for x, y in places)
            body.append(f'<polyline class="line" stroke="{colour}" points="{path}"/>')
            body += (f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3.5" fill="{colour}"/>' for x, y in places)
            across = places[-1][0]
            body.append(
                f'<line x1="{across:.1f}" y1="{places[-1][1]:.1f}" x2="{_WIDTH - _RIGHT + 14}" y2="{end:.1f}" '
                f'stroke="{colour}" stroke-dasharray="2 3"/>'
            )
            body.append(f'<text x="{_WIDTH - _RIGHT + 18}" y="{end + 4:.1f}">{escape(series)}</text>')
        return "\n".join(
            (
                f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img">',
                f"<title>{escape(self.title)}</title>",
                f"<style>{_STYLE}</style>",
                *body,
                "</svg>",
                "",
            )
        )


class _Axis:
    """From values to places along one axis."""

    def __init__(self, values: Sequence[float], start: float, end: float) -> None:
        self.values = sorted(set(values))
        self.start, self.end = start, end
        low, high = math.log10(self.values[0]), math.log10(self.values[-1])
        spare = max((high - low) * 0.06, 0.05)
        self._low, self._high = low - spare, high + spare

    def place(self, value: float) -> float:
        return self.start + (math.log10(value) - self._low) / (self._high - self._low) * (self.end - self.start)

    def ticks(self) -> Iterator[float]:
        """Round numbers within the axis: 1, 2 and 5 of every decade, or only 1 where there are many."""
        steps = (1,) if self._high - self._low > 2.5 else (1, 2, 5)
        for decade in range(math.floor(self._low), math.ceil(self._high) + 1):
            for step in steps:
                if self._low <= math.log10(tick := step * 10.0**decade) <= self._high:
                    yield tick


def _grid(wide: _Axis, high: _Axis) -> Iterator[str]:
    for tick in high.ticks():
        y = high.place(tick)
        yield f'<line class="grid" x1="{wide.start}" y1="{y:.1f}" x2="{wide.end}" y2="{y:.1f}"/>'
        yield f'<text x="{wide.start - 8}" y="{y + 4:.1f}" text-anchor="end">{tick:,g}</text>'
    for value in wide.values:  # there are few: those that were measured
        x = wide.place(value)
        yield f'<line class="grid" x1="{x:.1f}" y1="{high.start}" x2="{x:.1f}" y2="{high.end}"/>'
        yield f'<text x="{x:.1f}" y="{high.start + 18}" text-anchor="middle">{_short(value)}</text>'


def _short(value: float) -> str:
    for size, letter in ((1e6, "M"), (1e3, "k")):
        if value >= size:
            return f"{value / size:g}{letter}"
    return f"{value:g}"


def _spread(places: Sequence[float]) -> list[float]:
    """The same places, moved down as far as it takes to have them _APART."""
    spread = list(places)
    below = -math.inf
    for number in sorted(range(len(places)), key=places.__getitem__):
        below = spread[number] = max(places[number], below + _APART)
    return spread


def _cycle(count: int) -> list[str]:
    return [_COLOURS[number % len(_COLOURS)] for number in range(count)]
