"""Campaigns and their members: frozen values that are valid once they exist.

The limits are Asterisk's own. `app_queue` keeps interface and member name in 80-byte buffers and cuts silently what is
longer; `,` `;` and `|` corrupt the list in which it persists a queue's members, and `|` breaks `queue_log`; a control
character would end an AMI header. An interface is a dial string, so its shape is narrow here and narrower still in
`Interfaces`, the site's allow-list.
"""

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from enum import StrEnum
from functools import lru_cache
from operator import attrgetter

import msgspec

from plantel import errors
from plantel.tally import Tally

NAME_BYTES = 79
"""The longest campaign name, member name or interface, in bytes of UTF-8."""

PENALTY_MOST = 2**31 - 1
"""Asterisk keeps the penalty in a C int."""

_PENALTY_DIGITS = len(str(PENALTY_MOST))

_NAME = re.compile(r"[^\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff,;|]{1,79}")
_NOT_IN_NAME = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff,;|]")
_INTERFACE = re.compile(r"[A-Za-z0-9]{1,20}/[A-Za-z0-9_.@/:+*#~-]{1,77}")
# a name and an interface at once, for a name cannot hold what stands between them
_BOTH = re.compile(rf"(?!\s){_NAME.pattern}(?<!\s)\n{_INTERFACE.pattern}")

_ASCII_LOWER = {upper: upper + 32 for upper in range(ord("A"), ord("Z") + 1)}


def ascii_lower(text: str) -> str:
    """`text` with ASCII letters in lower case, and all others as they are."""
    return text.lower() if text.isascii() else text.translate(_ASCII_LOWER)


class _Folds(dict[str, str]):
    """Of names their folded forms, 13 MiB of them at most: the same few come again and again."""

    MOST = 16_384

    def __missing__(self, name: str) -> str:
        if len(name) > NAME_BYTES:
            return name  # neither kept nor looked at: whoever sends it may send another one each time
        folded = ascii_lower(name)
        if folded == name:
            folded = name
        if len(self) >= self.MOST:
            self.clear()
        self[name] = folded
        return folded


fold: Callable[[str], str] = _Folds().__getitem__
"""The form in which Asterisk compares queue names and interfaces: ASCII letters without case (`strcasecmp`).

A name that is too long for one (NAME_BYTES) equals itself alone, and takes no time however long it is.
"""


def check_name(name: str, key: str) -> None:
    """Raise InvalidItem under `key` unless `name` is a usable campaign or member name.

    1 to 79 bytes of UTF-8, no control character, none of `,` `;` `|`, no blank at either end.
    """
    if (
        _NAME.fullmatch(name)
        and (name.isascii() or len(name.encode()) <= NAME_BYTES)
        and not name[0].isspace()
        and not name[-1].isspace()
    ):
        return
    if not name or name.isspace():
        raise errors.EmptyValue(key=key)
    if found := _NOT_IN_NAME.search(name):
        raise errors.ForbiddenCharacter(key=key, character=_describe(found.group()))
    if (size := len(name.encode())) > NAME_BYTES:
        raise errors.NameTooLong(key=key, most=NAME_BYTES, size=size)
    raise errors.ForbiddenCharacter(key=key, character=_describe(name[0] if name[0].isspace() else name[-1]))


@lru_cache(maxsize=4096)  # a batch names few campaigns, each many times; a wrong one raises, and is not kept
def _check_campaign(name: str) -> None:
    check_name(name, "queueName")


def check_reason(reason: str) -> None:
    """Raise InvalidItem under `reason` unless it may be given for a pause: empty, or as `check_name` wants a name.

    Asterisk keeps the reason in 80 bytes, too, and saves it in the same list.
    """
    if reason:
        check_name(reason, "reason")


def as_reason(text: str) -> str:
    """The most of `text`, a reason of an Asterisk's own, that `check_reason` takes."""
    kept = _NOT_IN_NAME.sub(" ", text).strip()
    return kept if len(kept.encode()) <= NAME_BYTES else kept.encode()[:NAME_BYTES].decode(errors="ignore").strip()


