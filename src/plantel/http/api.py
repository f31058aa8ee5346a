"""The JSON API, version 1: what the published call has no word for. OpenAPI 3.1 at `/api/v1/schema/openapi.json`.

Same tokens as the wire call. Errors are objects with `code`, `message` (Spanish where Accept-Language prefers it) and,
for a refused batch, its id and every problem.
"""

import secrets
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from typing import Annotated, Any, TypeVar

import msgspec
import structlog
from litestar import Litestar, MediaType, Request, Response, get, post
from litestar.connection import ASGIConnection
from litestar.datastructures import State
from litestar.di import NamedDependency, Provide
from litestar.exceptions import HTTPException
from litestar.handlers import BaseRouteHandler
from litestar.openapi import OpenAPIConfig
from litestar.openapi.plugins import JsonRenderPlugin
from litestar.openapi.spec import (
    Components,
    OpenAPIMediaType,
    OpenAPIType,
    Operation,
    RequestBody,
    Schema,
    SecurityScheme,
)
from litestar.params import FromPath, FromQuery, JSONBody, QueryParameter
from litestar.router import Router

from plantel import __version__, errors
from plantel.access import Actor
from plantel.batch import Batch, Kind, Source
from plantel.delivery import Delivery
from plantel.drift import DriftRecord
from plantel.http import limits
from plantel.http.instance import Instance
from plantel.http.problems import headers, statuses
from plantel.http.queuemember import all_items, right_items
from plantel.http.request import ClientGone
from plantel.http.request import Request as Asked
from plantel.language import Language
from plantel.ports import Entry
from plantel.reconcile import State as ServerState
from plantel.roster import WIRE_KEYS, Member, Origin
from plantel.service import Receipt
from plantel.why.inquiry import inquire
from plantel.why.report import Explanation
from plantel.workers import Lanes, Workers

T = TypeVar("T")
V = TypeVar("V")

BATCHES = frozenset({"/api/v1/members", "/api/v1/members/remove", "/api/v1/members/pause"})
"""The paths whose bodies may be large."""

log = structlog.get_logger()

AnyRequest = Request[Any, Any, State]
AnyConnection = ASGIConnection[Any, Any, Any, State]
Here = NamedDependency[Instance]
Who = NamedDependency[Actor]


class CampaignView(msgspec.Struct):
    name: str
    origin: Origin


class CampaignName(msgspec.Struct):
    name: str


class MemberView(msgspec.Struct, gc=False):
    """A member; the keys are those of the wire call, in the field's own words."""

    campaign: str
    membername: str
    interface: str
    penalty: int
    paused: bool


class ListedMemberView(MemberView, omit_defaults=True):
    """A member of the roster now.

    called   what servers with a rule for it call the phone; absent without any
    reason   what was given for the pause; absent without one
    """

    called: dict[str, str] = {}
    reason: str = ""


class Chosen(msgspec.Struct):
    """Agents of one campaign, each named by membername or by interface."""

    campaign: str
    agents: list[str]


class PauseOrder(Chosen):
    """`reason`: for a pause, in 79 bytes; the servers are told it, too."""

    paused: bool
    reason: str = ""


class ReceiptView(msgspec.Struct):
    """A stored batch. `delivery`: `live`, `pending` (with the reason) or `none` where no Asterisk is configured.

    `warnings`: phones that no server knows (`delivery.verify_interface = "warn"`), or that none could be asked about.
    """

    batch: str
    changes: int
    delivery: str
    reason: str | None = None
    warnings: list["ProblemView"] = []


class ProblemView(msgspec.Struct):
    code: str
    message: str
    item: int | None = None
    key: str | None = None


class ChangeView(msgspec.Struct, omit_defaults=True):
    """One line of the journal. `reason`: what was given for the pause; with no other change, its new reason."""

    revision: int
    batch: str
    actor: str
    at: datetime
    kind: Kind
    before: MemberView | None
    after: MemberView | None
    reason: str = ""


class BatchView(msgspec.Struct):
    id: str
    actor: str
    source: Source
    at: datetime
    items: int
    stored: bool
    problems: list[ProblemView]


