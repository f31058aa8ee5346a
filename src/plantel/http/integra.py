"""The published call and its neighbours, under `/Integra/resources`: a dialect of its own, kept to the byte.

Every answer's body is `1`, `0` or a JSON array. What went wrong stands in the headers, which old callers ignore:
`Plantel-Batch`, `Plantel-Code`, `Plantel-Reason` and, for what was stored, `Plantel-Delivery` and `Plantel-Warning`.
"""

import asyncio
import hashlib
import re
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Literal

import msgspec
import structlog

from plantel import errors
from plantel.batch import Source
from plantel.http.form import decode_field, decode_json_field, to_text, unquote
from plantel.http.instance import Instance
from plantel.http.ops import ANSWERS
from plantel.http.problems import headers, statuses, to_header
from plantel.http.request import Body, ClientGone, Request
from plantel.http.rsgi import Headers
from plantel.roster import Member, parse_member, parse_members
from plantel.secret import Secret
from plantel.service import Service, Wanted

PREFIX = "/Integra/resources/"

TEXT = ("content-type", "text/plain; charset=utf-8")
JSON = ("content-type", "application/json; charset=utf-8")
ONE = b"1"
ZERO = b"0"
_LIVE, _PENDING, _NOWHERE = (("plantel-delivery", text) for text in ("live", "pending", "none"))
_FORM = "application/x-www-form-urlencoded"

BIG_BODY = 64 * 1024
"""Bytes from which a body is taken apart in a thread, so that a large batch does not hold up the small ones."""

SMALL_BODY = 4 * 1024
"""Bytes up to which a body is not worth remembering: it is taken apart in less time than its answer takes."""

log = structlog.get_logger()

Answer = tuple[bytes, Headers]
"""Body and headers; the status is 200."""


class Integra:
    """The wire dialect, as a handler of its own for every path below PREFIX."""

    def __init__(
        self, *, body_limit: int, body_timeout: float, confirm: Literal["stored", "live"], deadline: float
    ) -> None:
        self._limit = body_limit
        self._timeout = body_timeout
        self._confirm = confirm
        self._deadline = deadline
        self._last: tuple[Service, bytes, Wanted] | None = None
        self._calls: dict[str, Callable[[Instance, Request], Awaitable[Answer]]] = {
            PREFIX + "queues/addqueuemember": self._add,
            PREFIX + "queues/getqueuemembersofqueue": self._members,
            PREFIX + "auth/getUserToken": self._log_in,
            PREFIX + "auth/EndSession": self._log_out,
        }

    async def __call__(self, instance: Instance, request: Request) -> None:
        """Answer one request of `instance`."""
        try:
            body, extra = await self._call_of(request)(instance, request)
        except errors.PlantelError as error:
            await self._refuse(error, request)
        except ClientGone:
            ANSWERS["0"] += 1  # nobody reads it
        except Exception:
            # a caller who reads only the body must find `0`, whatever happened
            log.exception("failed", path=request.path)
            await self._refuse(errors.PlantelError(), request)
        else:
            ANSWERS["1"] += 1
            request.respond(200, extra, body)

    async def _refuse(self, error: errors.PlantelError, request: Request) -> None:
        # A method of its own, which the error's traceback does not know: a frame that held on to both would be a cycle,
        # and until it is collected the unread body, and with it the connection, would stay open.
        status = statuses(error).integra
        extra = headers(error)
        if status in _UNREAD and not await request.drain():
            extra.append(("connection", "close"))
        ANSWERS["0"] += 1
        refusal = {name: value for name, value in extra if name in _LOGGED}
        log.warning("refused", path=request.path, address=request.address, **refusal)
        request.respond(status, [TEXT, *extra], ZERO)

    def _call_of(self, request: Request) -> Callable[[Instance, Request], Awaitable[Answer]]:
        call = self._calls.get(request.path)
        if call is None:
            raise errors.NotFound
        if request.scope.method != "POST":
            raise errors.MethodNotAllowed(allowed="POST")
        return call

    # --- addqueuemember ----------------------------------------------------------------------------------------------

    async def _add(self, instance: Instance, request: Request) -> Answer:
        actor = await instance.authenticator.actor(request.header("authorization"), request.address)
        held = [await self._form(request)]
        try:
            service, size = instance.service, len(held[0])
            if size <= SMALL_BODY:
                items: Sequence[Member | errors.InvalidItem] | Wanted = read_items(held.pop())
            elif size <= BIG_BODY:
                items = self._look_through(service, held)
            else:
                items = await asyncio.to_thread(self._look_through, service, held)
        except errors.InvalidBatch as error:
            await instance.service.refuse(actor, Source.WIRE, error)
        receipt = await service.add(actor, items, Source.WIRE)
        extra = [TEXT, ("plantel-batch", receipt.batch)]
        if receipt.warnings:
            extra.append(("plantel-warning", to_header("; ".join(map(str, receipt.warnings)))))
        if not instance.delivery.reconcilers:
            extra.append(_NOWHERE)
            return ONE, extra
        confirm, deadline = preference(request.header("prefer"), self._confirm, self._deadline)
        if confirm == "live":
            behind = await instance.delivery.live(receipt, deadline)
        else:
            behind = instance.delivery.behind(receipt)
        if behind is None:
            extra.append(_LIVE)
        else:
            extra += [_PENDING, ("plantel-reason", to_header(str(behind)))]
        return ONE, extra

    def _look_through(self, service: Service, held: list[Body]) -> Wanted:
        """As `read_items`, looked through by `service`, for the one body in `held`, let go as soon as it is decoded.

        The last ones are kept: whoever sends a whole roster sends the same again and again, at once where an answer
        was late.
        """
        body = held.pop()
        size, digest = len(body), hashlib.sha256(body).digest()  # processors bring it along
        last = self._last
        if last is not None and last[0] is service and last[1] == digest:
            return last[2]
        self._last = last = None  # not in memory beside the new ones
        text = _array_of(body)
        del body
        wanted = service.wanted(_items_of(text, size))
        self._last = service, digest, wanted
        return wanted

    # --- its neighbours ----------------------------------------------------------------------------------------------

    async def _members(self, instance: Instance, request: Request) -> Answer:
        actor = await instance.authenticator.actor(request.header("authorization"), request.address)
        body = await request.body(self._limit, self._timeout)
        for name in queue_names(request.scope.query_string.encode(), body):
            try:
                members = await instance.service.members(actor, name)
            except errors.UnknownCampaign as error:
                unknown = error
                continue
            return msgspec.json.encode([_wire(member) for member in members]), [JSON]
        raise unknown

    async def _log_in(self, instance: Instance, request: Request) -> Answer:
        user, password = _credentials(await self._form(request), "password")
        try:
            login = instance.authenticator.log_in(user, password, request.address)
            token = await request.while_there(login)
        except errors.NotAuthenticated as error:
            # the published answer to wrong credentials is a bare 0, not a status
            return ZERO, [TEXT, *(pair for pair in headers(error) if pair[0] != "www-authenticate")]
        return msgspec.json.encode([user, instance.name, token]), [JSON]

    async def _log_out(self, instance: Instance, request: Request) -> Answer:
        user, token = _credentials(await self._form(request), "token")
        if await instance.authenticator.log_out(user, token, request.address):
            return ONE, [TEXT]
        return ZERO, [TEXT, *headers(errors.NoSuchThing(name="session"))]

    async def _form(self, request: Request) -> Body:
        kind = request.header("content-type")
        if kind != _FORM and kind.partition(";")[0].strip().lower() != _FORM:
            raise errors.NotAForm
        return await request.body(self._limit, self._timeout)


