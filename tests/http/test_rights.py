"""Who may do what, and is told what: each role at each route, of each kind of campaign, with tokens of two instances.

What is allowed is data here (ROWS). A route without a row fails, and so does a row without a route.
"""

import json
import re
from collections.abc import Callable, Iterator
from datetime import timedelta
from enum import StrEnum
from itertools import count, product
from typing import Any, NamedTuple
from urllib.parse import quote, urlencode

import pytest
from litestar.routes import HTTPRoute

from plantel import errors
from plantel.access import Actor, Role
from plantel.batch import Source
from plantel.device import DeviceState
from plantel.drift import Done, DriftRecord, Route
from plantel.http.api import make_api
from plantel.http.integra import Integra
from plantel.plan import DriftKind
from plantel.reconcile import Reconciler
from plantel.roster import Member
from plantel.testing.fake_switch import FakeSwitch
from plantel.testing.memory_store import MemoryData
from tests.support.door import EPOCH, FORM, OPERATOR, Door, item, make_door
from tests.support.rsgi import Answer

pytestmark = pytest.mark.anyio

PATTERNS = ("Ventas*",)
"""Of every token here but an operator's."""


class Place(StrEnum):
    """A campaign, as the token sees it."""

    OWN = "Ventas->"
    NEW = "Ventas 9"
    """Covered by the patterns, and there is none."""
    FOREIGN = "POWER<-"
    """There is one, and the patterns do not cover it."""
    UNKNOWN = "POWDR<-"
    """Neither."""


OTHERS = ("POWER", "zz", "Cobros")
"""Of which no answer may say anything: foreign campaigns and whoever is in them, or in the other instance."""

AGENTS = {Place.OWN: "ana", Place.NEW: "anb", Place.FOREIGN: "zzivo", Place.UNKNOWN: "zziva"}
PHONES = {Place.OWN: "SIP/1001", Place.NEW: "SIP/1009", Place.FOREIGN: "SIP/zz9", Place.UNKNOWN: "SIP/zz8"}
BATCHES = {Place.OWN: "mixed", Place.NEW: "nothing", Place.FOREIGN: "foreign", Place.UNKNOWN: "nowhere"}
"""By their names in `World.batches`."""

Told = tuple[int, str | None]
"""Status and code of an answer; no code where it was done."""

FORBIDDEN = (403, "campaign_forbidden")
ELSEWHERE = (Place.FOREIGN, Place.UNKNOWN)


class Row(NamedTuple):
    """What one way to use a route is allowed to.

    role     the least that may
    ask      path with query, and body, for a place
    told     what such a role is answered about OWN, NEW and FOREIGN; UNKNOWN is as FOREIGN
    changes  the places that are changed thereby
    """

    route: str
    role: Role
    ask: Callable[[Place], tuple[str, object]]
    told: tuple[Told, Told, Told]
    changes: tuple[Place, ...] = ()
    asked: Callable[[Place], str] = str
    """What the answer may repeat, since the question has it."""


DONE = (200, None)
UNKNOWN = (404, "unknown_campaign")
LISTED = (DONE, DONE, DONE)
API, WIRE = "/api/v1", "/Integra/resources"


def query(path: str, **filters: object) -> tuple[str, object]:
    return f"{path}?{urlencode(filters, quote_via=quote)}", None


def member_of(place: Place) -> dict[str, object]:
    return item("eva", place, "SIP/1003")


