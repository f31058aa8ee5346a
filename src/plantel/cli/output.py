"""How the command line speaks: in the language of the terminal, to people or to scripts."""

import errno
import os
import sys
from collections.abc import Iterable, Sequence
from typing import TextIO

import msgspec
from rich.console import Console
from rich.table import Table

from plantel import errors
from plantel.language import Text, current
from plantel.secret import Secret


def tell(en: str, es: str, **params: object) -> str:
    """The wording for this terminal."""
    return Text(en, es).say(current(), **params) if params else (es if current() == "es" else en)


def note(en: str, es: str, **params: object) -> None:
    """One line for people, on standard error: standard output is for results."""
    print(tell(en, es, **params), file=sys.stderr)


def show(secret: Secret, en: str, es: str) -> None:
    """Show what is shown only once: alone on standard output, after a note for people. Raises NotShown.

    Afterwards it is out of this process, as far as that can be known.
    """
    try:
        note(en, es)
        if sys.stdout is None:
            raise errors.NotShown(detail=os.strerror(errno.EBADF))
        print(secret.reveal(), flush=True)
    except OSError as error:
        _give_up(sys.stdout)
        raise errors.NotShown(detail=error.strerror or str(error)) from None


def _give_up(stream: TextIO | None) -> None:
    """Have nothing more go where nothing goes: else the interpreter tries once more at its end, and complains."""
    if stream is not None:
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, stream.fileno())
        os.close(nowhere)


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
