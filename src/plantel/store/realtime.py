"""The view from which an Asterisk with `delivery = "realtime"` reads its queues' members, in whatever database.

It has the columns of Asterisk's own `queue_members` table (contrib/ast-db-manage), and shows the roster itself: nothing
is copied. Asterisk reads it with `SELECT * FROM view WHERE interface LIKE '%' AND queue_name = 'Ventas->'`, where the
queue is spelled as Asterisk has it, and writes `UPDATE view SET paused = '1' WHERE uniqueid = '...'`, or `penalty`.
Such a write is a batch like any other: in the members and in the journal, under the server's name, numbered in the
order of commits. Seen on 16.28 and 22.10; 22 reads `reason_paused` as well, neither writes it.

`uniqueid` is made of campaign, membername and interface, as the server calls it: Asterisk knows a row again by it, and
takes no notice of another interface or name under the same one.

The rules of `phones.PhoneRules` are carried out by the view itself, as `plan.Demand` carries them out for a server that
is delivered to: who cannot have the phone that `map` leads to is left out.
"""

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from typing import ClassVar

import msgspec

from plantel.phones import PHONE
from plantel.roster import NAME_BYTES, fold

LOCK_SECONDS = 2
"""How long a write of Asterisk's waits for a batch that is being stored: it holds up calls meanwhile."""


MARK = "Plantel "
"""What a view of ours bears, before its state."""


class RealtimeView(msgspec.Struct, frozen=True):
    """What one server reads: the members of those campaigns of `instance` that match one of `campaigns` (none: all).

    `server` is its name in the journal; `mapping` and `state` are as `phones.PhoneRules` has them.
    """

    name: str
    instance: str
    server: str
    campaigns: tuple[str, ...] = ()
    mapping: Mapping[str, str] = {}
    state: Mapping[str, str] = {}


class Part(msgspec.Struct, frozen=True):
    """Something that is in the database for views only.

    `kind`: as `DROP` has it (`view`, `trigger`, ...), or `column`, which is one of `members`.
    """

    kind: str
    name: str


class RealtimeSql(ABC):
    """One view in the SQL of one database."""

    phones: ClassVar[str]
    """The table where a phone of a campaign is looked up: `campaign`, `phone` (folded), `membername`."""

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

    @property
    @abstractmethod
    def parts(self) -> set[Part]:
        """All that `statements` makes, or needs of what they find."""

    @abstractmethod
    def _statements(self, mark: str) -> list[str]: ...

    @abstractmethod
    def _matches(self, column: str, pattern: str) -> str:
        """The condition that `column` matches this regular expression, ASCII case aside."""

    @abstractmethod
    def _joined(self, *texts: str) -> str:
        """These texts as one."""

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
        """More conditions, for a member `m`: left out is who cannot have the phone, and what Asterisk would cut."""
        interface = self._interface("m.")
        conditions: list[str] = []
        if self.view.mapping:
            # as `roster.check_interface` has it, of what a rule of `map` can make
            conditions = [
                f"octet_length({interface}) <= {NAME_BYTES}",
                f"position('/' IN {interface}) < length({interface})",
                f"NOT ({self._phone('m.')} <> m.phone AND ({' OR '.join(self._rivals)}))",
            ]
        if self.view.state:
            conditions.append(f"octet_length({self._state}) <= {NAME_BYTES}")
        return "".join(f" AND {condition}" for condition in conditions)

    @property
    def _rivals(self) -> list[str]:
        """The conditions that another member of the campaign has the phone that `mapping` leads the member `m` to: one
        who was sent with it, or one of an earlier name. Each looks up one phone that may lead there."""
        there = self._phone("m.")

        def led(phone: str, condition: str) -> str:
            return (
                f"EXISTS (SELECT 1 FROM {self.phones} AS o WHERE o.campaign = m.campaign AND o.phone = {phone}"  # noqa: S608 - settings, checked and quoted
                f" AND {self._phone('o.')} = {there}{condition})"
            )

        rivals = [led(there, "")]
        for old, new in self.view.mapping.items():
            phone = self._joined(literal(fold(old)), f"substr({there}, {len(new) + 1})")
            rivals.append(f"({_begins(there, new)} AND {led(phone, ' AND o.membername < m.membername')})")
        return rivals

    def _interface(self, member: str = "") -> str:
        """What the server calls a member's interface. `member`: the alias of its row with a point after it, if any."""
        return self._called(f"{member}interface", f"{member}phone", str)

    def _phone(self, member: str) -> str:
        """The same, folded; it takes no other column than `phone`."""
        return self._called(f"{member}phone", f"{member}phone", fold)

    def _called(self, column: str, folded: str, spelled: Callable[[str], str]) -> str:
        if not self.view.mapping:
            return column
        cases = []
        for old, new in self.view.mapping.items():
            there = self._joined(literal(spelled(new)), f"substr({column}, {len(old) + 1})")
            cases.append(f"WHEN {_begins(folded, old)} THEN {there}")
        return f"(CASE {' '.join(cases)} ELSE {column} END)"

    @property
    def _state(self) -> str:
        """Whose state counts for the member `m`; '' for that of its own interface."""
        interface = self._interface("m.")
        cases = []
        for left, counts in self.view.state.items():
            before, _, after = left.partition(PHONE)
            phone = f"substr({interface}, {len(before) + 1}, length({interface}) - {len(before) + len(after)})"
            pattern = f"^{_escaped(before)}[A-Za-z0-9_.+-]+{_escaped(after)}$"
            device = f"replace({literal(counts)}, {literal(PHONE)}, {phone})"
            cases.append(f"WHEN {self._matches(interface, pattern)} THEN {device}")
        return f"CASE {' '.join(cases)} ELSE '' END" if cases else "''"

    @property
    def _suffix(self) -> str:
        """Of the name of what only views of this `mapping` need; empty without any."""
        if not self.view.mapping:
            return ""
        return f"_{hashlib.sha256(repr(list(self.view.mapping.items())).encode()).hexdigest()[:8]}"


def literal(text: str) -> str:
    """`text` as SQL has it where a backslash stands for itself."""
    return "'" + text.replace("'", "''") + "'"


def _begins(folded: str, beginning: str) -> str:
    """The condition that a folded text begins so, ASCII case aside."""
    return f"substr({folded}, 1, {len(beginning)}) = {literal(fold(beginning))}"


def _like(pattern: str) -> str:
    """A pattern of campaigns (`access.covers`) for LIKE, whose escape is `!`."""
    special = {"*": "%", "?": "_", "%": "!%", "_": "!_", "!": "!!"}
    return "".join(special.get(character, character) for character in fold(pattern))


def _escaped(text: str) -> str:
    """`text`, of what an interface is made of, as a regular expression without a backslash."""
    return "".join(f"[{character}]" if character in ".+*" else character for character in text)
