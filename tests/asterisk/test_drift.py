"""What somebody changes on a real Asterisk is noticed, put right or taken over, and kept."""

import json
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from plantel.testing.asterisk import PrivateAsterisk
from tests.support.asterisks import server_table
from tests.support.server import PlantelServer, served

pytestmark = pytest.mark.asterisk

VENTAS = "Ventas->"
NOTICED = 30
"""Seconds after which a change that is not on record is taken for lost: it takes one, but no busy machine does."""


@pytest.fixture(scope="module")
def asterisk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PrivateAsterisk]:
    with PrivateAsterisk(tmp_path_factory.mktemp("ast"), queues={VENTAS: ()}) as running:
        yield running


@pytest.fixture
def plantel(tmp_path: Path, asterisk: PrivateAsterisk) -> Iterator[PlantelServer]:
    config = f'[delivery]\ninterval = "1h"\n{server_table(asterisk)}'
    with served(PlantelServer(tmp_path, config=config)) as running:
        yield running
        running.run("member", "remove", VENTAS, "ana", "bea")
        running.run("sync")


def test_each_change_is_on_record_with_what_was_done(plantel: PlantelServer, asterisk: PrivateAsterisk) -> None:
    plantel.run("member", "add", VENTAS, "ana", "SIP/1001", "--penalty", "2")
    plantel.run("member", "add", VENTAS, "bea", "SIP/1002")
    plantel.run("sync")
    asterisk.cli(f'queue set penalty 7 on SIP/1001 in "{VENTAS}"')
    recorded(plantel, 1)
    asterisk.cli(f'queue remove member SIP/1002 from "{VENTAS}"')
    recorded(plantel, 2)
    asterisk.cli(f'queue pause member SIP/1001 queue "{VENTAS}" reason lunch')
    found = recorded(plantel, 3)
    assert [(one["membername"], one["kind"], one["route"], one["done"]) for one in found] == [
        ("ana", "penalty", "event", "repaired"),
        ("bea", "removed", "event", "repaired"),
        ("ana", "paused", "event", "taken_over"),
    ]
    members = json.loads(plantel.run("member", "list", VENTAS, "--json"))
    assert [(one["membername"], one["penalty"], one["paused"]) for one in members] == [
        ("ana", 2, True),
        ("bea", 0, False),
    ]
    token = {"Authorization": f"Basic {plantel.token}"}
    journal = httpx.get(f"{plantel.url}/api/v1/journal", params={"agent": "ana", "limit": 1}, headers=token).json()
    assert [(one["actor"], one["reason"]) for one in journal] == [("server:pbx1", "lunch")]
    live = asterisk.cli(f'queue show "{VENTAS}"')
    assert "with penalty 2" in live
    assert "SIP/1002" in live


def recorded(plantel: PlantelServer, count: int) -> list[dict[str, object]]:
    """The drift records, once there are so many: no event tells of them, so they are asked for again and again."""
    due = time.monotonic() + NOTICED
    while len(found := json.loads(plantel.run("drift", "--json"))) < count and time.monotonic() < due:
        pass  # each run of the command line takes its time
    assert len(found) == count
    return list(found)
