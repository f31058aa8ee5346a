"""One connection to the Asterisk Manager Interface.

Actions are pipelined: Asterisk runs those of one connection strictly in order, and their answers are matched by
ActionID. Nothing is ever sent twice. When the connection ends, so does every answer that is waited for.

Asterisk writes a queue's state while it holds that queue's lock. Once its socket is full it waits for a reader slower
than `writetimeout` (100 ms) that long with every single message, and disconnects it only then. So this side never stops
reading for longer than REST: what arrives goes to its consumer.

What arrives is taken apart in steps of STEP_SECONDS. While some of it waits for the next step, nothing is read: so an
Asterisk that sends without end fills its own socket, and everybody else on this event loop has his turn. Nothing is
kept of an event but the name of its member, until the end of the step.
"""

import asyncio
import contextlib
import copy
import hashlib
import ssl
from collections.abc import Callable, Iterable
from typing import cast

import msgspec

from plantel.ami import wire
from plantel.ami.limits import IN_FLIGHT_MOST, PIECE_BYTES, STEP_SECONDS, WHOLE_SECONDS
from plantel.errors import (
    SwitchError,
    SwitchLoginRefused,
    SwitchNotReady,
    SwitchProtocol,
    SwitchTimeout,
    SwitchTooMuch,
    SwitchUnreachable,
)
from plantel.secret import Secret

REST_FROM = 128
"""While so many answers are outstanding, they are read in handfuls: see REST."""

REST = 0.005
"""Seconds without reading after each handful. To be woken for every single answer costs both sides, Asterisk's busy
thread included; this is far from its `writetimeout`, and from running out of actions to carry out. Likewise after a
step that was cut short among events: without end, they take a third of the loop's time."""

EVENTS = "agent,system"
"""The event classes asked for: changes of queue members; boot, shutdown and reload."""


class Endpoint(msgspec.Struct, frozen=True):
    """Where and as whom to log in. With `tls` the port must be that of `tlsbindaddr` in manager.conf."""

    server: str
    host: str
    port: int
    username: str
    secret: Secret
    tls: ssl.SSLContext | None = None

    def __repr__(self) -> str:
        return f"Endpoint({self.server!r}, {self.host!r}, {self.port}, {self.username!r})"


class Deadlines(msgspec.Struct, frozen=True):
    """How long to wait, in seconds.

    connect    for the TCP (and TLS) connection
    login      for the banner and the login; Asterisk itself waits 1 s before it refuses one
    boot       for FullyBooted after the login
    answer     for the next answer while any is outstanding
    whole      from the first answer to what was asked in one go to the last
    idle       without a word from Asterisk until a Ping asks whether it is still there
    """

    connect: float = 5.0
    login: float = 5.0
    boot: float = 5.0
    answer: float = 10.0
    whole: float = WHOLE_SECONDS
    idle: float = 20.0


_NO_ITEM = (b"\r\n", b"\r\n")
"""No message begins so."""


class _Call:
    """A run of actions whose answers go to the same place."""

    __slots__ = ("answered", "done", "end", "error", "item", "left", "sealed", "seconds")

    def __init__(
        self,
        done: asyncio.Future[None],
        answered: Callable[[int, wire.Message], None],
        item: Callable[[wire.Message], None],
        seconds: float,
    ) -> None:
        self.done = done
        self.answered = answered
        self.item = item
        self.seconds = seconds
        """From the first word to the last."""
        self.end: asyncio.TimerHandle | None = None
        self.left = 0
        self.sealed = False
        self.error: SwitchError | None = None

    def settle(self) -> None:
        if (self.error or (self.sealed and not self.left)) and not self.done.done():
            self.done.set_result(None)
            if self.end is not None:
                self.end.cancel()


def _seconds(uptime: str) -> int:
    """Of FullyBooted; one that begins to run has none to tell. Raises ValueError."""
    return wire.number(uptime) if uptime else 0


def _ignore(_message: wire.Message) -> None:
    pass