ROWS = [
    Row(f"GET {API}/campaigns", Role.READER, lambda _: query("campaigns"), LISTED),
    Row(
        f"POST {API}/campaigns",
        Role.ADMIN,
        lambda place: ("campaigns", {"name": place}),
        ((409, "name_taken"), (201, None), FORBIDDEN),
        (Place.NEW,),
    ),
    Row(
        f"POST {API}/campaigns/remove",
        Role.ADMIN,
        lambda place: ("campaigns/remove", {"name": place}),
        (DONE, (404, "no_such_thing"), FORBIDDEN),
        (Place.OWN,),
    ),
    Row(
        f"GET {API}/members",
        Role.READER,
        lambda place: query("members", campaign=place),
        (DONE, UNKNOWN, FORBIDDEN),
    ),
    Row(
        f"GET {API}/members",
        Role.READER,
        lambda place: query("members", campaign=place, at="2026-01-01T00:00:00Z"),
        (DONE, DONE, FORBIDDEN),
    ),
    Row(
        f"POST {API}/members",
        Role.INTEGRATOR,
        lambda place: ("members", [member_of(place)]),
        (DONE, UNKNOWN, FORBIDDEN),
        (Place.OWN,),
    ),
    Row(
        f"POST {API}/members",
        Role.INTEGRATOR,
        lambda place: ("members", [member_of(Place.OWN), {**member_of(place), "membername": "isa"}]),
        ((422, "contradiction"), UNKNOWN, FORBIDDEN),
    ),
    Row(
        f"POST {API}/members/remove",
        Role.INTEGRATOR,
        lambda place: ("members/remove", {"campaign": place, "agents": ["ana"]}),
        (DONE, UNKNOWN, FORBIDDEN),
        (Place.OWN,),
    ),
    Row(
        f"POST {API}/members/pause",
        Role.INTEGRATOR,
        lambda place: ("members/pause", {"campaign": place, "agents": ["ana"], "paused": True}),
        (DONE, UNKNOWN, FORBIDDEN),
        (Place.OWN,),
    ),
    Row(f"GET {API}/batches", Role.READER, lambda _: query("batches"), LISTED),
    Row(
        f"GET {API}/batches/{{batch}}",
        Role.READER,
        lambda place: (f"batches/{BATCHES[place]}", None),
        (DONE, (404, "no_such_thing"), (404, "no_such_thing")),
        asked=BATCHES.__getitem__,
    ),
    Row(f"GET {API}/journal", Role.READER, lambda _: query("journal", limit=1), LISTED),
    Row(
        f"GET {API}/journal",
        Role.READER,
        lambda place: query("journal", campaign=place),
        (DONE, DONE, FORBIDDEN),
    ),
    Row(
        f"GET {API}/journal",
        Role.READER,
        lambda place: query("journal", agent=AGENTS[place]),
        LISTED,
        asked=AGENTS.__getitem__,
    ),
    Row(f"GET {API}/drift", Role.READER, lambda _: query("drift", limit=1), LISTED),
    Row(f"GET {API}/drift", Role.READER, lambda place: query("drift", campaign=place), (DONE, DONE, FORBIDDEN)),
    Row(f"GET {API}/servers", Role.INTEGRATOR, lambda _: query("servers"), LISTED),
    Row(
        f"GET {API}/why",
        Role.INTEGRATOR,
        lambda place: query("why", agent="ana", campaign=place),
        (DONE, UNKNOWN, FORBIDDEN),
    ),
    Row(
        f"GET {API}/why",
        Role.INTEGRATOR,
        lambda place: query("why", agent=AGENTS[place]),
        LISTED,
        asked=AGENTS.__getitem__,
    ),
    Row(
        f"GET {API}/why",
        Role.INTEGRATOR,
        lambda place: query("why", agent=PHONES[place]),
        LISTED,
        asked=PHONES.__getitem__,
    ),
    Row(
        f"POST {WIRE}/queues/addqueuemember",
        Role.INTEGRATOR,
        lambda place: ("", urlencode({"queuemember": json.dumps([member_of(place)])})),
        (DONE, (200, "unknown_campaign"), FORBIDDEN),
        (Place.OWN,),
    ),
    Row(
        f"POST {WIRE}/queues/getqueuemembersofqueue",
        Role.READER,
        lambda place: query("", queue=place),
        (DONE, (200, "unknown_campaign"), FORBIDDEN),
    ),
]

OPEN = {
    f"GET {API}/schema",
    f"GET {API}/schema/openapi.json",
    f"GET {API}/schema/{{path}}",
    f"POST {WIRE}/auth/getUserToken",
    f"POST {WIRE}/auth/EndSession",
}
"""Routes that take no token."""


def routes() -> Iterator[str]:
    """All that there are."""
    for route in make_api().routes:
        if isinstance(route, HTTPRoute):
            yield from (f"{method} {route.path_format}" for method in route.methods - {"OPTIONS"})
    integra = Integra(body_limit=1, body_timeout=1, confirm="stored", deadline=1)
    yield from (f"POST {path}" for path in integra._calls)


def test_each_route_has_a_row() -> None:
    assert set(routes()) == {row.route for row in ROWS} | OPEN


