"""The seven usual clients, run for real against Plantel over TLS, with the names that are hard to carry."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import urlsplit

import pytest

from tests.clients.seven import CLIENTS, HARD_NAMES, Bench, pages, run

CALL = "/Integra/resources/queues/addqueuemember"


class Server(Protocol):
    """What these tests need of a running Plantel."""

    url: str
    ca: Path
    token: str

    def members(self, campaign: str) -> list[dict[str, Any]]: ...


@dataclass(frozen=True)
class Outcome:
    """What a client printed for the name (the body, a blank, the status), and what the campaign of that name held when
    the client had ended."""

    printed: bytes
    sent: dict[str, Any]
    roster: list[dict[str, Any]]


@pytest.fixture(scope="module")
def bench(plantel_server: Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    url = f"https://localhost:{urlsplit(plantel_server.url).port}{CALL}"
    with pages() as origin:
        yield Bench(url, plantel_server.ca, origin, tmp_path_factory.mktemp("clients"))


@pytest.fixture(scope="module", params=CLIENTS)
def outcomes(request: pytest.FixtureRequest, plantel_server: Server, bench: Bench) -> Mapping[str, Outcome]:
    """One run of one client, which sends a batch for each of the hard names."""
    client: str = request.param
    # Phone and penalty are this client's own: what an earlier one stored would not do.
    number = list(CLIENTS).index(client)
    sent = [_member(name, phone=1000 + 10 * number + at, penalty=number) for at, name in enumerate(HARD_NAMES)]
    files = [bench.folder / f"{client}-{at}.json" for at in range(len(sent))]
    for file, member in zip(files, sent, strict=True):
        file.write_text(json.dumps([member], ensure_ascii=False), encoding="utf-8")
    printed = run(client, bench, plantel_server.token, files).splitlines(keepends=True)
    return {
        name: Outcome(line, member, plantel_server.members(name))
        for name, line, member in zip(HARD_NAMES, printed, sent, strict=True)
    }


def _member(name: str, *, phone: int, penalty: int) -> dict[str, Any]:
    paused = penalty % 2
    return {
        "membername": name,
        "queueName": name,
        "interface1": f"SIP/{phone}",
        "penalty": str(penalty),
        "paused": str(paused),
    }


@pytest.mark.parametrize("name", HARD_NAMES)
def test_the_answer_is_1_and_the_roster_holds_exactly_that_member(outcomes: Mapping[str, Outcome], name: str) -> None:
    outcome = outcomes[name]
    assert outcome.printed == b"1 200\n"
    assert [{key: str(member[key]) for key in outcome.sent} for member in outcome.roster] == [outcome.sent]
