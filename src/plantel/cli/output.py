"""How the command line speaks: in the language of the terminal, to people or to scripts."""

import sys
from collections.abc import Iterable, Sequence

import msgspec
from rich.console import Console
from rich.table import Table

from plantel import errors
from plantel.language import Text, current


def tell(en: str, es: str, **params: object) -> str:
    """The wording for this terminal."""
    return Text(en, es).say(current(), **params) if params else (es if current() == "es" else en)


def note(en: str, es: str, **params: object) -> None:
    """One line for people, on standard error: standard output is for results."""
    print(tell(en, es, **params), file=sys.stderr)


def fail(error: errors.PlantelError) -> None:
    """Say what is wrong, each problem of a batch and each mistake of a configuration on a line of its own."""
    found: Sequence[errors.PlantelError] = [error]
    if isinstance(error, errors.BatchRefused):
        found = error.problems
    elif isinstance(error, errors.Mistakes):
        found = error.mistakes
    for one in found:
        print(f"plantel: {one.say(current())} [{one.code}]", file=sys.stderr)


def table(headings: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """A table on standard output, as wide as it needs where that is not a terminal."""
    made = Table(*headings, box=None, pad_edge=False, header_style="bold")
    for row in rows:
        made.add_row(*(str(cell) for cell in row))
    console = Console(highlight=False, markup=False, emoji=False)
    if not console.is_terminal:
        console.width = 10_000
    console.print(made)


def json(value: object) -> None:
    """JSON on standard output."""
    sys.stdout.write(msgspec.json.format(msgspec.json.encode(value), indent=2).decode() + "\n")
