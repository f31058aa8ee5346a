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
        """The wording in `language`, its placeholders filled from `params`. Raises KeyError if one is missing."""
        return (self.es if language == "es" else self.en).format_map(params)


def current(environ: Mapping[str, str] = os.environ) -> Language:
    """The language of this terminal: `PLANTEL_LANG`, then the locale variables in POSIX order, else English."""
    for name in ("PLANTEL_LANG", "LC_ALL", "LC_MESSAGES", "LANG"):
        if value := environ.get(name):
            return "es" if value.lower().startswith("es") else "en"
    return "en"