def check_interface(interface: str, key: str) -> None:
    """Raise InvalidItem under `key` unless `interface` has the shape of a dial interface (`SIP/1001`)."""
    if is_interface(interface):
        return
    if not interface or interface.isspace():
        raise errors.EmptyValue(key=key)
    if found := _NOT_IN_NAME.search(interface):
        raise errors.ForbiddenCharacter(key=key, character=_describe(found.group()))
    if (size := len(interface.encode())) > NAME_BYTES:
        raise errors.NameTooLong(key=key, most=NAME_BYTES, size=size)
    raise errors.InterfaceNotAllowed(key=key, interface=interface)


def is_interface(text: str) -> bool:
    """Whether `check_interface` takes it."""
    return _INTERFACE.fullmatch(text) is not None and len(text) <= NAME_BYTES


def _describe(character: str) -> str:
    return f'"{character}"' if character in ",;|" else f"U+{ord(character):04X}"


class Interfaces:
    """A site's allow-list of dial interfaces: whole-string regular expressions without regard to case.

    The default admits a phone by its name in SIP, PJSIP, IAX2 and SCCP, an `Agent/`, a DAHDI channel, and a short
    extension behind `Local/` into the contexts `agents` and `from-queue`. It admits no `@` elsewhere and no second `/`:
    `SIP/34900@trunk` and `PJSIP/x/sip:...` would let whoever may add an agent place calls through a trunk. Nor a dot in
    a phone's name, since what is not the name of a peer is that of a host, and is called there; nor an extension as
    long as a telephone number.

    `trunks` are refused whatever the patterns admit: a name (`mytrunk`) as the peer of any technology, with anything
    before or behind it (`PJSIP/600@mytrunk`), or of one (`DAHDI/g0`). `called`: what else servers call an interface,
    each of which has to be accepted, too.
    """

    DEFAULT = (
        r"(SIP|PJSIP|IAX2|SCCP)/[A-Z0-9_+-]+",
        r"Agent/[A-Z0-9_.-]+",
        r"DAHDI/[0-9]+(-1)?",
        r"Local/[A-Z0-9]{2,6}@(agents|from-queue)(/[nbj]{1,3})?",
    )

    def __init__(
        self,
        patterns: Iterable[str] = DEFAULT,
        *,
        trunks: Sequence[str] = (),
        called: Sequence[Callable[[str], str]] = (),
    ) -> None:
        """Raises `re.error` where a pattern is not a regular expression."""
        allowed = "|".join(f"(?:{pattern})" for pattern in patterns)
        refused = f"(?!(?:{'|'.join(map(_trunk, trunks))})$)" if trunks else ""
        self._allowed = re.compile(f"{refused}(?:{allowed})", re.ASCII | re.IGNORECASE)
        self._called = tuple(called)
        self._accepts: Callable[[str], object] = self._leads if called else self._allowed.fullmatch

    def _leads(self, interface: str) -> bool:
        """Whether it is accepted under each name that it has."""
        matches = self._allowed.fullmatch
        return matches(interface) is not None and all(matches(called(interface)) for called in self._called)

    def check(self, items: Sequence["Member | errors.InvalidItem"]) -> list[errors.InvalidItem]:
        """InterfaceNotAllowed for each of these members, counted from 1, whose whole interface no pattern matches."""
        accepts = self._accepts
        members = [item for item in items if isinstance(item, Member)]
        if all(map(accepts, map(_interface, members))):  # as in nearly every batch
            return []
        tally = Tally()
        for number, item in enumerate(items, 1):
            if isinstance(item, Member) and not accepts(item.interface):
                tally.make(errors.InterfaceNotAllowed, key="interface1", item=number, interface=item.interface)
        return tally.told()

    def refused(self, members: Iterable["Member"]) -> list["Member"]:
        """Those of the roster that could not be added today: they stay, and can be paused and removed."""
        return [member for member in members if not self._accepts(member.interface)]


