"""The seven usual clients, run for real against Plantel over TLS, with the names that are hard to carry."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import httpx
import msgspec
import pytest

from plantel.roster import Member
from tests.clients.seven import CLIENTS, HARD_NAMES, Bench, pages, run
from tests.support.server import PlantelServer


@dataclass(frozen=True)
class Outcome:
    """What came of one name: the member sent, the line that the client printed, and all that the campaign then held."""

    sent: Member
    printed: bytes
    roster: list[Member]


@pytest.fixture(scope="module")
def api(plantel_server: PlantelServer) -> Iterator[httpx.Client]:
    """The JSON API: a way of asking that shares no encoding with the clients."""
    headers = {"Authorization": f"Basic {plantel_server.token}"}
    with httpx.Client(
        base_url=f"{plantel_server.url}/api/v1", verify=plantel_server.context, headers=headers, timeout=10
    ) as client:
        yield client


@pytest.fixture(scope="module")
def bench(plantel_server: PlantelServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    url = f"{plantel_server.url}/Integra/resources/queues/addqueuemember"
    with pages() as origin:
        yield Bench(url, plantel_server.ca, origin, tmp_path_factory.mktemp("clients"))


@pytest.fixture(scope="module", params=CLIENTS)
def outcomes(
    request: pytest.FixtureRequest, plantel_server: PlantelServer, bench: Bench, api: httpx.Client
) -> Iterator[Mapping[str, Outcome]]:
    """One run of one client, which sends a batch for each of the hard names into campaigns that are empty."""
    client: str = request.param
    sent = [
        Member(name, name, f"SIP/{1001 + at}", penalty=at, paused=at % 2 == 1) for at, name in enumerate(HARD_NAMES)
    ]
    assert [_members(api, name) for name in HARD_NAMES] == [[]] * len(HARD_NAMES)
    files = [bench.folder / f"{client}-{at}.json" for at in range(len(sent))]
    for file, member in zip(files, sent, strict=True):
        file.write_text(json.dumps([_item(member)], ensure_ascii=False), encoding="utf-8")
    try:
        printed = run(client, bench, plantel_server.token, files).splitlines(keepends=True)
        yield {
            member.campaign: Outcome(member, line, _members(api, member.campaign))
            for member, line in zip(sent, printed, strict=True)
        }
    finally:
        for name in HARD_NAMES:
            if left := [member.membername for member in _members(api, name)]:
                api.post("/members/remove", json={"campaign": name, "agents": left}).raise_for_status()


def _item(member: Member) -> dict[str, str]:
    """The member as the published examples write one: every value a string."""
    return {
        "membername": member.membername,
        "queueName": member.campaign,
        "interface1": member.interface,
        "penalty": str(member.penalty),
        "paused": str(int(member.paused)),
    }


def _members(api: httpx.Client, campaign: str) -> list[Member]:
    answer: Any = api.get("/members", params={"campaign": campaign}).raise_for_status().json()
    return msgspec.convert(answer, list[Member])


@pytest.mark.parametrize("name", HARD_NAMES)
def test_the_answer_is_1_and_the_roster_holds_exactly_that_member(outcomes: Mapping[str, Outcome], name: str) -> None:
    outcome = outcomes[name]
    assert outcome.printed == b"1 200\n"
    assert outcome.roster == [outcome.sent]
