"""An AMI server in memory: `AppQueue` behind a real socket, and the ways in which a real one fails, at will."""

import asyncio
import contextlib
import hashlib
import re
import secrets
import ssl
import time
from collections.abc import Iterable, Mapping
from types import TracebackType
from typing import Self

from plantel.plan import LiveMember
from plantel.testing.app_queue import Answer, AppQueue
from plantel.why.closeup import QueueRules

Headers = Mapping[str, str]
"""An action as it was read."""

_Block = tuple[tuple[str, object], ...]

_FULLY_BOOTED: _Block = (("Event", "FullyBooted"), ("Privilege", "system,all"), ("Status", "Fully Booted"))

# The classes of which an action needs one for writing, as ListCommands of Asterisk 16 has them; "" is none.
_ACTIONS = {
    "Challenge": "",
    "Login": "",
    "Logoff": "",
    "Ping": "",
    "Events": "",
    "ListCommands": "",
    "CoreSettings": "system,reporting",
    "ModuleCheck": "system",
    "Getvar": "call,reporting",
    "QueueStatus": "",
    "QueueSummary": "",
    "QueueAdd": "agent",
    "QueueRemove": "agent",
    "QueuePenalty": "agent",
    "QueuePause": "agent",
}


_ITEMS = {("Event", "QueueParams"), ("Event", "QueueMember"), ("Event", "QueueSummary")}

_FUNCTION = re.compile(r"(\w+)\((.*)\)")


class _Session:
    """One connection: who logged in ("" until then), and the events it wants."""

    def __init__(self, writer: asyncio.StreamWriter) -> None:
        self.writer = writer
        self.challenge = ""
        self.username = ""
        self.events: frozenset[str] = frozenset()

    def send(self, *headers: tuple[str, object]) -> None:
        self.writer.write(_encode(headers))


