"""The roster and its servers, whatever happens to them: thousands of random steps in simulated time.

The same seeds every time, so that what lands is not decided by luck. New ones are tried as well with
`PLANTEL_SIM_FRESH=1000 pytest --timeout 0 tests/unit/test_simulation.py`; with `PLANTEL_SIM_SEED=...` in its place what
a failure printed is done again, and only that.
"""

import asyncio
import hashlib
import os
import random
import subprocess
import sys
from functools import partial

import pytest

from plantel.batch import Source
from plantel.roster import Member
from plantel.service import Service
from plantel.testing.memory_store import MemoryData
from tests.support.simulation.process import Process
from tests.support.simulation.server import Server
from tests.support.simulation.simulation import OPERATOR, Simulation
from tests.support.simulation.story import Broken, Story
from tests.support.simulation.weather import Weather
from tests.support.virtual_time import VirtualTimeLoop

STEPS = 150
FIXED = 100
FRESH = int(os.environ.get("PLANTEL_SIM_FRESH", "0"))
ONLY = os.environ.get("PLANTEL_SIM_SEED")


def seeds() -> list[int]:
    if ONLY is not None:
        return [int(ONLY)]
    fresh = random.SystemRandom()
    return [*range(FIXED), *(fresh.randrange(2**32) for _ in range(FRESH))]


def test_the_roster_and_its_servers_agree_whatever_happens() -> None:
    for seed in seeds():
        Simulation(seed, STEPS).run()


def digest_of(seed: int) -> str:
    return hashlib.sha256("\n".join(Simulation(seed, STEPS).run()).encode()).hexdigest()


def test_a_seed_does_the_same_again_in_another_process() -> None:
    program = "from tests.unit.test_simulation import digest_of; print(digest_of(7))"
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    found = {
        subprocess.run(
            [sys.executable, "-c", program],
            env=environment | {"PYTHONHASHSEED": hashing},
            capture_output=True,
            text=True,
            check=True,
            timeout=60,
        ).stdout.splitlines()[-1]
        for hashing in ("1", "2")
    }
    assert len(found) == 1


def test_what_is_broken_is_found_and_the_seed_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    async def see_nothing(*_: object) -> None:
        await asyncio.sleep(0.1)

    monkeypatch.setattr(Service, "observe", see_nothing)
    under_way = []

    def run() -> None:
        for seed in range(FIXED):  # not each of them has a pause that has to be observed
            under_way.append(seed)
            Simulation(seed, STEPS).run()

    with pytest.raises(Broken) as broken:
        run()
    assert f"PLANTEL_SIM_SEED={under_way[-1]} does it again" in str(broken.value)


@pytest.mark.parametrize("seed", range(5))
def test_both_sides_changing_pauses_at_random_cost_no_more_actions_than_changes(seed: int) -> None:
    async def war() -> None:
        draw = random.Random(seed)
        data = MemoryData()
        story = Story(data)
        servers = [Server("pbx1", story), Server("pbx2", story)]
        for server in servers:
            server.pbx.configure("Ventas->")
        process = Process(1, servers, data, Weather(draw), story)
        process.start()
        await asyncio.sleep(1)
        crew = [Member("Ventas->", f"agent {number}", f"SIP/{number}") for number in range(3)]
        await process.service.add(OPERATOR, crew, Source.API)
        await asyncio.sleep(1)
        here = there = 0
        for _ in range(300):
            member, paused = draw.choice(crew), draw.random() < 0.5
            reason = draw.choice(("", "lunch", "training")) if paused else ""
            if draw.random() < 0.5:
                here += 1
                await process.service.pause(
                    OPERATOR, "Ventas->", [member.membername], Source.API, paused=paused, reason=reason
                )
            else:
                there += 1
                server = draw.choice(servers)
                server.meddle(partial(server.pbx.pause, "Ventas->", member.interface, paused, reason))
            await asyncio.sleep(draw.choice((0, 0, 0.001, 0.003, 0.01, 1)))
        await asyncio.sleep(100)
        reasons = await process.service.reasons(OPERATOR, "Ventas->")
        members = await process.service.members(OPERATOR, "Ventas->")
        roster = {one.phone: (one.paused, reasons.get(one.membername, "")) for one in members}
        for server in servers:
            live = server.live("Ventas->")
            assert live is not None
            assert {phone: (one.paused, one.paused_reason) for phone, one in live.items()} == roster
        assert 0 < sum(server.pauses for server in servers) <= 2 * here + there
        await process.kill()

    with asyncio.Runner(loop_factory=VirtualTimeLoop) as runner:
        runner.run(war())


def test_waiting_takes_no_time_and_waiting_for_ever_is_an_error() -> None:
    async def nap() -> float:
        await asyncio.sleep(3600)
        return asyncio.get_running_loop().time()

    with asyncio.Runner(loop_factory=VirtualTimeLoop) as runner:
        assert runner.run(nap()) == 3600
        with pytest.raises(RuntimeError, match="nothing is due"):
            runner.run(asyncio.Event().wait())