class StandingView(msgspec.Struct):
    """How one member of a batch stands on one server now: `live`, or `pending` with the reason."""

    server: str
    campaign: str
    membername: str
    interface: str
    state: str
    code: str | None = None
    message: str | None = None


class WholeBatchView(BatchView):
    changes: list[ChangeView]
    delivery: list[StandingView]


class ServerView(msgspec.Struct):
    name: str
    state: ServerState
    reasons: list[ProblemView]
    looked: datetime | None
    queues: int
    members: int


class ErrorView(msgspec.Struct):
    code: str
    message: str
    batch: str | None = None
    problems: list[ProblemView] = []
    id: str | None = None
    """Of an error within Plantel: under it the log has the rest."""


class Room:
    """Where what takes long is done, each kind apart, so that the event loop and other kinds go on."""

    def __init__(self) -> None:
        self.batches = Workers("api-batch", limits.TAKING_APART, limits.WAITING_BATCHES)
        self.lists = Workers("api-list", 1, limits.WAITING_LISTS)
        self.readings = Lanes(limits.READINGS, limits.WAITING_READINGS)
        self.inquiries = Lanes(limits.INQUIRIES, limits.WAITING_INQUIRIES)


_TEXT = Schema(type=OpenAPIType.STRING)


def _takes(schema: Schema) -> RequestBody:
    return RequestBody({"application/json": OpenAPIMediaType(schema=schema)}, required=True)


def _object(**properties: Schema) -> Schema:
    return Schema(type=OpenAPIType.OBJECT, properties={**properties}, required=[*properties])


_CHOSEN = {"campaign": _TEXT, "agents": Schema(type=OpenAPIType.ARRAY, items=_TEXT)}


# These bodies may be large, so they are read here, in a thread, and described here.


@dataclass
class TakesMembers(Operation):
    def __post_init__(self) -> None:
        item = _object(**{key: Schema() if key in {"penalty", "paused"} else _TEXT for key in sorted(WIRE_KEYS)})
        self.request_body = _takes(Schema(type=OpenAPIType.ARRAY, items=item, min_items=1))


@dataclass
class TakesChosen(Operation):
    def __post_init__(self) -> None:
        self.request_body = _takes(_object(**_CHOSEN))


@dataclass
class TakesPause(Operation):
    def __post_init__(self) -> None:
        schema = _object(**_CHOSEN, paused=Schema(type=OpenAPIType.BOOLEAN))
        assert schema.properties is not None
        self.request_body = _takes(
            Schema(type=schema.type, properties={**schema.properties, "reason": _TEXT}, required=schema.required)
        )


def _language(request: AnyRequest) -> Language:
    return _asked(request).language


def _member(member: Member) -> MemberView:
    return MemberView(member.campaign, member.membername, member.interface, member.penalty, member.paused)


def _problem(error: errors.PlantelError, language: Language) -> ProblemView:
    if isinstance(error, errors.InvalidItem):
        return ProblemView(error.code, error.say(language), error.item, error.key or None)
    return ProblemView(error.code, error.say(language))


def _change(entry: Entry) -> ChangeView:
    change = entry.change
    return ChangeView(
        entry.revision,
        entry.batch,
        entry.actor,
        entry.at,
        change.kind,
        None if change.before is None else _member(change.before),
        None if change.after is None else _member(change.after),
        change.reason,
    )


def _batch(batch: Batch, language: Language) -> tuple[str, str, Source, datetime, int, bool, list[ProblemView]]:
    problems = [_problem(problem.error(), language) for problem in batch.problems]
    return batch.id, batch.actor, batch.source, batch.at, batch.items, batch.stored, problems


def _standing(member: Member, instance: Instance, language: Language) -> list[StandingView]:
    return [
        StandingView(server, member.campaign, member.membername, member.interface, "live")
        if reason is None
        else StandingView(
            *(server, member.campaign, member.membername, member.interface),
            state="pending",
            code=reason.code,
            message=reason.say(language),
        )
        for server, reason in instance.delivery.standing(member)
    ]


