"""What the front door lets in: one host, pages of this site, real addresses; and the budgets of the JSON API."""

import json
from typing import Any

import pytest
from structlog.testing import capture_logs

from plantel import errors
from plantel.access import Actor, Role
from plantel.batch import Source
from plantel.http import limits
from plantel.tally import PROBLEMS
from tests.support.door import ADD, FORM, OPERATOR, Door, item, make_door
from tests.support.rsgi import Answer, Exchange, Scope

pytestmark = pytest.mark.anyio

VENTAS = "Ventas->"
JSON = "application/json"


@pytest.fixture
async def door() -> Door:
    made = make_door()
    await made.declare(VENTAS)
    return made


async def post(door: Door, path: str, body: bytes, token: str, **headers: str) -> Answer:
    names = {
        "authorization": f"Basic {token}",
        "content-type": JSON,
        **{k.replace("_", "-"): v for k, v in headers.items()},
    }
    return await door.call("POST", f"/api/v1/{path}", headers=names, body=body)


# --- one host --------------------------------------------------------------------------------------------------------


async def ask(
    door: Door, hosts: list[str], *, path: str = ADD, version: str = "1.1", authority: str | None = None
) -> Answer:
    exchange = Exchange([b""])
    scope = Scope("POST", path, "", [("host", one) for one in hosts] + [("content-length", "0")], http_version=version)
    scope.authority = authority
    await door.door.__rsgi__(scope, exchange)
    return exchange.answer


@pytest.mark.parametrize("path", [ADD, "/api/v1/members", "/health", "/"])
@pytest.mark.parametrize(
    ("hosts", "version", "authority"),
    [
        (["a.example.com", "b.example.com"], "1.1", None),
        (["a.example.com", "a.example.com"], "1.1", None),
        ([], "1.1", None),
        (["a.example.com"], "2", "b.example.com"),
        (["a.example.com"], "1.1", "b.example.com"),
        ([], "2", None),
    ],
)
async def test_a_request_that_names_no_one_host_is_refused(
    door: Door, path: str, hosts: list[str], version: str, authority: str | None
) -> None:
    answer = await ask(door, hosts, path=path, version=version, authority=authority)
    assert (answer.status, answer.headers["plantel-code"]) == (400, "host_unclear")
    assert (answer.body == b"0") is (path == ADD)


@pytest.mark.parametrize(
    ("hosts", "version", "authority"),
    [
        (["a.example.com"], "1.1", None),
        (["a.example.com"], "2", "A.example.com"),
        ([], "2", "a.example.com"),
        ([], "1", None),
    ],
)
async def test_one_host_is_enough_however_it_is_named(
    door: Door, hosts: list[str], version: str, authority: str | None
) -> None:
    assert (await ask(door, hosts, path="/health", version=version, authority=authority)).status == 200


# --- pages of other sites --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "origin", ["https://evil.example", "null", "https://plantel.example.com.evil.example", "https://"]
)
@pytest.mark.parametrize("path", ["/Integra/resources/auth/getUserToken", ADD, "/api/v1/members"])
async def test_a_page_of_another_site_changes_nothing(door: Door, origin: str, path: str) -> None:
    token = await door.token()
    kind = JSON if path.startswith("/api") else FORM
    headers = {"authorization": f"Basic {token}", "origin": origin, "content-type": kind}
    body = json.dumps([item()]).encode() if kind == JSON else b"queuemember=" + json.dumps([item()]).encode()
    answer = await door.call("POST", path, headers=headers, body=body)
    assert (answer.status, answer.headers["plantel-code"]) == (403, "foreign_origin")
    assert await door.members(VENTAS) == []


@pytest.mark.parametrize("origin", ["https://plantel.example.com", "http://PLANTEL.example.com:80"])
async def test_a_page_of_this_site_may(door: Door, origin: str) -> None:
    token = await door.token()
    answer = await door.add(token, [item()], headers={"origin": origin})
    assert answer.body == b"1"


