"""What it is all for: a call into a campaign rings the agents that were put there, and nobody else."""

import msgspec
import pytest

from plantel import errors
from plantel.ami import AmiSwitch
from plantel.plan import Add, Pause, Penalise, Remove
from plantel.testing.asterisk import PrivateAsterisk
from plantel.testing.sipp import Phone, call

pytestmark = [pytest.mark.anyio, pytest.mark.asterisk]


async def test_an_agent_is_rung_from_the_adding_to_the_removal_but_not_while_paused(
    asterisk: PrivateAsterisk, switch: AmiSwitch
) -> None:
    async with Phone(asterisk, "1001") as phone:
        assert not (await call(asterisk, "Ventas->")).answered
        assert phone.rings == 0

        assert await switch.apply([Add("Ventas->", asterisk.interface("1001"), "José Ñandú", 0, False)]) == [None]
        assert (await call(asterisk, "Ventas->")).answered
        assert (phone.rings, phone.answers) == (1, 1)
        assert not (await call(asterisk, "POWER<-")).answered
        assert phone.rings == 1

        assert await switch.apply([Pause("Ventas->", asterisk.interface("1001"), True)]) == [None]
        assert not (await call(asterisk, "Ventas->")).answered
        assert phone.rings == 1

        assert await switch.apply([Pause("Ventas->", asterisk.interface("1001"), False)]) == [None]
        assert (await call(asterisk, "Ventas->")).answered
        assert phone.rings == 2

        assert await switch.apply([Remove("Ventas->", asterisk.interface("1001"))]) == [None]
        assert not (await call(asterisk, "Ventas->")).answered
        assert phone.rings == 2


@pytest.mark.parametrize("queue", ["POWER<-", "Línea 100%", "Ventas & Cobros", "A+B"])
async def test_a_campaign_of_any_usual_name_rings(asterisk: PrivateAsterisk, switch: AmiSwitch, queue: str) -> None:
    async with Phone(asterisk, "1001") as phone:
        assert await switch.apply([Add(queue, asterisk.interface("1001"), "José Ñandú", 0, False)]) == [None]
        assert (await call(asterisk, queue)).answered
        assert phone.answers == 1


async def test_the_lower_penalty_rings_first(asterisk: PrivateAsterisk, switch: AmiSwitch) -> None:
    async with Phone(asterisk, "1001") as ana, Phone(asterisk, "1002") as eva:
        outcomes = await switch.apply(
            [
                Add("A+B", asterisk.interface("1001"), "Ana", 1, False),
                Add("A+B", asterisk.interface("1002"), "Eva", 2, False),
            ]
        )
        assert outcomes == [None, None]
        assert (await call(asterisk, "A+B")).answered
        assert (ana.rings, eva.rings) == (1, 0)
        assert await switch.apply([Penalise("A+B", asterisk.interface("1001"), 3)]) == [None]
        assert (await call(asterisk, "A+B")).answered
        assert (ana.rings, eva.rings) == (1, 1)


async def test_a_phone_that_is_off_does_not_ring(asterisk: PrivateAsterisk, switch: AmiSwitch) -> None:
    phone = Phone(asterisk, "1001")
    assert await switch.apply([Add("A+B", asterisk.interface("1001"), "Ana", 0, False)]) == [None]
    assert not (await call(asterisk, "A+B")).answered
    async with phone:
        assert (await call(asterisk, "A+B")).answered
        assert phone.answers == 1


@pytest.mark.parametrize("state_interface", ["Custom:1001", "hint:1001@agents"])
async def test_a_local_channel_rings_when_its_state_interface_is_free_and_without_one_always(
    asterisk: PrivateAsterisk, switch: AmiSwitch, state_interface: str
) -> None:
    interface = "Local/1001@agents/n"
    add = Add("A+B", interface, "Ana", 0, False, state_interface)
    async with Phone(asterisk, "1001") as phone:
        assert await switch.apply([add]) == [None]
        asterisk.cli("devstate change Custom:1001 INUSE")
        assert not (await call(asterisk, "A+B")).answered
        assert phone.rings == 0
        asterisk.cli("devstate change Custom:1001 NOT_INUSE")
        assert (await call(asterisk, "A+B")).answered
        await phone.answered()

        asterisk.cli("devstate change Custom:1001 INUSE")
        without = msgspec.structs.replace(add, state_interface="")
        assert await switch.apply([Remove("A+B", interface), without]) == [None, None]
        assert (await call(asterisk, "A+B")).answered
        await phone.answered(2)


async def test_a_user_who_may_not_have_queues_read_anew_is_told_so(asterisk: PrivateAsterisk) -> None:
    user = asterisk.user
    switch = AmiSwitch("pbx1", asterisk.host, asterisk.ami_port, user.name, user.secret, rereads=True)
    with pytest.raises(errors.RereadRefused):
        await switch.snapshot(["Ventas->"])
    await switch.close()


async def test_queues_without_realtime_members_are_read_anew_as_well(asterisk: PrivateAsterisk) -> None:
    switch = AmiSwitch("pbx1", asterisk.host, asterisk.ami_port, "boss", "dos", rereads=True)
    assert (await switch.snapshot()).queues["Ventas->"] == ()
    assert (await switch.snapshot(["Línea 100%", "nowhere"])).queues == {"Línea 100%": ()}
    await switch.close()
