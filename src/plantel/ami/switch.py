"""`ports.Switch` over AMI."""

import asyncio
import ssl
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence

from plantel.ami import wire
from plantel.ami.client import Connection, Deadlines, Endpoint, connect
from plantel.ami.delivery import Delivery
from plantel.ami.diagnosis import Diagnosis
from plantel.ami.examination import Examination, device_query, device_state, reread
from plantel.ami.limits import (
    ACTION_SECONDS,
    FIRST_REST,
    LASTING_SECONDS,
    LONGEST_REST,
    NAME_BYTES,
    QUICK_CONNECTIONS,
    WHOLE_SECONDS,
)
from plantel.ami.look import Look
from plantel.device import DeviceState
from plantel.errors import ActionRefused, RereadRefused, SwitchRefused, SwitchUnreachable
from plantel.plan import Action, LiveMember, Snapshot
from plantel.ports import Outcome
from plantel.roster import fold
from plantel.secret import Secret
from plantel.why.closeup import Closeup

SCANS_PER_ITEM = 20
"""How many queues Asterisk passes over, looking for one by its name, in the time that one item of a list takes.

Measured on 16.28: 0.7 microseconds for a queue passed over, 17 for a queue or member listed.
"""

_SAME_START = 1.5
"""Asterisk tells its uptime in whole seconds: the same start may seem to differ by one."""

WITHOUT_CHAN_SIP = 10
"""The first version of AMI whose Asterisk (21) has no chan_sip any more."""

_MEMBER_EVENTS = frozenset(
    {
        "QueueMemberAdded",
        "QueueMemberRemoved",
        "QueueMemberPause",
        "QueueMemberPenalty",
        "QueueMemberRinginuse",
    }
)
_ANYTHING_EVENTS = frozenset({"FullyBooted", "Shutdown", "Reload", "Load", "Unload"})

_STATUS = wire.encode([("Action", "QueueStatus")])