@pytest.mark.parametrize("site", ["cross-site", "same-site"])
@pytest.mark.parametrize("origin", ["", "https://plantel.example.com"])
async def test_what_the_browser_says_of_the_page_counts_too(door: Door, site: str, origin: str) -> None:
    headers = {"origin": origin, "sec-fetch-site": site}
    token = await door.token()
    wire = await door.add(token, [item()], headers=headers)
    api = await post(door, "members", json.dumps([item()]).encode(), token, **headers)
    assert [(one.status, one.headers["plantel-code"]) for one in (wire, api)] == [(403, "foreign_origin")] * 2
    assert (wire.body, await door.members(VENTAS)) == (b"0", [])
    listed = make_door(origins=("https://plantel.example.com",))
    await listed.declare(VENTAS)
    allowed = await listed.add(await listed.token(), [item()], headers=headers)
    assert (allowed.body == b"1") is bool(origin)


@pytest.mark.parametrize("site", ["same-origin", "none"])
async def test_a_page_of_this_very_host_may_whether_or_not_it_gives_its_origin(door: Door, site: str) -> None:
    token = await door.token()
    for origin in ("", "https://plantel.example.com"):
        answer = await door.add(token, [item()], headers={"sec-fetch-site": site, "origin": origin})
        assert answer.body == b"1"


async def test_the_door_refuses_in_the_language_of_the_client(door: Door) -> None:
    headers = {"origin": "null", "accept-language": "es-MX"}
    refused = await door.call("POST", "/api/v1/members", headers=headers)
    assert refused.json["message"].startswith("una página")
    assert set(refused.json) == {"code", "message", "batch", "problems", "id"}


async def test_a_listed_page_may_and_reading_needs_no_list(door: Door) -> None:
    listed = make_door(origins=("https://crm.example.com",))
    await listed.declare(VENTAS)
    answer = await listed.add(await listed.token(), [item()], headers={"origin": "https://crm.example.com"})
    assert answer.body == b"1"
    assert (await door.call("GET", "/health", headers={"origin": "https://evil.example"})).status == 200


# --- addresses -------------------------------------------------------------------------------------------------------


async def logged_address(forwarded: str) -> str:
    door = make_door(trusted=("10.0.0.0/8",))
    with capture_logs() as lines:
        await door.call("POST", ADD, headers={"x-forwarded-for": forwarded, "content-type": FORM}, address="10.0.0.1")
    (refusal,) = [one for one in lines if one["event"] == "refused"]
    address: str = refusal["address"]
    return address


@pytest.mark.parametrize(
    ("forwarded", "address"),
    [
        ("192.0.2.1, 10.0.0.9", "192.0.2.1"),
        ("192.0.2.1:40000", "192.0.2.1"),
        ("[2001:DB8::7]:40000", "2001:db8::7"),
        ("x" * 60_000, "10.0.0.1"),
        ("fe80::1%" + "x" * 60_000, "10.0.0.1"),
        ("192.0.2.1, nobody\x1b[2J", "10.0.0.1"),
        (", ".join(["192.0.2.1"] + ["10.0.0.9"] * limits.HOPS), "10.0.0.9"),
        (", ".join(["192.0.2.1"] + ["10.0.0.9"] * (limits.HOPS - 1)), "192.0.2.1"),
    ],
)
async def test_an_address_is_an_address(forwarded: str, address: str) -> None:
    assert await logged_address(forwarded) == address


# --- budgets of the JSON API -----------------------------------------------------------------------------------------


async def test_the_role_is_looked_at_before_the_body(door: Door) -> None:
    token = await door.token("reader", Role.READER)
    for path in ("members", "members/remove", "members/pause", "campaigns", "campaigns/remove"):
        exchange = Exchange([b"x" * 100])
        fields = [
            *(("host", "plantel.example.com"), ("authorization", f"Basic {token}")),
            *(("content-type", JSON), ("content-length", str(2**30))),
        ]
        await door.door.__rsgi__(Scope("POST", f"/api/v1/{path}", "", fields), exchange)
        assert (exchange.answer.status, exchange.answer.json["code"]) == (403, "action_forbidden")


