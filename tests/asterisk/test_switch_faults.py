"""AmiSwitch on a real Asterisk that is killed, frozen, reloaded or stingy with its rights."""

import asyncio

import anyio
import anyio.to_thread
import pytest

from plantel.ami import AmiSwitch, Deadlines
from plantel.errors import PrivilegeMissing, SwitchError, SwitchLoginRefused, SwitchTimeout, SwitchUnreachable
from plantel.plan import Add, Remove
from plantel.testing.asterisk import PrivateAsterisk
from tests.asterisk.conftest import QUEUES, USERS

pytestmark = [pytest.mark.anyio, pytest.mark.asterisk]

ADD = Add("Ventas->", "SIP/1001", "José Ñandú", 3, True)


async def test_a_wrong_secret_is_refused(asterisk: PrivateAsterisk) -> None:
    switch = AmiSwitch("pbx1", asterisk.host, asterisk.ami_port, asterisk.user.name, "wrong")
    with pytest.raises(SwitchLoginRefused, match="Authentication failed"):
        await switch.snapshot()
    await switch.close()


async def test_a_user_without_rights_may_look_and_is_told_what_is_missing(
    asterisk: PrivateAsterisk, version: str
) -> None:
    user = USERS[0]
    switch = AmiSwitch("pbx1", asterisk.host, asterisk.ami_port, user.name, user.secret, deadlines=Deadlines(boot=0.2))
    assert [type(outcome) for outcome in await switch.apply([ADD])] == [PrivilegeMissing]
    diagnosis = await switch.diagnose()
    assert not diagnosis.reads_system
    assert not diagnosis.writes_agent
    assert diagnosis.asterisk is None
    assert diagnosis.chan_sip is {"16": None, "22": False}[version], "known without asking, from 21 on"
    assert diagnosis.chan_pjsip is None
    assert diagnosis.queues == dict.fromkeys(QUEUES, 0)
    await switch.close()


async def test_the_documented_user_can_do_all_that_is_needed(switch: AmiSwitch, version: str) -> None:
    diagnosis = await switch.diagnose()
    assert diagnosis.protocol.startswith({"16": "5.", "22": "11."}[version])
    assert diagnosis.reads_system
    assert diagnosis.writes_agent


async def test_a_user_who_may_know_is_told_of_version_and_channel_drivers(
    asterisk: PrivateAsterisk, version: str
) -> None:
    user = USERS[1]
    switch = AmiSwitch("pbx1", asterisk.host, asterisk.ami_port, user.name, user.secret)
    diagnosis = await switch.diagnose()
    assert diagnosis.asterisk is not None
    assert diagnosis.asterisk.startswith(f"{version}.")
    assert (diagnosis.chan_sip, diagnosis.chan_pjsip) == ((True, False) if version == "16" else (False, True))
    await switch.close()


async def test_killed_on_the_way_the_outcome_is_unknown_and_nothing_is_replayed(
    asterisk: PrivateAsterisk, switch: AmiSwitch
) -> None:
    heard: asyncio.Queue[str | None] = asyncio.Queue()
    await switch.snapshot()
    applying = asyncio.create_task(
        switch.apply([Add(QUEUES[number % 5], f"SIP/{number}", "Ana", 0, False) for number in range(20_000)])
    )
    other = AmiSwitch("other", asterisk.host, asterisk.ami_port, asterisk.user.name, asterisk.user.secret)
    while not any((await other.snapshot()).queues.values()):
        pass
    switch.listen(lambda queue, _interface: heard.put_nowait(queue))
    await anyio.to_thread.run_sync(asterisk.kill)
    with pytest.raises(SwitchUnreachable):
        await applying
    with anyio.fail_after(30):
        assert await heard.get() is None
    await anyio.to_thread.run_sync(asterisk.start)
    assert not any((await switch.snapshot()).queues.values())
    await other.close()


async def test_frozen_it_is_given_up_and_thawed_it_serves_again(asterisk: PrivateAsterisk) -> None:
    switch = AmiSwitch(
        "pbx1",
        asterisk.host,
        asterisk.ami_port,
        asterisk.user.name,
        asterisk.user.secret,
        deadlines=Deadlines(login=1, answer=1, idle=0.5),
    )
    heard: asyncio.Queue[str | None] = asyncio.Queue()
    await switch.snapshot()
    asterisk.freeze()
    try:
        with pytest.raises(SwitchTimeout):
            await switch.apply([ADD])
        with pytest.raises(SwitchTimeout):
            await switch.snapshot()
    finally:
        asterisk.thaw()
    patient = AmiSwitch("pbx1", asterisk.host, asterisk.ami_port, asterisk.user.name, asterisk.user.secret)
    # Given up is not undone: Asterisk carries out what lay in its socket.
    assert [member.interface for member in (await patient.snapshot()).queues["Ventas->"]] == ["SIP/1001"]
    assert await patient.apply([Remove("Ventas->", "SIP/1001")]) == [None]
    await patient.close()

    await switch.snapshot()
    switch.listen(lambda queue, _interface: heard.put_nowait(queue))
    asterisk.freeze()
    try:
        with anyio.fail_after(30):
            assert await heard.get() is None
    finally:
        asterisk.thaw()
    await switch.close()


async def test_members_outlive_a_reload_that_brings_and_takes_queues(
    asterisk: PrivateAsterisk, switch: AmiSwitch
) -> None:
    assert await switch.apply([ADD, Add("A+B", "SIP/1002", "Ana", 0, False)]) == [None, None]
    await anyio.to_thread.run_sync(
        asterisk.configure, {"Ventas->": ["member => SIP/9001,2,Static Sam"], "Nueva": ["strategy = linear"]}
    )
    snapshot = await switch.snapshot()
    assert set(snapshot.queues) == {"Ventas->", "Nueva"}
    assert {member.interface for member in snapshot.queues["Ventas->"]} == {"SIP/1001", "SIP/9001"}


async def test_every_call_ends_while_asterisk_comes_and_goes(asterisk: PrivateAsterisk, switch: AmiSwitch) -> None:
    """Whatever happens when, a call gives an answer or a SwitchError; in the end it works."""

    async def go_on_calling(done: asyncio.Event) -> int:
        answers = 0
        while not done.is_set():
            try:
                await switch.snapshot()
                answers += 1
            except SwitchError:
                await asyncio.sleep(0.01)
        return answers

    done = asyncio.Event()
    callers = [asyncio.create_task(go_on_calling(done)) for _ in range(3)]
    for _ in range(2):
        await anyio.to_thread.run_sync(asterisk.kill)
        await anyio.to_thread.run_sync(asterisk.start)
        await anyio.to_thread.run_sync(asterisk.restart)
    done.set()
    with anyio.fail_after(30):
        assert all(await asyncio.gather(*callers))
    assert set((await switch.snapshot()).queues) == set(QUEUES)


async def test_a_large_system_is_read_whole(asterisk: PrivateAsterisk, switch: AmiSwitch) -> None:
    # As static members, which cost nothing to make.
    queues = {
        f"Campaña {number}->": [f"member => SIP/{1000 + phone},{phone % 7},José Ñandú" for phone in range(100)]
        for number in range(100)
    }
    await anyio.to_thread.run_sync(asterisk.configure, queues)
    snapshot = await switch.snapshot()
    assert {queue: len(members) for queue, members in snapshot.queues.items()} == dict.fromkeys(queues, 100)
    assert {member.penalty for member in snapshot.queues["Campaña 7->"]} == set(range(7))
