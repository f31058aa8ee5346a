"""The JSON API: removal, pause, history, and who may see what."""

import json
from datetime import timedelta
from typing import Any

import pytest

from plantel import errors
from plantel.access import Role
from tests.support.door import Door, item, make_door
from tests.support.rsgi import Answer

pytestmark = pytest.mark.anyio

VENTAS = "Ventas->"


@pytest.fixture
async def door() -> Door:
    made = make_door()
    await made.declare(VENTAS, "POWER<-")
    return made


async def api(door: Door, token: str, path: str, data: object = None, **options: Any) -> Answer:
    headers = {"authorization": f"Basic {token}", "content-type": "application/json", **options.pop("headers", {})}
    method = "GET" if data is None else "POST"
    body = b"" if data is None else json.dumps(data).encode()
    return await door.call(method, f"/api/v1/{path}", headers=headers, body=body, **options)


async def names(door: Door, token: str, query: str) -> list[str]:
    return [one["membername"] for one in (await api(door, token, f"members?{query}")).json]


async def test_members_are_added_paused_and_removed(door: Door) -> None:
    token = await door.token()
    added = await api(door, token, "members", [item("ana"), item("eva", phone="SIP/2")])
    assert (added.status, added.json["changes"], added.json["delivery"]) == (200, 2, "none")
    paused = await api(door, token, "members/pause", {"campaign": VENTAS, "agents": ["SIP/2"], "paused": True})
    assert paused.json["changes"] == 1
    listed = (await api(door, token, "members?campaign=ventas-%3E")).json
    assert [(one["membername"], one["paused"]) for one in listed] == [("ana", False), ("eva", True)]
    order = {"campaign": VENTAS, "agents": ["eva"], "paused": True, "reason": "almuerzo"}
    assert (await api(door, token, "members/pause", order)).json["changes"] == 1
    listed = (await api(door, token, "members?campaign=ventas-%3E")).json
    assert [one.get("reason") for one in listed] == [None, "almuerzo"]
    line = (await api(door, token, "journal?agent=eva")).json[-1]
    assert (line["reason"], line["before"]) == ("almuerzo", line["after"])
    refused = await api(door, token, "members/pause", order | {"reason": "a|b"})
    assert (refused.status, refused.json["code"], refused.json["problems"][0]["key"]) == (
        422,
        "forbidden_character",
        "reason",
    )
    await api(door, token, "members/remove", {"campaign": VENTAS, "agents": ["ana"]})
    assert await names(door, token, "campaign=Ventas-%3E") == ["eva"]


async def test_removing_somebody_who_is_not_there_removes_nobody(door: Door) -> None:
    token = await door.token()
    await api(door, token, "members", [item("ana")])
    refused = await api(door, token, "members/remove", {"campaign": VENTAS, "agents": ["ana", "nobody"]})
    assert (refused.status, refused.json["code"]) == (404, "unknown_member")
    assert await names(door, token, "campaign=Ventas-%3E") == ["ana"]


async def test_a_campaign_that_is_removed_leaves_a_batch_also_where_it_had_no_members(door: Door) -> None:
    token = await door.token()
    await api(door, token, "members", [item("ana")])
    for campaign, changes in ((VENTAS, 1), ("POWER<-", 0)):
        removed = await api(door, token, "campaigns/remove", {"name": campaign})
        assert (removed.status, removed.json["changes"]) == (200, changes)
        shown = (await api(door, token, f"batches/{removed.json['batch']}")).json
        assert shown["stored"]
        assert [one["kind"] for one in shown["changes"]] == ["removed"] * changes
    assert (await api(door, token, "campaigns")).json == []


async def test_the_roster_of_a_past_moment(door: Door) -> None:
    token = await door.token()
    await api(door, token, "members", [item("ana")])
    then = door.clock.moment
    door.clock.moment += timedelta(hours=1)
    await api(door, token, "members/remove", {"campaign": VENTAS, "agents": ["ana"]})
    moment = then.isoformat().replace("+", "%2B")
    assert await names(door, token, f"campaign=Ventas-%3E&at={moment}") == ["ana"]
    assert await names(door, token, "campaign=Ventas-%3E") == []


async def test_a_batch_shows_its_changes_and_the_journal_who_made_them(door: Door) -> None:
    token = await door.token()
    batch = (await api(door, token, "members", [item("ana", penalty=2)])).json["batch"]
    shown = (await api(door, token, f"batches/{batch}")).json
    assert [(one["kind"], one["after"]["penalty"]) for one in shown["changes"]] == [("added", 2)]
    await api(door, token, "members", [item("eva", "Nada")])
    listed = (await api(door, token, "batches?limit=5")).json
    assert [(one["stored"], one["items"]) for one in listed] == [(False, 1), (True, 1)]
    journal = (await api(door, token, "journal?agent=ana")).json
    assert [(one["actor"], one["batch"]) for one in journal] == [("tests", batch)]