@pytest.mark.parametrize(
    "body",
    [
        b"[" * 100_000,
        b'{"a":' * 100_000,
        b"\xff",
        b'{"campaign": "Ventas->", "agents": ["ana"], "paused": true, "\xbareason": "x"}',
        b"",
        b"nan",
        b"[1e400]",
        b'["\\ud800"]',
        b"[" + b"1," * 1000 + b"1]",
        b"null",
        b'{"name": 1}',
        b'{"campaign": "' + b"x" * 7000 + b'", "agents": ["a"], "paused": true}',
        b'{"name": "' + b"x" * 7000 + b'"}',
    ],
)
async def test_no_body_brings_about_a_5xx(door: Door, body: bytes) -> None:
    token = await door.token()
    for path in ("members", "members/remove", "members/pause", "campaigns", "campaigns/remove"):
        answer = await post(door, path, body, token)
        assert 400 <= answer.status < 500, (path, answer)
        assert answer.json["code"]


async def test_a_number_may_have_any_number_of_digits(door: Door) -> None:
    token = await door.token()
    for penalty, status in (("0" * 4301, 200), ("0" * 5000 + "7", 200), ("9" * 5000, 422), ("-" + "0" * 5000, 200)):
        body = json.dumps([item(penalty=penalty)]).encode()
        assert (await post(door, "members", body, token)).status == status, penalty[:3]


async def test_a_small_call_takes_a_small_body(door: Door) -> None:
    token = await door.token()
    for size, status in ((limits.SMALL_BODY, 200), (limits.SMALL_BODY + 1, 413)):
        body = b'{"name": "Ventas%d"}' % size
        answer = await post(door, "campaigns", body.ljust(size), token)
        assert answer.status == (201 if status == 200 else status)


async def test_a_query_has_a_bound(door: Door) -> None:
    token = await door.token()
    headers = {"authorization": f"Basic {token}"}
    for size, status in ((limits.QUERY_BODY, 404), (limits.QUERY_BODY + 1, 413)):
        query = "campaign=" + "x" * (size - len("campaign="))
        assert (await door.call("GET", f"/api/v1/members?{query}", headers=headers)).status == status


@pytest.mark.parametrize(
    ("query", "code"),
    [("campaign=%00", "bad_request"), ("&" * limits.FIELDS, "too_many_fields"), ("&" * (limits.FIELDS - 1), None)],
)
async def test_a_query_holds_no_zero_and_few_fields(door: Door, query: str, code: str | None) -> None:
    headers = {"authorization": f"Basic {await door.token()}"}
    answer = await door.call("GET", f"/api/v1/journal?{query}", headers=headers)
    assert answer.status == (200 if code is None else 400 if code == "bad_request" else 422)
    assert code is None or answer.json["code"] == code


async def test_a_path_has_a_bound_since_the_router_remembers_it(door: Door) -> None:
    headers = {"authorization": f"Basic {await door.token()}"}
    for size, code in ((limits.PATH, "no_such_thing"), (limits.PATH + 1, "not_found")):
        path = "/api/v1/batches/".ljust(size, "x")
        answer = await door.call("GET", path, headers=headers)
        assert (answer.status, answer.headers["plantel-code"]) == (404, code)


async def test_the_description_is_encoded_once(door: Door) -> None:
    documents = [(await door.call("GET", "/api/v1/schema/openapi.json")).body for _ in range(2)]
    assert documents[0] is documents[1]


async def test_a_reader_leaves_no_batch_behind_whatever_is_wrong_with_the_order(door: Door) -> None:
    reader = Actor("reader", Role.READER)
    service = door.instances["default"].service
    for order in (
        service.pause(reader, VENTAS, ["ana"], Source.API, paused=False, reason="x"),
        service.pause(reader, VENTAS, ["ana"], Source.API, paused=True, reason="|"),
        service.add(reader, [], Source.API),
        service.refuse(reader, Source.WIRE, errors.NotAnArray()),
    ):
        with pytest.raises(errors.ActionForbidden):
            await order
    assert await service.batches(OPERATOR) == []