class Connection(asyncio.Protocol):
    """A connection that is logged in, from `connect`. Its methods raise SwitchError once it has ended."""

    def __init__(
        self,
        endpoint: Endpoint,
        deadlines: Deadlines,
        on_event: Callable[[wire.Message], None],
        on_lost: Callable[[], None],
    ) -> None:
        self._endpoint = endpoint
        self._deadlines = deadlines
        self._on_event = on_event
        self._on_lost = on_lost
        self._loop = asyncio.get_running_loop()
        self._decoder = wire.Decoder()
        self._transport: asyncio.Transport | None = None
        self._unread = bytearray()
        """What arrived and is not taken apart so far."""
        self._unasked = False
        """Whether this step has read anything that is no answer."""
        self._pending: dict[str, tuple[_Call, int]] = {}
        self._first, self._last = _NO_ITEM
        """The first and the last line of the newest item, which tell its event and its ActionID."""
        self._item: Callable[[wire.Message], None] = _ignore
        """Where it went."""
        self._count = 0
        self._writable = True
        self._sending = asyncio.Lock()
        self._room: list[asyncio.Future[None]] = []
        self._end: SwitchError | None = None
        self._gone = asyncio.Event()
        self._ready = False
        self._booted = asyncio.Event()
        self.started: float | None = None
        """When Asterisk was started, on the loop's clock, to a second; None to a user without `read = system`."""
        self._heard_at = self._moved_at = self._loop.time()
        self._watch: asyncio.TimerHandle | None = None

    @property
    def ended(self) -> bool:
        """Whether this connection is of no more use."""
        return self._end is not None

    @property
    def banner(self) -> str:
        """The server's first line: `Asterisk Call Manager/` and the version of the protocol."""
        return self._decoder.banner or ""

    @property
    def booted(self) -> bool:
        """Whether Asterisk said FullyBooted. It says so only to a user with `read = system`."""
        return self._booted.is_set()

    # --- sending ---

    async def pipeline(
        self,
        actions: Iterable[bytes],
        answered: Callable[[int, wire.Message], None],
        item: Callable[[wire.Message], None] = _ignore,
        *,
        seconds: float | None = None,
    ) -> None:
        """Send encoded actions (without ActionID) in order, and return when each has its answer.

        Of several calls at the same time, one's actions all leave before the next one's.

        `answered` gets the number of the action, from 0, with its response; for an action that answers with a list,
        with the event that completes it. `item` gets the events of such lists, as they come. Both run while reading:
        they must be quick, and what they raise must be wire.Malformed or wire.TooMuch. Raises SwitchError where the
        connection ends first. Cancelling stops sending; what was sent takes its course. `seconds`: in place of the
        deadline `whole`.
        """
        call = _Call(self._loop.create_future(), answered, item, seconds or self._deadlines.whole)
        async with self._sending:
            await self._send(call, actions)
        if self._end is not None:
            raise copy.copy(self._end)
        call.sealed = True
        call.settle()
        await call.done
        if call.error is not None:
            raise copy.copy(call.error)

    async def _send(self, call: _Call, actions: Iterable[bytes]) -> None:
        block = bytearray()
        for number, action in enumerate(actions):
            if len(self._pending) >= IN_FLIGHT_MOST or not self._writable:
                self._write(block)
                await self._wait_for_room()
            if self._end is not None:
                return
            block += b"ActionID: %d\r\n%b" % (self._expect(call, number), action)
        self._write(block)

    async def request(self, action: bytes, item: Callable[[wire.Message], None] = _ignore) -> wire.Message:
        """Send one action; returns what `pipeline` gives to `answered`."""
        answers: list[wire.Message] = []
        await self.pipeline([action], lambda _, answer: answers.append(answer), item)
        return answers[0]

    def _expect(self, call: _Call, number: int) -> int:
        """The ActionID under which the answer to action `number` of `call` will be known."""
        self._count += 1
        self._pending[str(self._count)] = (call, number)
        call.left += 1
        if len(self._pending) == 1:
            self._moved_at = self._loop.time()
            self._watch_again()
        return self._count

    def _write(self, block: bytearray) -> None:
        if block and self._end is None:
            assert self._transport is not None
            self._transport.write(bytes(block))
        block.clear()

    async def _wait_for_room(self) -> None:
        # Half of the places are free when this returns, so that actions leave in blocks, not one by one.
        while self._end is None and (len(self._pending) > IN_FLIGHT_MOST // 2 or not self._writable):
            waiter = self._loop.create_future()
            self._room.append(waiter)
            await waiter

    def _make_room(self) -> None:
        for waiter in self._room:
            if not waiter.done():
                waiter.set_result(None)
        self._room.clear()

    # --- what the transport calls ---

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)

    def pause_writing(self) -> None:
        self._writable = False

    def resume_writing(self) -> None:
        self._writable = True
        self._make_room()

    def data_received(self, data: bytes) -> None:
        waiting = bool(self._unread)
        self._unread += data
        if not waiting:
            self._step()

    def _step(self) -> None:
        """Take apart what arrived, for STEP_SECONDS at most."""
        assert self._transport is not None
        if self._end is not None:
            self._unread.clear()
            return
        self._heard_at = self._loop.time()
        self._unasked = False
        at = 0
        while at < len(self._unread) and self._end is None:
            self._take(bytes(self._unread[at : at + PIECE_BYTES]))
            at += PIECE_BYTES
            if self._loop.time() - self._heard_at > STEP_SECONDS:
                break
        del self._unread[:at]
        if self._transport.is_closing():
            return
        if self._unread:
            self._transport.pause_reading()
            if self._unasked:
                self._loop.call_later(REST, self._step)
            else:
                self._loop.call_soon(self._step)
        elif len(self._pending) >= REST_FROM:
            self._transport.pause_reading()
            self._loop.call_later(REST, self._read_on)
        else:
            self._read_on()

    def _take(self, piece: bytes) -> None:
        try:
            for message in self._decoder.feed(piece):
                # 50,000 in a row begin and end alike: so they are told with as little as possible
                if message.block.startswith(self._first) and message.block.endswith(self._last):
                    self._moved_at = self._heard_at
                    self._item(message)
                else:
                    self._receive(message)
        except wire.Malformed as error:
            self._finish(SwitchProtocol(server=self._endpoint.server, detail=wire.told(str(error))))
        except wire.TooMuch as error:
            self._finish(SwitchTooMuch(server=self._endpoint.server, what=error.what, most=error.most))

    def _read_on(self) -> None:
        assert self._transport is not None
        if not (self._unread or self._transport.is_closing()):
            self._transport.resume_reading()

    def connection_lost(self, exc: Exception | None) -> None:
        self._gone.set()
        detail = wire.told(str(exc)) if exc else "Asterisk closed the connection"
        self._finish(SwitchUnreachable(server=self._endpoint.server, detail=detail))

    def _receive(self, message: wire.Message) -> None:
        action_id = message.action_id
        entry = self._pending.get(action_id) if action_id is not None else None
        if entry is None:
            self._hear(message)
            return
        assert action_id is not None
        self._moved_at = self._heard_at
        call, number = entry
        if call.end is None:
            call.end = self._loop.call_later(call.seconds, self._out_of_time, call)
        if message.is_item:
            first, last = message.ends
            if last == b"\r\nActionID: " + action_id.encode():
                self._first, self._last, self._item = first, last, call.item
            call.item(message)
            return
        self._first, self._last = _NO_ITEM
        if message.headers.get("EventList") == "start":
            return
        call.answered(number, message)  # while it is pending: if the answer is malformed, the call ends with that
        del self._pending[action_id]
        call.left -= 1
        call.settle()
        if not self._pending:
            self._watch_again()
        if self._room and self._writable and len(self._pending) <= IN_FLIGHT_MOST // 2:
            self._make_room()

    def _hear(self, message: wire.Message) -> None:
        self._unasked = True
        event = message.headers.get("Event")
        if event == "FullyBooted":
            self._booted.set()
            try:
                self.started = self._heard_at - _seconds(message.headers.get("Uptime", ""))
            except ValueError as error:
                raise wire.Malformed(f"FullyBooted: {error}") from None
        if event is not None and self._ready:
            self._on_event(message)

    def _finish(self, error: SwitchError) -> None:
        if self._end is not None:
            return
        self._end = error
        if self._watch is not None:
            self._watch.cancel()
        if self._transport is not None:
            self._transport.abort()
        for call, _ in self._pending.values():
            call.error = error
            call.settle()
        self._pending.clear()
        self._make_room()
        self._booted.set()
        if self._ready:
            self._on_lost()

    # --- deadlines ---

    def _watch_again(self) -> None:
        # Called where answers begin or cease to be outstanding; in between, and at each word heard, `_check` finds out
        # by itself that it comes too early.
        if self._watch is not None:
            self._watch.cancel()
        due = self._moved_at + self._deadlines.answer if self._pending else self._heard_at + self._deadlines.idle
        self._watch = self._loop.call_at(due, self._check)

    def _check(self) -> None:
        now = self._loop.time()
        if self._pending and now >= self._moved_at + self._deadlines.answer:
            self._finish(SwitchTimeout(server=self._endpoint.server, seconds=self._deadlines.answer))
        elif not self._pending and now >= self._heard_at + self._deadlines.idle:
            self._ping()
        else:
            self._watch_again()

    def _out_of_time(self, call: _Call) -> None:
        if call.left:
            self._finish(SwitchTimeout(server=self._endpoint.server, seconds=call.seconds))

    def _ping(self) -> None:
        call = _Call(self._loop.create_future(), lambda _number, _answer: None, _ignore, self._deadlines.whole)
        call.sealed = True
        self._write(bytearray(b"ActionID: %d\r\nAction: Ping\r\n\r\n" % self._expect(call, 0)))

    # --- beginning and end ---

    async def log_in(self) -> None:
        """Log in by MD5 challenge: the secret itself never leaves, with TLS or without. Raises SwitchError."""
        endpoint = self._endpoint
        challenge = await self.request(wire.encode([("Action", "Challenge"), ("AuthType", "MD5")]))
        if not challenge.succeeded or "Challenge" not in challenge.headers:
            raise SwitchProtocol(server=endpoint.server, detail=f"no MD5 challenge: {wire.told(challenge.text)}")
        answer = hashlib.md5(
            (challenge.headers["Challenge"] + endpoint.secret.reveal()).encode("utf-8", "surrogateescape"),
            usedforsecurity=False,
        )
        login = await self.request(
            wire.encode(
                [
                    ("Action", "Login"),
                    ("AuthType", "MD5"),
                    ("Username", endpoint.username),
                    ("Key", answer.hexdigest()),
                    ("Events", EVENTS),
                ]
            )
        )
        if not login.succeeded:
            raise SwitchLoginRefused(server=endpoint.server, username=endpoint.username, detail=wire.told(login.text))

    async def wait_until_booted(self) -> None:
        """Return once Asterisk has finished starting. Raises SwitchNotReady where it has not within `boot` seconds.

        A booted Asterisk says FullyBooted right after the login, if the user has `read = system`. A user who has not
        waits in vain: so in the end it is enough that the queue module answers.
        """
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self._deadlines.boot):
                await self._booted.wait()
        if self._end is not None:
            raise copy.copy(self._end)
        if not self._booted.is_set():
            answer = await self.request(wire.encode([("Action", "QueueSummary"), ("Queue", "-")]))
            if not answer.succeeded:
                raise SwitchNotReady(server=self._endpoint.server)

    def open(self) -> None:
        """From now on, events and the loss of the connection are reported."""
        if self._end is not None:
            raise copy.copy(self._end)
        self._ready = True

    def abort(self, reason: str = "the connection was ended here") -> None:
        """End the connection at once."""
        self._finish(SwitchUnreachable(server=self._endpoint.server, detail=reason))

    async def close(self) -> None:
        """Log off, end the connection and wait until it is gone."""
        if self._end is None:
            self._ready = False
            self._write(bytearray(b"Action: Logoff\r\n\r\n"))
            assert self._transport is not None
            self._transport.close()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._deadlines.answer):
                    await self._gone.wait()
            self.abort()
        await self._gone.wait()


