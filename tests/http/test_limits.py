"""The budget of one request, at the front door: just within, at and just beyond each bound, and what is left behind."""

import asyncio
import json
import threading
from collections.abc import AsyncIterator, Callable
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import quote_plus

import pytest

from plantel import errors
from plantel.access import Role
from plantel.batch import Source
from plantel.http import limits
from plantel.http.integra import queue_names
from plantel.roster import Member
from plantel.service import Service
from plantel.tally import PROBLEMS
from plantel.workers import Workers
from tests.support.door import ADD, FORM, OPERATOR, Door, item, make_door
from tests.support.rsgi import Answer, Exchange, Scope
from tests.support.server import PlantelServer, served
from tests.support.wire import Wire, add, form, head

pytestmark = pytest.mark.anyio

VENTAS = "Ventas->"
RESOURCES = "/Integra/resources/"
BODY = 2**20
"""The door's `body_limit`."""

CALLS = {
    "auth/getUserToken": limits.LOGIN_BODY,
    "auth/EndSession": limits.LOGIN_BODY,
    "queues/getqueuemembersofqueue": limits.QUERY_BODY,
    "queues/addqueuemember": BODY,
}


@pytest.fixture
async def door() -> Door:
    made = make_door(body_limit=BODY)
    await made.declare(VENTAS)
    return made


async def call(door: Door, path: str, body: bytes, token: str, **options: Any) -> Answer:
    headers = {"content-type": FORM, "authorization": f"Basic {token}", **options.pop("headers", {})}
    return await door.call("POST", RESOURCES + path, headers=headers, body=body, **options)


async def batches(door: Door) -> int:
    return len(await door.instances["default"].service.batches(OPERATOR, 1000))


# --- bodies, queries, fields ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", CALLS)
@pytest.mark.parametrize("announced", [True, False])
async def test_each_call_has_a_limit_of_its_own(door: Door, path: str, announced: bool) -> None:
    token, limit = await door.token(), CALLS[path]
    headers = {} if announced else {"content-length": ""}
    for size in (limit - 1, limit):
        answer = await call(door, path, b"x" * size, token, headers=headers)
        assert (answer.status, answer.headers["plantel-code"]) == (200, "field_missing")
    answer = await call(door, path, b"x" * (limit + 1), token, headers=headers)
    assert (answer.status, answer.body, answer.headers["plantel-code"]) == (413, b"0", "body_too_large")
    assert str(limit) in answer.headers["plantel-reason"]


async def test_a_query_string_has_a_limit(door: Door) -> None:
    token = await door.token()
    for more, code in ((0, "unknown_campaign"), (1, "query_too_long")):
        query = "queue=" + "x" * (limits.QUERY_BODY - len("queue=") + more)
        answer = await call(door, "queues/getqueuemembersofqueue?" + query, b"", token)
        assert (answer.body, answer.headers["plantel-code"]) == (b"0", code)
    assert answer.status == 413


@pytest.mark.parametrize("path", CALLS)
async def test_a_form_of_too_many_fields_is_0_with_a_reason(door: Door, path: str) -> None:
    token = await door.token()
    for count, code in ((limits.FIELDS, "field_missing"), (limits.FIELDS + 1, "too_many_fields")):
        answer = await call(door, path, b"&" * (count - 1), token)
        assert (answer.status, answer.body, answer.headers["plantel-code"]) == (200, b"0", code)


async def test_a_batch_of_bad_escapes_is_0_with_a_reason(door: Door) -> None:
    answer = await door.add(await door.token(), None, raw=b"queuemember=" + b"%" * (limits.BAD_ESCAPES + 1))
    assert (answer.status, answer.headers["plantel-code"]) == (200, "badly_encoded")


@pytest.mark.parametrize("bad", [limits.BAD_ESCAPES_AT_ONCE, limits.BAD_ESCAPES_AT_ONCE + 1])
async def test_escapes_that_are_too_bad_for_the_loop_are_read_all_the_same(door: Door, bad: int) -> None:
    raw = b"queuemember=" + quote_plus(json.dumps([item(note="")])).encode().replace(
        b"note%22%3A+%22", b"note%22%3A+%22" + b"%z" * bad
    )
    answer = await door.add(await door.token(), None, raw=raw)
    assert answer.body == b"1"


