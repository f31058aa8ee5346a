"""AmiSwitch in front of a server that misbehaves: every wait ends, every end has its name, nothing is sent twice."""

import asyncio
import ssl
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import anyio
import pytest

from plantel.ami import AmiSwitch, Deadlines
from plantel.ami.client import Endpoint
from plantel.ami.limits import IN_FLIGHT_MOST
from plantel.errors import (
    ActionRefused,
    PrivilegeMissing,
    SwitchError,
    SwitchLoginRefused,
    SwitchNotReady,
    SwitchProtocol,
    SwitchTimeout,
    SwitchUnreachable,
)
from plantel.plan import Add, LiveMember, Remove
from plantel.secret import Secret
from plantel.testing.ami_server import AmiServer
from tests.support.tls import make_certificate

pytestmark = pytest.mark.anyio

PATIENT = Deadlines(connect=20, login=20, boot=20, answer=20, idle=20)
HASTY = Deadlines(connect=20, login=0.3, boot=0.1, answer=0.3, idle=0.1)
SECRET = "tres tristes tigres"
ADD = Add("Ventas->", "SIP/1001", "Ana", 0, False)


@pytest.fixture
async def server() -> AsyncIterator[AmiServer]:
    async with AmiServer(["Ventas->", "POWER<-"], secret=SECRET) as server:
        yield server


@pytest.fixture
async def login() -> AsyncIterator[Callable[..., AmiSwitch]]:
    made: list[AmiSwitch] = []

    def login(
        server: AmiServer, deadlines: Deadlines = PATIENT, tls: ssl.SSLContext | None = None, *, rereads: bool = False
    ) -> AmiSwitch:
        made.append(
            AmiSwitch(
                "pbx1",
                server.host,
                server.port,
                server.username,
                SECRET,
                tls=tls,
                deadlines=deadlines,
                rereads=rereads,
            )
        )
        return made[-1]

    yield login
    for switch in made:
        await switch.close()


Login = Callable[..., AmiSwitch]


async def test_nobody_listening_is_unreachable(server: AmiServer, login: Login) -> None:
    await server.stop()
    with pytest.raises(SwitchUnreachable, match="pbx1"):
        await login(server).snapshot()


async def test_a_wrong_secret_is_refused_by_name(server: AmiServer, login: Login) -> None:
    server.secret = "another"
    with pytest.raises(SwitchLoginRefused, match=r"plantel.*Authentication failed"):
        await login(server).snapshot()


@pytest.mark.parametrize("banner", [b"HTTP/1.1 400 Bad Request\r\n\r\n", b"SSH-2.0-OpenSSH_9.2\r\n"])
async def test_another_service_is_told_by_its_banner(server: AmiServer, login: Login, banner: bytes) -> None:
    server.banner = banner
    with pytest.raises(SwitchProtocol):
        await login(server).snapshot()


@pytest.mark.parametrize("banner", [b"", b"Asterisk Call Mana"])
async def test_a_banner_that_never_ends_ends_in_a_timeout(server: AmiServer, login: Login, banner: bytes) -> None:
    server.banner = banner
    server.deaf = True
    with pytest.raises(SwitchTimeout):
        await login(server, HASTY).snapshot()


async def test_a_login_without_answer_ends_in_a_timeout(server: AmiServer, login: Login) -> None:
    server.silent = True
    with pytest.raises(SwitchTimeout):
        await login(server, HASTY).snapshot()


async def test_an_asterisk_that_is_still_starting_is_not_ready(server: AmiServer, login: Login) -> None:
    server.booted = False
    switch = login(server, Deadlines(boot=0.1))
    with pytest.raises(SwitchNotReady):
        await switch.snapshot()
    server.boot()
    assert set((await switch.snapshot()).queues) == {"Ventas->", "POWER<-"}


async def test_a_call_waits_for_an_asterisk_that_finishes_starting(server: AmiServer, login: Login) -> None:
    server.booted = False
    switch = login(server)
    asked = asyncio.create_task(switch.snapshot())
    await server.got("Login")
    server.boot()
    assert set((await asked).queues) == {"Ventas->", "POWER<-"}


async def test_without_the_right_to_read_system_it_works_all_the_same(server: AmiServer, login: Login) -> None:
    server.read = frozenset({"agent"})
    switch = login(server, Deadlines(boot=0.1))
    assert await switch.apply([ADD]) == [None]
    assert (await switch.diagnose()).reads_system is False