async def connect(
    endpoint: Endpoint, deadlines: Deadlines, on_event: Callable[[wire.Message], None], on_lost: Callable[[], None]
) -> Connection:
    """A connection that is logged in to a booted Asterisk.

    `on_event` gets every event that is no part of an answer; `on_lost` is called once, when the connection ends other
    than by `close`. Raises SwitchError: Unreachable, Timeout, Protocol, TooMuch, LoginRefused, NotReady.
    """
    connection = Connection(endpoint, deadlines, on_event, on_lost)
    try:
        async with asyncio.timeout(deadlines.connect):
            await asyncio.get_running_loop().create_connection(
                lambda: connection, endpoint.host, endpoint.port, ssl=endpoint.tls
            )
    except TimeoutError:
        raise SwitchTimeout(server=endpoint.server, seconds=deadlines.connect) from None
    except OSError as error:
        raise SwitchUnreachable(server=endpoint.server, detail=wire.told(str(error))) from error
    try:
        async with asyncio.timeout(deadlines.login):
            await connection.log_in()
        await connection.wait_until_booted()
        connection.open()
    except BaseException as error:
        connection.abort()
        await connection.close()
        if isinstance(error, TimeoutError):
            raise SwitchTimeout(server=endpoint.server, seconds=deadlines.login) from None
        raise
    return connection