def is_trunk(text: str) -> bool:
    """Whether it can be one of the `trunks` of Interfaces: a name, or one with its technology (`DAHDI/g0`)."""
    return _TRUNK.fullmatch(text) is not None


_TRUNK = re.compile(r"([A-Za-z0-9]{1,20}/)?[A-Za-z0-9_.+*#~-]{1,77}")


def _trunk(name: str) -> str:
    """A regular expression of all interfaces that lead to this trunk."""
    technology, _, peer = name.rpartition("/")
    before = rf"{re.escape(technology) or '[^/]+'}/(?:.*[/@:])?{re.escape(peer)}"
    # behind the name a way to dial, or a channel of a DAHDI line, or how it is to ring
    return rf"{before}(?:[/@:].*)?|(?=DAHDI/){before}(?:[cr-].*)?"


_interface = attrgetter("interface")


class Origin(StrEnum):
    """How Plantel learned of a campaign."""

    DECLARED = "declared"
    DISCOVERED = "discovered"


class Campaign(msgspec.Struct, frozen=True):
    """A campaign of one instance: a queue of Asterisk by the same name. Names compare as `fold` does."""

    instance: str
    name: str
    origin: Origin = Origin.DECLARED

    def __post_init__(self) -> None:
        check_name(self.name, "queueName")


class Member(msgspec.Struct, frozen=True, gc=False):
    """An agent in a campaign.

    Within one campaign both `membername` (by exact spelling) and `interface` (by `fold`) stand for one member only.
    `campaign` is spelled as the campaign was declared. `penalty`: lower rings first. Raises InvalidItem when made with
    values that Asterisk could not hold; the site's `Interfaces` are checked where a request comes in.
    """

    campaign: str
    membername: str
    interface: str
    penalty: int = 0
    paused: bool = False

    @property
    def phone(self) -> str:
        """The interface as Asterisk compares it (`fold`; an interface is ASCII)."""
        return self.interface.lower()

    def __post_init__(self) -> None:
        _check_campaign(self.campaign)
        name, interface = self.membername, self.interface
        # one look for what is nearly always right: large batches make tens of thousands of members
        if not (
            _BOTH.fullmatch(f"{name}\n{interface}")
            and len(interface) <= NAME_BYTES
            and (name.isascii() or len(name.encode()) <= NAME_BYTES)
        ):
            check_name(name, "membername")
            check_interface(interface, "interface1")
        if self.penalty < 0:
            raise errors.NegativeValue(key="penalty")
        if self.penalty > PENALTY_MOST:
            raise errors.ValueTooLarge(key="penalty", most=PENALTY_MOST)


def parse_member(item: object) -> Member:
    """A Member from one decoded JSON object with the five keys of the wire call (CONTRACT: queueName and its kin).

    Blanks around a text are dropped; penalty and paused may be numbers, numbers in a string, or empty (0); paused may
    also be `true` or `false`. Other keys are ignored. Raises InvalidItem naming the key.
    """
    if not isinstance(item, dict):
        raise errors.NotAnObject()
    return Member(
        campaign=_text(item, "queueName"),
        membername=_text(item, "membername"),
        interface=_text(item, "interface1"),
        penalty=_penalty(item),
        paused=_flag(item),
    )


class _WireItem(msgspec.Struct, gc=False):
    """An item whose values all have a type that they may have."""

    membername: str
    queueName: str  # noqa: N815  # the wire's own name
    interface1: str
    penalty: int | str
    paused: bool | int | str


_wire_items = msgspec.json.Decoder(list[_WireItem])

_PART = 64 * 1024
"""Characters of an array, at least, that are read at a time."""


