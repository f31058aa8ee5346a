"""The line to a real Asterisk fails: afterwards it agrees with the roster, and nothing was sent without a look."""

import asyncio
import random

import msgspec
import pytest

from plantel.ami.actions import encode
from plantel.plan import Add, Membership
from plantel.reconcile import State
from tests.support.floor import FOREIGN, IMPATIENT, LINEA, QUEUES_CONF, STRANGERS, Floor, Plantel, Seen, crew, shown

pytestmark = [pytest.mark.anyio, pytest.mark.asterisk]

SECONDS = 15.0
"""Within which a line that was cut must be forgotten: back-off, login, a look and the changes."""

SILENT_SECONDS = 20.0
"""The same for a line that fell silent, with IMPATIENT deadlines."""


@pytest.mark.parametrize("from_asterisk", [True, False])
async def test_cut_mid_action_again_and_again(floor: Floor, from_asterisk: bool) -> None:
    seed = random.randrange(2**32)
    print(f"seed {seed}")  # noqa: T201 - pytest shows it where the test fails
    moments = random.Random(seed)
    async with floor.plantel() as plantel:
        for round_ in range(3):
            floor.proxy.cut_after = (moments.randrange(1, 60_000), from_asterisk)
            if round_ % 2:
                await plantel.remove(moments.sample(await plantel.roster(), 700))
            else:
                await plantel.add(crew(1500, 1500 * round_))
            await floor.agreement(plantel, SECONDS)
        assert len(floor.proxy.lines) > 2
        await floor.only_foreign_is_left(plantel)


async def test_half_open_with_changes_under_way(floor: Floor) -> None:
    async with floor.plantel(deadlines=IMPATIENT) as plantel:
        reached = asyncio.Event()

        def darken(count: int) -> None:
            if count == 100:
                floor.proxy.darken()
                reached.set()

        floor.proxy.watch = darken
        await plantel.add(crew(1500))
        await reached.wait()
        await away(plantel)
        await plantel.remove(crew(200))  # some of them are live by now, some are not
        floor.proxy.clear_up()
        await floor.agreement(plantel, SILENT_SECONDS)
        await floor.only_foreign_is_left(plantel)


async def test_half_open_with_nothing_under_way(floor: Floor) -> None:
    """Nothing tells that what is done at the server is no longer heard of, but a Ping without an answer."""
    async with floor.plantel(deadlines=IMPATIENT) as plantel:
        await plantel.add(crew(40))
        await floor.agreement(plantel, SECONDS)
        floor.proxy.darken()
        paused = next(one for one in crew(40) if not one.paused)
        await floor.observer.pause(paused)
        await away(plantel)
        floor.proxy.clear_up()
        await floor.agreement(plantel, SILENT_SECONDS)
        assert paused not in await plantel.roster(), "the pause made meanwhile is taken over"
        await floor.only_foreign_is_left(plantel)


async def test_an_asterisk_that_accepts_and_never_answers(floor: Floor) -> None:
    async with floor.plantel(deadlines=IMPATIENT) as plantel:
        await plantel.add(crew(40))
        await floor.agreement(plantel, SECONDS)
        floor.asterisk.freeze()
        try:
            await plantel.add(crew(20, first=40))
            await plantel.remove(crew(20))
            await away(plantel)
            lines = len(floor.proxy.lines)
            await floor.proxy.line(lines, SILENT_SECONDS)  # a new connection is made, and not answered either
            await plantel.reconciler.settled()
            await plantel.remove(crew(10, first=40))
        finally:
            floor.asterisk.thaw()
        await floor.agreement(plantel, SILENT_SECONDS)
        await floor.only_foreign_is_left(plantel)


@pytest.mark.parametrize("kept", [True, False])
async def test_what_arrives_after_it_was_given_up_is_neither_lost_nor_somebody_elses(floor: Floor, kept: bool) -> None:
    """A tunnel stands still with additions and pauses in it, and hands them on after a new connection has looked."""
    async with floor.plantel(deadlines=IMPATIENT) as plantel:
        await plantel.add(crew(40))
        await floor.agreement(plantel, SECONDS)
        (line,) = floor.proxy.lines
        working = next(one for one in crew(40) if not one.paused)
        floor.proxy.hold()
        await plantel.add([msgspec.structs.replace(working, paused=True), *crew(20, first=40)])
        await away(plantel)
        assert len(line.held) == 21
        await plantel.pause(working, paused=False)
        if not kept:
            await plantel.remove(crew(20, first=40))
        floor.proxy.go_on()
        await floor.agreement(plantel, SILENT_SECONDS)
        last = STRANGERS[0]._replace(interface="SIP/9004")
        floor.proxy.release(line, encode(Add(last.queue, last.interface, last.membername, last.penalty, last.paused)))
        await floor.agreement(plantel, SILENT_SECONDS, FOREIGN | {last})
        assert working in await plantel.roster(), "a late pause is not somebody's at the server"
        await floor.only_foreign_is_left(plantel, SILENT_SECONDS, FOREIGN | {last})


async def test_a_reader_that_stands_still_keeps_a_queue_no_longer_than_the_deadline(floor: Floor) -> None:
    """Asterisk holds the queue whose members it writes: who calls there waits as long as nobody reads."""
    crowd = {Seen(LINEA, f"SIP/{number:070}", f"{number:070}", 0, False, Membership.STATIC) for number in range(12_000)}
    lines = [f"member => {one.interface},{one.penalty},{one.membername}" for one in crowd]
    # 5 MB in a look; the kernel takes 4 MB at most off Asterisk's hands
    await asyncio.to_thread(floor.asterisk.configure, QUEUES_CONF | {LINEA: lines})
    async with floor.plantel(deadlines=IMPATIENT) as plantel:
        await plantel.add(crew(40))
        await floor.agreement(plantel, SECONDS, FOREIGN | crowd)
        floor.proxy.clog()
        plantel.delivery.wake(None)
        await away(plantel)
        assert await floor.observer.seen() == shown(crew(40)) | FOREIGN | crowd, "the queue is free again"
        floor.proxy.unclog()
        await floor.agreement(plantel, SILENT_SECONDS, FOREIGN | crowd)
        await floor.only_foreign_is_left(plantel, SILENT_SECONDS, FOREIGN | crowd)


async def away(plantel: Plantel) -> None:
    """Return once Plantel has noticed; each of its rounds is an event."""
    async with asyncio.timeout(SILENT_SECONDS):
        while plantel.reconciler.status.state is not State.AWAY:
            await plantel.reconciler.settled()
