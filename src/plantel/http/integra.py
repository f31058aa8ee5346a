"""The published call and its neighbours, under `/Integra/resources`: a dialect of its own, kept to the byte.

Every answer's body is `1`, `0` or a JSON array. What went wrong stands in the headers, which old callers ignore:
`Plantel-Batch`, `Plantel-Code`, `Plantel-Reason` and, for what was stored, `Plantel-Delivery` and `Plantel-Warning`.
"""

import hashlib
import re
import secrets
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import Any, Literal

import msgspec
import structlog

from plantel import errors
from plantel.access import Actor
from plantel.batch import Source
from plantel.http import limits
from plantel.http.form import decode_field, to_text, unquote
from plantel.http.instance import Instance
from plantel.http.ops import ANSWERS
from plantel.http.problems import UNREAD, headers, statuses, to_header
from plantel.http.queuemember import all_items, array_of, read_items, right_items
from plantel.http.request import Body, ClientGone, Request
from plantel.http.rsgi import Headers
from plantel.roster import NAME_BYTES, Member
from plantel.secret import Secret
from plantel.service import Service, Wanted
from plantel.workers import Workers

PREFIX = "/Integra/resources/"

TEXT = ("content-type", "text/plain; charset=utf-8")
JSON = ("content-type", "application/json; charset=utf-8")
ONE = b"1"
ZERO = b"0"
_LIVE, _PENDING, _NOWHERE = (("plantel-delivery", text) for text in ("live", "pending", "none"))
_FORM = "application/x-www-form-urlencoded"

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
        """Of the last large batch: what `body_limit` and the service's `most` leave of it, some 50 MiB at most."""
        self._batches = Workers("batch", limits.TAKING_APART, limits.WAITING_BATCHES)
        self._lists = Workers("list", 1, limits.WAITING_LISTS)
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
            log.info("gone", path=request.path, address=request.address)
        except Exception:
            # a caller who reads only the body must find `0`, whatever happened
            failure = errors.InternalError(id=secrets.token_hex(6))
            log.exception("failed", path=request.path, id=failure.params["id"])
            await self._refuse(failure, request)
        else:
            ANSWERS["1"] += 1
            request.respond(200, extra, body)

    async def _refuse(self, error: errors.PlantelError, request: Request) -> None:
        # A method of its own, which the error's traceback does not know: a frame that held on to both would be a cycle,
        # and until it is collected the unread body, and with it the connection, would stay open.
        status = statuses(error).integra
        extra = headers(error)
        if status in UNREAD and not request.read and not await request.drain():
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
        actor.check_write()
        service = instance.service
        held = [await self._form(request, self._limit)]
        try:
            if len(held[0]) <= limits.EXPLAINED_AT_ONCE:
                items: Sequence[Member | errors.InvalidItem] | Wanted | None = read_items(held.pop(), service.most)
            elif len(held[0]) <= limits.AT_ONCE:
                items = self._at_once(service, held[0])
            else:
                items = None
            if items is None:
                items = await request.while_there(self._batches.run(partial(self._look_through, service, actor, held)))
        except errors.InvalidBatch as error:
            await service.refuse(actor, Source.WIRE, error)
        receipt = await service.add(actor, items, Source.WIRE)
        extra = [TEXT, ("plantel-batch", receipt.batch)]
        if receipt.warnings:
            extra.append(("plantel-warning", to_header("; ".join(map(str, receipt.warnings[:_WARNINGS])))))
        if not instance.delivery.reconcilers:
            extra.append(_NOWHERE)
            return ONE, extra
        confirm, deadline = preference(request.header("prefer"), self._confirm, self._deadline)
        if confirm == "live":
            behind = await instance.delivery.live(receipt, deadline)
        else:
            behind = await instance.delivery.lag(receipt)
        if behind is None:
            extra.append(_LIVE)
        else:
            extra += [_PENDING, ("plantel-reason", to_header(str(behind)))]
        return ONE, extra

    def _at_once(self, service: Service, body: Body) -> Sequence[Member] | Wanted | None:
        """As `_look_through`, if nothing in `body` takes long; else None. A small one is not remembered."""
        if len(body) > SMALL_BODY:
            digest = hashlib.sha256(body).digest()
            if (wanted := self._remembered(service, digest)) is not None:
                return wanted
        try:
            members = right_items(array_of(body, limits.BAD_ESCAPES_AT_ONCE), service.most)
        except errors.InvalidBatch:
            return None
        if members is None or len(body) <= SMALL_BODY:
            return members
        return self._remember(service, digest, members)

    def _look_through(self, service: Service, actor: Actor, held: list[Body]) -> Wanted:
        """As `read_items`, looked through by `service`, for the one body in `held`, let go as soon as it is decoded.

        For a thread. The last ones are kept: whoever sends a whole roster sends the same again and again, at once where
        an answer was late.
        """
        body = held.pop()
        size, digest = len(body), hashlib.sha256(body).digest()  # processors bring it along
        wanted = self._remembered(service, digest)
        if wanted is None:
            self._last = None  # not in memory beside the new ones
            array = array_of(body)
            del body
            items = right_items(array, service.most) or all_items(array, size, service.most)
            wanted = self._remember(service, digest, items)
        wanted.forbidden_to(actor)  # remembered, too: there may be as many campaigns as members
        return wanted

    def _remembered(self, service: Service, digest: bytes) -> Wanted | None:
        last = self._last
        return last[2] if last is not None and last[0] is service and last[1] == digest else None

    def _remember(self, service: Service, digest: bytes, items: Sequence[Member | errors.InvalidItem]) -> Wanted:
        wanted = service.wanted(items)
        self._last = service, digest, wanted
        return wanted

    # --- its neighbours ----------------------------------------------------------------------------------------------

    async def _members(self, instance: Instance, request: Request) -> Answer:
        actor = await instance.authenticator.actor(request.header("authorization"), request.address)
        query = request.scope.query_string.encode()
        if len(query) > limits.QUERY_BODY:
            raise errors.QueryTooLong(most=limits.QUERY_BODY)
        body = await request.body(limits.QUERY_BODY, self._timeout)
        for name in queue_names(query, body):
            try:
                members = await instance.service.members(actor, name)
            except errors.UnknownCampaign as error:
                unknown = error
                continue
            held, few = [members], len(members) <= limits.LISTED_AT_ONCE
            del members  # to let go of very many takes a while, too
            return _listed(held) if few else await request.while_there(self._lists.run(partial(_listed, held))), [JSON]
        raise unknown

    async def _log_in(self, instance: Instance, request: Request) -> Answer:
        user, password = _credentials(await self._form(request, limits.LOGIN_BODY), "password")
        try:
            login = instance.authenticator.log_in(user, password, request.address)
            token = await request.while_there(login)
        except errors.NotAuthenticated as error:
            # the published answer to wrong credentials is a bare 0, not a status
            return ZERO, [TEXT, *(pair for pair in headers(error) if pair[0] != "www-authenticate")]
        return msgspec.json.encode([user, instance.name, token]), [JSON]

    async def _log_out(self, instance: Instance, request: Request) -> Answer:
        user, token = _credentials(await self._form(request, limits.LOGIN_BODY), "token")
        if await instance.authenticator.log_out(user, token, request.address):
            return ONE, [TEXT]
        return ZERO, [TEXT, *headers(errors.NoSuchThing(name="session"))]

    async def _form(self, request: Request, limit: int) -> Body:
        kind = request.header("content-type")
        if kind != _FORM and kind.partition(";")[0].strip().lower() != _FORM:
            raise errors.NotAForm
        return await request.body(limit, self._timeout)