async def test_of_many_problems_the_first_are_told_and_the_rest_counted(door: Door) -> None:
    token = await door.token()
    for count in (PROBLEMS, PROBLEMS + 1, PROBLEMS + 5000):
        answer = await post(door, "members", json.dumps([item(penalty="-1")] * count).encode(), token)
        problems = answer.json["problems"]
        assert answer.status == 422
        assert len(problems) == min(count, PROBLEMS + 1)
        assert (problems[-1]["code"] == "more_problems") is (count > PROBLEMS)


async def test_a_batch_has_a_bound_in_items(door: Door) -> None:
    token = await door.token()
    most = door.instances["default"].service.most
    for path, agents in (("members/remove", {}), ("members/pause", {"paused": True})):
        order: dict[str, Any] = {"campaign": VENTAS, "agents": [""] * (most + 1), **agents}
        large = make_door(body_limit=2**30)
        await large.declare(VENTAS)
        answer = await post(large, path, json.dumps(order).encode(), await large.token())
        assert (answer.status, answer.json["code"]) == (422, "too_many_items")
    assert (await post(door, "members", b"[]", token)).status == 422


async def test_a_list_of_batches_leaves_their_problems_out(door: Door) -> None:
    token = await door.token()
    answer = await post(door, "members", json.dumps([item(penalty="-1")] * 3).encode(), token)
    headers = {"authorization": f"Basic {token}"}
    (listed,) = (await door.call("GET", "/api/v1/batches", headers=headers)).json
    assert (listed["id"], listed["stored"], listed["problems"]) == (answer.json["batch"], False, [])
    whole = (await door.call("GET", f"/api/v1/batches/{listed['id']}", headers=headers)).json
    assert len(whole["problems"]) == 3


async def test_long_lists_are_those_of_short_ones(door: Door) -> None:
    token = await door.token()
    many = 2 * limits.WRITTEN_IN_ONE_GO + 1
    members = [item(f"agent-{n}", phone=f"SIP/{n + 1000}") for n in range(many)]
    await post(door, "members", json.dumps(members).encode(), token)
    headers = {"authorization": f"Basic {token}"}
    long = await door.call("GET", "/api/v1/members?campaign=Ventas->", headers=headers)
    assert long.headers["content-type"] == JSON
    past = await door.call("GET", "/api/v1/members?campaign=Ventas->&at=2026-06-01T00:00:00Z", headers=headers)
    assert past.json == long.json
    gone = [one["membername"] for one in long.json[limits.WRITTEN_AT_ONCE :]]
    await post(door, "members/remove", json.dumps({"campaign": VENTAS, "agents": gone}).encode(), token)
    short = await door.call("GET", "/api/v1/members?campaign=Ventas->", headers=headers)
    assert len(long.json) == many
    assert [one for one in long.json if one["membername"] not in gone] == short.json


async def test_an_unexpected_error_is_logged_once_with_an_id_that_the_answer_has(
    door: Door, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def broken(*_: object, **__: object) -> Any:
        raise ZeroDivisionError

    token = await door.token()
    await door.add(token, [item()])
    monkeypatch.setattr(door.store, "write", broken)
    with capture_logs() as lines:
        api = await post(door, "members", json.dumps([item()]).encode(), token)
        wire = await door.add(token, [item()])
    failures = [one for one in lines if one["event"] == "failed"]
    assert (api.status, wire.status, len(failures)) == (500, 500, 2)
    assert failures[0]["id"] in api.json["message"]
    assert failures[0]["id"] == api.json["id"]
    assert failures[0]["id"] in api.headers["plantel-reason"]
    assert failures[1]["id"] in wire.headers["plantel-reason"]
