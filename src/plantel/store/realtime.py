"""The view from which an Asterisk with `delivery = "realtime"` reads its queues' members, in whatever database.

It has the columns of Asterisk's own `queue_members` table (contrib/ast-db-manage), and shows the roster itself: nothing
is copied. Asterisk reads it with `SELECT * FROM view WHERE interface LIKE '%' AND queue_name = 'Ventas->'`, where the
queue is spelled as Asterisk has it, and writes `UPDATE view SET paused = '1' WHERE uniqueid = '...'`, or `penalty`.
Such a write is a batch like any other: in the members and in the journal, under the server's name, numbered in the
order of commits. Seen on 16.28 and 22.10; 22 reads `reason_paused` as well, neither writes it.

`uniqueid` is made of campaign, membername and interface: Asterisk knows a row again by it, and takes no notice of
another interface or name under the same one.
"""

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Mapping

import msgspec

from plantel.phones import PHONE
from plantel.roster import NAME_BYTES, fold

LOCK_SECONDS = 2
"""How long a write of Asterisk's waits for a batch that is being stored: it holds up calls meanwhile."""


MARK = "Plantel "
"""What a view of ours bears, before its state."""


class RealtimeView(msgspec.Struct, frozen=True):
    """What one server reads: the members of those campaigns of `instance` that match one of `campaigns` (none: all).

    `server` is its name in the journal; `state` is as `phones.PhoneRules` has it.
    """

    name: str
    instance: str
    server: str
    campaigns: tuple[str, ...] = ()
    state: Mapping[str, str] = {}


class RealtimeSql(ABC):
    """One view in the SQL of one database."""

    def __init__(self, view: RealtimeView) -> None:
        self.view = view

    @property
    def state(self) -> str:
        """Another text than before where the statements are others."""
        return hashlib.sha256("\n".join(self._statements("")).encode()).hexdigest()[:16]

    @property
    def statements(self) -> list[str]:
        """What makes the view, or makes it anew and leaves the rights to it as they are, and marks it with `state`."""
        return self._statements(MARK + self.state)

    @abstractmethod
    def _statements(self, mark: str) -> list[str]: ...

    @abstractmethod
    def _matches(self, column: str, pattern: str) -> str:
        """The condition that `column` matches this regular expression, ASCII case aside."""

    @property
    def _share(self) -> str:
        """The condition for a campaign `c`."""
        conditions = [f"c.instance = {literal(self.view.instance)}", "c.removed = 0"]
        if self.view.campaigns:
            likes = [f"c.folded LIKE {literal(_like(pattern))} ESCAPE '!'" for pattern in self.view.campaigns]
            conditions.append(f"({' OR '.join(likes)})")
        return " AND ".join(conditions)

    @property
    def _fits(self) -> str:
        """One condition more, for a member `m`: what Asterisk would cut is left out."""
        return f" AND octet_length({self._state}) <= {NAME_BYTES}" if self.view.state else ""

    @property
    def _state(self) -> str:
        """Whose state counts for the member `m`; '' for that of its own interface."""
        cases = []
        for interface, counts in self.view.state.items():
            before, _, after = interface.partition(PHONE)
            phone = f"substr(m.interface, {len(before) + 1}, length(m.interface) - {len(before) + len(after)})"
            pattern = f"^{_escaped(before)}[A-Za-z0-9_.+-]+{_escaped(after)}$"
            device = f"replace({literal(counts)}, {literal(PHONE)}, {phone})"
            cases.append(f"WHEN {self._matches('m.interface', pattern)} THEN {device}")
        return f"CASE {' '.join(cases)} ELSE '' END" if cases else "''"


def literal(text: str) -> str:
    """`text` as SQL has it where a backslash stands for itself."""
    return "'" + text.replace("'", "''") + "'"


def _like(pattern: str) -> str:
    """A pattern of campaigns (`access.covers`) for LIKE, whose escape is `!`."""
    special = {"*": "%", "?": "_", "%": "!%", "_": "!_", "!": "!!"}
    return "".join(special.get(character, character) for character in fold(pattern))


def _escaped(text: str) -> str:
    """`text`, of what an interface is made of, as a regular expression without a backslash."""
    return "".join(f"[{character}]" if character in ".+*" else character for character in text)