class AmiServer:
    """Listens on a free port of loopback while it is entered as an asynchronous context.

    `pbx` is the state; what changes there is sent as an event. `received` holds every action that came, as its headers.
    What can be made to go wrong, at any moment:

    banner         the first line, or whatever stands in its place
    booted         False: logins work, the queue module does not, and FullyBooted does not come until `boot`
    read, write    the classes of the user; without `agent` in `write` changes are denied
    others         further users, with the same secret, and the classes that each may write
    silent         actions are carried out and never answered, the login included
    deaf           actions are not even read
    delay          seconds before each answer
    cut_after      so many more actions are answered; the next is carried out, but half its answer is sent, then the
                   connection closes
    """

    def __init__(
        self,
        queues: Iterable[str] = (),
        *,
        username: str = "plantel",
        secret: str = "secret",  # noqa: S107 - of a server that exists for a test
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self.pbx = AppQueue()
        for queue in queues:
            self.pbx.configure(queue)
        self.pbx.watchers.append(self._changed)
        self.host = "127.0.0.1"
        self.port = 0
        self.username = username
        self.secret = secret
        self.received: list[Headers] = []
        self.banner = b"Asterisk Call Manager/5.0.4\r\n"
        self.booted = True
        self.read = frozenset({"agent", "system"})
        self.write = frozenset({"agent"})
        self.others: dict[str, frozenset[str]] = {}
        self.silent = False
        self.deaf = False
        self.delay = 0.0
        self.cut_after: int | None = None
        self._tls = tls
        self._server: asyncio.Server | None = None
        self._sessions: dict[asyncio.Task[None], _Session] = {}
        self._arrival = asyncio.Event()

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.stop()

    async def start(self) -> None:
        """Listen; after a `stop`, on the same port."""
        self._server = await asyncio.start_server(self._accept, self.host, self.port, ssl=self._tls)
        self.port = self._server.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        """Close every connection, and listen no more. The queues stay as they are."""
        if self._server is not None:
            self._server.close()
            await self.cut()
            await self._server.wait_closed()
            self._server = None

    async def restart(self) -> None:
        """What a restart of Asterisk does: Shutdown, connections closed, dynamic members gone."""
        self.broadcast("system", ("Event", "Shutdown"), ("Shutdown", "Cleanly"), ("Restart", "True"))
        await self.stop()
        self.pbx.restart()
        await self.start()

    async def cut(self) -> None:
        """Close every connection."""
        tasks = list(self._sessions)
        for session in self._sessions.values():
            session.writer.close()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def got(self, action: str, times: int = 1, seconds: float = 5.0) -> None:
        """Return once an action of that name has come so many times in all. Raises TimeoutError."""
        async with asyncio.timeout(seconds):
            while sum(each.get("Action") == action for each in self.received) < times:
                self._arrival.clear()
                await self._arrival.wait()

    def boot(self) -> None:
        """Finish starting."""
        self.booted = True
        self.broadcast("system", *_FULLY_BOOTED)

    def broadcast(self, kind: str, *headers: tuple[str, object]) -> None:
        """Send an event of the class `kind` to whoever may read it and wants it."""
        if kind in self.read:
            for session in self._sessions.values():
                if kind in session.events:
                    session.send(*headers)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        session = _Session(writer)
        self._sessions[task] = session
        try:
            writer.write(self.banner)
            with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError, asyncio.CancelledError):
                await self._serve(reader, session)
        finally:
            del self._sessions[task]
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()

    async def _serve(self, reader: asyncio.StreamReader, session: _Session) -> None:
        while not self.deaf:
            action = read_action(await reader.readuntil(b"\r\n\r\n"))
            self.received.append(action)
            self._arrival.set()
            answer = b"".join(map(_encode, self._run(session, action)))
            if self.silent:
                continue
            if self.delay:
                await asyncio.sleep(self.delay)
            if self.cut_after is not None and session.username and action["Action"] != "Login":
                self.cut_after -= 1
                if self.cut_after < 0:
                    self.cut_after = None
                    session.writer.write(answer[: len(answer) // 2])
                    return
            session.writer.write(answer)
            await session.writer.drain()
            if action["Action"] == "Logoff":
                return
        await asyncio.Event().wait()

    def _run(self, session: _Session, action: Headers) -> list[_Block]:
        name = action.get("Action", "")
        if name not in _ACTIONS or (name.startswith("Queue") and not self.booted):
            blocks = [_error(f"Invalid/unknown command: {name}.")]
        elif not (session.username or name in {"Challenge", "Login"}) or not self._may(session, name):
            blocks = [_error("Permission denied")]
        elif name in {"QueueStatus", "QueueSummary"}:
            blocks = self._list(name, action.get("Queue"), action.get("Member"))
        elif name.startswith("Queue"):
            done = self._change(name, action)
            blocks = [_success(("Message", done))] if done.succeeded else [_error(done)]
        else:
            blocks = self._converse(name, session, action)
        if "ActionID" not in action:
            return blocks
        echo = ("ActionID", action["ActionID"])
        return [_with_echo(block, echo) for block in blocks]

    def _may(self, session: _Session, name: str) -> bool:
        write = self.others.get(session.username, self.write)
        return not _ACTIONS[name] or not write.isdisjoint(_ACTIONS[name].split(","))

    def _converse(self, name: str, session: _Session, action: Headers) -> list[_Block]:
        match name:
            case "Challenge":
                session.challenge = secrets.token_hex(4)
                return [_success(("Challenge", session.challenge))]
            case "Login":
                return self._log_in(session, action)
            case "Logoff":
                return [(("Response", "Goodbye"), ("Message", "Thanks for all the fish."))]
            case "Events":
                session.events = _classes(action.get("EventMask", ""))
                return [_success(("Events", "On" if session.events else "Off"))]
            case _:
                return [self._tell(name, session, action)]

    def _tell(self, name: str, session: _Session, action: Headers) -> _Block:
        match name:
            case "ListCommands":
                return _success(
                    *((each, "What it does.  (Priv: ...)") for each in _ACTIONS if self._may(session, each))
                )
            case "CoreSettings":
                return _success(("AsteriskVersion", "16.28.0"))
            case "ModuleCheck":
                return _success() if action.get("Module") == "chan_sip" else _error("Module not loaded")
            case "Getvar":
                variable = action.get("Variable", "")
                return _success(("Variable", variable), ("Value", self._evaluate(variable)))
            case _:
                return _success(("Ping", "Pong"), ("Timestamp", f"{time.time():.6f}"))

    def _evaluate(self, expression: str) -> str:
        """The value of a dialplan function; "" of one that there is not."""
        called = _FUNCTION.fullmatch(expression)
        function, arguments = called.groups() if called else ("", "")
        match function, arguments.split(","):
            case "DEVICE_STATE", [interface]:
                return self.pbx.device(interface).name
            case "QUEUE_MEMBER", [queue, "ringinuse", interface]:
                seen = self.pbx.closeup(queue, interface, told=True)
                return str(int(seen is not None and bool(seen.ring_in_use)))
            case "AST_CONFIG", ["queues.conf", queue, key]:
                seen = self.pbx.closeup(queue, "", told=True)
                return "" if seen is None or seen.rules is None else _setting(seen.strategy, seen.rules, key)
            case _:
                return ""

    def _log_in(self, session: _Session, action: Headers) -> list[_Block]:
        key = hashlib.md5((session.challenge + self.secret).encode(), usedforsecurity=False).hexdigest()
        if (
            not session.challenge
            or action.get("Username") not in {self.username, *self.others}
            or action.get("Key") != key
        ):
            return [_error("Authentication failed")]
        session.username = action["Username"]
        session.events = _classes(action.get("Events", "agent,system"))
        answers = [_success(("Message", "Authentication accepted"))]
        if self.booted and "system" in self.read & session.events:
            answers.append(_FULLY_BOOTED)
        return answers

    def _list(self, name: str, queue: str | None, only: str | None) -> list[_Block]:
        found: list[_Block] = []
        for each, members in self.pbx.members().items():
            if queue and not self.pbx.same(each, queue):
                continue
            if name == "QueueSummary":
                found.append((("Event", "QueueSummary"), ("Queue", each)))
                continue
            found.append((("Event", "QueueParams"), ("Queue", each), ("Max", 0), ("Strategy", "ringall")))
            found += [
                (
                    ("Event", "QueueMember"),
                    ("Queue", each),
                    ("Name", member.membername),
                    ("Location", member.interface),
                    *_details(member),
                )
                for member in members
                if not only or only in (member.interface, member.membername)
            ]
        return [
            _success(("EventList", "start"), ("Message", "Queue status will follow")),
            *found,
            (("Event", f"{name}Complete"), ("EventList", "Complete"), ("ListItems", len(found))),
        ]

    def _change(self, name: str, action: Headers) -> Answer:
        queue, interface = action.get("Queue", ""), action.get("Interface", "")
        penalty = int(action.get("Penalty", "0"))
        paused = action.get("Paused", "0") == "1"
        match name:
            case "QueueAdd":
                return self.pbx.add(
                    queue, interface, action.get("MemberName", ""), penalty, paused, action.get("StateInterface", "")
                )
            case "QueueRemove":
                return self.pbx.remove(queue, interface)
            case "QueuePenalty":
                return self.pbx.penalise(queue, interface, penalty)
            case _:
                return self.pbx.pause(queue, interface, paused, action.get("Reason", ""))

    def _changed(self, event: str, queue: str, member: LiveMember) -> None:
        self.broadcast(
            "agent",
            ("Event", event),
            ("Privilege", "agent,all"),
            ("Queue", queue),
            ("MemberName", member.membername),
            ("Interface", member.interface),
            *_details(member),
        )


def _setting(strategy: str, rules: QueueRules, key: str) -> str:
    return {"strategy": strategy, "wrapuptime": str(rules.wrapup), "joinempty": rules.join_empty}.get(key, "")


def _success(*headers: tuple[str, object]) -> _Block:
    return (("Response", "Success"), *headers)


def _error(message: str) -> _Block:
    return (("Response", "Error"), ("Message", message))


def _with_echo(block: _Block, echo: tuple[str, object]) -> _Block:
    """Items of a list end with their ActionID; answers and the end of a list have it in second place."""
    if block[0] == _FULLY_BOOTED[0]:
        return block
    return (*block, echo) if block[0] in _ITEMS else (block[0], echo, *block[1:])


def _details(member: LiveMember) -> _Block:
    return (
        ("StateInterface", member.state_interface or member.interface),
        ("Membership", member.membership),
        ("Penalty", member.penalty),
        ("CallsTaken", 0),
        ("LastCall", 0),
        ("LastPause", int(member.once_paused)),
        ("InCall", 0),
        ("Status", member.status),
        ("Paused", int(member.paused)),
        ("PausedReason", member.paused_reason),
        ("Wrapuptime", 0),
    )


def _classes(mask: str) -> frozenset[str]:
    return frozenset(mask.split(",")) - {"off", ""}


def _encode(block: _Block) -> bytes:
    lines = (f"{name}: {value}\r\n" for name, value in block)
    return ("".join(lines) + "\r\n").encode("utf-8", "surrogateescape")


def read_action(block: bytes) -> Headers:
    """An action as Asterisk reads it: a bare LF ends a line, too, and the first of equal headers wins."""
    headers: dict[str, str] = {}
    for line in block.decode("utf-8", "surrogateescape").replace("\r\n", "\n").split("\n"):
        name, colon, value = line.partition(":")
        if colon:
            headers.setdefault(name, value.lstrip(" "))
    return headers