@pytest.mark.parametrize("size", [limits.EXPLAINED_AT_ONCE, limits.AT_ONCE, 2 * limits.AT_ONCE])
@pytest.mark.parametrize("more", [-1, 0, 1])
@pytest.mark.parametrize("wrong", [False, True])
async def test_a_batch_is_read_alike_wherever_it_is_taken_apart(door: Door, size: int, more: int, wrong: bool) -> None:
    text = json.dumps([item("ana"), *([item("eva", phone="SIP/2", penalty=-1)] if wrong else [])])
    raw = b"queuemember=" + text.encode()
    raw += b" " * (size + more - len(raw))
    for _ in range(2):  # the second time it may be remembered
        answer = await door.add(await door.token(f"of {await batches(door)}"), None, raw=raw)
        assert answer.body == (b"0" if wrong else b"1")
        if wrong:
            assert answer.headers["plantel-reason"] == "item 2: penalty: must be 0 or more"
    assert await door.members(VENTAS) == ([] if wrong else [Member(VENTAS, "ana", "SIP/1001")])


def test_a_name_is_read_in_no_way_in_which_it_is_too_long() -> None:
    assert set(queue_names(b"queue=A+B", b"")) == {"A B", "A+B"}
    assert len(queue_names(b"queue=" + b"%z+&" * 30, b"queue=" + b"%z+&" * 30)) == 3
    long = b"queue=" + b"%z+" * 2_000
    assert len(queue_names(long, b"")) == 1, "its strict reading, to be told that there is no such campaign"


# --- rights before bodies ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("pieces", [1, 20])
async def test_a_reader_is_refused_before_the_body_is_read(door: Door, pieces: int) -> None:
    token = await door.token("eyes", Role.READER)
    exchange = Exchange([b"x" * BODY] * pieces)
    fields = [
        *(("host", "plantel.example.com"), ("content-type", FORM)),
        *(("authorization", f"Basic {token}"), ("content-length", str(pieces * BODY))),
    ]
    await door.door.__rsgi__(Scope("POST", ADD, headers=fields), exchange)
    assert (exchange.answer.status, exchange.answer.headers["plantel-code"]) == (403, "action_forbidden")
    assert "connection" not in exchange.answer.headers, "what was sent is swallowed, and the connection can go on"
    assert await batches(door) == 0, "nothing was taken apart"


# --- items and problems -----------------------------------------------------------------------------------------------


@pytest.fixture
async def narrow_door(door: Door) -> Door:
    """At most three items."""
    door.instances["default"].service.most = 3
    return door


@pytest.mark.parametrize("blanks", [0, limits.EXPLAINED_AT_ONCE, limits.AT_ONCE])
@pytest.mark.parametrize("wrong", [False, True])
async def test_a_batch_has_so_many_items_and_no_more(narrow_door: Door, blanks: int, wrong: bool) -> None:
    token = await narrow_door.token()

    async def add_many(count: int) -> Answer:
        items = [item(f"ana {number}", phone=f"SIP/{number}", penalty=0) for number in range(count)]
        if wrong:
            items[-1]["penalty"] = -1
        return await narrow_door.add(token, None, raw=b"queuemember=" + json.dumps(items).encode() + b" " * blanks)

    for count in (2, 3):
        answer = await add_many(count)
        assert answer.headers.get("plantel-code") == ("negative_value" if wrong else None)
    answer = await add_many(4)
    assert (answer.status, answer.body, answer.headers["plantel-code"]) == (200, b"0", "too_many_items")
    assert answer.headers["plantel-batch"]


async def test_every_way_of_changing_members_has_so_many_items_and_no_more(narrow_door: Door) -> None:
    service = narrow_door.instances["default"].service
    names = [f"ana {number}" for number in range(4)]
    members = [Member(VENTAS, name, f"SIP/{number}") for number, name in enumerate(names)]
    ways: list[Callable[[int], Any]] = [
        lambda count: service.add(OPERATOR, members[:count], Source.API),
        lambda count: service.pause(OPERATOR, VENTAS, names[:count], Source.API, paused=True),
        lambda count: service.remove(OPERATOR, VENTAS, names[:count], Source.API),
    ]
    for way in ways:
        with pytest.raises(errors.BatchRefused) as refused:
            await way(4)
        assert [type(one) for one in refused.value.problems] == [errors.TooManyItems]
        assert len((await way(3)).changes) == 3