_LOGGED = frozenset({"plantel-batch", "plantel-code", "plantel-reason"})

_UNREAD = frozenset({401, 404, 405, 413, 415, 429})
"""Statuses that are answered before the body was read."""


def _credentials(body: Body, secret: str) -> tuple[str, Secret]:
    return _field(body, "user"), Secret(_field(body, secret))


def _field(body: Body, name: str) -> str:
    value = decode_field(body, name)
    if value is None:
        raise errors.FieldMissing(field=name)
    return value


def read_items(body: Body) -> Sequence[Member | errors.InvalidItem]:
    """The items of the form's `queuemember`, in order; each a Member, or the error that says why it is none.

    Raises InvalidBatch where there is no array of at least one item.
    """
    return _items_of(_array_of(body), len(body))


def _array_of(body: Body) -> str:
    text = decode_json_field(body, "queuemember")
    if not text:
        raise errors.FieldMissing(field="queuemember")
    return text


def _items_of(text: str, size: int) -> Sequence[Member | errors.InvalidItem]:
    """`size`: that of the body."""
    members = parse_members(text)
    if members:
        return members
    try:
        array = msgspec.json.decode(text)
    except msgspec.DecodeError as error:
        if "truncated" in str(error) and not text.rstrip().endswith("]"):
            raise errors.BodyCutShort(size=size) from None
        raise errors.NotJson(detail=str(error)) from None
    except (RecursionError, UnicodeError) as error:
        raise errors.NotJson(detail=type(error).__name__) from None
    if not isinstance(array, list):
        raise errors.NotAnArray
    if not array:
        raise errors.EmptyBatch
    return [_read_item(number, item) for number, item in enumerate(array, 1)]


def _read_item(number: int, item: object) -> Member | errors.InvalidItem:
    try:
        return parse_member(item)
    except errors.InvalidItem as error:
        return error.at(number)


def queue_names(query: bytes, body: Body) -> Sequence[str]:
    """What a client may have meant by `queue=NAME`, in the query string or the form: best guess first.

    The name is often sent unencoded, so that `A+B` or `Ventas & Cobros` read by the form rules say something else.
    Raises FieldMissing.
    """
    names: list[str] = []
    for form in (query, body):
        strict = decode_field(form, "queue")
        if strict is None:
            continue
        raw = form[form.index(b"queue=") + len(b"queue=") :] if b"queue=" in form else b""
        for name in (strict, to_text(unquote(raw.partition(b"&")[0])), to_text(unquote(raw)), to_text(raw)):
            if name.strip() and name.strip() not in names:
                names.append(name.strip())
    if not names:
        raise errors.FieldMissing(field="queue")
    return names


def _wire(member: Member) -> dict[str, Any]:
    return {
        "membername": member.membername,
        "queueName": member.campaign,
        "interface1": member.interface,
        "penalty": member.penalty,
        "paused": int(member.paused),
    }


_WAIT = re.compile(r"(?:^|[,;\s])wait\s*=\s*\"?(\d{1,3})\"?(?:$|[,;\s])")


def preference(
    prefer: str, confirm: Literal["stored", "live"], deadline: float
) -> tuple[Literal["stored", "live"], float]:
    """What the Prefer header (RFC 7240) makes of the configured choice: `respond-async` stored, `wait=SECONDS` live.

    Nobody waits longer than 60 s.
    """
    if not prefer:
        return confirm, deadline
    if match := _WAIT.search(prefer.lower()):
        return "live", min(float(match[1]), 60.0)
    return ("stored", deadline) if "respond-async" in prefer.lower() else (confirm, deadline)
