"""What is fuzzed, each target a function of some bytes that raises where they bring out a defect.

Nothing here needs the fuzzer: `test_corpus.py` has every kept input run through its target with the ordinary tests.
"""

import asyncio
import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any, cast
from unittest.mock import patch
from urllib.parse import unquote_to_bytes

import argon2
import msgspec
from litestar import Litestar

from plantel import errors, roster
from plantel.access import Role, read_token_text
from plantel.ami import wire as ami_wire
from plantel.ami.client import Connection, Deadlines, Endpoint
from plantel.ami.members import live_member, usual_member
from plantel.ami.switch import AmiSwitch
from plantel.http.form import decode_field, decode_json_field, unquote
from plantel.http.integra import preference, queue_names
from plantel.http.queuemember import read_items
from plantel.plan import Add, Pause, Penalise, Remove
from plantel.roster import Member, parse_member, parse_members
from plantel.secret import Secret
from plantel.service import ITEMS
from plantel.testing.memory_store import MemoryStore
from tests.support.door import Door, basic, item, make_door
from tests.support.rsgi import Exchange, Scope

Target = Callable[[bytes], None]

# --- the published call's forms ---------------------------------------------------------------------------------------


def wire(data: bytes) -> None:
    """A form, a query string, a header: whatever part of the published call these bytes are, it is taken apart."""
    assert unquote(data) == unquote_to_bytes(data)
    _check_field(data)
    with _refusals():
        read_items(data, ITEMS)
    with _refusals():
        decode_json_field(data, "queuemember")
    query, _, body = data.partition(b"\n")
    with _refusals():
        assert all(name.strip() == name != "" for name in queue_names(query, body))
    text = data.decode("latin-1")
    _, seconds = preference(text, "stored", 2.0)
    assert 0 <= seconds <= 60
    for each in (data, text):
        pair = read_token_text(each)
        assert pair is None or all(pair)
    _check_members(data)


@contextmanager
def _refusals() -> Iterator[None]:
    """To refuse is right; to raise anything else is not."""
    try:
        yield
    except errors.PlantelError as error:
        _check_told(error)


def _check_told(error: errors.PlantelError) -> None:
    """It can be told in both languages."""
    assert error.say("en")
    assert error.say("es")


def _check_field(form: bytes) -> None:
    """`decode_field` against the form rules, as the standard library has them."""
    pairs = [
        tuple(unquote_to_bytes(part.replace(b"+", b" ")) for part in piece.partition(b"=")[::2])
        for piece in form.split(b"&")
    ]
    for name in ("user", "queuemember"):
        with _refusals():
            found = decode_field(form, name)
            wanted = next((value for key, value in pairs if key == name.encode()), None)
            assert (found is None) == (wanted is None)
            if found is not None and wanted is not None:
                assert found in (wanted.decode(errors="replace"), wanted.decode("latin-1"))


def _check_members(data: bytes) -> None:
    """The fast way through a batch says what the slow one says."""
    text = data.partition(b"=")[2].decode("utf-8", "replace")
    with patch.object(roster, "_PART", 64):  # so that short texts are read in parts, too
        fast = parse_members(text, ITEMS)
    try:
        array = msgspec.json.decode(text)
    except (ValueError, RecursionError):
        assert not fast
        return
    slow = [_slowly(one) for one in array] if isinstance(array, list) else [None]
    if fast is not None:
        assert fast == slow
    elif None not in slow and not any(one[key] is None for one in array for key in ("penalty", "paused")):
        # all are valid, and none leaves anything out: then something else was taken for the end of an item
        assert text.count("},") >= len(slow), "the fast way refuses what the slow one takes"


def _slowly(one: object) -> Member | None:
    try:
        return parse_member(one)
    except errors.InvalidItem as error:
        _check_told(error)
        return None


# --- the HTTP side as a whole -----------------------------------------------------------------------------------------

WHO = "ARICOU-"
"""By the first letter of a request: an admin, a reader, an integrator, an admin of one campaign; one of the other
instance; a user with a password; nobody."""

_BETWEEN = b"\n---\n"
_REQUESTS_MOST = 3
_NEVER_IN_A_TARGET = dict.fromkeys([*range(0x21), 0x22, 0x3C, 0x3E, 0x7F])