async def test_so_many_problems_are_told_and_kept_and_the_others_counted(door: Door) -> None:
    token = await door.token()
    for count, more in ((PROBLEMS, 0), (PROBLEMS + 7, 7)):
        answer = await door.add(token, None, raw=b"queuemember=[" + b"1," * (count - 1) + b"1]")
        assert answer.headers["plantel-reason"] == "item 1: must be a JSON object"
        shown = await door.call(
            "GET", f"/api/v1/batches/{answer.headers['plantel-batch']}", headers={"authorization": f"Basic {token}"}
        )
        assert shown.json["items"] == count
        problems = shown.json["problems"]
        assert [one["item"] for one in problems[:PROBLEMS]] == list(range(1, PROBLEMS + 1))
        assert [one["message"] for one in problems[PROBLEMS:]] == (
            [f"problems that are not listed: {more}"] * bool(more)
        )


@pytest.mark.parametrize(
    ("campaign", "name", "phone"),
    [("V{}", "ana {}", "SIP/{}"), (VENTAS, "ana {}", "SIP/{}@trunk"), (VENTAS, "ana", "SIP/{}")],
    ids=["unknown campaigns", "interfaces", "contradictions"],
)
async def test_problems_of_every_kind_are_counted(door: Door, campaign: str, name: str, phone: str) -> None:
    items = [Member(campaign.format(n), name.format(n), phone.format(n)) for n in range(PROBLEMS + 10)]
    with pytest.raises(errors.BatchRefused) as refused:
        await door.instances["default"].service.add(OPERATOR, items, Source.API)
    await counted(door, refused.value.problems, 9 if name == "ana" else 10)


async def test_agents_to_remove_that_are_not_there_are_counted(door: Door) -> None:
    with pytest.raises(errors.BatchRefused) as refused:
        await door.instances["default"].service.remove(OPERATOR, VENTAS, ["x"] * (PROBLEMS + 10), Source.API)
    await counted(door, refused.value.problems, 10)


async def counted(door: Door, told: list[errors.PlantelError], more: int) -> None:
    """Expect the first thousand and a count, told and kept."""
    (kept,) = await door.store.read(lambda transaction: transaction.batches("default", 1))
    assert [len(told), told[-1].params["count"]] == [len(kept.problems), kept.problems[-1].params["count"]]
    assert [len(told), told[-1].params["count"]] == [PROBLEMS + 1, more]


