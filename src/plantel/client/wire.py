"""The wire call as its caller sees it: members to form bodies, answers to results. Pure: no I/O, no clock."""

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Literal, NamedTuple
from urllib.parse import quote, quote_plus, urlencode

import msgspec

from plantel import errors
from plantel.batch import settle
from plantel.language import visible
from plantel.roster import Member, parse_member

ADD = "/Integra/resources/queues/addqueuemember"
MEMBERS = "/Integra/resources/queues/getqueuemembersofqueue"
LOG_IN = "/Integra/resources/auth/getUserToken"
LOG_OUT = "/Integra/resources/auth/EndSession"

_TOKEN = re.compile(r"[!-~]{1,4096}")

ANSWER_BYTES = 64 * 1024
"""No answer is read further than this, but one that lists members: they are `1` and `0`, and pages of proxies."""

MEMBERS_BYTES = 16 * 2**20
"""As much for the members of a campaign; 50,000 take 5 MB."""

Delivery = Literal["live", "pending", "none"]
_DELIVERIES: dict[str, Delivery] = {"live": "live", "pending": "pending", "none": "none"}


class Warned(msgspec.Struct, frozen=True):
    """Something about a member that was stored all the same: `item` of those given, from 1; None if not about one."""

    item: int | None
    message: str


class Stored(msgspec.Struct, frozen=True):
    """A batch that the server stored: members `first` up to, not including, `last` of those given (from 0).

    `batch` is the server's id for it and `delivery` how far Asterisk was when the answer left: live (it shows all),
    pending (not yet, and `reason` says why), none (no Asterisk concerned). `warnings` are those that a header of 500
    bytes holds, in English as `reason` is. The original product says nothing of all this.
    """

    first: int
    last: int
    batch: str = ""
    delivery: Delivery | None = None
    reason: str = ""
    warnings: tuple[Warned, ...] = ()


class Form(NamedTuple):
    """One batch, encoded: members `first` up to, not including, `last`."""

    first: int
    last: int
    body: bytes


class Answer(NamedTuple):
    """An HTTP answer. `headers` by lower-case name."""

    status: int
    headers: Mapping[str, str]
    body: bytes


def check(members: Iterable[Member | Mapping[str, Any]]) -> list[Member]:
    """The members, those given as mappings (the five wire keys) parsed, none contradicting another.

    Raises EmptyBatch where there is none; MembersInvalid with every problem, items counted from 1. What only the server
    knows (its campaigns, its allow-list of interfaces) is not checked here.
    """
    checked: list[Member] = []
    problems: list[errors.InvalidItem] = []
    for number, member in enumerate(members, 1):
        try:
            checked.append(member if isinstance(member, Member) else parse_member(member))
        except errors.InvalidItem as error:
            problems.append(error.at(number))
    if not problems:
        if not checked:
            raise errors.EmptyBatch
        _, clashes = settle(checked)
        problems += clashes
    if problems:
        raise errors.MembersInvalid(problems)
    return checked


def forms(members: Sequence[Member], most_items: int, most_bytes: int) -> Iterator[Form]:
    """The members in order, as form bodies of at most `most_items` members and `most_bytes` bytes each.

    A member that alone takes more bytes goes alone: whether that is too much is for the server to say.
    """
    head, comma, tail = "queuemember=%5B", "%2C", "%5D"
    first = 0
    items: list[str] = []
    size = 0
    for number, member in enumerate(members):
        item = quote_plus(msgspec.json.encode(_on_the_wire(member)))
        if items and (len(items) == most_items or size + len(comma) + len(item) > most_bytes):
            yield Form(first, number, f"{head}{comma.join(items)}{tail}".encode("ascii"))
            first, items = number, []
        size = size + len(comma) + len(item) if items else len(head) + len(item) + len(tail)
        items.append(item)
    if items:
        yield Form(first, len(members), f"{head}{comma.join(items)}{tail}".encode("ascii"))


def _on_the_wire(member: Member) -> dict[str, str | int]:
    return {
        "membername": member.membername,
        "queueName": member.campaign,
        "interface1": member.interface,
        "penalty": member.penalty,
        "paused": int(member.paused),
    }


def fields(**values: str) -> bytes:
    """A form of plain fields."""
    return urlencode(values).encode("ascii")


def members_path(campaign: str) -> str:
    """The path of the call that lists a campaign: the name goes into the query string, as it is published."""
    return f"{MEMBERS}?queue={quote(campaign, safe='')}"


