"""SIGKILL at any moment: `1` means durably stored, and nothing is ever stored by halves."""

import random
import threading
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.support.door import item
from tests.support.server import PlantelServer, served
from tests.support.wire import PATIENCE, Adder

ROUNDS = 10
CLIENTS = 12
VENTAS, POWER = "Ventas->", "POWER<-"


def serial(round_: int, number: int) -> int:
    """A penalty that grows with every batch."""
    return 1_000_000 * round_ + number


def make(round_: int, client: int, number: int) -> list[dict[str, object]]:
    """A batch: a new agent in two campaigns, and the client's own agent with the next penalty."""
    agent = f"agent-{client}-{serial(round_, number)}"
    phone = f"SIP/{agent}"
    return [
        item(agent, VENTAS, phone, penalty=number),
        item(f"own-{client}", VENTAS, f"SIP/own-{client}", penalty=serial(round_, number)),
        item(agent, POWER, phone, penalty=number, paused=1),
    ]


def view(one: dict[str, Any]) -> dict[str, Any]:
    """An item of the wire call as the JSON API shows the member."""
    return {
        "campaign": one["queueName"],
        "membername": one["membername"],
        "interface": one["interface1"],
        "penalty": int(one["penalty"]),
        "paused": bool(int(one["paused"])),
    }


@pytest.fixture
def server(tmp_path: Path) -> Iterator[PlantelServer]:
    made = PlantelServer(tmp_path)
    made.declare([VENTAS, POWER])
    assert made.token
    with served(made):
        yield made


def members(api: httpx.Client, campaign: str) -> dict[str, dict[str, Any]]:
    found = api.get("/members", params={"campaign": campaign}).raise_for_status().json()
    return {one["membername"]: one for one in found}


def check(api: httpx.Client, round_: int, adders: list[Adder]) -> int:
    """Assert that all that was answered `1` in this round is there; the number of open batches that are there too."""
    ventas, power = members(api, VENTAS), members(api, POWER)
    assert {name for name in ventas if name.startswith("agent-")} == set(power), "a batch is stored by halves"
    survived = 0
    for client, adder in enumerate(adders):
        for number, batch in enumerate(adder.stored):
            first, own, second = (view(one) for one in make(round_, client, number))
            assert ventas[first["membername"]] == first
            assert power[second["membername"]] == second
            told = api.get(f"/batches/{batch}").raise_for_status().json()
            assert told["stored"], "the journal knows every batch"
            assert [change["after"] for change in told["changes"]] == [first, own, second]
        count = len(adder.stored)
        # the batch that was never answered is there as a whole, or not at all
        opened, own, _ = (view(one) for one in make(round_, client, count))
        if opened["membername"] in ventas:
            survived += 1
            assert ventas[own["membername"]] == own
        elif count:
            assert ventas[own["membername"]] == view(make(round_, client, count - 1)[1])
    return survived


def test_what_was_answered_1_outlives_sigkill_and_nothing_is_stored_by_halves(server: PlantelServer) -> None:
    seed = random.randrange(2**32)
    print(f"seed {seed}")  # noqa: T201 - pytest shows it where the test fails
    moments = random.Random(seed)
    stored = survived = 0
    headers = {"authorization": f"Basic {server.token}"}
    for round_ in range(1, ROUNDS + 1):
        progress = threading.Semaphore(0)
        adders = [
            Adder(server.port, server.token, partial(make, round_, client), progress) for client in range(CLIENTS)
        ]
        for adder in adders:
            adder.start()
        for _ in range(moments.randrange(1, 100)):
            assert progress.acquire(timeout=PATIENCE)
        # not just after an answer, but anywhere between two
        threading.Event().wait(moments.uniform(0, 0.02))
        server.kill()
        for adder in adders:
            adder.join(PATIENCE)
            assert not adder.is_alive()
            assert adder.refused == []
        server.start()
        with httpx.Client(base_url=f"{server.url}/api/v1", headers=headers, timeout=PATIENCE) as api:
            survived += check(api, round_, adders)
        stored += sum(len(adder.stored) for adder in adders)
    print(f"{stored} batches answered 1, {survived} more stored")  # noqa: T201 - tells what the rounds were worth
    assert stored >= ROUNDS