class World:
    """Two instances, each with campaigns of the same names, and the state in which each question finds them."""

    def __init__(self) -> None:
        self.data = MemoryData()
        self.door: Door = make_door(data=self.data)
        self.batches: dict[str, str] = {"nothing": "0" * 28, "nowhere": "1" * 28}
        self._numbers = count(1)

    async def begin(self) -> "World":
        for instance in ("default", "other"):
            await self.door.declare(Place.OWN, Place.FOREIGN, "Cobros", instance=instance)
        await self._add("own", Member(Place.OWN, "ana", "SIP/1001"), Member(Place.OWN, "luz", "SIP/1002"))
        await self._add("mixed", Member(Place.OWN, "bea", "SIP/1005"), Member(Place.FOREIGN, "zzito", "SIP/zz7"))
        await self._add("foreign", Member(Place.FOREIGN, "zzivo", "SIP/zz9"))
        await self._add("other", Member(Place.OWN, "zzzoe", "SIP/zz1"), instance="other")
        await self.door.store.write(
            lambda tx: tx.add_drifts("default", [drift(one) for one in (Place.OWN, Place.FOREIGN, "Cobros")])
        )
        served = self.door.instances["default"]
        switch = FakeSwitch(queues=[Place.OWN, "Cobros"])  # that it has no POWER<- is a reason to lag
        switch.pbx.set_device("SIP/zz9", DeviceState.INUSE)  # nobody else's business
        switch.pbx.set_device("SIP/zz8", DeviceState.INVALID)
        reconciler = Reconciler(self.door.store, switch, served.service, self.door.clock)
        served.delivery.reconcilers = (reconciler,)
        await reconciler.run_once()
        self.begun = self.data.state
        return self

    async def _add(self, name: str, *members: Member, instance: str = "default") -> None:
        receipt = await self.door.instances[instance].service.add(OPERATOR, members, Source.CLI)
        self.batches[name] = receipt.batch

    async def ask(self, row: Row, place: Place, role: Role, patterns: tuple[str, ...], instance: str) -> Answer:
        """One question to the default instance, with a new token of `instance`."""
        self.data.state = self.begun
        number = next(self._numbers)
        token = await self.door.token(f"t{number}", role, patterns, instance)
        method, _, path = row.route.partition(" ")
        target, data = row.ask(place)
        if path.startswith(WIRE):
            target, body = path + target, str(data or "").encode()
        else:
            target, body = f"{API}/{target}", b"" if data is None else json.dumps(data).encode()
        for name, batch in self.batches.items():
            target = target.replace(f"batches/{name}", f"batches/{batch}")
        kind = FORM if path.startswith(WIRE) else "application/json"
        headers = {"authorization": f"Basic {token}", "content-type": kind}
        return await self.door.call(method, target, headers=headers, body=body, address=f"192.0.2.{number % 250}")

    def rosters(self) -> dict[tuple[str, str], object]:
        """All that rights are about, by instance and folded campaign."""
        return {key: (roster, self.data.state.campaigns[key]) for key, roster in self.data.state.rosters.items()}

    def history(self) -> list[Any]:
        return self.data.state.journal


def drift(campaign: str) -> DriftRecord:
    who = "ana" if campaign == Place.OWN else "zzivo"
    what = (DriftKind.PENALTY, "0", "7", Route.EVENT, Done.REPAIRED)
    return DriftRecord(EPOCH + timedelta(seconds=1), "pbx1", campaign, who, "SIP/1", *what)


@pytest.fixture(scope="module")
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(scope="module")
async def world() -> World:
    return await World().begin()


def code(answer: Answer) -> str | None:
    if "plantel-code" in answer.headers:
        return answer.headers["plantel-code"]
    if answer.status >= 400:
        return str(answer.json["code"])
    return None


def text(answer: Answer, world: World, asked: str) -> str:
    """All of an answer, without what the question had, and what is new each time."""
    whole = json.dumps([answer.status, sorted(answer.headers.items())]) + answer.body.decode()
    for name in (asked, world.batches.get(asked, asked)):
        whole = whole.replace(name, "ASKED")
    return re.sub(r"[0-9a-f]{28}", "BATCH", re.sub(r'"content-length", "\d+"', "", whole))


def expected(row: Row, role: Role, place: Place, instance: str) -> Told:
    if instance != "default":
        return 401, "not_authenticated"
    if list(Role).index(role) < list(Role).index(row.role):
        return 403, "action_forbidden"
    return row.told[min(list(Place).index(place), 2)]


