"""Which connections have to go: a connection that does nothing, that does not read, or that is one too many.

Pure: what was seen of the connections goes in, what has to go comes out. `Reaper` looks and closes.
"""

from collections import defaultdict, deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple

LARGE = 8 * 1024
"""Bytes of an answer beyond which it is booked as owed to its client. The answers of an addition are smaller."""

PACE = 8 * 1024
"""Bytes in a second that a client has to read at least while there is something for him. A modem is as fast."""

OWED = 128 * 2**20
"""Bytes of large answers that may wait for their readers, all connections together."""

ROOM = 16
"""A full house lets go one connection in so many, so that there is room for a while."""

FIRST_WAIT, LAST_WAIT = 1.0, 32.0
"""Seconds for which a network with too many connections gets no new ones: at first, and at most."""

MOST_CROWDS = 100
"""Networks that wait. The kernel compares each new connection's address with theirs, one after another."""

large_answers: deque[tuple[str, int]] = deque(maxlen=16_384)
"""Clients and sizes of the large answers since somebody last looked, e.g. ("127.0.0.1:40100", 131072)."""


class Reason(StrEnum):
    """Why a connection was closed."""

    SILENT = "silent"
    IDLE = "idle"
    NOT_READING = "not_reading"
    FULL = "full"


class Deadlines(NamedTuple):
    """Seconds. `first`: for the first request to arrive. `idle`: between two. `write`: to read what is there."""

    first: float
    idle: float
    write: float


class Asked(NamedTuple):
    """The requests of one connection: how many are under way, and when the last began or ended."""

    under_way: int
    last: float


class Seen(NamedTuple):
    """What the kernel tells of one connection.

    `delivered`: bytes that the peer acknowledged. `unsent`: bytes in the kernel that wait for the peer. `idle`: seconds
    since anything was received or sent. `listening`: this side sent last, or the peer never said anything.
    """

    inode: int
    descriptor: int
    client: str
    network: bytes
    delivered: int
    unsent: int
    idle: float
    listening: bool


@dataclass(slots=True)
class Connection:
    """One connection from the first look at it to the last.

    `asked`: None if no request was seen; only connections over TLS are `attended`, those without have no such record
    and the server library sees to their deadlines. `owed`: bytes of large answers that the client has not read yet.
    """

    seen: Seen
    since: float
    attended: bool
    asked: Asked | None = None
    owed: int = 0
    goal: int = 0
    """`delivered` that has to be reached ..."""
    due: float = 0.0
    """... by then; without meaning if nothing waits."""
    stalled: bool = False
    """Nothing was delivered between the last two looks."""
    closed: bool = False

    @property
    def waiting(self) -> int:
        """Bytes that the client has not read yet, as far as is known. The large answers may be in the kernel by now."""
        return max(self.owed, self.seen.unsent)

    @property
    def busy(self) -> bool:
        """Perhaps a request is being worked on. Over plain HTTP: the client said something, and nothing came back."""
        if self.attended:
            return self.asked is not None and self.asked.under_way > 0
        return not self.seen.listening

    def look(self, seen: Seen, asked: Asked | None, answered: int, now: float, deadlines: Deadlines) -> None:
        """Take in what is seen `now`. `answered`: bytes of large answers since the last look."""
        delivered = seen.delivered - self.seen.delivered
        self.owed = max(self.owed + answered - delivered, 0)
        self.stalled = not delivered
        self.seen = seen
        self.asked = asked
        if not self.waiting or seen.delivered >= self.goal:
            self.goal = seen.delivered + min(self.waiting, int(PACE * deadlines.write))
            self.due = now + deadlines.write


def overdue(connection: Connection, now: float, deadlines: Deadlines) -> Reason | None:
    """Why it has to go; None if it may stay."""
    if connection.waiting:
        return Reason.NOT_READING if now > connection.due else None
    if not connection.attended or connection.busy:
        return None
    if connection.asked is None:
        return Reason.SILENT if now - connection.since > deadlines.first else None
    return Reason.IDLE if now - connection.asked.last > deadlines.idle else None


def surplus(connections: Sequence[Connection], most: int) -> list[Connection]:
    """Those that have to go if there are more than `most`, and a few more; none if there are not.

    They are taken from the network that has most of them, again and again: first the ones without a request, of these
    the one that has been idle longest.
    """
    if len(connections) <= most:
        return []
    networks: dict[bytes, list[Connection]] = defaultdict(list)
    for one in sorted(connections, key=_worth):
        networks[one.seen.network].append(one)
    # in a network of five the least worth has rank 4, as has one in each network that is as large
    ranked = [(rank, one) for them in networks.values() for rank, one in enumerate(them)]
    ranked.sort(key=lambda each: (each[0], _worth(each[1])), reverse=True)
    return [one for _, one in ranked[: len(connections) - most + most // ROOM]]


def _worth(connection: Connection) -> tuple[bool, float]:
    return (not connection.busy, connection.seen.idle)


class Crowds:
    """The networks that had to let go of connections. They have to wait before they get new ones.

    A network waits for FIRST_WAIT seconds, and for twice as long each time that it comes back with too many.
    """

    def __init__(self) -> None:
        self._waits: dict[bytes, tuple[float, float]] = {}
        """Until when, and for how long; who was last refused is last."""

    def refuse(self, networks: Iterable[bytes], now: float) -> None:
        for network in networks:
            until, seconds = self._waits.pop(network, (0.0, 0.0))
            if now >= until:
                seconds = min(seconds * 2, LAST_WAIT) or FIRST_WAIT
                until = now + seconds
            self._waits[network] = (until, seconds)
        while len(self._waits) > MOST_CROWDS:
            del self._waits[next(iter(self._waits))]

    def refused(self, now: float) -> list[bytes]:
        """Those that wait. Who behaved for LAST_WAIT is forgotten."""
        self._waits = {one: wait for one, wait in self._waits.items() if now < wait[0] + LAST_WAIT}
        return sorted(one for one, (until, _) in self._waits.items() if now < until)


def hoarders(connections: Iterable[Connection]) -> list[Connection]:
    """Those that have to go if all together are owed more than OWED: so many of them that the rest is not.

    First the ones that read nothing since the last look, of these the one that is owed most.
    """
    owing = sorted((one for one in connections if one.owed), key=lambda one: (one.stalled, one.owed))
    total = sum(one.owed for one in owing)
    leaving = []
    while total > OWED:
        leaving.append(owing.pop())
        total -= leaving[-1].owed
    return leaving