async def test_without_the_right_to_write_agent_each_change_says_so(server: AmiServer, login: Login) -> None:
    server.write = frozenset()
    outcomes = await login(server).apply([ADD, Remove("Ventas->", "SIP/1001")])
    assert [type(outcome) for outcome in outcomes] == [PrivilegeMissing, PrivilegeMissing]
    assert "QueueAdd" in str(outcomes[0])


async def test_the_secret_is_never_sent_nor_shown(server: AmiServer, login: Login) -> None:
    await login(server).snapshot()
    assert server.received
    assert SECRET not in repr(server.received)
    assert SECRET not in repr(Endpoint("pbx1", "127.0.0.1", 5038, "plantel", Secret(SECRET)))


async def test_a_connection_cut_on_the_way_leaves_the_outcome_unknown_and_replays_nothing(
    server: AmiServer, login: Login
) -> None:
    switch = login(server)
    await switch.snapshot()
    server.cut_after = 3
    adds = [Add("Ventas->", f"SIP/{number}", "Ana", 0, False) for number in range(10)]
    with pytest.raises(SwitchUnreachable):
        await switch.apply(adds)
    # The fourth was carried out though its answer never came whole; the rest was not.
    there = (await switch.snapshot()).queues["Ventas->"]
    assert [member.interface for member in there] == [f"SIP/{number}" for number in range(4)]
    assert len([action for action in server.received if action["Action"] == "QueueAdd"]) == 4


async def test_every_call_that_waits_ends_with_the_connection(server: AmiServer, login: Login) -> None:
    switch = login(server)
    await switch.snapshot()
    server.silent = True
    calls = [asyncio.create_task(switch.snapshot([queue])) for queue in ("Ventas->", "POWER<-", "A+B")]
    long = asyncio.create_task(switch.apply([ADD] * (IN_FLIGHT_MOST * 3)))
    await server.got("QueueAdd", IN_FLIGHT_MOST // 2)
    with anyio.fail_after(30):
        await server.cut()
        results = await asyncio.gather(*calls, long, return_exceptions=True)
    assert len([action for action in server.received if action["Action"] == "QueueAdd"]) <= IN_FLIGHT_MOST
    assert [type(result) for result in results] == [SwitchUnreachable] * 4


async def test_an_answer_that_does_not_come_ends_in_a_timeout_and_the_next_call_connects(
    server: AmiServer, login: Login
) -> None:
    switch = login(server, Deadlines(answer=0.5))
    await switch.snapshot()
    server.silent = True
    with pytest.raises(SwitchTimeout):
        await switch.apply([ADD])
    server.silent = False
    assert [member.interface for member in (await switch.snapshot()).queues["Ventas->"]] == ["SIP/1001"]


async def test_a_line_gone_dead_while_idle_is_noticed(server: AmiServer, login: Login) -> None:
    switch = login(server, Deadlines(answer=0.3, idle=0.1))
    await switch.snapshot()
    heard: asyncio.Queue[str | None] = asyncio.Queue()
    switch.listen(lambda queue, _interface: heard.put_nowait(queue))
    server.silent = True
    with anyio.fail_after(30):
        assert await heard.get() is None


async def test_an_idle_line_that_answers_stays(server: AmiServer, login: Login) -> None:
    switch = login(server, Deadlines(idle=0.05))
    await switch.snapshot()
    await server.got("Ping", 3)
    await switch.snapshot()
    assert len([action for action in server.received if action["Action"] == "Login"]) == 1


async def test_a_slow_server_that_goes_on_answering_is_waited_for(server: AmiServer, login: Login) -> None:
    switch = login(server, Deadlines(answer=1.0))
    await switch.snapshot()
    server.delay = 0.1
    adds = [Add("Ventas->", f"SIP/{number}", "Ana", 0, False) for number in range(12)]
    assert await switch.apply(adds) == [None] * 12


async def test_a_call_given_up_does_not_confuse_the_next(server: AmiServer, login: Login) -> None:
    switch = login(server)
    await switch.snapshot()
    server.delay = 0.05
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.01):
            await switch.snapshot(["POWER<-"])
    server.delay = 0.0
    assert set((await switch.snapshot(["Ventas->"])).queues) == {"Ventas->"}


async def test_a_long_run_given_up_leaves_nobody_deaf(server: AmiServer, login: Login) -> None:
    switch = login(server)
    await switch.snapshot()
    heard: asyncio.Queue[str | None] = asyncio.Queue()
    switch.listen(lambda queue, _interface: heard.put_nowait(queue))
    server.delay = 0.01
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.1):
            await switch.apply([ADD] * 1000)
    server.delay = 0.0
    with anyio.fail_after(30):
        assert await heard.get() is None
        await switch.snapshot()
        server.pbx.add("POWER<-", "SIP/1", "Ana", 0, False)
        while await heard.get() != "POWER<-":
            pass