def _room(request: AnyRequest) -> Room:
    room: Room = request.app.state.room
    return room


def _asked(connection: AnyConnection) -> Asked:
    asked: Asked = connection.scope["state"]["plantel_request"]
    return asked


async def _apart(request: AnyRequest, read: Callable[[list[bytes]], T]) -> T:
    """What `read` makes of the body, which is the one thing in the list given to it; in a thread if it is large."""
    held = [await request.body()]
    if len(held[0]) <= limits.EXPLAINED_AT_ONCE:
        return read(held)
    return await _asked(request).while_there(_room(request).batches.run(partial(read, held)))


def _lane(lanes: Lanes, instance: Instance, actor: Actor) -> AbstractAsyncContextManager[None]:
    return lanes.take((instance.name, actor.name))


async def _listed(request: AnyRequest, held: list[list[T]], view: Callable[[T], V]) -> Any:
    """Each of the one sequence in `held`, as `view` shows it; written, and let go, in a thread if there are many."""
    if len(held[0]) <= limits.WRITTEN_AT_ONCE:
        return list(map(view, held.pop()))
    return await _written(request, partial(_array, held, view))


async def _written(request: AnyRequest, write: Callable[[], bytes]) -> Response[Any]:
    return Response(await _room(request).lists.run(write), media_type=MediaType.JSON)


def _array(held: list[list[T]], view: Callable[[T], V]) -> bytes:
    """JSON of the one sequence in `held`, in parts: nobody else gets a turn while one is encoded."""
    those = held.pop()
    starts = range(0, len(those), limits.WRITTEN_IN_ONE_GO)
    parts = (those[start : start + limits.WRITTEN_IN_ONE_GO] for start in starts)
    return b"[%b]" % b",".join(msgspec.json.encode(list(map(view, part)))[1:-1] for part in parts)


def _items(most: int, held: list[bytes]) -> Sequence[Member | errors.InvalidItem]:
    body = held.pop()
    array = _text(body)
    try:
        return right_items(array, most) or all_items(array, len(body), most)
    except (errors.NotJson, errors.NotAnArray, errors.BodyCutShort) as error:
        raise errors.BadRequest(detail=str(error)) from None


def _decoded(kind: type[T], held: list[bytes]) -> T:
    try:
        return msgspec.json.decode(_text(held.pop()), type=kind)
    except (msgspec.DecodeError, UnicodeError, RecursionError) as error:
        raise errors.BadRequest(detail=str(error)) from None


def _chosen(kind: type[Chosen], most: int, held: list[bytes]) -> Any:
    chosen = _decoded(kind, held)
    if len(chosen.agents) > most:
        raise errors.TooManyItems(most=most)
    return chosen


def _text(body: bytes) -> str:
    try:
        return body.decode()
    except UnicodeDecodeError as error:
        raise errors.BadRequest(detail=f"not UTF-8: {error.reason} at byte {error.start}") from None


def _check_query(query: bytes) -> None:
    if len(query) > limits.QUERY_BODY:
        raise errors.QueryTooLong(most=limits.QUERY_BODY)
    if query.count(b"&") >= limits.FIELDS:
        raise errors.TooManyFields(most=limits.FIELDS)
    if b"%00" in query:  # no name has it, and no database takes it
        raise errors.BadRequest(detail="U+0000 in the query string")


async def provide_instance(request: AnyRequest) -> Instance:
    instance: Instance = request.scope["state"]["plantel_instance"]
    return instance


async def require_token(connection: AnyConnection, _handler: BaseRouteHandler) -> None:
    """A guard: it runs before the body is read, which is nobody's business but a token holder's."""
    state = connection.scope["state"]
    instance: Instance = state["plantel_instance"]
    _check_query(connection.scope["query_string"])
    authorization = connection.headers.get("authorization", "")
    state["plantel_actor"] = await instance.authenticator.actor(authorization, _asked(connection).address)