async def test_every_problem_is_told_in_the_readers_language(door: Door) -> None:
    wrong = [item("ana", penalty=-1), item("eva", "Nada", "SIP/2")]
    headers = {"accept-language": "es-MX,es;q=0.9"}
    refused = await api(door, await door.token(), "members", wrong, headers=headers)
    assert refused.status == 422
    assert [one["message"] for one in refused.json["problems"]] == [
        "elemento 1: penalty: debe ser 0 o más",
        "elemento 2: queueName: no existe la campaña Nada",
    ]


async def test_a_wrong_token_is_refused_before_the_body_is_looked_at(door: Door) -> None:
    headers = {"authorization": "Basic bm9ib2R5OndoYXQ=", "content-type": "application/json"}
    refused = await door.call("POST", "/api/v1/members", headers=headers, body=b"{not json")
    assert (refused.status, refused.json["code"]) == (401, "not_authenticated")
    malformed = await door.call(
        "POST",
        "/api/v1/members",
        headers={**headers, "authorization": f"Basic {await door.token()}"},
        body=b"{not json",
    )
    assert (malformed.status, malformed.json["code"]) == (400, "bad_request")


async def test_a_token_of_one_campaign_sees_that_campaign_only(door: Door) -> None:
    admin, narrow = await door.token(), await door.token("narrow", Role.INTEGRATOR, ("POWER*",))
    batch = (await api(door, admin, "members", [item("ana")])).json["batch"]
    await api(door, admin, "members", [item("eva", "POWER<-", "SIP/2")])
    assert [one["name"] for one in (await api(door, narrow, "campaigns")).json] == ["POWER<-"]
    assert (await api(door, narrow, "members?campaign=Ventas-%3E")).status == 403
    assert [one["after"]["membername"] for one in (await api(door, narrow, "journal")).json] == ["eva"]
    assert (await api(door, narrow, f"batches/{batch}")).status == 404
    assert (await api(door, narrow, "campaigns", {"name": "POWER2"})).status == 403


async def test_instances_see_nothing_of_each_other(door: Door) -> None:
    await door.declare("Otra", instance="other")
    mine, theirs = await door.token("mine"), await door.token("theirs", instance="other")
    batch = (await api(door, mine, "members", [item("ana")])).json["batch"]
    listed = await api(door, theirs, "campaigns", host="other.example.com")
    assert [one["name"] for one in listed.json] == ["Otra"]
    assert (await api(door, theirs, f"batches/{batch}", host="other.example.com")).status == 404
    assert (await api(door, theirs, "campaigns")).status == 401


async def test_the_description_of_the_api_is_served_without_a_token(door: Door) -> None:
    schema = (await door.call("GET", "/api/v1/schema/openapi.json")).json
    assert schema["openapi"].startswith("3.1")
    assert "/api/v1/members/pause" in schema["paths"]


async def test_health_says_that_the_store_is_away_so_that_a_balancer_asks_another_node() -> None:
    trouble: list[errors.StoreError] = []
    door = make_door(trouble=lambda: trouble[-1] if trouble else None)
    assert (await door.call("GET", "/health")).status == 200
    trouble.append(errors.StoreUnavailable(detail="gone"))
    answer = await door.call("GET", "/health")
    assert (answer.status, answer.json) == (503, {"status": "store_unavailable", "servers": {}})
    assert b"\nplantel_store_available 0.0\n" in (await door.call("GET", "/metrics", address="127.0.0.1")).body
    trouble.clear()
    assert b"\nplantel_store_available 1.0\n" in (await door.call("GET", "/metrics", address="127.0.0.1")).body


async def test_health_names_the_servers_and_metrics_are_for_loopback_only(door: Door) -> None:
    assert (await door.call("GET", "/health")).json == {"status": "ok", "servers": {}}
    assert (await door.call("GET", "/metrics")).status == 404
    assert b"plantel_answers_total" in (await door.call("GET", "/metrics", address="127.0.0.1")).body


async def test_metrics_are_not_for_those_who_come_by_a_proxy_on_this_machine() -> None:
    door = make_door(trusted=("127.0.0.1",))

    async def status(forwarded: str) -> int:
        headers = {"x-forwarded-for": forwarded}
        return (await door.call("GET", "/metrics", address="127.0.0.1", headers=headers)).status

    assert await status("") == 200
    assert await status("127.0.0.1") == 200
    assert await status("192.0.2.1") == 404
    assert await status("127.0.0.1, 192.0.2.1") == 404
