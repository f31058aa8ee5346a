"""A real Asterisk is killed, restarted, reloaded or stingy with its rights: afterwards it agrees with the roster."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from plantel.errors import PrivilegeMissing, QueueMissing, SwitchLoginRefused
from plantel.reconcile import State
from tests.support.floor import (
    FOREIGN,
    POWER,
    QUEUES_CONF,
    STATIC,
    STRANGERS,
    VENTAS,
    Floor,
    Plantel,
    crew,
    shown,
)

pytestmark = [pytest.mark.anyio, pytest.mark.asterisk]

SECONDS = 15.0
"""Within which there must be agreement once Asterisk is there again: back-off, boot, login, a look and the changes."""

STATIC_ONLY = frozenset({STATIC})
"""Of all that is foreign, what outlives the queue module: its dynamic members are gone with it."""


async def strangers_return(floor: Floor, plantel: Plantel) -> None:
    """Whoever put them there does so again, and they are left alone as before."""
    await floor.observer.put(*STRANGERS)
    await floor.agreement(plantel, SECONDS)
    await floor.only_foreign_is_left(plantel)


async def test_killed_and_started_again(floor: Floor) -> None:
    async with floor.plantel() as plantel:
        await plantel.add(crew(40))
        await floor.agreement(plantel, SECONDS)
        await asyncio.to_thread(floor.asterisk.kill)
        await until(plantel, State.AWAY)
        await plantel.add(crew(10, first=40))
        await plantel.remove(crew(10))
        await asyncio.to_thread(floor.asterisk.start)
        await floor.agreement(plantel, SECONDS, STATIC_ONLY)
        await strangers_return(floor, plantel)


async def test_killed_amid_a_large_delivery(floor: Floor) -> None:
    async with floor.plantel() as plantel:
        reached = asyncio.Event()
        floor.proxy.watch = lambda count: reached.set() if count == 700 else None
        await plantel.add(crew(3000))
        await reached.wait()
        await asyncio.to_thread(floor.asterisk.kill)
        await asyncio.to_thread(floor.asterisk.start)
        await floor.agreement(plantel, SECONDS, STATIC_ONLY)
        await strangers_return(floor, plantel)


async def test_restarted_gracefully(floor: Floor) -> None:
    """It starts itself anew: the same process, another Asterisk."""
    async with floor.plantel() as plantel:
        await plantel.add(crew(40))
        await floor.agreement(plantel, SECONDS)
        await asyncio.to_thread(floor.asterisk.cli, "core restart gracefully")
        await floor.proxy.line(1, SECONDS)
        await floor.agreement(plantel, SECONDS, STATIC_ONLY)
        await strangers_return(floor, plantel)


async def test_queue_reload_changes_nothing(floor: Floor) -> None:
    async with floor.plantel(interval=0.5) as plantel:
        await plantel.add(crew(40))
        await floor.agreement(plantel, SECONDS)
        sent = len(floor.proxy.changes)
        for command in ("queue reload all", "module reload app_queue.so"):
            await asyncio.to_thread(floor.asterisk.cli, command)
            await plantel.reconciler.settled()
            await floor.agreement(plantel, SECONDS)
        assert len(floor.proxy.changes) == sent, "there was nothing to do"
        await floor.only_foreign_is_left(plantel)


async def test_a_queue_removed_and_restored(floor: Floor) -> None:
    """`queue reload` is announced by no event: the look that is due anyhow finds it."""
    async with floor.plantel(interval=0.5) as plantel:
        await plantel.add(crew(40))
        await floor.agreement(plantel, SECONDS)
        rest = {queue: lines for queue, lines in QUEUES_CONF.items() if queue != POWER}
        await asyncio.to_thread(floor.asterisk.configure, rest)
        await until(plantel, State.LAGGING)
        assert isinstance(await plantel.behind(POWER), QueueMissing)
        assert await plantel.behind(VENTAS) is None
        await plantel.remove(crew(6))
        there = [one for one in await plantel.roster() if one.campaign == VENTAS]
        foreign = frozenset(one for one in FOREIGN if one.queue == VENTAS)
        await floor.observer.until(shown(there) | foreign, SECONDS)

        await asyncio.to_thread(floor.asterisk.configure, QUEUES_CONF)
        await floor.agreement(plantel, SECONDS, foreign)
        await floor.observer.put(*FOREIGN - foreign)
        await floor.agreement(plantel, SECONDS)
        await floor.only_foreign_is_left(plantel)


async def test_the_queue_module_unloaded_and_loaded_again(floor: Floor) -> None:
    async with floor.plantel() as plantel:
        await plantel.add(crew(40))
        await floor.agreement(plantel, SECONDS)
        assert "Unloaded" in await asyncio.to_thread(floor.asterisk.cli, "module unload app_queue.so")
        await until(plantel, State.AWAY)
        assert "QueueStatus" in str(await plantel.behind(VENTAS)), "the reason is named"
        await plantel.add(crew(10, first=40))
        assert "Loaded" in await asyncio.to_thread(floor.asterisk.cli, "module load app_queue.so")
        await floor.agreement(plantel, SECONDS, STATIC_ONLY)
        assert len(floor.proxy.lines) == 1, "the line was never lost"
        await strangers_return(floor, plantel)


async def test_the_queue_module_unloaded_and_loaded_between_two_looks(floor: Floor) -> None:
    async with floor.plantel() as plantel:
        await plantel.add(crew(40))
        await floor.agreement(plantel, SECONDS)
        both = "module unload app_queue.so", "module load app_queue.so"
        async with plantel.store.lease("reconcile default/pbx1", SECONDS):  # Plantel looks away meanwhile
            for command in both:
                await asyncio.to_thread(floor.asterisk.cli, command)
        await floor.agreement(plantel, SECONDS, STATIC_ONLY)
        await strangers_return(floor, plantel)


async def test_the_ami_users_rights_reduced_and_given_back(floor: Floor) -> None:
    """Asterisk asks for them at the login: they count from the next connection on."""
    async with floor.plantel() as plantel:
        await plantel.add(crew(40))
        await floor.agreement(plantel, SECONDS)
        with manager_conf(floor, "write = agent\n", "write = call\n"):
            floor.proxy.cut()
            await floor.proxy.line(1, SECONDS)
            await plantel.add(crew(10, first=40))
            await plantel.remove(crew(10))
            await until(plantel, State.LAGGING)
            assert isinstance(await plantel.behind(VENTAS), PrivilegeMissing)
            assert await floor.observer.seen() == shown(crew(40)) | FOREIGN
        floor.proxy.cut()
        await floor.agreement(plantel, SECONDS)

        with manager_conf(floor, "[plantel]", "[somebody]"):
            floor.proxy.cut()
            await until(plantel, State.AWAY, SwitchLoginRefused)
            await plantel.add(crew(10))
        await floor.agreement(plantel, SECONDS)
        await floor.only_foreign_is_left(plantel)


async def until(plantel: Plantel, state: State, reason: type[Exception] = Exception) -> None:
    """Return once Plantel says so; each of its rounds is an event."""
    async with asyncio.timeout(SECONDS):
        while True:
            status = plantel.reconciler.status
            if status.state is state and any(isinstance(one, reason) for one in status.reasons):
                return
            await plantel.reconciler.settled()


@contextmanager
def manager_conf(floor: Floor, old: str, new: str) -> Iterator[None]:
    """Another line in manager.conf for a while."""
    path = floor.asterisk.directory / "etc" / "manager.conf"
    before = path.read_text()
    head, mark, tail = before.partition("[plantel]")
    assert old in mark + tail
    path.write_text(head + (mark + tail).replace(old, new, 1))
    floor.asterisk.cli("manager reload")
    try:
        yield
    finally:
        path.write_text(before)
        floor.asterisk.cli("manager reload")