def read_stored(answer: Answer, form: Form) -> Stored:
    """What became of `form`. Raises ClientError unless the answer is `1`."""
    _check_status(answer)
    if _verdict(answer) != b"1":
        raise _unexpected(answer, "neither 1 nor 0")
    said = _said(answer)
    delivery = _DELIVERIES.get(answer.headers.get("plantel-delivery", ""))
    warnings = tuple(_warned(answer.headers.get("plantel-warning", ""), form))
    return Stored(form.first, form.last, said["batch"], delivery, said["reason"], warnings)


def read_token(answer: Answer) -> str:
    """The token in an answer to a login: the last element of a JSON array. Raises ClientError, which never shows it."""
    _check_status(answer)
    if answer.body.strip() == b"0":
        raise errors.CredentialsRefused(**_said(answer))
    match _json(answer):
        case [*_, str(token)] if _TOKEN.fullmatch(token):
            return token
    raise _unexpected(answer, "no JSON array that ends in a token")


def check_token(token: str) -> str:
    """The token, if it can stand in a header. Raises TokenNotUsable."""
    if not _TOKEN.fullmatch(token):
        raise errors.TokenNotUsable
    return token


def read_members(answer: Answer) -> list[Member]:
    """The members of a campaign. Raises ClientError."""
    _check_status(answer)
    _verdict(answer)
    items = _json(answer)
    if not isinstance(items, list):
        raise _unexpected(answer, "no JSON array")
    try:
        return [parse_member(item) for item in items]
    except errors.InvalidItem as error:
        raise _unexpected(answer, printable(f"a member that cannot be: {error}")) from error


def _check_status(answer: Answer) -> None:
    """Raise the error that a status other than 200 stands for."""
    match answer.status:
        case 200:
            return
        case 401:
            raise errors.CredentialsRefused(**_said(answer))
        case 403:
            raise errors.RightRefused(**_said(answer))
        case 413:
            raise errors.RequestTooLarge(**_said(answer))
        case 301 | 302 | 303 | 307 | 308:
            location = answer.headers.get("location", "").partition("?")[0]
            raise errors.AnswerRedirected(location=printable(location))
    raise _unexpected(answer, _said(answer)["reason"] or "no such answer is published")


def _verdict(answer: Answer) -> bytes:
    """The body without blanks around it. Raises ServerRefused for `0`.

    The published body is bare; a line end that a proxy or another version adds changes nothing about its meaning.
    """
    body = answer.body.strip()
    if body == b"0":
        raise errors.ServerRefused(**_said(answer))
    return body


def _json(answer: Answer) -> object:
    try:
        return msgspec.json.decode(answer.body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise _unexpected(answer, "no JSON") from None


def _unexpected(answer: Answer, detail: str) -> errors.AnswerUnexpected:
    """The body itself is left out: a server that echoes requests would put the token into our error."""
    kind = printable(answer.headers.get("content-type", "no Content-Type"))
    return errors.AnswerUnexpected(status=answer.status, detail=f"{detail} ({len(answer.body)} bytes, {kind})")


def _said(answer: Answer) -> dict[str, Any]:
    """What the headers of Plantel say beside the answer; all empty from the original product."""
    item, reason = _placed(printable(_unescape(answer.headers.get("plantel-reason", ""))))
    return {
        "reason": reason,
        "reason_code": printable(answer.headers.get("plantel-code", "")),
        "batch": printable(answer.headers.get("plantel-batch", "")),
        "item": item,
    }


def _warned(header: str, form: Form) -> Iterator[Warned]:
    """The warnings of one batch, each with its item among all that were given."""
    for text in re.split(r"; (?=item [1-9])", printable(_unescape(header))):
        item, message = _placed(text)
        if message:
            yield Warned(form.first + item if item and item <= form.last - form.first else None, message)


def _placed(text: str) -> tuple[int | None, str]:
    """The item of the batch, from 1, that a text is about, and what it says of it."""
    placed = re.match(r"item ([1-9][0-9]{0,9}): ", text)
    return (int(placed[1]), text[placed.end() :]) if placed else (None, text)


def _unescape(value: str) -> str:
    r"""The text of a header in which `\uXXXX` stands for what is not ASCII (two of them for what is beyond U+FFFF)."""
    return re.sub(r"(?:\\u[0-9a-fA-F]{4})+", lambda run: str(json.loads(f'"{run.group()}"')), value)


def printable(value: str) -> str:
    """A server's word, fit to be shown."""
    return visible(value[:500])