async def may_write(connection: AnyConnection, _handler: BaseRouteHandler) -> None:
    """A guard, too: what the role forbids is not read."""
    connection.scope["state"]["plantel_actor"].check_write()


async def may_administer(connection: AnyConnection, _handler: BaseRouteHandler) -> None:
    """The same for what only an admin may."""
    connection.scope["state"]["plantel_actor"].check_admin()


async def provide_actor(request: AnyRequest) -> Actor:
    actor: Actor = request.scope["state"]["plantel_actor"]
    return actor


async def _receipt(receipt: Receipt, instance: Instance, language: Language) -> ReceiptView:
    behind = await instance.delivery.lag(receipt)
    delivery = "live" if behind is None else "pending"
    return ReceiptView(
        receipt.batch,
        len(receipt.changes),
        delivery if instance.delivery.reconcilers else "none",
        None if behind is None else behind.say(language),
        [_problem(one, language) for one in receipt.warnings],
    )


@get("/drift", summary="What was changed on the servers behind Plantel's back, oldest first")
async def list_drift(
    request: AnyRequest,
    instance: Here,
    actor: Who,
    server: FromQuery[str | None] = None,
    campaign: FromQuery[str | None] = None,
    limit: Annotated[int, QueryParameter(ge=1, le=1000)] = 100,
) -> list[DriftRecord]:
    async with _lane(_room(request).readings, instance, actor):
        held = [await instance.service.drifts(actor, server=server, campaign=campaign, limit=limit)]
        drifts: list[DriftRecord] = await _listed(request, held, lambda one: one)
    return drifts


@get("/campaigns", summary="The campaigns that this token may see")
async def list_campaigns(request: AnyRequest, instance: Here, actor: Who) -> list[CampaignView]:
    async with _lane(_room(request).readings, instance, actor):
        held = [await instance.service.campaigns(actor)]
        campaigns: list[CampaignView] = await _listed(request, held, lambda one: CampaignView(one.name, one.origin))
    return campaigns


@post("/campaigns", summary="Declare a campaign", guards=[may_administer])
async def declare_campaign(instance: Here, actor: Who, data: JSONBody[CampaignName]) -> CampaignView:
    campaign = await instance.service.declare(actor, data.name)
    return CampaignView(campaign.name, campaign.origin)


@post("/campaigns/remove", status_code=200, summary="Remove a campaign and its members", guards=[may_administer])
async def remove_campaign(request: AnyRequest, instance: Here, actor: Who, data: JSONBody[CampaignName]) -> ReceiptView:
    return await _receipt(await instance.service.dissolve(actor, data.name, Source.API), instance, _language(request))


@get("/members", summary="The members of a campaign, now or at a past moment")
async def list_members(
    request: AnyRequest,
    instance: Here,
    actor: Who,
    campaign: FromQuery[str],
    at: Annotated[datetime | None, QueryParameter(description="ISO 8601; UTC where it has no offset")] = None,
) -> list[ListedMemberView] | list[MemberView]:
    members: list[ListedMemberView] | list[MemberView]
    async with _lane(_room(request).readings, instance, actor):
        if at is None:
            reasons = await instance.service.reasons(actor, campaign)
            held = [await instance.service.members(actor, campaign)]
            members = await _listed(request, held, partial(_shown, reasons, instance.delivery))
        else:
            moment = at if at.tzinfo is not None else at.replace(tzinfo=UTC)
            held = [await instance.service.members_at(actor, moment, campaign)]
            members = await _listed(request, held, _member)
    return members


def _shown(reasons: Mapping[str, str], delivery: Delivery, member: Member) -> ListedMemberView:
    return ListedMemberView(
        member.campaign,
        member.membername,
        member.interface,
        member.penalty,
        member.paused,
        delivery.called(member),
        reasons.get(member.membername, ""),
    )


@post(
    "/members",
    status_code=200,
    summary="Add members: the array of the wire call, as JSON",
    guards=[may_write],
    operation_class=TakesMembers,
)
async def add_members(request: AnyRequest, instance: Here, actor: Who) -> ReceiptView:
    items = await _apart(request, partial(_items, instance.service.most))
    return await _receipt(await instance.service.add(actor, items, Source.API), instance, _language(request))


