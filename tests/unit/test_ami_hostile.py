"""An Asterisk that lies, floods or drips: it ends with a name, and nobody else waits for it."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Iterable
from itertools import count

import anyio
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from plantel.ami import AmiSwitch, Deadlines, client, limits, look, wire
from plantel.ami.client import Connection, Endpoint
from plantel.ami.examination import Examination
from plantel.ami.look import Look
from plantel.errors import SwitchError, SwitchProtocol, SwitchTimeout, SwitchTooMuch, SwitchUnreachable
from plantel.plan import Snapshot
from plantel.secret import Secret
from plantel.testing.ami_server import Headers
from tests.support.hostile_ami import LISTED, LISTING, MEMBER, QUEUE, HostileAmi, Reaction, looks

pytestmark = pytest.mark.anyio

PATIENT = Deadlines(connect=20, login=20, boot=20, answer=20, idle=20)
VENTAS = QUEUE.replace(b"%b", b"Ventas->", 1)
ANA = MEMBER.replace(b"Queue: %b", b"Queue: Ventas->").replace(b"%d", b"1")


def switch_of(server: HostileAmi, deadlines: Deadlines = PATIENT) -> AmiSwitch:
    return AmiSwitch("pbx1", server.host, server.port, "plantel", "secret", deadlines=deadlines)


@contextlib.asynccontextmanager
async def facing(react: Reaction, deadlines: Deadlines = PATIENT) -> AsyncIterator[tuple[AmiSwitch, HostileAmi]]:
    async with HostileAmi(react) as server:
        switch = switch_of(server, deadlines)
        try:
            with anyio.fail_after(60):
                yield switch, server
        finally:
            await switch.close()


# --- more than anybody has -------------------------------------------------------------------------------------------


def without_end(make: Callable[[int], bytes]) -> Reaction:
    def react(action: Headers) -> Iterable[bytes]:
        number = action.get("ActionID", "").encode()
        if action["Action"] == "QueueStatus":
            yield LISTING % number
            yield VENTAS % number
            for turn in count():
                yield make(turn).replace(b"%b", number)

    return react


@pytest.mark.parametrize(
    ("what", "make"),
    [
        ("members", lambda turn: ANA.replace(b"SIP/1", b"SIP/%d" % turn) * 100),
        ("queues", lambda turn: QUEUE.replace(b"%b", b"queue %d" % turn, 1)),
        ("look_bytes", lambda turn: VENTAS.replace(b"ringall", b"ringall" * 500) * 100),
        ("item_bytes", lambda turn: VENTAS.replace(b"ringall", b"ringall" * 5000)),
        ("item_bytes", lambda turn: ANA.replace(b"Ana", b"Ana" * 5000)),
        ("message_bytes", lambda turn: b"Event: QueueMember\r\nQueue: Ventas->\r\nName: " + b"x" * 100_000),
        ("lines", lambda turn: b"Event: QueueMember\r\n" + b"a\r\n" * 1000 + b"ActionID: %b\r\n\r\n"),
    ],
)
async def test_a_look_without_end_ends(
    monkeypatch: pytest.MonkeyPatch, what: str, make: Callable[[int], bytes]
) -> None:
    monkeypatch.setattr(look, "MEMBERS_MOST", 5000)
    monkeypatch.setattr(look, "QUEUES_MOST", 500)
    monkeypatch.setattr(look, "LOOK_BYTES", 5_000_000)
    async with facing(without_end(make)) as (switch, server):
        with pytest.raises(SwitchTooMuch) as caught:
            await switch.snapshot()
        assert caught.value.params["what"] == what
        assert server.sent < 20_000_000


async def test_as_much_as_there_may_be_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(look, "MEMBERS_MOST", 3)
    async with facing(looks(VENTAS, ANA, ANA.replace(b"SIP/1", b"SIP/2"), ANA.replace(b"SIP/1", b"SIP/3"))) as (
        switch,
        _,
    ):
        assert len((await switch.snapshot()).queues["Ventas->"]) == 3


async def test_a_look_that_drips_ends_as_a_whole() -> None:
    async def drip(action: Headers) -> AsyncIterator[bytes]:
        number = action.get("ActionID", "").encode()
        if action["Action"] == "QueueStatus":
            yield LISTING % number
            yield VENTAS % number
            for turn in count():
                await asyncio.sleep(0.02)
                yield ANA.replace(b"SIP/1", b"SIP/%d" % turn) % number

    deadlines = Deadlines(connect=20, login=20, boot=20, answer=20, idle=20, whole=0.5)
    async with facing(drip, deadlines) as (switch, _):
        with pytest.raises(SwitchTimeout):
            await switch.snapshot()


# --- events ----------------------------------------------------------------------------------------------------------


EVENT = b"Event: QueueMemberPause\r\nQueue: Ventas->\r\nInterface: SIP/%d\r\nPaused: 1\r\n\r\n"
FLOOD = 1_000_000


def after_login(piece: bytes) -> Reaction:
    def react(action: Headers) -> Iterable[bytes]:
        number = action.get("ActionID", "").encode()
        if not action["Action"]:
            yield piece
        else:
            yield LISTING % number + VENTAS % number + LISTED % number

    return react


async def turns_until(done: Callable[[], bool]) -> int:
    """How many turns another task gets on this event loop meanwhile."""
    turns = 0
    while not done():
        turns += 1
        await asyncio.sleep(0)
    return turns


@pytest.mark.parametrize(
    "piece", [EVENT % 1 * 500, b"a\r\n\r\n" * 10_000, b"\r\n" * 10_000], ids=["events", "bits", "ends"]
)
async def test_others_have_their_turn_while_events_come_without_end(
    monkeypatch: pytest.MonkeyPatch, piece: bytes
) -> None:
    """Each step takes what fits into a moment: with the smallest moment that is a piece."""

    def react(action: Headers) -> Iterable[bytes]:
        number = action.get("ActionID", "").encode()
        if action["Action"]:
            yield from [piece] * (FLOOD // len(piece))
            yield LISTING % number + VENTAS % number + LISTED % number

    monkeypatch.setattr(client, "STEP_SECONDS", 0)
    async with facing(react) as (switch, server):
        looking = asyncio.create_task(switch.snapshot())
        turns = await turns_until(looking.done)
        assert list((await looking).queues) == ["Ventas->"]
        assert turns > server.sent / limits.PIECE_BYTES


async def test_what_one_step_heard_is_told_at_once() -> None:
    told: list[str | None] = []
    turns: set[float] = set()
    all_told = asyncio.Event()

    def heard(queue: str | None, _interface: str) -> None:
        told.append(queue)
        turns.add(asyncio.get_running_loop().time())
        if queue == "POWER<-":
            all_told.set()

    piece = b"Event: FullyBooted\r\nUptime: 1\r\n\r\n" * 20_000 + EVENT.replace(b"Ventas->", b"POWER<-") % 1
    async with facing(after_login(piece)) as (switch, _):
        switch.listen(heard)
        await switch.snapshot()
        await all_told.wait()
    assert len(told) < 2000


async def test_a_name_of_any_length_is_not_kept() -> None:
    told: asyncio.Queue[str | None] = asyncio.Queue()
    long = EVENT.replace(b"Ventas->", b"x" * 50_000) % 1
    async with facing(looks(VENTAS, long + EVENT % 1)) as (switch, _):
        switch.listen(lambda queue, _: told.put_nowait(queue))
        await switch.snapshot()
        while (queue := await told.get()) is None:
            pass
        assert queue == "Ventas->"


# --- lies ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "item",
    [
        ANA.replace(b"Penalty: 0", b"Penalty: " + b"9" * 3000),
        ANA.replace(b"Penalty: 0", b"Penalty: 1_0"),
        ANA.replace(b"Penalty: 0", "Penalty: ٣".encode()),
        ANA.replace(b"Status: 1", b"Status: x"),
        ANA.replace(b"Ventas->", b"never announced"),
        ANA.replace(b"Location: SIP/1\r\n", b""),
    ],
)
async def test_a_member_that_cannot_be_is_no_ami(item: bytes) -> None:
    async with facing(looks(VENTAS, item)) as (switch, _):
        with pytest.raises(SwitchProtocol):
            await switch.snapshot()


@pytest.mark.parametrize(
    "item",
    [
        ANA.replace(b"Penalty: 0", b"Penalty: -3"),
        ANA.replace(b"Status: 1", b"Status: 99"),
        ANA.replace(b"LastPause: 0", b"LastPause: 99999999999999999999"),
        ANA.replace(b"Ana", b"An\0a\x1b[2J\n"),
        ANA + b"Event: QueueMember\r\nActionID: 12345\r\n\r\nResponse: Success\r\nActionID: 99999\r\n\r\n",
        b"Response: Success\r\nActionID: 1\r\n\r\n" + ANA,
    ],
)
async def test_what_can_be_is_read(item: bytes) -> None:
    async with facing(looks(VENTAS, item)) as (switch, _):
        assert len((await switch.snapshot()).queues["Ventas->"]) == 1


@pytest.mark.parametrize("key", [b"LastPause", b"LastCall", b"LoginTime", b"Wrapuptime"])
@pytest.mark.parametrize("told", [b"9" * 4, b"9" * 10, b"9" * 40, b"-9999999999", b"x", b""])
async def test_a_close_look_at_a_member_of_any_time(key: bytes, told: bytes) -> None:
    at = ANA.index(key + b": ")
    end = ANA.index(b"\r\n", at)
    async with facing(looks(VENTAS, ANA[:at] + key + b": " + told + ANA[end:])) as (switch, _):
        try:
            seen = await switch.examine("Ventas->", "SIP/1")
        except SwitchProtocol:
            return
        assert seen is not None
        assert seen.resting_until(seen.seats[0]) is None or told.isdigit()


async def test_queues_that_were_not_asked_for_are_not_told() -> None:
    other = ANA.replace(b"Ventas->", b"POWER<-")
    async with facing(looks(VENTAS, QUEUE.replace(b"%b", b"POWER<-", 1), other, ANA)) as (switch, _):
        found = await switch.snapshot(["ventas->"])
        assert list(found.queues) == ["Ventas->"]


@pytest.mark.parametrize("uptime", [b"9" * 400, b"x", b"-9999999999"])
async def test_an_uptime_of_any_length(uptime: bytes) -> None:
    async with facing(after_login(b"Event: FullyBooted\r\nUptime: %b\r\n\r\n" % uptime)) as (switch, _):
        with contextlib.suppress(SwitchError):
            assert isinstance(await switch.snapshot(), Snapshot)


async def test_a_server_that_always_hangs_up_is_not_run_after() -> None:
    async with HostileAmi(looks(VENTAS), hang_up="QueueStatus") as server:
        lost: asyncio.Queue[None] = asyncio.Queue()
        switch = switch_of(server)
        switch.listen(lambda _queue, _interface: lost.put_nowait(None))
        failed: list[SwitchError] = []
        for _ in range(30):
            try:
                await switch.snapshot()
            except SwitchUnreachable as error:
                failed.append(error)
            else:
                await lost.get()
                while switch._connection is not None and not switch._connection.ended:
                    await lost.get()
        await switch.close()
    assert server.logins <= limits.QUICK_CONNECTIONS + 1
    assert "in a row" in str(failed[-1])


# --- anything --------------------------------------------------------------------------------------------------------

NUMBERS = st.one_of(
    st.sampled_from(["0", "1", "-1", "9" * 10, "9" * 20, "9" * 5000, "1e308", "nan", "inf", "²", "٣", " 1", "1_0", ""]),
    st.integers(-(10**11), 10**11).map(str),
    st.floats().map(str),
)
NAMES = st.one_of(st.sampled_from(["Ventas->", "SIP/1", "Ana", "Jos\udce9", "\x00", "\x1b[2J"]), st.text(max_size=5))
HEADER = st.one_of(
    st.tuples(
        st.just("Event"), st.sampled_from(["QueueMember", "QueueParams", "FullyBooted", "QueueMemberAdded", "x"])
    ),
    st.tuples(st.just("Response"), st.sampled_from(["Success", "Error", "Goodbye", ""])),
    st.tuples(st.just("ActionID"), st.sampled_from(["1", "2", "3", "4", "99", "", "x"])),
    st.tuples(st.just("EventList"), st.sampled_from(["start", "Complete"])),
    st.tuples(
        st.sampled_from(
            ["Penalty", "Status", "LastPause", "LastCall", "LoginTime", "Wrapuptime", "Calls", "Uptime", "Timestamp"]
        ),
        NUMBERS,
    ),
    st.tuples(
        st.sampled_from(
            ["Queue", "Name", "Location", "StateInterface", "Membership", "Paused", "Value", "Interface", "Message"]
        ),
        NAMES,
    ),
)
BLOCK = st.lists(HEADER, min_size=1, max_size=14).map(
    lambda headers: ("".join(f"{name}: {value}\r\n" for name, value in headers) + "\r\n").encode(
        "utf-8", "surrogateescape"
    )
)
MADE = st.builds(
    lambda template, number, penalty, moment: (
        template.replace(b"%b", number)
        .replace(b"Penalty: 0", b"Penalty: " + penalty.encode())
        .replace(b"LastPause: 0", b"LastPause: " + moment.encode())
    ),
    st.sampled_from([VENTAS, ANA, LISTING, LISTED]),
    st.sampled_from([b"1", b"2", b"3"]),
    NUMBERS,
    NUMBERS,
)


class Wire(asyncio.Transport):
    """Takes everything and closes at once."""

    def __init__(self) -> None:
        super().__init__()
        self.closed = False

    def write(self, data: bytes | bytearray | memoryview) -> None:
        pass

    def is_closing(self) -> bool:
        return self.closed

    def abort(self) -> None:
        self.closed = True

    def pause_reading(self) -> None:
        pass

    def resume_reading(self) -> None:
        pass


async def hear(stream: bytes) -> list[BaseException]:
    """What comes out of three looks that are answered so, and of the event loop."""
    loop = asyncio.get_running_loop()
    broken: list[BaseException] = []
    heard: list[Headers] = []
    loop.set_exception_handler(lambda _loop, context: broken.append(context["exception"]))
    connection = Connection(
        Endpoint("pbx1", "", 0, "plantel", Secret("secret")),
        PATIENT,
        lambda message: heard.append(message.headers),
        lambda: None,
    )
    connection.connection_made(Wire())
    connection.open()
    seen, close = Look(), Examination("Ventas->", "SIP/1")
    tasks = [
        asyncio.create_task(connection.pipeline([b"Action: QueueStatus\r\n\r\n"], seen.answered, seen.item)),
        asyncio.create_task(connection.pipeline(close.look(), close.looked, close.item)),
        asyncio.create_task(connection.pipeline([b"Action: x\r\n\r\n"], close.told)),
    ]
    await asyncio.sleep(0)
    connection.data_received(b"Asterisk Call Manager/5.0.4\r\n" + stream)
    for _ in range(len(stream) // limits.PIECE_BYTES + 2):
        await asyncio.sleep(0)
    connection.connection_lost(None)
    found = await asyncio.gather(*tasks, return_exceptions=True)
    assert isinstance(seen.queues, dict)
    if (closeup := close.closeup()) is not None:
        for seat in closeup.seats:
            closeup.resting_until(seat)
            assert seat.state.name
    return [*broken, *(one for one in found if one is not None)]


@settings(deadline=None)
@given(st.lists(st.one_of(BLOCK, MADE, st.binary(max_size=40)), max_size=12))
def test_whatever_comes_ends_with_a_name(blocks: list[bytes]) -> None:
    found = asyncio.run(hear(b"".join(blocks)))
    assert [one for one in found if not isinstance(one, SwitchError)] == []


def test_what_is_too_much_has_words_in_both_languages() -> None:
    for what in ("message_bytes", "lines", "item_bytes", "look_bytes", "queues", "members", "campaigns"):
        error = SwitchTooMuch(server="pbx1", what=what, most=5)
        assert error.say("en") != error.say("es")
        assert "_" not in error.say("en")


def test_a_number_is_short_and_written_plainly() -> None:
    assert [wire.number(text) for text in ("0", "-7", "2147483647")] == [0, -7, 2147483647]
    for text in ("", "1" * 11, "1_0", " 1", "+1", "٣", "1.0", "0x1"):
        with pytest.raises(ValueError, match="not a number"):
            wire.number(text)
