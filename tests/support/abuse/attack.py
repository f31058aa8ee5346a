"""Attacks as data, the attacker's side of a connection, and what is measured while one goes on."""

import asyncio
import contextlib
import itertools
import json
import resource
import ssl
import statistics
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator, Mapping
from datetime import UTC, datetime
from typing import Literal, NamedTuple, Self
from urllib.parse import quote_plus

import argon2
import msgspec

from plantel.access import Role, User
from plantel.wiring import Plantel, operator
from tests.support.abuse.bystander import Bystander, Kind, Record, Site, Task
from tests.support.abuse.footprint import Footprint, footprint, forget_peak
from tests.support.abuse.http1 import ADD, API, LOG_IN, request
from tests.support.integrator import within
from tests.support.server import PlantelServer, make_token

MIB = 2**20

Who = Literal["stranger", "reader", "integrator", "admin of one campaign", "admin of another instance"]

Send = Callable[["Attacker"], Awaitable[None]]
"""Does harm once, with the credentials and over the connections of the one who is given."""

BYSTANDERS = "Bystanders"
"""The campaign of those who are not to notice anything."""

LARGE, ALIKE, MINE = "Large", "Alike", "Mine"
"""A campaign of LARGE_SIZE members; one whose members have names that are much alike; that of an admin of only it."""

LARGE_SIZE, ALIKE_SIZE = 5000, 2000
OTHER_HOST = "other.example.com"

CONFIG = f"""
[[instance]]
name = "default"
[[instance]]
name = "other"
hosts = ["{OTHER_HOST}"]
"""

HTTP = {"header_timeout": "3s", "body_timeout": "3s"}
"""Of a server under attack: what times out does so within a test."""

USER, PASSWORD = "ana", "una contraseña & más de 12"

ALWAYS = (Task("add", 20.0), Task("newcomer", 2.0))


class Attack(msgspec.Struct, frozen=True):
    """One way to do harm.

    who        whose credentials it takes
    send       does it once; it is done again and again, by `side` at the same time
    tls        whether it takes a server with TLS
    right      the statuses that may answer it; empty where any but 5xx is right. 0: the connection was closed
    memory     MiB that the server may take for a moment, more than before
    full       whether it leaves no room for new connections while it lasts
    rare       whether it is left to `make abuse`: it is much like another
    """

    name: str
    who: Who
    send: Send
    side: int = 2
    tls: bool = False
    right: frozenset[int] = frozenset()
    memory: int = 192
    full: bool = False
    rare: bool = False


class Attacker:
    """One who attacks: from an address of its own, with the token that it has (if any)."""

    def __init__(self, port: int, context: ssl.SSLContext | None, token: str, who: Who) -> None:
        self.port = port
        self.token = token
        self.host = OTHER_HOST if who == "admin of another instance" else "localhost"
        self.seen: Counter[int] = Counter()
        """How often each status answered; 0 where the connection was closed without one."""
        self.count = itertools.count()
        self.connections = 0
        """How many have been opened."""
        self._context = context
        self._unverified = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        self._unverified.check_hostname, self._unverified.verify_mode = False, ssl.CERT_NONE
        self._writers: set[asyncio.StreamWriter] = set()

    async def connect(
        self, *, address: str = "127.0.0.66", alpn: str = "", tls: bool = True
    ) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """A connection, from `address`; `tls` false leaves it plain on whatever port."""
        context = self._context if tls else None
        if context is not None and alpn:
            context = self._unverified
            context.set_alpn_protocols([alpn])
        reader, writer = await asyncio.open_connection(
            "127.0.0.1",
            self.port,
            ssl=context,
            server_hostname="localhost" if context else None,
            local_addr=(address, 0),
            limit=64 * MIB,
        )
        self._writers.add(writer)
        self.connections += 1
        return reader, writer

    def leave(self, writer: asyncio.StreamWriter) -> None:
        """End a connection at once."""
        self._writers.discard(writer)
        writer.transport.abort()

    async def ask(self, raw: bytes, *, address: str = "127.0.0.66") -> int:
        """Send `raw` over a new connection, read one answer to its end; its status, noted in `seen`."""
        try:
            reader, writer = await self.connect(address=address)
        except OSError:
            return self.note(0)
        sending = asyncio.ensure_future(push(writer, raw))
        try:
            return self.note((await read_answer(reader))[0])
        finally:
            sending.cancel()
            self.leave(writer)

    def note(self, status: int) -> int:
        self.seen[status] += 1
        return status

    def close(self) -> None:
        for writer in list(self._writers):
            self.leave(writer)