@post(
    "/members/remove",
    status_code=200,
    summary="Take agents out of a campaign",
    guards=[may_write],
    operation_class=TakesChosen,
)
async def remove_members(request: AnyRequest, instance: Here, actor: Who) -> ReceiptView:
    chosen: Chosen = await _apart(request, partial(_chosen, Chosen, instance.service.most))
    receipt = await instance.service.remove(actor, chosen.campaign, chosen.agents, Source.API)
    return await _receipt(receipt, instance, _language(request))


@post(
    "/members/pause",
    status_code=200,
    summary="Pause agents in a campaign, or end their pause",
    guards=[may_write],
    operation_class=TakesPause,
)
async def pause_members(request: AnyRequest, instance: Here, actor: Who) -> ReceiptView:
    order: PauseOrder = await _apart(request, partial(_chosen, PauseOrder, instance.service.most))
    receipt = await instance.service.pause(
        actor, order.campaign, order.agents, Source.API, paused=order.paused, reason=order.reason
    )
    return await _receipt(receipt, instance, _language(request))


@get("/batches", summary="The newest batches, newest first")
async def list_batches(
    request: AnyRequest,
    instance: Here,
    actor: Who,
    limit: Annotated[int, QueryParameter(ge=1, le=1000)] = 100,
) -> list[BatchView]:
    """Without their problems, of which each may have a thousand: `/batches/{batch}` has them."""
    language = _language(request)
    async with _lane(_room(request).readings, instance, actor):
        held = [await instance.service.batches(actor, limit)]
        batches: list[BatchView] = await _listed(request, held, lambda one: BatchView(*_batch(one, language)))
    return batches


@get("/batches/{batch:str}", summary="What became of a batch: its problems, or its changes")
async def show_batch(request: AnyRequest, instance: Here, actor: Who, batch: FromPath[str]) -> WholeBatchView:
    language = _language(request)

    def whole() -> WholeBatchView:
        standing = [one for entry in entries for one in _standing(entry.change.member, instance, language)]
        return WholeBatchView(*_batch(found, language), [_change(entry) for entry in entries], standing)

    async with _lane(_room(request).readings, instance, actor):
        found, entries = await instance.service.batch(actor, batch)
        await instance.delivery.catch_up()  # another node may have stored it a moment ago
        if len(entries) + len(found.problems) <= limits.WRITTEN_AT_ONCE:
            return whole()
        written: Any = await _written(request, lambda: msgspec.json.encode(whole()))
    return written  # type: ignore[no-any-return]


@get("/journal", summary="The newest changes, oldest first")
async def show_journal(
    request: AnyRequest,
    instance: Here,
    actor: Who,
    campaign: FromQuery[str | None] = None,
    agent: FromQuery[str | None] = None,
    limit: Annotated[int, QueryParameter(ge=1, le=1000)] = 100,
) -> list[ChangeView]:
    async with _lane(_room(request).readings, instance, actor):
        held = [await instance.service.journal(actor, campaign=campaign, membername=agent, limit=limit)]
        changes: list[ChangeView] = await _listed(request, held, _change)
    return changes


@get("/servers", summary="How it stands with every Asterisk", guards=[may_write])
async def list_servers(request: AnyRequest, instance: Here, actor: Who) -> list[ServerView]:
    language = _language(request)
    return [
        ServerView(
            one.server,
            one.state,
            [_problem(reason, language) for reason in one.reasons],
            one.looked,
            one.queues,
            one.members,
        )
        for one in instance.delivery.statuses(actor)
    ]


@get(
    "/why",
    summary="Why an agent's phone does not ring: in a campaign, or in each where the agent is",
    guards=[may_write],
)
async def explain_why(
    request: AnyRequest, instance: Here, actor: Who, agent: FromQuery[str], campaign: FromQuery[str | None] = None
) -> list[Explanation]:
    async with _lane(_room(request).inquiries, instance, actor):
        reports = await inquire(instance.service, instance.delivery, actor, agent, campaign)
    return [report.explain(_language(request)) for report in reports]


