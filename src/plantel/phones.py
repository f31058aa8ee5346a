"""What one server calls the phones of the roster: the rules of its `map` and `state` tables.

The roster keeps the interface that was sent. A server without `chan_sip` dials `PJSIP/1001` where the roster says
`SIP/1001` (`map`), and for a phone behind a `Local/` channel it has to be told whose state counts (`state`), since the
channel itself has none: `StateInterface` of QueueAdd.
"""

import re
from collections.abc import Mapping

from plantel import errors
from plantel.language import Text
from plantel.roster import NAME_BYTES, check_interface, fold

PHONE = "{phone}"
"""Stands, in a rule of `state`, for the name of the phone."""

_PREFIX = re.compile(r"[A-Za-z0-9]{1,20}/[A-Za-z0-9_.@/:+*#~-]{0,58}")
_STATE = re.compile(r"[A-Za-z0-9_.@/:+*#~-]{1,79}")
_A_PHONE = "([A-Za-z0-9_.+-]+)"


class UnfitRule(ValueError):
    """A rule that cannot be: the table that it is in, and what it has to be."""

    def __init__(self, table: str, text: Text) -> None:
        super().__init__(text.en)
        self.table = table
        self.text = text


class PhoneRules:
    """The rules of one server. Of each table the first that fits counts, in the order given; letters without case.

    `mapping`: the beginning of an interface, and what stands there instead (`"SIP/": "PJSIP/"`). `state`: an interface
    as the server has it, after `mapping`, and whose state counts for it, both with `{phone}` for the phone's name
    (`"Local/{phone}@from-queue/n": "hint:{phone}@ext-local"`). Raises UnfitRule.
    """

    def __init__(self, mapping: Mapping[str, str] | None = None, state: Mapping[str, str] | None = None) -> None:
        self._mapping = dict(mapping or {})
        for old, new in self._mapping.items():
            if not _PREFIX.fullmatch(old) or not _PREFIX.fullmatch(new):
                raise UnfitRule(
                    "map",
                    Text(
                        'must be beginnings of interfaces, such as { "SIP/" = "PJSIP/" }',
                        'deben ser comienzos de interfaces, como { "SIP/" = "PJSIP/" }',
                    ),
                )
        self._states: list[tuple[re.Pattern[str], str, str]] = []
        for interface, counts in (state or {}).items():
            sample = (interface.replace(PHONE, "1001"), counts.replace(PHONE, "1001"))
            if interface.count(PHONE) != 1 or not _PREFIX.fullmatch(sample[0]) or not _STATE.fullmatch(sample[1]):
                raise UnfitRule(
                    "state",
                    Text(
                        'must be interfaces with {phone}, such as { "Local/{phone}@agents/n" = "PJSIP/{phone}" }',
                        'deben ser interfaces con {phone}, como { "Local/{phone}@agents/n" = "PJSIP/{phone}" }',
                    ),
                )
            before, _, after = interface.partition(PHONE)
            pattern = re.compile(re.escape(before) + _A_PHONE + re.escape(after), re.ASCII | re.IGNORECASE)
            self._states.append((pattern, interface, counts))

    def interface(self, interface: str) -> str:
        """What the server calls `interface`. Raises InvalidItem where that is no interface (it is too long)."""
        for old, new in self._mapping.items():
            if interface.lower().startswith(old.lower()):
                there = new + interface[len(old) :]
                check_interface(there, "map")
                return there
        return interface

    def state(self, interface: str) -> str:
        """Whose state counts for `interface`, which is the server's; empty where no rule says so.

        Raises InvalidItem where it is too long.
        """
        for pattern, _, counts in self._states:
            if found := pattern.fullmatch(interface):
                device = counts.replace(PHONE, found[1])
                if len(device) > NAME_BYTES:
                    raise errors.NameTooLong(key="state", most=NAME_BYTES, size=len(device))
                return device
        return ""

    def called(self, interface: str) -> str:
        """`interface`, for people: as it is where what a rule makes of it is not usable."""
        try:
            return self.interface(interface)
        except errors.InvalidItem:
            return interface

    def shown(self, interface: str) -> str:
        """`SIP/1001 -> PJSIP/1001`, or just the interface where no rule changes it."""
        return shown(interface, self.called(interface))

    def applied(self, interface: str) -> list[str]:
        """The rules that count for a phone of the roster, as the configuration has them: `map: "SIP/" = "PJSIP/"`."""
        mapping = ((old, new) for old, new in self._mapping.items() if interface.lower().startswith(old.lower()))
        there = self.called(interface)
        states = ((old, counts) for pattern, old, counts in self._states if pattern.fullmatch(there))
        first = (("map", next(mapping, None)), ("state", next(states, None)))
        return [f'{table}: "{rule[0]}" = "{rule[1]}"' for table, rule in first if rule is not None]


def shown(sent: str, there: str) -> str:
    """The same for a phone of which it is known what was sent, and what the server calls it."""
    return there if fold(sent) == fold(there) else f"{sent} -> {there}"


AS_SENT = PhoneRules()
"""No rules: the server calls every phone as the roster does."""