async def push(writer: asyncio.StreamWriter, raw: bytes) -> None:
    """Send it, as far as the other side takes it."""
    with contextlib.suppress(OSError):
        writer.write(raw)
        await writer.drain()


async def read_answer(reader: asyncio.StreamReader) -> tuple[int, bytes]:
    """Status and body of one HTTP/1.1 answer; 0 where none comes."""
    try:
        head = await reader.readuntil(b"\r\n\r\n")
        length = next(
            (int(line[15:]) for line in head.split(b"\r\n") if line.lower().startswith(b"content-length:")), 0
        )
        return int(head.split(None, 2)[1]), await reader.readexactly(length)
    except (OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
        return 0, b""


class Outcome(NamedTuple):
    """How it went: what the bystanders saw; the attacker's connections and answers; the server before and after."""

    bystanders: Mapping[Kind, Record]
    connections: int
    answers: Mapping[int, int]
    before: Footprint
    peak: int
    after: Footprint
    settled: bool

    def wait(self, percent: float, kind: Kind = "add") -> float:
        """Seconds that so many of a hundred waited at most."""
        waits = sorted(self.bystanders[kind].waits)
        return waits[min(len(waits) - 1, int(len(waits) * percent / 100))]

    def median(self, kind: Kind = "add") -> float:
        return statistics.median(self.bystanders[kind].waits)


class AttackedServer:
    """A running Plantel with all that attacks take: campaigns, large and small, and a token of each kind."""

    def __init__(self, server: PlantelServer) -> None:
        self.server = server
        self.tokens = server.beside(_furnish)
        self.token = self.tokens["bystander"]
        self._runs = itertools.count()

    @contextlib.contextmanager
    def running(self) -> Iterator[Self]:
        """It is, within the block."""
        try:
            self.start()
            yield self
        finally:
            if self.server.process is not None:
                self.server.kill()

    def start(self) -> None:
        """Start it, and have it do each kind of work once: what is made for good is there before it is measured."""
        self.server.start()
        asyncio.run(self._warm_up())

    def restart(self) -> None:
        """After an attack that it did not stand, for the next one to find it well."""
        if self.server.process is not None:
            self.server.kill()
        self.start()

    async def _warm_up(self) -> None:
        alike = [_item(f"alike {n:04} {'alike ' * 10}", ALIKE, f"SIP/{n}") for n in range(ALIKE_SIZE)]
        large = [_item(f"agent-{n}", LARGE, f"SIP/{n}") for n in range(LARGE_SIZE)]
        attacker = self.attacker("integrator")
        token = attacker.token
        forms = [b"queuemember=" + quote_plus(json.dumps(each)).encode() for each in (alike, large, large)]
        await asyncio.gather(*(attacker.ask(request("POST", ADD, body, token=token)) for body in forms))
        await attacker.ask(request("POST", LOG_IN, b"user=nobody&password=x"))
        paths: tuple[str, ...] = (
            f"why?agent=agent-1&campaign={LARGE}",
            f"members?campaign={LARGE}",
            "batches",
            "journal",
        )
        paths += (f"members?campaign={LARGE}&at=2099-01-01T00:00:00Z", "schema/openapi.json")
        # several at a time: the store opens a connection for each of its readers when it is first needed
        asked = [attacker.ask(request("GET", API + path, token=token)) for path in paths * 4]
        assert set(await asyncio.gather(*asked)) <= {200, 503}
        attacker.close()

    @property
    def pid(self) -> int:
        assert self.server.process is not None
        return self.server.process.pid

    def context(self) -> ssl.SSLContext | None:
        return None if self.server.certificate is None else self.server.context

    def attacker(self, who: Who) -> Attacker:
        return Attacker(self.server.port, self.context(), self.tokens[who], who)

    def measure(
        self, attack: Attack | None, seconds: float, tasks: tuple[Task, ...] = ALWAYS, patience: float = 15.0
    ) -> Outcome:
        """What happens while `attack` (nothing, if None) goes on for so long, and within `patience` of its end."""
        before = footprint(self.pid)
        forget_peak(self.pid)
        site = Site(
            self.server.port,
            str(self.server.ca) if self.server.certificate else "",
            self.token,
            USER,
            PASSWORD,
            BYSTANDERS,
            f"{next(self._runs)}",
        )
        attacker = self.attacker("stranger" if attack is None else attack.who)
        with Bystander(site, tasks) as bystander:
            asyncio.run(_go_on(attack, attacker, seconds))
            records = bystander.finish()
        peak = footprint(self.pid).peak
        settled = within(patience, lambda: is_as_before(before, footprint(self.pid)))
        return Outcome(records, attacker.connections, attacker.seen, before, peak, footprint(self.pid), settled)


async def _furnish(plantel: Plantel) -> dict[str, str]:
    """Campaigns, a user, and the tokens of all who attack and of those who do not."""
    for campaign in (BYSTANDERS, LARGE, ALIKE, MINE):
        await plantel.instances["default"].service.declare(operator(), campaign)
    user = User("default", USER, argon2.PasswordHasher().hash(PASSWORD), Role.INTEGRATOR, (), datetime.now(UTC))
    await plantel.store.write(lambda transaction: transaction.put_user(user))
    return {
        "bystander": await make_token(plantel, "bystander"),
        "stranger": "",
        "reader": await make_token(plantel, "reader", Role.READER),
        "integrator": await make_token(plantel, "integrator", Role.INTEGRATOR),
        "admin of one campaign": await make_token(plantel, "mine", Role.ADMIN, (MINE,)),
        "admin of another instance": await make_token(plantel, "other", instance="other"),
    }


def _item(name: str, campaign: str, phone: str) -> dict[str, str]:
    return {"membername": name, "queueName": campaign, "interface1": phone, "penalty": "0", "paused": "0"}


def is_as_before(before: Footprint, now: Footprint) -> bool:
    """Whether nothing is left of an attack.

    Memory counts as given back to a tenth, or to 16 MiB where that is more: what the allocator keeps of freed pages,
    and caches that are full now. The database opens a file or two when they are first needed. A thread pool keeps the
    threads that it was first made to start; all pools have fewer than 32 together, while a thread left behind by each
    request would be hundreds.
    """
    return (
        now.resident <= before.resident + max(before.resident // 10, 16 * MIB)
        and now.descriptors <= before.descriptors + 4
        and now.threads <= before.threads + 32
    )


async def _go_on(attack: Attack | None, attacker: Attacker, seconds: float) -> None:
    if attack is None:
        await asyncio.sleep(seconds)
        return
    over = asyncio.get_running_loop().time() + seconds
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout_at(over), asyncio.TaskGroup() as group:
            for _ in range(attack.side):
                group.create_task(_again_and_again(attack, attacker))
    attacker.close()
    await asyncio.sleep(0)  # connections that were aborted are closed in the next turn


async def _again_and_again(attack: Attack, attacker: Attacker) -> None:
    while True:
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            await attack.send(attacker)
        await asyncio.sleep(0)


def lost(server: PlantelServer, outcome: Outcome) -> set[str]:
    """The members that were answered `1` and are not in the roster."""
    there = {one["membername"] for one in server.members(BYSTANDERS)}
    return {name for record in outcome.bystanders.values() for name in record.stored} - there


@contextlib.contextmanager
def many_descriptors() -> Iterator[None]:
    """Let this process open as many as it is allowed to."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
