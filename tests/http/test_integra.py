"""The published call and its neighbours: what CONTRACT says, answer by answer."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any

import argon2
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from plantel import errors
from plantel.access import Role, User
from plantel.batch import Source
from plantel.http.brake import FREE_TRIES, Brake
from plantel.http.limits import AT_ONCE, LOGINS_WAITING
from plantel.roster import Member
from plantel.secret import Secret
from tests.support.door import ADD, EPOCH, FORM, OPERATOR, Door, basic, item, make_door
from tests.support.rsgi import Answer, Exchange, Scope

pytestmark = pytest.mark.anyio

VENTAS = "Ventas->"


@pytest.fixture
async def door() -> Door:
    made = make_door()
    await made.declare(VENTAS, "POWER<-")
    return made


@pytest.fixture
async def open_door(door: Door) -> Door:
    """One door for many examples, its token made."""
    await door.token()
    return door


def is_one(answer: Answer) -> bool:
    return (answer.status, answer.body, answer.headers["content-length"]) == (200, b"1", "1")


def is_zero(answer: Answer, code: str, status: int = 200) -> bool:
    assert (answer.status, answer.body) == (status, b"0")
    assert answer.headers["plantel-code"] == code
    assert answer.headers["plantel-reason"]
    return True


# --- adding -----


async def test_a_batch_is_stored_and_answered_with_a_bare_1(door: Door) -> None:
    answer = await door.add(
        await door.token(), [item("ana"), item("eva", "POWER<-", "PJSIP/2", penalty=3, paused=True)]
    )
    assert is_one(answer)
    assert answer.headers["content-type"].startswith("text/plain")
    assert await door.members(VENTAS) == [Member(VENTAS, "ana", "SIP/1001")]
    assert await door.members("POWER<-") == [Member("POWER<-", "eva", "PJSIP/2", 3, paused=True)]


async def test_a_batch_with_one_mistake_stores_nothing(door: Door) -> None:
    answer = await door.add(
        await door.token(), [item("ana"), item("eva", phone="SIP/2"), item("leo", phone="SIP/3", penalty=-1)]
    )
    assert is_zero(answer, "negative_value")
    assert answer.headers["plantel-reason"] == "item 3: penalty: must be 0 or more"
    assert await door.members(VENTAS) == []


async def test_the_batch_id_leads_to_the_reason_for_every_item(door: Door) -> None:
    token = await door.token()
    wrong = item("leo", phone="SIP/3")
    del wrong["paused"]
    answer = await door.add(token, [item(""), item("eva", "Nada"), wrong])
    batch = answer.headers["plantel-batch"]
    shown = await door.call("GET", f"/api/v1/batches/{batch}", headers={"authorization": f"Basic {token}"})
    assert [(one["item"], one["key"], one["code"]) for one in shown.json["problems"]] == [
        (1, "membername", "empty_value"),
        (2, "queueName", "unknown_campaign"),
        (3, "paused", "missing_key"),
    ]
    assert shown.json["stored"] is False


async def test_adding_again_updates_and_answers_1(door: Door) -> None:
    token = await door.token()
    assert is_one(await door.add(token, [item()]))
    assert is_one(await door.add(token, [item(penalty="5", paused="1")]))
    assert is_one(await door.add(token, [item(penalty="5", paused="1")]))
    assert await door.members(VENTAS) == [Member(VENTAS, "ana", "SIP/1001", 5, paused=True)]


def crowd() -> list[dict[str, object]]:
    """So many that their form is taken apart in a thread, and remembered."""
    return [item(f"agent {number}", phone=f"SIP/{number}") for number in range(AT_ONCE // 100)]


async def test_a_large_batch_sent_again_changes_nothing_and_is_a_batch_of_its_own(door: Door) -> None:
    token = await door.token()
    batches = [(await door.add(token, crowd())).headers["plantel-batch"] for _ in range(3)]
    kept = await door.store.read(lambda transaction: transaction.batches("default", 3))
    assert [(batch.id, batch.items) for batch in reversed(kept)] == [(batch, len(crowd())) for batch in batches]
    assert (
        await door.store.read(lambda transaction: transaction.revision())
        == len(crowd())
        == len(await door.members(VENTAS))
    )


@pytest.mark.parametrize("times", [1, 2])
async def test_a_large_batch_sent_again_undoes_what_came_between(door: Door, times: int) -> None:
    token = await door.token()
    for _ in range(times):
        await door.add(token, crowd())
    service = door.instances["default"].service
    await service.remove(OPERATOR, VENTAS, ["agent 7"], Source.API)
    await door.add(token, [item("agent 8", phone="SIP/8", penalty=3)])
    assert is_one(await door.add(token, crowd()))
    members = {member.membername: member for member in await door.members(VENTAS)}
    assert len(members) == len(crowd())
    assert (members["agent 7"].interface, members["agent 8"].penalty) == ("SIP/7", 0)


async def test_a_large_batch_sent_to_another_instance_is_stored_there(door: Door) -> None:
    await door.declare(VENTAS, instance="other")
    await door.add(await door.token(), crowd())
    other = await door.token(name="others", instance="other")
    answer = await door.add(other, crowd(), host="other.example.com")
    assert is_one(answer)
    assert len(await door.members(VENTAS, instance="other")) == len(crowd())


async def test_a_large_batch_sent_again_by_somebody_who_may_not_is_refused(door: Door) -> None:
    await door.add(await door.token(), crowd())
    limited = await door.token(name="limited", campaigns=("Cobros",))
    assert is_zero(await door.add(limited, crowd()), "campaign_forbidden", 403)


async def test_another_phone_moves_the_agent_and_another_agent_replaces_the_one_on_the_phone(door: Door) -> None:
    token = await door.token()
    await door.add(token, [item("ana", phone="SIP/1"), item("eva", phone="SIP/2")])
    assert is_one(await door.add(token, [item("ana", phone="SIP/2")]))
    assert await door.members(VENTAS) == [Member(VENTAS, "ana", "SIP/2")]
    entries = await door.instances["default"].service.journal(OPERATOR)
    assert [(entry.change.kind, entry.change.member.membername) for entry in entries] == [
        ("added", "ana"), ("added", "eva"), ("replaced", "eva"), ("moved", "ana"),
    ]  # fmt: skip


async def test_two_agents_may_swap_their_phones_in_one_batch(door: Door) -> None:
    token = await door.token()
    await door.add(token, [item("ana", phone="SIP/1"), item("eva", phone="SIP/2")])
    assert is_one(await door.add(token, [item("ana", phone="SIP/2"), item("eva", phone="SIP/1")]))
    assert [member.interface for member in await door.members(VENTAS)] == ["SIP/2", "SIP/1"]


@pytest.mark.parametrize(
    "other",
    [item("ana", phone="SIP/9"), item("ana", penalty=1), item("eva"), item("eva", phone="sip/1001"), item(paused=1)],
)
async def test_contradictions_make_the_batch_0(door: Door, other: dict[str, object]) -> None:
    answer = await door.add(await door.token(), [item(), other])
    assert is_zero(answer, "contradiction")
    assert answer.headers["plantel-reason"].startswith("item 2: ")
    assert await door.members(VENTAS) == []


async def test_equal_items_count_once(door: Door) -> None:
    assert is_one(await door.add(await door.token(), [item(), item(penalty=0, campaign="VENTAS->")]))
    assert await door.members(VENTAS) == [Member(VENTAS, "ana", "SIP/1001")]


async def test_a_campaign_is_known_without_regard_to_case_and_an_unknown_one_makes_the_batch_0(door: Door) -> None:
    token = await door.token()
    assert is_one(await door.add(token, [item(campaign="ventas->")]))
    assert is_zero(await door.add(token, [item(campaign="Cobros")]), "unknown_campaign")


@pytest.mark.parametrize(
    ("raw", "code"),
    [
        (b"", "field_missing"),
        (b"other=1", "field_missing"),
        (b"queuemember=", "field_missing"),
        (b"queuemember=[]", "empty_batch"),
        (b"queuemember=%7B%7D", "not_an_array"),
        (b'queuemember={"membername":1}', "not_an_array"),
        (b"queuemember=[1]", "not_an_object"),
        (b'queuemember=[{"membername":"ana","queueNa', "body_cut_short"),
        (b"queuemember=[{'membername':'ana'}]", "not_json"),
        (b"queuemember=" + b"[" * 100_000, "not_json"),
        (b'queuemember=[{"membername":"\\ud800"}]', "not_json"),
        (b"queuemember=%FF%FE", "not_json"),
        (b"queuemember=null", "not_an_array"),
    ],
)
async def test_what_is_no_batch_answers_0_with_a_reason(door: Door, raw: bytes, code: str) -> None:
    answer = await door.add(await door.token(), None, raw=raw)
    assert is_zero(answer, code)
    assert answer.headers["plantel-batch"]


async def test_an_unencoded_body_in_iso_8859_1_is_read(door: Door) -> None:
    raw = ("queuemember=" + json.dumps([item("José Ñandú & A+B 100%")], ensure_ascii=False)).encode("iso-8859-1")
    assert is_one(await door.add(await door.token(), None, raw=raw))
    assert [member.membername for member in await door.members(VENTAS)] == ["José Ñandú & A+B 100%"]


async def test_a_body_may_come_in_pieces(door: Door) -> None:
    body = b"queuemember=" + json.dumps([item()]).encode()
    headers = {"content-type": FORM + "; charset=utf-8", "authorization": f"Basic {await door.token()}"}
    chunks = [body[start : start + 7] for start in range(0, len(body), 7)]
    assert is_one(await door.call("POST", ADD, headers=headers, chunks=chunks))


async def test_a_body_that_is_cut_off_stores_nothing(door: Door) -> None:
    body = b"queuemember=" + json.dumps([item()]).encode()
    token = await door.token()
    headers = {"content-type": FORM, "authorization": f"Basic {token}", "content-length": str(len(body) + 1)}
    assert is_zero(await door.call("POST", ADD, headers=headers, body=body), "body_too_late", 408)
    assert await door.members(VENTAS) == []


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["membername", "queueName", "interface1", "penalty", "paused", "x"]) | st.text(),
            inner,
            max_size=6,
        )
    ),
    max_leaves=12,
)


@given(json_values | st.lists(json_values))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=300)
async def test_arbitrary_json_never_gives_a_5xx(open_door: Door, value: object) -> None:
    answer = await open_door.add(basic("tests", "secret-of-tests"), value)
    assert answer.status == 200
    assert answer.body in (b"0", b"1")


@given(st.binary())
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=300)
async def test_arbitrary_bytes_never_give_a_5xx(open_door: Door, raw: bytes) -> None:
    answer = await open_door.add(basic("tests", "secret-of-tests"), None, raw=b"queuemember=" + raw)
    assert (answer.status, answer.body) == (200, b"0")


# --- what is outside the contract -----


async def test_no_token_a_wrong_one_and_an_expired_one_are_401(door: Door) -> None:
    answer = await door.call("POST", ADD, headers={"content-type": FORM})
    assert is_zero(answer, "not_authenticated", 401)
    assert answer.headers["www-authenticate"].startswith("Basic ")
    assert is_zero(await door.add("nonsense", [item()]), "not_authenticated", 401)
    assert is_zero(await door.add(basic("tests", "wrong"), [item()]), "not_authenticated", 401)
    brief = await door.token("brief", expires=EPOCH + timedelta(hours=1))
    assert is_one(await door.add(brief, [item()]))
    door.clock.moment += timedelta(hours=1)
    door.instances["default"].authenticator.forget()
    assert is_zero(await door.add(brief, [item()]), "not_authenticated", 401)


async def test_a_token_without_the_right_to_a_campaign_is_403_and_learns_nothing(door: Door) -> None:
    token = await door.token("narrow", Role.INTEGRATOR, ("POWER*",))
    assert is_one(await door.add(token, [item(campaign="power<-")]))
    for campaign in (VENTAS, "No such campaign"):
        answer = await door.add(token, [item(campaign="POWER<-", phone="SIP/7"), item("eva", campaign)])
        assert is_zero(answer, "campaign_forbidden", 403)
    assert [member.interface for member in await door.members("POWER<-")] == ["SIP/1001"]


async def test_a_reader_may_not_add(door: Door) -> None:
    assert is_zero(await door.add(await door.token("eyes", Role.READER), [item()]), "action_forbidden", 403)


async def test_paths_methods_types_and_sizes(door: Door) -> None:
    token = await door.token()
    headers = {"content-type": FORM, "authorization": f"Basic {token}"}
    assert is_zero(await door.call("POST", "/Integra/resources/queues/other", headers=headers), "not_found", 404)
    answer = await door.call("GET", ADD, headers=headers)
    assert is_zero(answer, "method_not_allowed", 405)
    assert answer.headers["allow"] == "POST"
    as_json = await door.add(token, [item()], headers={"content-type": "application/json"})
    assert is_zero(as_json, "not_a_form", 415)
    too_large = await door.add(token, None, raw=b"queuemember=" + b"x" * 2**20)
    assert is_zero(too_large, "body_too_large", 413)
    unannounced = await door.call("POST", ADD, headers={**headers, "content-length": ""}, chunks=[b"x" * 2**19] * 3)
    assert is_zero(unannounced, "body_too_large", 413)


async def test_wrong_credentials_are_slowed_per_user_and_address_only(door: Door) -> None:
    token = await door.token()
    answers = [await door.add(basic("tests", f"guess {number}"), [item()]) for number in range(FREE_TRIES + 1)]
    assert [answer.status for answer in answers] == [401] * FREE_TRIES + [429]
    assert int(answers[-1].headers["retry-after"]) >= 1
    assert is_one(await door.add(token, [item()]))
    assert (await door.add(basic("tests", "guess"), [item()], address="192.0.2.8")).status == 401
    assert (await door.add(basic("others", "guess"), [item()])).status == 401


async def test_a_dead_store_answers_503_with_retry_after(door: Door, monkeypatch: pytest.MonkeyPatch) -> None:
    token = await door.token()
    await door.add(token, [item()])

    async def broken(_work: object, **_: object) -> Any:
        raise errors.StoreUnavailable(detail="no disk")

    monkeypatch.setattr(door.store, "write", broken)
    answer = await door.add(token, [item()])
    assert is_zero(answer, "store_unavailable", 503)
    assert answer.headers["retry-after"] == "1"


async def test_an_unforeseen_failure_answers_0_as_well(door: Door, monkeypatch: pytest.MonkeyPatch) -> None:
    async def broken(_work: object, **_: object) -> Any:
        raise ZeroDivisionError

    token = await door.token()
    await door.add(token, [item()])
    monkeypatch.setattr(door.store, "write", broken)
    assert is_zero(await door.add(token, [item()]), "internal_error", 500)


async def test_a_reason_fits_into_a_header_whatever_was_sent(door: Door) -> None:
    answer = await door.add(await door.token(), [item(campaign="Línea 漢\u007e" * 4)])
    assert answer.headers["plantel-reason"].isascii()
    assert "L\\u00ednea \\u6f22" in answer.headers["plantel-reason"]


# --- the neighbours -----


async def add_user(door: Door, name: str, password: str, campaigns: tuple[str, ...] = ()) -> None:
    hashed = argon2.PasswordHasher(time_cost=1, memory_cost=8, parallelism=1).hash(password)
    user = User("default", name, hashed, Role.INTEGRATOR, campaigns, EPOCH)
    await door.store.write(lambda transaction: transaction.put_user(user))


async def form(door: Door, path: str, body: str, **options: Any) -> Answer:
    headers = {"content-type": FORM, **options.pop("headers", {})}
    return await door.call("POST", f"/Integra/resources/{path}", headers=headers, body=body.encode(), **options)


async def test_logging_in_gives_a_token_as_the_third_element_and_ending_the_session_ends_it(door: Door) -> None:
    await add_user(door, "laura", "una clave & más")
    answer = await form(door, "auth/getUserToken", "user=laura&password=una+clave+%26+m%C3%A1s")
    assert len(answer.json) == 3
    token = answer.json[2]
    assert is_one(await door.add(token, [item()]))
    assert is_one(await door.add(basic("laura", token), [item()])), "wrapped once more, as some clients do"
    assert is_one(
        await form(door, "auth/EndSession", f"user=laura&token={token.replace('+', '%2B').replace('=', '%3D')}")
    )
    assert is_zero(await door.add(token, [item()]), "not_authenticated", 401)
    assert is_zero(await form(door, "auth/EndSession", f"user=laura&token={token}"), "no_such_thing")


async def test_wrong_passwords_answer_a_bare_0_and_are_slowed(door: Door) -> None:
    # on a busy machine a verification may take longer than the first wait, so its clock stands still
    door.passwords.brake = Brake(lambda: 0.0)
    await add_user(door, "laura", "right")
    for user in ("laura", "nobody"):
        for _ in range(FREE_TRIES):
            assert is_zero(await form(door, "auth/getUserToken", f"user={user}&password=wrong"), "not_authenticated")
        assert is_zero(await form(door, "auth/getUserToken", f"user={user}&password=right"), "too_many_attempts", 429)
    answer = await form(door, "auth/getUserToken", "user=laura&password=right", address="192.0.2.99")
    assert answer.json[0] == "laura"


async def test_a_client_that_hangs_up_is_not_waited_for(door: Door) -> None:
    await add_user(door, "laura", "right")
    attempt = door.passwords.brake.take("default", "eva", "192.0.2.8")
    async with turn_taken(door):
        exchange = Exchange([b"user=laura&password=right"])
        headers = [("content-type", FORM), ("content-length", "25"), ("host", "plantel.example.com")]
        request = Scope("POST", "/Integra/resources/auth/getUserToken", headers=headers)
        waiting = asyncio.create_task(door.door.__rsgi__(request, exchange))
        async with asyncio.timeout(10):
            await settle()
            assert len(door.passwords._turns._waiting) == 1
            exchange.disconnected.set()
            await waiting
        assert not door.passwords._turns._waiting
    assert await door.passwords.verify(None, Secret("x"), attempt) is False, "others have their turn"
    with pytest.raises(AssertionError, match="no answer"):
        _ = exchange.answer
    assert [token.user for token in await door.store.read(lambda t: t.tokens("default"))] == []


async def test_a_log_in_that_finds_too_many_others_is_429(door: Door) -> None:
    async with turn_taken(door):
        waiting = [
            asyncio.create_task(form(door, "auth/getUserToken", f"user={user}&password=x", address=f"192.0.2.{user}"))
            for user in range(LOGINS_WAITING)
        ]
        await settle()
        assert len(door.passwords._turns._waiting) == LOGINS_WAITING
        answer = await form(door, "auth/getUserToken", "user=laura&password=right")
        assert is_zero(answer, "logins_busy", 429)
        assert int(answer.headers["retry-after"]) > 0
        for one in waiting:
            one.cancel()
        await asyncio.wait(waiting)


async def settle() -> None:
    """Let all that needs no thread come to where it waits for one."""
    for _ in range(50):
        await asyncio.sleep(0)


@asynccontextmanager
async def turn_taken(door: Door) -> AsyncIterator[None]:
    """While somebody else's password is verified."""
    await door.passwords._turns.begin(0.0)
    yield
    door.passwords._turns.end()