class _House:
    """The HTTP side in this process, the same again for every input."""

    def __init__(self) -> None:
        self.loop = asyncio.new_event_loop()
        self.addresses = (f"10.{n >> 16 & 255}.{n >> 8 & 255}.{n & 255}" for n in itertools.count(1))
        # a password is checked in no time: how long that takes is no matter here
        cheap = partial(argon2.PasswordHasher, time_cost=1, memory_cost=8, parallelism=1)
        with patch.object(argon2, "PasswordHasher", cheap):
            self.door = make_door(trusted=("10.0.0.0/8",), origins=("https://crm.example.com",), body_limit=64 * 1024)
        self.credentials = self.loop.run_until_complete(_furnish(self.door))
        self.store = cast(MemoryStore, self.door.store)
        self.state = self.store._data.state
        self.wrong: list[Mapping[str, Any]] = []
        self.loop.set_exception_handler(lambda _loop, context: self.wrong.append(context))
        self.raised: Exception | None = None
        cast(Litestar, self.door.door._api._app).after_exception.append(self._remember)

    async def _remember(self, error: Exception, _scope: object) -> None:
        self.raised = error

    def ask(self, data: bytes) -> None:
        self.store._data.state = self.state.copied()
        address = next(self.addresses)
        for request in data.split(_BETWEEN)[:_REQUESTS_MOST]:
            status = self.loop.run_until_complete(self._one(request, address))
            if not 200 <= status < 500:
                raise AssertionError(f"{status} for {request!r}") from self.raised
        assert not self.wrong, self.wrong

    async def _one(self, request: bytes, address: str) -> int:
        head, _, body = request.partition(b"\n\n")
        first, *lines = head.decode("utf-8", "replace").split("\n")
        who, method, target = (*first.split(" ", 2), "", "")[:3]
        path, _, query = target.partition("?")
        fields = [(name.strip().lower(), value.strip()) for name, _, value in (line.partition(":") for line in lines)]
        fields = [(name, value) for name, value in fields if _is_field(name, value)]
        fields += [("authorization", f"Basic {token}") for token in [self.credentials.get(who[:1], "")] if token]
        scope = Scope(
            method or "GET",
            unquote_to_bytes(path).decode("utf-8", "replace") or "/",
            query.translate(_NEVER_IN_A_TARGET),
            [*fields, ("host", "plantel.example.com"), ("content-length", str(len(body)))],
            f"{address}:40000",
        )
        exchange = Exchange([body])
        await self.door.door.__rsgi__(scope, exchange)
        return exchange.answer.status


def _is_field(name: str, value: str) -> bool:
    """Whether the HTTP server would let it pass."""
    own = {"host", "content-length", "transfer-encoding", "expect"}
    return name.isascii() and name.isprintable() and " " not in name and value.isprintable() and name not in {"", *own}


async def _furnish(door: Door) -> dict[str, str]:
    """Campaigns, members and tokens; the tokens by their letter in WHO."""
    await door.declare("Ventas->", "Cobros")
    await door.declare("Otra", instance="other")
    admin = await door.token("admin")
    members = [item("ana", "Ventas->", "SIP/1001"), item("luis", "Ventas->", "SIP/1002"), item("ana", "Cobros")]
    assert (await door.add(admin, members)).body == b"1"
    return {
        "A": admin,
        "R": await door.token("reader", Role.READER),
        "I": await door.token("integrator", Role.INTEGRATOR),
        "C": await door.token("cobros", Role.ADMIN, ("Cobros",)),
        "O": await door.token("other", instance="other"),
        "U": basic("ana", "wrong"),
    }


_houses: list[_House] = []


def http(data: bytes) -> None:
    """Requests of anybody at any path, up to three after one another: none is ever answered with 500 or above.

    An input reads `A POST /api/v1/members`, then header lines, an empty line and the body; between requests `---`.
    """
    if not _houses:
        _houses.append(_House())
    _houses[0].ask(data)


# --- Asterisk ---------------------------------------------------------------------------------------------------------


def ami(data: bytes) -> None:
    """What an Asterisk, or whatever listens at its port, may send: after the banner, and to what was asked of it.

    The first byte chooses what was asked, and how the decoder gets the rest in pieces.
    """
    choice, said = data[:1], data[1:]
    _check_decoder(said, ord(choice or b"0"))
    _talk(choice, said)


