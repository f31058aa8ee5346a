"""The two languages Plantel speaks to people.

A `Text` carries both wordings side by side, so that neither can be forgotten. `current()` decides which one a person at
this terminal reads; machines (codes, JSON keys, logs) always get English.
"""

import os
from collections.abc import Mapping
from typing import Literal, NamedTuple

Language = Literal["en", "es"]


class Text(NamedTuple):
    """One message in English and Spanish. Both may hold the same `{placeholders}`, filled by `say`."""

    en: str
    es: str

    def say(self, language: Language, /, **params: object) -> str:
        """The wording in `language`, its placeholders filled from `params`, texts among these as `visible` shows them.

        Raises KeyError if one is missing.
        """
        shown = {name: visible(value) if isinstance(value, str) else value for name, value in params.items()}
        return (self.es if language == "es" else self.en).format_map(shown)


def visible(text: str) -> str:
    r"""`text` as it may be shown anywhere: what cannot be printed is escaped as in Python.

    An escape sequence could rewrite the terminal, a line end forge a line of the log, and a byte that is not UTF-8
    (`surrogateescape`) can neither be printed nor be put into JSON: it becomes `\xe9`.
    """
    return text if text.isprintable() else "".join(one if one.isprintable() else _escaped(one) for one in text)


def encodable(text: str) -> str:
    """`text` itself if JSON and databases can hold it, else as `visible` shows it."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return visible(text)
    return text


def _escaped(character: str) -> str:
    code = ord(character)
    if _BYTES[0] <= code <= _BYTES[1]:
        return rf"\x{code & 0xFF:02x}"
    return character.encode("unicode_escape").decode("ascii")


_BYTES = 0xDC80, 0xDCFF
"""How `surrogateescape` keeps the bytes 0x80 to 0xFF."""


def current(environ: Mapping[str, str] = os.environ) -> Language:
    """The language of this terminal: `PLANTEL_LANG`, then the locale variables in POSIX order, else English."""
    for name in ("PLANTEL_LANG", "LC_ALL", "LC_MESSAGES", "LANG"):
        if value := environ.get(name):
            return "es" if value.lower().startswith("es") else "en"
    return "en"
