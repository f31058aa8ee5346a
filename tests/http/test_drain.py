"""SIGTERM while clients are at work: what was accepted is answered, what was answered `1` is there."""

import signal
import threading
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from tests.support.door import item
from tests.support.server import PlantelServer, served
from tests.support.wire import PATIENCE, Adder, Wire, add, form, head
from tests.support.wire import names as wire_names

VENTAS = "Ventas->"


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> PlantelServer:
    made = PlantelServer(tmp_path_factory.mktemp("drain"))
    made.declare([VENTAS])
    assert made.token
    return made


@pytest.fixture
def server(home: PlantelServer) -> Iterator[PlantelServer]:
    """A Plantel, started anew for each test."""
    with served(home):
        yield home


def names(server: PlantelServer) -> set[str]:
    return {one["membername"] for one in server.members(VENTAS)}


def terminate(server: PlantelServer) -> None:
    """Tell the server to stop, and wait until it takes no more connections."""
    assert server.process is not None
    server.process.send_signal(signal.SIGTERM)
    while True:
        try:
            Wire(server.port).close()
        except ConnectionError:
            return


def test_no_accepted_request_is_lost_under_full_load(server: PlantelServer) -> None:
    wanted: set[str] = set()
    for round_ in range(3):
        if server.process is None:
            server.start()
        progress = threading.Semaphore(0)

        def make(agent: str, number: int) -> list[dict[str, object]]:
            return [item(f"{agent}-{number}", phone=f"SIP/{agent}-{number}")]

        agents = [f"{round_}-{number}" for number in range(12)]
        adders = {agent: Adder(server.port, server.token, partial(make, agent), progress) for agent in agents}
        for adder in adders.values():
            adder.start()
        for _ in range(150):
            assert progress.acquire(timeout=PATIENCE)
        assert server.stop() == 0
        for agent, adder in adders.items():
            adder.join(PATIENCE)
            assert not adder.is_alive()
            assert adder.refused == []
            wanted |= {f"{agent}-{number}" for number in range(len(adder.stored))}
        assert wanted <= names(server)


def test_a_request_on_its_way_is_answered_and_then_the_process_ends(server: PlantelServer) -> None:
    body = form([item("slow", phone="SIP/slow")])
    with Wire(server.port) as wire:
        wire.send(head(server.token, len(body), "Expect: 100-continue"))
        assert wire.line() == b"HTTP/1.1 100 Continue"  # the request is being served
        terminate(server)
        assert wire.line() == b""
        answer = wire.send(body).answer()
        assert (answer.status, answer.body) == (200, b"1")
        assert wire.rest() == b""
    assert server.stop() == 0
    assert "slow" in names(server)


def test_a_body_that_never_ends_does_not_hold_the_process(tmp_path: Path) -> None:
    """Nor do signals that come while it drains hurry it on or hold it up."""
    impatient = PlantelServer(tmp_path, http={"drain_timeout": "2s", "body_timeout": "10m"})
    impatient.declare([VENTAS])
    assert impatient.token
    body = form([item("never", phone="SIP/never")])
    with served(impatient), Wire(impatient.port) as stuck, Wire(impatient.port) as idle:
        idle.send(add(impatient.token, [item("idle", phone="SIP/idle")])).answer()
        stuck.send(head(impatient.token, len(body) + 1, "Expect: 100-continue"))
        assert stuck.line() == b"HTTP/1.1 100 Continue"
        stuck.send(body)
        terminate(impatient)
        assert idle.rest() == b""
        assert impatient.process is not None
        impatient.process.send_signal(signal.SIGINT)
        assert impatient.stop() == 0  # which waits far less long than the body's ten minutes
        assert b" 200 " not in stuck.rest()
    assert names(impatient) == {"idle"}


def test_a_second_start_serves_on(server: PlantelServer) -> None:
    with Wire(server.port) as wire:
        wire.send(add(server.token, [item("before", phone="SIP/before")])).answer()
    assert server.stop() == 0
    server.start()
    with Wire(server.port) as wire:
        wire.send(add(server.token, [item("after", phone="SIP/after")])).answer()
        assert {"before", "after"} <= wire_names(wire, server.token, VENTAS)