CELLS = list(product(Role, Place, ("default", "other")))


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.route)
async def test_a_token_may_what_its_row_says_and_nothing_else_is_changed_or_told(row: Row, world: World) -> None:
    for role, place, instance in CELLS:
        cell = f"{role}, {place.name}, {instance}"
        told = expected(row, role, place, instance)
        answer = await world.ask(row, place, role, PATTERNS, instance)
        assert (answer.status, code(answer)) == told, cell
        changed = told[1] is None and place in row.changes
        before = {key: (roster, world.begun.campaigns[key]) for key, roster in world.begun.rosters.items()}
        after = world.rosters()
        mine = ("default", place.lower())
        assert (after.get(mine) != before.get(mine)) is changed, cell
        assert {**before, mine: None} == {**after, mine: None}, cell
        if not changed:
            assert world.history() == world.begun.journal, cell
        said = text(answer, world, row.asked(place))
        assert not [word for word in OTHERS if word in said], (cell, said)


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.route)
async def test_what_is_foreign_is_answered_as_what_is_nowhere(row: Row, world: World) -> None:
    for role in Role:
        foreign, unknown = [
            text(await world.ask(row, place, role, PATTERNS, "default"), world, row.asked(place)) for place in ELSEWHERE
        ]
        assert foreign == unknown, role


async def test_the_right_to_a_campaign_is_asked_before_the_store_is() -> None:
    """What nobody reads takes no longer the more there is."""
    door = make_door()
    service, actor = door.instances["default"].service, Actor("narrow", Role.ADMIN, PATTERNS)
    await door.store.close()
    for place in ELSEWHERE:
        for use in (
            service.declare(actor, place),
            service.dissolve(actor, place, Source.API),
            service.members(actor, place),
            service.reasons(actor, place),
            service.members_at(actor, EPOCH, place),
            service.journal(actor, campaign=place),
            service.drifts(actor, campaign=place),
            service.trace(actor, "ana", place),
        ):
            with pytest.raises(errors.CampaignForbidden):
                await use


@pytest.mark.parametrize(
    "route", ["GET /api/v1/servers", "GET /api/v1/journal", "GET /api/v1/drift", "GET /api/v1/campaigns"]
)
async def test_who_may_see_everything_is_told_what_others_are_not(route: str, world: World) -> None:
    row = next(row for row in ROWS if row.route == route)
    answer = await world.ask(row, Place.OWN, Role.ADMIN, (), "default")
    assert any(word in text(answer, world, Place.OWN) for word in OTHERS)


async def test_lists_are_as_long_as_was_asked_for_whatever_happened_elsewhere(world: World) -> None:
    """The newest line of journal and drift is foreign."""
    found: dict[str, Answer] = {}
    for row in ROWS:
        if row.route in ("GET /api/v1/journal", "GET /api/v1/drift") and row.told == LISTED:
            found.setdefault(row.route, await world.ask(row, Place.OWN, Role.READER, PATTERNS, "default"))
    assert [one["after"]["membername"] for one in found["GET /api/v1/journal"].json] == ["bea"]
    assert [one["campaign"] for one in found["GET /api/v1/drift"].json] == [Place.OWN]


async def test_who_may_not_see_everything_is_told_of_their_own_batches(world: World) -> None:
    world.data.state = world.begun
    narrow, other = (Actor(name, Role.INTEGRATOR, PATTERNS) for name in ("narrow", "narrow too"))
    service = world.door.instances["default"].service
    mine = await service.add(narrow, [Member(Place.OWN, "eva", "SIP/1003")], Source.API)
    theirs = await service.add(other, [Member(Place.OWN, "isa", "SIP/1004")], Source.API)
    assert [one.id for one in await service.batches(narrow, 1)] == [mine.batch]
    assert [one.id for one in await service.batches(OPERATOR, 1)] == [theirs.batch]


async def test_servers_and_batches_count_what_may_be_seen(world: World) -> None:
    rows = {row.route: row for row in ROWS}
    servers = rows["GET /api/v1/servers"]
    counts = [
        (one["queues"], one["reasons"] != [])
        for patterns in ((), PATTERNS)
        for one in (await world.ask(servers, Place.OWN, Role.ADMIN, patterns, "default")).json
    ]
    assert counts == [(2, True), (1, False)]
    batch = rows["GET /api/v1/batches/{batch}"]
    seen = [(await world.ask(batch, Place.OWN, Role.READER, one, "default")).json for one in ((), PATTERNS)]
    assert [(one["items"], len(one["changes"])) for one in seen] == [(2, 2), (1, 1)]