async def test_what_is_stored_of_a_huge_name_is_short_and_a_list_has_no_problems(door: Door) -> None:
    token = await door.token()
    answer = await door.add(token, [item(campaign="x" * (BODY // 2)), item(phone="x" * 1_000)])
    assert len(answer.headers["plantel-reason"]) < 500
    (kept,) = await door.store.read(lambda transaction: transaction.batches("default", 1))
    assert max(len(str(text)) for one in kept.problems for text in one.params.values()) <= 200
    listed = await door.call("GET", "/api/v1/batches", headers={"authorization": f"Basic {token}"})
    assert [(one["id"], one["stored"], one["problems"]) for one in listed.json] == [(kept.id, False, [])]


async def test_a_campaign_is_asked_for_once_whoever_has_no_right_to_it(door: Door) -> None:
    items = [item(f"ana {number}", f"V{number}", f"SIP/{number}") for number in range(limits.AT_ONCE // 50)]
    await door.add(await door.token(), items)
    narrow = await door.token("narrow", Role.INTEGRATOR, ("V0",))
    answer = await door.add(narrow, items)
    assert (answer.status, answer.headers["plantel-code"]) == (403, "campaign_forbidden")
    wide = await door.token("wide", Role.INTEGRATOR, ("V*",))
    assert (await door.add(wide, items)).headers["plantel-code"] == "unknown_campaign"


# --- threads ----------------------------------------------------------------------------------------------------------


class HeldService(Service):
    """Looks through no batch until it is let go."""

    def hold(self) -> None:
        self.begun = asyncio.Semaphore(0)
        self.go = threading.Event()
        self._loop = asyncio.get_running_loop()

    def wanted(self, items: Any) -> Any:
        if threading.current_thread() is not threading.main_thread():
            self._loop.call_soon_threadsafe(self.begun.release)
            assert self.go.wait(30)
        return super().wanted(items)


@pytest.fixture
async def held(door: Door) -> AsyncIterator[HeldService]:
    service = door.instances["default"].service
    service.__class__ = HeldService
    assert isinstance(service, HeldService)
    service.hold()
    yield service
    service.go.set()


def large(number: int = 0) -> bytes:
    return b"queuemember=" + json.dumps([item(f"ana {number}", phone=f"SIP/{number}")]).encode() + b" " * limits.AT_ONCE


async def test_large_batches_wait_in_bounds_and_small_ones_do_not_wait_for_them(
    door: Door, held: HeldService, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(door.door._integra, "_batches", Workers("batch", 2, 3))
    token = await door.token()
    waiting = [asyncio.create_task(door.add(token, None, raw=large(number))) for number in range(5)]
    for _ in range(2):
        await held.begun.acquire()
    busy = await door.add(token, None, raw=large(9))
    assert (busy.status, busy.body, busy.headers["plantel-code"]) == (503, b"0", "server_busy")
    assert busy.headers["retry-after"]
    assert (await door.add(token, [item("small", phone="SIP/77")])).body == b"1"
    held.go.set()
    assert {answer.body for answer in await asyncio.gather(*waiting)} == {b"1"}
    assert len(await door.members(VENTAS)) == 6


async def test_a_large_batch_of_a_client_that_hung_up_is_not_taken_apart(
    door: Door, held: HeldService, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(door.door._integra, "_batches", Workers("batch", 1, 3))
    token = await door.token()
    first = asyncio.create_task(door.add(token, None, raw=large(1)))
    await held.begun.acquire()
    exchange = Exchange([large(2)])
    fields = [("content-type", FORM), ("authorization", f"Basic {token}"), ("content-length", str(len(large(2))))]
    gone = asyncio.create_task(door.door.__rsgi__(Scope("POST", ADD, headers=fields), exchange))
    exchange.disconnected.set()
    await gone
    held.go.set()
    assert (await first).body == b"1"
    assert [one.membername for one in await door.members(VENTAS)] == ["ana 1"]
    assert held.begun.locked(), "nobody has begun it"


@pytest.mark.parametrize("more", [-1, 0, 1])
async def test_a_list_of_members_is_the_same_wherever_it_is_written(door: Door, more: int) -> None:
    count = limits.LISTED_AT_ONCE + more
    service = door.instances["default"].service
    members = [Member(VENTAS, f"ana {number:04}", f"SIP/{number}") for number in range(count)]
    await service.add(OPERATOR, members, Source.API)
    answer = await call(door, "queues/getqueuemembersofqueue", b"queue=Ventas->", await door.token())
    assert [one["membername"] for one in answer.json] == [one.membername for one in members]


def test_a_real_server_answers_large_batches_and_drops_what_nobody_waits_for(tmp_path: Path) -> None:
    server = PlantelServer(tmp_path)
    server.declare([VENTAS])
    crowd = [item(f"ana {number}", phone=f"SIP/{number}") for number in range(2_000)]
    assert len(form(crowd)) > limits.AT_ONCE
    make = partial(add, server.token)
    with served(server):
        with Wire(server.port) as wire:
            for _ in range(2):  # over one connection, which goes on
                assert wire.send(make(crowd)).answer().body == b"1"
            assert wire.send(head("nonsense", 20 * limits.AT_ONCE), b"x" * 20 * limits.AT_ONCE).answer().status == 401
            assert wire.send(make([item("eva", phone="SIP/99999")])).answer().body == b"1"
        with Wire(server.port) as wire:
            wire.send(make([item(f"gone {number}", phone=f"SIP/8{number}") for number in range(2_000)]))
        with Wire(server.port) as wire:
            assert wire.send(make([item("after", phone="SIP/77777")])).answer().body == b"1"
    assert {"eva", "after"} < {one["membername"] for one in server.members(VENTAS)}