async def test_a_session_ends_by_itself(door: Door) -> None:
    await add_user(door, "laura", "right")
    token = (await form(door, "auth/getUserToken", "user=laura&password=right")).json[2]
    door.clock.moment += timedelta(seconds=3601)
    assert is_zero(await door.add(token, [item()]), "not_authenticated", 401)


async def test_ending_a_session_does_not_end_an_operators_token(door: Door) -> None:
    token = await door.token("tests")
    assert is_zero(await form(door, "auth/EndSession", f"user=tests&token={token}"), "no_such_thing")
    assert is_one(await door.add(token, [item()]))


@pytest.mark.parametrize(
    ("campaign", "query"),
    [
        ("Ventas->", "queue=Ventas->"),
        ("Ventas->", "queue=Ventas-%3E"),
        ("A+B", "queue=A+B"),
        ("A+B", "queue=A%2BB"),
        ("A B", "queue=A+B"),
        ("Ventas & Cobros", "queue=Ventas%20&%20Cobros"),
        ("Ventas & Cobros", "queue=Ventas+%26+Cobros"),
        ("Línea 100%", "queue=L%C3%ADnea%20100%"),
        ("Línea 100%", "queue=L%EDnea%20100%25"),
    ],
)
@pytest.mark.parametrize("where", ["query", "form"])
async def test_the_members_of_a_queue_however_its_name_is_encoded(campaign: str, query: str, where: str) -> None:
    door = make_door()
    await door.declare(campaign)
    token = await door.token()
    await door.add(token, [item("ana", campaign, penalty=2, paused=1)])
    path = "queues/getqueuemembersofqueue" + (f"?{query}" if where == "query" else "")
    answer = await form(door, path, query if where == "form" else "", headers={"authorization": f"Basic {token}"})
    assert answer.json == [
        {"membername": "ana", "queueName": campaign, "interface1": "SIP/1001", "penalty": 2, "paused": 1}
    ]