_WARNINGS = 20
"""Warnings from which a header is made: more would not fit."""

_LOGGED = frozenset({"plantel-batch", "plantel-code", "plantel-reason"})


def _credentials(body: Body, secret: str) -> tuple[str, Secret]:
    return _field(body, "user"), Secret(_field(body, secret))


def _field(body: Body, name: str) -> str:
    value = decode_field(body, name)
    if value is None:
        raise errors.FieldMissing(field=name)
    return value


_LONGEST = 4 * NAME_BYTES
"""Bytes of a campaign's name, percent-encoded, with blanks around it."""


def queue_names(query: bytes, body: Body) -> Sequence[str]:
    """What a client may have meant by `queue=NAME`, in the query string or the form: best guess first.

    The name is often sent unencoded, so that `A+B` or `Ventas & Cobros` read by the form rules say something else.
    Raises FieldMissing, and what `decode_field` raises.
    """
    names: dict[str, None] = {}
    for form in (query, body):
        strict = decode_field(form, "queue")
        if strict is None:
            continue
        names[strict.strip()] = None
        _, _, raw = form.partition(b"queue=")
        for reading in (raw.partition(b"&")[0], raw):
            if len(reading) <= _LONGEST:
                names[to_text(unquote(reading)).strip()] = None
        if len(raw) <= _LONGEST:
            names[to_text(raw).strip()] = None
    names.pop("", None)
    if not names:
        raise errors.FieldMissing(field="queue")
    return list(names)


def _listed(held: list[list[Member]]) -> bytes:
    """JSON of the one list of members in `held`, which is let go."""
    return msgspec.json.encode([_wire(member) for member in held.pop()])


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
