"""Asterisks, or whatever listens at their port, that behave well until they are told to do harm."""

import asyncio
import contextlib
import itertools
import random
import threading
from collections.abc import Awaitable, Callable, Mapping
from typing import Self

import msgspec

from tests.support.abuse.attack import Attack, Attacker, Send

BANNER = b"Asterisk Call Manager/5.0.4\r\n"

Headers = Mapping[str, str]


class Session:
    """One connection of Plantel's."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self.writer = writer

    async def action(self) -> Headers:
        """The next action. Raises IncompleteReadError at the end."""
        block = (await self._reader.readuntil(b"\r\n\r\n")).decode()
        return dict(line.split(": ", 1) for line in block.split("\r\n") if ": " in line)

    async def send(self, *blocks: str | bytes) -> None:
        self.writer.write(b"".join(one if isinstance(one, bytes) else one.encode() for one in blocks))
        await self.writer.drain()


def block(*lines: str) -> str:
    return "".join(f"{line}\r\n" for line in lines) + "\r\n"


def member(queue: str, name: str, action_id: str) -> str:
    return block(
        *(
            "Event: QueueMember",
            f"Queue: {queue}",
            f"Name: {name}",
            f"Location: SIP/{name}",
            f"StateInterface: SIP/{name}",
        ),
        *("Membership: dynamic", "Penalty: 0", "CallsTaken: 0", "LastCall: 0", "LastPause: 0", "LoginTime: 1700000000"),
        *("InCall: 0", "Status: 1", "Paused: 0", "PausedReason: ", "Wrapuptime: 0", f"ActionID: {action_id}"),
    )


def params(queue: str, action_id: str) -> str:
    return block(
        *("Event: QueueParams", f"Queue: {queue}", "Max: 0", "Strategy: ringall", "Calls: 0", f"ActionID: {action_id}")
    )


def begin(action_id: str) -> str:
    return block("Response: Success", f"ActionID: {action_id}", "EventList: start", "Message: Queue status will follow")


def end(action_id: str) -> str:
    return block("Event: QueueStatusComplete", f"ActionID: {action_id}", "EventList: Complete", "ListItems: 0")


Harm = Callable[[Session, Headers], Awaitable[None]]


class Hostility(msgspec.Struct, frozen=True):
    """`harm` happens in place of an answer to the action `at`; as soon as somebody connects, if `at` is empty."""

    name: str
    harm: Harm
    at: str = "QueueStatus"
    rare: bool = False


class HostileAsterisk:
    """Listens on a port of the loopback. Well-behaved, with one queue `Ventas`, until `turn_hostile`."""

    def __init__(self, hostility: Hostility) -> None:
        self.hostility = hostility
        self.port = 0
        self._hostile = False
        self._harming = asyncio.Event()
        self._sessions: dict[asyncio.Task[None], Session] = {}
        self._server: asyncio.Server | None = None

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._server is not None
        self._server.close()
        self.cut()

    async def turn_hostile(self) -> None:
        """Whoever is connected has to come again; returns once harm is being done."""
        self._harming.clear()
        self._hostile = True
        self.cut()
        await self._harming.wait()

    def turn_back(self) -> None:
        """Behave well from now on."""
        self._hostile = False
        self.cut()

    def cut(self) -> None:
        for task, session in list(self._sessions.items()):
            session.writer.transport.abort()
            task.cancel()

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        session = self._sessions[task] = Session(reader, writer)
        try:
            with contextlib.suppress(OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
                await self._serve(session)
        finally:
            del self._sessions[task]
            writer.transport.abort()

    async def _serve(self, session: Session) -> None:
        await self._harm(session, "", {})
        await session.send(BANNER)
        while True:
            action = await session.action()
            await self._harm(session, action["Action"], action)
            await session.send(*_answer(action))

    async def _harm(self, session: Session, at: str, action: Headers) -> None:
        if self._hostile and self.hostility.at == at:
            self._harming.set()
            await self.hostility.harm(session, action)


def _answer(action: Headers) -> list[str]:
    """What an Asterisk without members says."""
    number = action.get("ActionID", "")
    success = block("Response: Success", f"ActionID: {number}", "Challenge: 12345")
    match action["Action"]:
        case "Login":
            return [
                success,
                block("Event: FullyBooted", "Privilege: system,all", "Uptime: 100", "Status: Fully Booted"),
            ]
        case "QueueStatus":
            return [begin(number), params("Ventas", number), end(number)]
    return [success]


# --- what they do -----------------------------------------------------------------------------------------------------


async def says_nothing(_session: Session, _action: Headers) -> None:
    await asyncio.sleep(3600)


async def closes(session: Session, _action: Headers) -> None:
    session.writer.transport.abort()


async def garbage(session: Session, _action: Headers) -> None:
    while True:
        await session.send(random.randbytes(65536))


async def first_line_without_end(session: Session, _action: Headers) -> None:
    while True:
        await session.send(b"Asterisk Call Manager/" + b"9" * 65536)


async def message_without_end(session: Session, action: Headers) -> None:
    await session.send(f"Response: Success\r\nActionID: {action['ActionID']}\r\n")
    for number in itertools.count():
        await session.send("".join(f"Header-{number}-{one}: {'x' * 100}\r\n" for one in range(500)))


async def large_messages(session: Session, action: Headers) -> None:
    await session.send(begin(action["ActionID"]))
    while True:
        await session.send(member("Ventas", "x" * 900_000, action["ActionID"]))


async def members_without_end(session: Session, action: Headers) -> None:
    number = action["ActionID"]
    await session.send(begin(number), params("Ventas", number))
    for start in itertools.count(0, 200):
        await session.send(*(member("Ventas", f"a{one}", number) for one in range(start, start + 200)))


async def queues_without_end(session: Session, action: Headers) -> None:
    number = action["ActionID"]
    await session.send(begin(number))
    for start in itertools.count(0, 200):
        await session.send(*(params(f"q{one}", number) for one in range(start, start + 200)))


async def many_queues(session: Session, action: Headers) -> None:
    number = action["ActionID"]
    await session.send(begin(number))
    for start in range(0, 40_000, 400):
        await session.send(*(params(f"Cola {one}", number) for one in range(start, start + 400)))
    await session.send(end(number))


async def drips_items(session: Session, action: Headers) -> None:
    number = action["ActionID"]
    await session.send(begin(number), params("Ventas", number))
    for one in itertools.count():
        await session.send(member("Ventas", f"a{one}", number))
        await asyncio.sleep(0.05)


async def drips_bytes(session: Session, action: Headers) -> None:
    text = begin(action["ActionID"]) + params("Ventas", action["ActionID"]) * 1000
    for one in text:
        await session.send(one)
        await asyncio.sleep(0.01)


def events(*lines: str) -> Harm:
    """The same event without end, `#` in it being a number."""

    async def harm(session: Session, action: Headers) -> None:
        await session.send(*_answer(action))
        for start in itertools.count(0, 200):
            await session.send(*(block(*lines).replace("#", f"{one}") for one in range(start, start + 200)))

    return harm


async def answers_of_others(session: Session, _action: Headers) -> None:
    for start in itertools.count(0, 500):
        await session.send(*(block("Response: Success", f"ActionID: {one}") for one in range(start, start + 500)))


HOSTILITIES = (
    Hostility("accepts and says nothing", says_nothing, ""),
    Hostility("closes at once", closes, "", rare=True),
    Hostility("closes after the login", closes, "QueueStatus"),
    Hostility("garbage in place of a banner", garbage, ""),
    Hostility("garbage in place of an answer", garbage, rare=True),
    Hostility("a first line without end", first_line_without_end, "", rare=True),
    Hostility("a message without end", message_without_end),
    Hostility("messages of 1 MiB", large_messages, rare=True),
    Hostility("members without end", members_without_end),
    Hostility("queues without end", queues_without_end),
    Hostility("members in drips", drips_items),
    Hostility("bytes in drips", drips_bytes, rare=True),
    Hostility(
        "events of members without end",
        events("Event: QueueMemberPause", "Queue: Ventas", "Interface: SIP/#", "MemberName: a#", "Paused: 1"),
    ),
    Hostility("events of queues without end", events("Event: QueueMemberAdded", "Queue: new-#", "Interface: SIP/#")),
    Hostility("reloads without end", events("Event: Reload", "Module: app_queue")),
    Hostility("starts without end", events("Event: FullyBooted", "Uptime: #", "Status: Fully Booted"), rare=True),
    Hostility("answers to what nobody asked", answers_of_others),
    Hostility("40,000 queues", many_queues),
)


class Asterisks(threading.Thread):
    """One of each, on a loop in a thread of its own, within the `with` block."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self._all: list[HostileAsterisk] = []
        self._loop = asyncio.new_event_loop()
        self._up = threading.Event()
        self._over = asyncio.Event()

    def run(self) -> None:
        self._loop.run_until_complete(self._serve())

    async def _serve(self) -> None:
        async with contextlib.AsyncExitStack() as stack:
            self._all = [await stack.enter_async_context(HostileAsterisk(one)) for one in HOSTILITIES]
            self._up.set()
            await self._over.wait()

    def __enter__(self) -> Self:
        self.start()
        self._up.wait()
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._over.set)
        self.join()

    def settings(self) -> str:
        """Those servers in a configuration."""
        servers = (
            f'[[asterisk]]\nname = "pbx{number}"\nport = {one.port}\nsecret = "secret"'
            for number, one in enumerate(self._all)
        )
        return "\n".join(servers)

    def attacks(self) -> list[Attack]:
        """Each as an attack, in the order of HOSTILITIES; it ends with the server well-behaved again."""
        return [
            Attack(f"Asterisk: {one.hostility.name}", "stranger", self._turning(one), side=1, rare=one.hostility.rare)
            for one in self._all
        ]

    def _turning(self, asterisk: HostileAsterisk) -> Send:
        async def send(attacker: Attacker) -> None:
            turning = asyncio.run_coroutine_threadsafe(asterisk.turn_hostile(), self._loop)
            try:
                await asyncio.wrap_future(turning)
                attacker.note(0)
                await asyncio.sleep(3600)
            finally:
                self._loop.call_soon_threadsafe(asterisk.turn_back)

        return send