class AmiSwitch:
    """One Asterisk, spoken to over AMI. Connects when first needed, and again for the next look after a loss.

    The AMI user needs `write = agent`; `read = agent,system` lets changes made elsewhere be heard of at once, and
    `write = reporting` lets the state of phones be asked for. All methods raise SwitchError; none tries again. Calls
    may run side by side.
    """

    def __init__(
        self,
        name: str,
        host: str,
        port: int,
        username: str,
        secret: str,
        *,
        tls: ssl.SSLContext | None = None,
        deadlines: Deadlines | None = None,
        rereads: bool = False,
    ) -> None:
        """`rereads`: before each look have Asterisk read the members of its queues anew, where they come from a
        database. QueueStatus alone shows what was read when somebody last called; `write = reporting` is then needed.
        """
        self._endpoint = Endpoint(name, host, port, username, Secret(secret), tls)
        self._deadlines = deadlines or Deadlines()
        self._rereads = rereads
        self._connection: Connection | None = None
        self._looked: Connection | None = None
        """The connection of the last snapshot: changes leave over this one only."""
        self._connecting = asyncio.Lock()
        self._filtered_most = SCANS_PER_ITEM  # as if all queues were empty, until they have been seen
        self._heard: Callable[[str | None, str], None] = lambda _queue, _interface: None
        self._news: list[tuple[str | None, str]] = []
        """Events that were read in this step and are not told of so far."""
        self._made = 0.0
        """When the last connection was made, on the loop's clock."""
        self._brief = 0
        """How many in a row did not last."""
        self._started: float | None = None
        self.restarts = 0

    @property
    def name(self) -> str:
        return self._endpoint.server

    async def snapshot(
        self, queues: Collection[str] | None = None, interfaces: Collection[str] | None = None
    ) -> Snapshot:
        """See `ports.Switch`.

        Queues are asked for by name, in one go, unless they are so many that to read everything is less work: Asterisk
        looks through all its queues for each.
        """
        if queues is None:
            found = await self._everything()
            if self._rereads:
                await self._reread(found)
                found = await self._everything()
            return Snapshot(found)
        asked = {fold(queue): queue for queue in queues}
        if not asked:
            return Snapshot({}, frozenset())
        if self._rereads:
            await self._reread(asked.values())
        if interfaces is not None:
            return await self._members(asked, frozenset(interfaces))
        if len(asked) > self._filtered_most:
            found = await self._everything()
        else:
            found = await self._status(
                [wire.encode([("Action", "QueueStatus"), ("Queue", queue)]) for queue in asked.values()]
            )
        return Snapshot({queue: found[queue] for queue in found if fold(queue) in asked}, frozenset(asked))

    async def apply(self, actions: Sequence[Action]) -> list[Outcome]:
        """See `ports.Switch`. To remove what is not there is done (None). Every action is sent once at most.

        A long run (over `delivery.ECHOED_MOST`) is not heard of by `listen`, and neither is what others change
        meanwhile: take a snapshot after it.
        """
        if not actions:
            return []
        delivery = Delivery(self.name, actions)
        connection = self._looked or await self._connected()
        try:
            seconds = max(WHOLE_SECONDS, ACTION_SECONDS * len(actions))
            await connection.pipeline(delivery.blocks(), delivery.answered, seconds=seconds)
        except asyncio.CancelledError:
            if delivery.quiet:
                connection.abort("cancelled while the events were off")
            raise
        return delivery.outcomes

    async def devices(self, interfaces: Collection[str]) -> Mapping[str, DeviceState | None]:
        """See `ports.Switch`. One round trip for all of them."""
        asked = list(dict.fromkeys(interfaces))
        found: dict[str, DeviceState | None] = {}

        def answered(number: int, answer: wire.Message) -> None:
            found[asked[number]] = device_state(answer)

        if asked:
            connection = await self._connected()
            await connection.pipeline([device_query(interface) for interface in asked], answered)
        return found

    async def examine(self, queue: str, interface: str) -> Closeup | None:
        """See `ports.Switch`. Two round trips: names have to be in the server's spelling for some of it."""
        if self._rereads:
            await self._reread([queue])
        connection = await self._connected()
        examination = Examination(queue, interface)
        await connection.pipeline(examination.look(), examination.looked, examination.item)
        if examination.refusal:
            raise ActionRefused(server=self.name, action="QueueStatus", detail=examination.refusal)
        await connection.pipeline(examination.ask(), examination.told)
        return examination.closeup()

    def listen(self, heard: Callable[[str | None, str], None]) -> None:
        """See `ports.Switch`."""
        self._heard = heard

    async def close(self) -> None:
        """End the connection. A later call makes a new one."""
        async with self._connecting:
            connection, self._connection = self._connection, None
            self._looked = None
            if connection is not None:
                await connection.close()

    async def diagnose(self) -> Diagnosis:
        """What there is to know about this server. A privilege that is missing shows in it; it does not raise."""
        connection = await self._connected()
        commands = await connection.request(wire.encode([("Action", "ListCommands")]))
        settings = await connection.request(wire.encode([("Action", "CoreSettings")]))
        try:
            queues = (await self.snapshot()).queues
        except RereadRefused:
            queues = await self._everything()  # its members may be old, but it is there
        except SwitchRefused:
            queues = {}
        protocol = connection.banner.rpartition("/")[2]
        major = protocol.partition(".")[0]
        return Diagnosis(
            protocol=protocol,
            asterisk=settings.headers.get("AsteriskVersion"),
            reads_system=connection.booted,
            writes_agent="QueueAdd" in commands.headers,
            reads_devices="Getvar" in commands.headers,
            chan_sip=not (major.isdecimal() and int(major) >= WITHOUT_CHAN_SIP)
            and await self._runs(connection, "chan_sip"),
            chan_pjsip=await self._runs(connection, "chan_pjsip"),
            queues={queue: len(members) for queue, members in queues.items()},
        )

    async def _reread(self, queues: Iterable[str]) -> None:
        """Raises RereadRefused."""
        denied = False

        def answered(_number: int, answer: wire.Message) -> None:
            nonlocal denied
            denied = denied or answer.text == "Permission denied"

        connection = await self._connected()
        await connection.pipeline([reread(queue) for queue in queues], answered)
        if denied:
            raise RereadRefused(server=self.name, username=self._endpoint.username)

    async def _runs(self, connection: Connection, module: str) -> bool | None:
        answer = await connection.request(wire.encode([("Action", "ModuleCheck"), ("Module", module)]))
        return None if answer.text == "Permission denied" else answer.succeeded

    async def _connected(self) -> Connection:
        async with self._connecting:
            if self._connection is None or self._connection.ended:
                self._connection = None
                self._check_lasting()
                self._connection = await connect(self._endpoint, self._deadlines, self._on_event, self._on_lost)
                self._made = asyncio.get_running_loop().time()
                self._count_restart(self._connection.started)
                self._tell(None)
            return self._connection

    def _check_lasting(self) -> None:
        """Raise SwitchUnreachable while it is too early for one more connection that ends at once."""
        if self._brief < QUICK_CONNECTIONS:
            return
        rest = min(LONGEST_REST, FIRST_REST * 2.0 ** min(self._brief - QUICK_CONNECTIONS, 10))
        if asyncio.get_running_loop().time() < self._made + rest:
            raise SwitchUnreachable(server=self.name, detail=f"{self._brief} connections in a row ended at once")

    def _count_restart(self, started: float | None) -> None:
        if started is not None:
            if self._started is not None and started > self._started + _SAME_START:
                self.restarts += 1
            self._started = started

    async def _members(self, asked: Mapping[str, str], interfaces: frozenset[str]) -> Snapshot:
        """Only these members: Asterisk compares with case, and shows a member of such a name, too."""
        found = await self._status(
            [
                wire.encode([("Action", "QueueStatus"), ("Queue", queue), ("Member", interface)])
                for queue in asked.values()
                for interface in interfaces
            ]
        )
        return Snapshot(
            {queue: tuple(one for one in those if one.interface in interfaces) for queue, those in found.items()},
            frozenset(asked),
        )

    async def _everything(self) -> dict[str, tuple[LiveMember, ...]]:
        found = await self._status([_STATUS])
        if found:
            items = len(found) + sum(map(len, found.values()))
            self._filtered_most = SCANS_PER_ITEM * items // len(found)
        return found

    async def _status(self, requests: Sequence[bytes]) -> dict[str, tuple[LiveMember, ...]]:
        look = Look()
        connection = await self._connected()
        await connection.pipeline(requests, look.answered, look.item)
        self._looked = connection
        if look.refusal is not None:
            raise ActionRefused(server=self.name, action="QueueStatus", detail=look.refusal)
        return look.queues

    def _on_event(self, message: wire.Message) -> None:
        event = message.headers["Event"]
        if event in _MEMBER_EVENTS:
            queue, interface = message.headers.get("Queue"), message.headers.get("Interface", "")
            if queue is None or max(len(queue), len(interface)) > NAME_BYTES:
                self._tell(None)
            else:
                self._tell(queue, interface)
        elif event in _ANYTHING_EVENTS:
            self._tell(None)

    def _on_lost(self) -> None:
        lasted = asyncio.get_running_loop().time() - self._made
        self._brief = self._brief + 1 if lasted < LASTING_SECONDS else 0
        self._tell(None)

    def _tell(self, queue: str | None, interface: str = "") -> None:
        # Not from within the reading: what a listener raises must not end the connection. All that one step has read is
        # told together, so that there is never more of it than a step can read.
        if not self._news:
            asyncio.get_running_loop().call_soon(self._tell_news)
        if queue is not None or self._news[-1:] != [(None, "")]:
            self._news.append((queue, interface))

    def _tell_news(self) -> None:
        news, self._news = self._news, []
        for queue, interface in news:
            self._heard(queue, interface)