def _check_decoder(said: bytes, cut: int) -> None:
    """However it is cut, the same is read."""
    whole = _decoded([ami_wire.BANNER + b"5.0\r\n" + said])
    pieces = [said[start : start + 1 + cut % 50] for start in range(0, len(said), 1 + cut % 50)]
    assert _decoded([ami_wire.BANNER + b"5.0\r\n", *pieces]) == whole
    for block in whole:
        _check_message(block)


def _decoded(pieces: Sequence[bytes]) -> list[bytes]:
    decoder = ami_wire.Decoder()
    blocks: list[bytes] = []
    try:
        for piece in pieces:
            blocks += [message.block for message in decoder.feed(piece)]
    except ami_wire.Malformed:
        pass
    return blocks


def _check_message(block: bytes) -> None:
    message = ami_wire.Message(block)
    early = message.action_id  # looked up in the block, as long as nobody has asked for a header
    assert isinstance(message.headers, dict)
    assert early == message.action_id or block.count(b"ActionID") > 1
    assert b"".join(message.ends)
    usual = usual_member(block)
    try:
        member = live_member(message.headers)
    except (KeyError, ValueError):
        assert usual is None
    else:
        assert usual is None or usual == (message.headers["Queue"], member)


class _Transport(asyncio.Transport):
    """Takes what is written, and can be told to stop."""

    def __init__(self) -> None:
        super().__init__()
        self.ended = False

    def write(self, _data: bytes | bytearray | memoryview) -> None:
        pass

    def abort(self) -> None:
        self.ended = True

    close = abort

    def is_closing(self) -> bool:
        return self.ended

    def pause_reading(self) -> None:
        pass

    def resume_reading(self) -> None:
        pass


_CHANGES = (
    Add("Ventas->", "SIP/1001", "ana", 0, False),
    Remove("Ventas->", "SIP/1002"),
    Penalise("Ventas->", "SIP/1003", 4),
    Pause("Ventas->", "SIP/1004", True, "Almuerzo"),
)

_QUESTIONS: Mapping[bytes, Callable[[AmiSwitch], Any]] = {
    b"0": lambda switch: switch.snapshot(),
    b"1": lambda switch: switch.snapshot(["Ventas->", "Cobros"]),
    b"2": lambda switch: switch.snapshot(["Ventas->"], ["SIP/1001"]),
    b"3": lambda switch: switch.apply(_CHANGES),
    b"4": lambda switch: switch.devices(["SIP/1001", "SIP/1002"]),
    b"5": lambda switch: switch.examine("Ventas->", "SIP/1001"),
    b"6": lambda switch: switch.diagnose(),
    b"7": lambda switch: switch._connection.log_in(),  # type: ignore[union-attr]
}


def _talk(choice: bytes, said: bytes) -> None:
    """Have `said` answered to a question: what comes of it is an answer or a SwitchError, and reading goes on."""
    wrong: list[Mapping[str, Any]] = []
    loop = _loop()
    loop.set_exception_handler(lambda _loop, context: wrong.append(context))
    loop.run_until_complete(_conversation(_QUESTIONS.get(choice, _QUESTIONS[b"0"]), said))
    assert not wrong, wrong


_loops: list[asyncio.AbstractEventLoop] = []


def _loop() -> asyncio.AbstractEventLoop:
    if not _loops:
        _loops.append(asyncio.new_event_loop())
    return _loops[0]


async def _conversation(question: Callable[[AmiSwitch], Any], said: bytes) -> None:
    switch = AmiSwitch("pbx1", "127.0.0.1", 5038, "plantel", "secret")
    endpoint = Endpoint("pbx1", "127.0.0.1", 5038, "plantel", Secret("secret"))
    connection = Connection(endpoint, Deadlines(), switch._on_event, switch._on_lost)
    connection.connection_made(_Transport())
    connection.data_received(ami_wire.BANNER + b"5.0\r\n")
    connection.open()
    switch._connection = connection
    asked = asyncio.ensure_future(question(switch))
    await asyncio.sleep(0)
    for one in said.split(b"\r\n\r\n"):
        if not connection.ended:
            connection.data_received(one + b"\r\n\r\n")
        for _ in range(4):  # time to ask the next thing, before what may be its answer is there
            await asyncio.sleep(0)
    connection.connection_lost(None)
    try:
        await asyncio.wait_for(asked, 5)  # it is over: there is nothing left to wait for
    except errors.SwitchError as error:
        _check_told(error)
    assert connection.ended


TARGETS: Mapping[str, Target] = {"wire": wire, "http": http, "ami": ami}