def parse_members(array: str, most: int) -> list[Member] | None:
    """The members of a JSON array in which every item is valid; None where any is not, for `parse_member` to say why.

    The same rules as `parse_member`, in a third of its time: large batches are nearly always right. None, too, where
    `_parts` takes a text with "}," in it for the end of an item. Raises TooManyItems past `most`.
    """
    campaigns: dict[str, str] = {}  # one text for each, not one for each item
    members: list[Member] = []
    try:
        for part in _parts(array):
            items = _wire_items.decode(part)
            if members and not items:  # a comma, and nothing after it
                return None
            if len(members) + len(items) > most:
                raise errors.TooManyItems(most=most)
            for item in items:
                campaign = campaigns.get(item.queueName)
                if campaign is None:
                    campaign = campaigns[item.queueName] = item.queueName.strip()
                penalty = item.penalty if type(item.penalty) is int else _PENALTIES.get(item.penalty)
                flag = _FLAGS.get(item.paused)
                members.append(
                    Member(
                        campaign,
                        item.membername.strip(),
                        item.interface1.strip(),
                        _penalty_of(item.penalty) if penalty is None else penalty,
                        _flag_of(item.paused) if flag is None else flag,
                    )
                )
    except (errors.InvalidItem, msgspec.DecodeError, RecursionError, UnicodeError):
        return None
    return members


def _parts(array: str) -> Iterator[str]:
    """A JSON array of objects as shorter arrays, so that a large batch is not held twice.

    Where it is cut within an object or a text, the part that ends there is no array: whoever finds all parts to be
    arrays, and none after the first to be empty, has the items of the whole.
    """
    opening, start = "", 0
    while (cut := array.find("},", start + _PART)) >= 0:
        yield f"{opening}{array[start : cut + 1]}]"
        opening, start = "[", cut + 2
    yield f"{opening}{array[start:]}"


WIRE_KEYS = frozenset({"membername", "queueName", "interface1", "penalty", "paused"})
"""The keys of an item of the wire call; all of them have to be there."""


def _text(item: dict[str, object], key: str) -> str:
    try:
        value = item[key]
    except KeyError:
        raise errors.MissingKey(key=key) from None
    if isinstance(value, str):
        return value.strip()
    if value is None:
        raise errors.EmptyValue(key=key)
    raise errors.NotText(key=key)


def _penalty(item: dict[str, object]) -> int:
    try:
        value = item["penalty"]
    except KeyError:
        raise errors.MissingKey(key="penalty") from None
    return _penalty_of(value)


def _penalty_of(value: object) -> int:
    if type(value) is int:
        return value
    if value is None:
        return 0
    if isinstance(value, str):
        if len(value) < _PENALTY_DIGITS and value.isascii() and value.isdigit():
            return int(value)
        digits = value.strip()
        if not digits:
            return 0
        sign, number = (digits[0], digits[1:]) if digits[0] in "+-" else ("", digits)
        if number.isascii() and number.isdigit():
            if sign == "-" and number.strip("0"):
                raise errors.NegativeValue(key="penalty")
            if len(number.lstrip("0")) > _PENALTY_DIGITS:
                raise errors.ValueTooLarge(key="penalty", most=PENALTY_MOST)
            return int(number.lstrip("0") or "0")
    raise errors.NotAnInteger(key="penalty")


_PENALTIES: dict[object, int] = {"": 0, **{str(penalty): penalty for penalty in range(100)}}
"""What nearly every text says. Any other is read anew each time: a cache would keep what nobody sends twice."""

_FLAGS: dict[object, bool] = {"0": False, "1": True, "true": True, "false": False, "": False}


def _flag(item: dict[str, object]) -> bool:
    try:
        value = item["paused"]
    except KeyError:
        raise errors.MissingKey(key="paused") from None
    return _flag_of(value)


def _flag_of(value: object) -> bool:
    if isinstance(value, str):
        flag = _FLAGS.get(value)
        if flag is None:
            flag = _FLAGS.get(value.strip().lower())
        if flag is not None:
            return flag
    if isinstance(value, bool):
        return value
    if value is None:
        return False
    if type(value) is int and value in (0, 1):
        return value == 1
    raise errors.NotAFlag(key="paused")