def _refused(request: AnyRequest, error: errors.PlantelError) -> Response[ErrorView]:
    language = _language(request)
    asked = _asked(request)
    log.warning("refused", path=asked.path, address=asked.address, code=error.code, reason=str(error))
    view = ErrorView(error.code, error.say(language))
    if isinstance(error, errors.BatchRefused):
        first = error.problems[0]
        view = ErrorView(
            first.code, first.say(language), error.batch, [_problem(problem, language) for problem in error.problems]
        )
    return Response(view, status_code=statuses(error).api, headers=dict(headers(error)), media_type="application/json")


def _http_error(_request: AnyRequest, error: HTTPException) -> Response[ErrorView]:
    kinds = {404: errors.NotFound, 405: errors.MethodNotAllowed, 413: errors.BodyTooLarge}
    code = kinds.get(error.status_code, errors.BadRequest).code
    detail = error.detail
    if isinstance(error.extra, list) and error.extra:
        detail = "; ".join(f"{one.get('key', '')}: {one.get('message', '')}".lstrip(": ") for one in error.extra)
    return Response(
        ErrorView(code, detail), status_code=error.status_code, headers=error.headers, media_type="application/json"
    )


def _too_deep(request: AnyRequest, _error: RecursionError) -> Response[ErrorView]:
    return _refused(request, errors.BadRequest(detail="too many brackets within one another"))


def _not_text(request: AnyRequest, error: UnicodeError) -> Response[ErrorView]:
    return _refused(request, errors.BadRequest(detail=f"not UTF-8: {error}"))


def _gone(request: AnyRequest, _error: ClientGone) -> Response[None]:
    asked = _asked(request)
    log.info("gone", path=asked.path, address=asked.address)
    return Response(None, status_code=499)  # to nobody


def _failed(request: AnyRequest, cause: Exception) -> Response[ErrorView]:
    error = errors.InternalError(id=secrets.token_hex(6))
    log.error("failed", path=_asked(request).path, id=error.params["id"], exc_info=cause)
    view = ErrorView(error.code, error.say(_language(request)), id=error.params["id"])
    return Response(view, status_code=statuses(error).api, headers=dict(headers(error)), media_type=MediaType.JSON)


class _Document(JsonRenderPlugin):
    """The description of the API, encoded once: anybody may ask for it."""

    _encoded = b""

    def render(self, request: AnyRequest, openapi_schema: dict[str, Any]) -> bytes:
        self._encoded = self._encoded or super().render(request, openapi_schema)
        return self._encoded


def make_api() -> Litestar:
    """The API as an ASGI application; expects `plantel_instance` and `plantel_request` in the scope's state."""
    router = Router(
        "/api/v1",
        route_handlers=[
            list_drift,
            list_campaigns,
            declare_campaign,
            remove_campaign,
            list_members,
            add_members,
            remove_members,
            pause_members,
            list_batches,
            show_batch,
            show_journal,
            list_servers,
            explain_why,
        ],
        guards=[require_token],
        dependencies={"instance": Provide(provide_instance), "actor": Provide(provide_actor)},
    )
    return Litestar(
        [router],
        debug=False,  # the default is up to an environment variable, and shows local variables to the client
        # the door has its own limit, also for what Litestar does not count
        request_max_body_size=None,
        exception_handlers={
            errors.PlantelError: _refused,
            HTTPException: _http_error,
            RecursionError: _too_deep,
            UnicodeError: _not_text,
            ClientGone: _gone,
            Exception: _failed,
        },
        state=State({"room": Room()}),
        openapi_config=OpenAPIConfig(
            title="Plantel",
            version=__version__,
            path="/api/v1/schema",
            # the other renderers load their pages from elsewhere at run time
            render_plugins=[_Document()],
            components=Components(security_schemes={"token": SecurityScheme(type="http", scheme="basic")}),
            security=[{"token": []}],
        ),
        logging_config=None,
    )
