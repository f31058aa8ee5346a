"""How the command line speaks: in the language of the terminal, to people or to scripts.

All that it prints goes through here, so that no name of an Asterisk's, a file's or a server's own words reach the
terminal as they are: `language.visible` escapes what is not to be printed.
"""

import errno
import os
import re
import sys
from collections.abc import Iterable, Sequence
from typing import Any

import msgspec
from rich.console import Console
from rich.table import Table

from plantel import errors, process
from plantel.language import Text, current, encodable, visible
from plantel.secret import Secret


def tell(en: str, es: str, **params: object) -> str:
    """The wording for this terminal."""
    return Text(en, es).say(current(), **params) if params else (es if current() == "es" else en)


def say(text: str) -> None:
    """One line of a result, on standard output."""
    print(visible(text))


def complain(text: str) -> None:
    """One line for people, on standard error."""
    print(visible(text), file=sys.stderr)


def note(en: str, es: str, **params: object) -> None:
    """One line for people, on standard error: standard output is for results."""
    for line in tell(en, es, **params).split("\n"):  # those of the text itself: in `params` they are escaped
        complain(line)


def show(secret: Secret, en: str, es: str) -> None:
    """Show what is shown only once: alone on standard output, after a note for people. Raises NotShown.

    A service prints by threads, which drop what cannot be written: this goes to the descriptors themselves. One that is
    closed has no stream, whatever was put in its place.
    """
    if sys.__stdout__ is None:
        raise errors.NotShown(detail=os.strerror(errno.EBADF))
    try:
        if sys.__stderr__ is not None:
            print(tell(en, es), file=sys.__stderr__, flush=True)
        print(secret.reveal(), file=sys.__stdout__, flush=True)
    except OSError as error:
        process.forget_output()
        raise errors.NotShown(detail=error.strerror or str(error)) from None


def fail(error: errors.PlantelError) -> None:
    """Say what is wrong, each problem of a batch and each mistake of a configuration on a line of its own."""
    found: Sequence[errors.PlantelError] = [error]
    if isinstance(error, errors.BatchRefused):
        found = error.problems
    elif isinstance(error, errors.Mistakes):
        found = error.mistakes
    for one in found:
        complain(f"plantel: {one.say(current())} [{one.code}]")


def table(headings: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """A table on standard output, as wide as it needs where that is not a terminal."""
    made = Table(*headings, box=None, pad_edge=False, header_style="bold")
    for row in rows:
        made.add_row(*(visible(str(cell)) for cell in row))
    console = Console(highlight=False, markup=False, emoji=False)
    if not console.is_terminal:
        console.width = 10_000
    console.print(made)


def json(value: object) -> None:
    """JSON on standard output."""
    try:
        encoded = msgspec.json.encode(value)
    except UnicodeEncodeError:
        encoded = msgspec.json.encode(_encodable(msgspec.to_builtins(value)))
    text = msgspec.json.format(encoded, indent=2).decode()
    if not text.isprintable():
        text = _UNPRINTED.sub(lambda found: _in_json(found.group()), text)
    sys.stdout.write(text + "\n")


_UNPRINTED = re.compile(r"[^\n -~]")
"""What may have to be escaped; line ends are those of the layout."""


def _in_json(character: str) -> str:
    """A character within a text of JSON, escaped if it is not to be printed."""
    if character.isprintable():
        return character
    wide = character.encode("utf-16-be").hex()
    return "".join(rf"\u{wide[at : at + 4]}" for at in range(0, len(wide), 4))


def _encodable(value: Any) -> Any:
    match value:
        case str():
            return encodable(value)
        case list():
            return [_encodable(one) for one in value]
        case dict():
            return {_encodable(name): _encodable(one) for name, one in value.items()}
    return value