async def test_the_members_of_an_unknown_queue_are_0(door: Door) -> None:
    headers = {"authorization": f"Basic {await door.token()}"}
    assert is_zero(
        await form(door, "queues/getqueuemembersofqueue?queue=Nada", "", headers=headers), "unknown_campaign"
    )
    assert is_zero(await form(door, "queues/getqueuemembersofqueue", "", headers=headers), "field_missing")


# --- instances -----


async def test_instances_are_told_apart_by_the_host_and_see_nothing_of_each_other() -> None:
    door = make_door()
    await door.declare(VENTAS)
    await door.declare(VENTAS, "Otra", instance="other")
    mine, theirs = await door.token("mine"), await door.token("theirs", instance="other")
    assert is_one(await door.add(mine, [item("ana")]))
    assert is_one(await door.add(theirs, [item("eva")], host="OTHER.example.com:8443"))
    assert [member.membername for member in await door.members(VENTAS)] == ["ana"]
    assert [member.membername for member in await door.members(VENTAS, "other")] == ["eva"]
    assert is_zero(await door.add(mine, [item()], host="other.example.com"), "not_authenticated", 401)
    assert is_zero(await door.add(mine, [item(campaign="Otra")]), "unknown_campaign")


# --- browsers and proxies -----


async def test_cross_origin_calls_are_off_by_default_and_open_to_listed_origins_only(door: Door) -> None:
    ask = {"origin": "https://crm.example.com", "access-control-request-method": "POST"}
    assert (await door.call("OPTIONS", ADD, headers=ask)).status == 405
    listed = make_door(origins=("https://crm.example.com",))
    await listed.declare(VENTAS)
    allowed = await listed.call("OPTIONS", ADD, headers={**ask, "access-control-request-headers": "authorization"})
    assert allowed.status == 200
    assert allowed.headers["access-control-allow-origin"] == "https://crm.example.com"
    assert allowed.headers["access-control-allow-headers"] == "authorization"
    answer = await listed.add(await listed.token(), [item()], headers={"origin": "https://crm.example.com"})
    assert answer.headers["access-control-allow-origin"] == "https://crm.example.com"
    assert "Plantel-Reason" in answer.headers["access-control-expose-headers"]
    other = await listed.add(await listed.token("two"), [item()], headers={"origin": "https://evil.example.com"})
    assert "access-control-allow-origin" not in other.headers


async def test_forwarding_headers_count_from_trusted_addresses_only() -> None:
    door = make_door(trusted=("10.0.0.0/8",))
    await door.declare(VENTAS, instance="other")
    token = await door.token(instance="other")
    forwarded = {"x-forwarded-host": "other.example.com", "x-forwarded-for": "203.0.113.5, 10.9.9.9"}
    assert is_one(await door.add(token, [item()], headers=forwarded, address="10.0.0.1"))
    assert (await door.add(token, [item()], headers=forwarded)).status == 401
    for _ in range(FREE_TRIES):
        await door.add(basic("x", "wrong"), [item()], headers=forwarded, address="10.0.0.1")
    blocked = await door.add(basic("x", "wrong"), [item()], headers=forwarded, address="10.0.0.1")
    assert blocked.status == 429
    elsewhere = {**forwarded, "x-forwarded-for": "203.0.113.5, 203.0.113.6"}
    assert (await door.add(basic("x", "wrong"), [item()], headers=elsewhere, address="10.0.0.1")).status == 401