async def test_a_listener_that_raises_does_not_end_the_connection(server: AmiServer, login: Login) -> None:
    switch = login(server)
    caught: asyncio.Queue[object] = asyncio.Queue()
    asyncio.get_running_loop().set_exception_handler(lambda _loop, context: caught.put_nowait(context["exception"]))

    def listener(queue: str | None, _interface: str) -> None:
        raise LookupError(queue)

    await switch.snapshot()
    switch.listen(listener)
    server.pbx.add("POWER<-", "SIP/1", "Ana", 0, False)
    with anyio.fail_after(30):
        assert isinstance(await caught.get(), LookupError)
    assert (await switch.snapshot()).queues["POWER<-"]
    assert len([action for action in server.received if action["Action"] == "Login"]) == 1


async def test_a_server_that_lists_nonsense_is_not_believed(server: AmiServer, login: Login) -> None:
    server.pbx.configure("Ventas->", [LiveMember("SIP/1", "Ana\r\nPenalty: nine", 0)])
    with pytest.raises(SwitchProtocol):
        await login(server).snapshot()


async def test_without_the_queue_module_a_snapshot_is_refused(server: AmiServer, login: Login) -> None:
    switch = login(server)
    await switch.snapshot()
    server.booted = False
    with pytest.raises(ActionRefused, match="QueueStatus"):
        await switch.snapshot()
    diagnosis = await switch.diagnose()
    assert diagnosis.queues == {}
    assert diagnosis.writes_agent


async def test_who_may_not_have_queues_read_anew_is_not_told_that_there_are_none(
    server: AmiServer, login: Login
) -> None:
    """`plantel check` would advise to remove every campaign."""
    server.write = frozenset({"agent"})
    diagnosis = await login(server, rereads=True).diagnose()
    assert not diagnosis.reads_devices
    assert diagnosis.queues == {"Ventas->": 0, "POWER<-": 0}


async def test_a_diagnosis_tells_what_the_user_may_know(server: AmiServer, login: Login) -> None:
    server.pbx.add("Ventas->", "SIP/1001", "Ana", 0, False)
    diagnosis = await login(server).diagnose()
    assert diagnosis.protocol == "5.0.4"
    assert diagnosis.asterisk is None
    assert (diagnosis.chan_sip, diagnosis.chan_pjsip) == (None, None)
    assert diagnosis.reads_system
    assert diagnosis.writes_agent
    assert diagnosis.queues == {"Ventas->": 1, "POWER<-": 0}
    server.write = frozenset({"system"})
    diagnosis = await login(server).diagnose()
    assert diagnosis.asterisk == "16.28.0"
    assert diagnosis.chan_sip is True
    assert diagnosis.chan_pjsip is False
    assert not diagnosis.writes_agent


async def test_over_tls_it_is_the_same(login: Login, tmp_path: Path) -> None:
    certificate = make_certificate(tmp_path)
    identity = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    identity.load_cert_chain(certificate.cert, certificate.key)
    trusted = ssl.create_default_context(cafile=str(certificate.ca))
    async with AmiServer(["Ventas->"], secret=SECRET, tls=identity) as server:
        switch = login(server, tls=trusted)
        adds = [Add("Ventas->", f"SIP/{number}", "Ana", 0, False) for number in range(1000)]
        assert await switch.apply(adds) == [None] * len(adds)
        assert len((await switch.snapshot()).queues["Ventas->"]) == len(adds)
        with pytest.raises(SwitchUnreachable, match="certificate"):
            await login(server, tls=ssl.create_default_context()).snapshot()
        with pytest.raises(SwitchError):
            await login(server, HASTY).snapshot()
        await switch.close()


async def test_lists_that_follow_each_other_on_a_connection_keep_their_items_apart(
    server: AmiServer, login: Login
) -> None:
    switch = login(server)
    for number in range(3):
        server.pbx.add("Ventas->", f"SIP/{number}", "Ana", 0, False)
        server.pbx.add("POWER<-", f"SIP/9{number}", "Eva", 0, False)
    looks = await asyncio.gather(*(switch.snapshot([queue]) for queue in ("Ventas->", "POWER<-", "A+B", "Ventas->")))
    found = [{queue: [one.interface for one in those] for queue, those in look.queues.items()} for look in looks]
    ventas = {"Ventas->": ["SIP/0", "SIP/1", "SIP/2"]}
    assert found == [ventas, {"POWER<-": ["SIP/90", "SIP/91", "SIP/92"]}, {}, ventas]
