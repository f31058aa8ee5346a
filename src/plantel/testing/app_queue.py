"""The queues of an Asterisk, in memory: the state behind `FakeSwitch` and `AmiServer`.

Behaves as `apps/app_queue.c` of Asterisk 16 does where members are added, changed and removed; the answers are its own
words, seen on 16.28.
"""

from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime
from enum import StrEnum

import msgspec

from plantel.device import DeviceState
from plantel.plan import LiveMember, Membership
from plantel.roster import NAME_BYTES, fold
from plantel.why.closeup import Closeup, QueueRules, Seat


class Answer(StrEnum):
    """What Asterisk says to an action on a member."""

    ADDED = "Added interface to queue"
    ADD_ALREADY_THERE = "Unable to add interface: Already there"
    ADD_NO_QUEUE = "Unable to add interface to queue: No such queue"
    REMOVED = "Removed interface from queue"
    REMOVE_NOT_THERE = "Unable to remove interface: Not there"
    REMOVE_NO_QUEUE = "Unable to remove interface from queue: No such queue"
    NOT_DYNAMIC = "Member not dynamic"
    PENALISED = "Interface penalty set successfully"
    PENALTY_REFUSED = "Invalid interface, queuename or penalty"
    PAUSED = "Interface paused successfully"
    UNPAUSED = "Interface unpaused successfully"
    PAUSE_REFUSED = "Interface not found"

    @property
    def succeeded(self) -> bool:
        return self in {Answer.ADDED, Answer.REMOVED, Answer.PENALISED, Answer.PAUSED, Answer.UNPAUSED}


class _Queue:
    def __init__(self, name: str, static: Iterable[LiveMember], rules: QueueRules) -> None:
        self.name = name
        self.static = tuple(static)
        self.rules = rules
        self.members: dict[str, LiveMember] = {}
        self.reset()

    def reset(self) -> None:
        self.members = {fold(member.interface): member for member in self.static}


class AppQueue:
    """Queues by name, their members by interface, both compared as `roster.fold` does.

    Each of `watchers` is called as `watcher(event, queue, member)` after each change by an action, with Asterisk's name
    of the event, the queue as it is spelled in the configuration, and the member after the change.
    """

    def __init__(self) -> None:
        self._queues: dict[str, _Queue] = {}
        self._devices: dict[str, DeviceState] = {}
        self.watchers: list[Callable[[str, str, LiveMember], None]] = []
        self._unread: list[Callable[[], object]] = []

    def configure(self, queue: str, static: Iterable[LiveMember] = (), rules: QueueRules | None = None) -> None:
        """Declare a queue, as `queues.conf` does, with its static members. A queue of that name starts anew."""
        members = (
            msgspec.structs.replace(member, membership=Membership.STATIC, once_paused=member.paused)
            for member in static
        )
        self._queues[fold(queue)] = _Queue(queue, members, rules or QueueRules())

    def drop(self, queue: str) -> None:
        """Take a queue out of the configuration, with all its members. Silent, as `queue reload` is."""
        del self._queues[fold(queue)]

    def restart(self) -> None:
        """Forget what was never configured: dynamic members, and what was changed on static ones."""
        for queue in self._queues.values():
            queue.reset()

    def members(self) -> Mapping[str, tuple[LiveMember, ...]]:
        """Every queue, by its configured spelling, with its members in the order of their adding."""
        return {queue.name: tuple(queue.members.values()) for queue in self._queues.values()}

    def leave(self, action: Callable[[], object]) -> None:
        """Leave `action` with this Asterisk, which has not come to it yet: it waits for the lock, before all others."""
        self._unread.append(action)

    def catch_up(self) -> None:
        """Carry out what was left, in its order. Whoever acts next has to call this first."""
        while self._unread:
            self._unread.pop(0)()

    @staticmethod
    def same(queue: str, other: str) -> bool:
        """Whether Asterisk takes two names for one queue."""
        return fold(queue) == fold(other)

    def set_device(self, interface: str, state: DeviceState) -> None:
        """Let this be the state of a phone, in every queue that has it. No event comes of it here."""
        self._devices[fold(interface)] = state
        for queue in self._queues.values():
            if (member := queue.members.get(fold(interface))) is not None:
                queue.members[fold(interface)] = msgspec.structs.replace(member, status=state)

    def device(self, interface: str) -> DeviceState:
        """The state of a phone; UNKNOWN until it is set."""
        return self._devices.get(fold(interface), DeviceState.UNKNOWN)

    def closeup(self, queue: str, interface: str, *, told: bool) -> Closeup | None:
        """A close look; `told`: with what only some users are told. Every queue is `ringall`, with ringinuse = no."""
        there = self._queues.get(fold(queue))
        if there is None:
            return None
        return Closeup(
            queue=there.name,
            strategy="ringall",
            callers=0,
            seats=tuple(Seat(member) for member in there.members.values()),
            now=datetime.now(UTC),
            ring_in_use=False if told and fold(interface) in there.members else None,
            rules=there.rules if told else None,
        )

    def add(
        self, queue: str, interface: str, membername: str, penalty: int, paused: bool, state_interface: str = ""
    ) -> Answer:
        """QueueAdd. A negative penalty becomes 0; an empty name becomes the interface."""
        there = self._queues.get(fold(queue))
        if there is None:
            return Answer.ADD_NO_QUEUE
        if fold(interface) in there.members:
            return Answer.ADD_ALREADY_THERE
        member = LiveMember(
            interface,
            membername or interface,
            max(0, penalty),
            paused,
            once_paused=paused,
            status=self.device(interface),
            state_interface="" if state_interface == interface else state_interface,
        )
        there.members[fold(interface)] = member
        self._tell("QueueMemberAdded", there.name, member)
        return Answer.ADDED

    def remove(self, queue: str, interface: str) -> Answer:
        """QueueRemove."""
        there = self._queues.get(fold(queue))
        if there is None:
            return Answer.REMOVE_NO_QUEUE
        member = there.members.get(fold(interface))
        if member is None:
            return Answer.REMOVE_NOT_THERE
        if member.membership is not Membership.DYNAMIC:
            return Answer.NOT_DYNAMIC
        del there.members[fold(interface)]
        self._tell("QueueMemberRemoved", there.name, member)
        return Answer.REMOVED

    def penalise(self, queue: str, interface: str, penalty: int) -> Answer:
        """QueuePenalty in one queue. A negative penalty is refused, unlike in QueueAdd."""
        if penalty < 0 or not self._change("QueueMemberPenalty", queue, interface, penalty=penalty):
            return Answer.PENALTY_REFUSED
        return Answer.PENALISED

    def pause(self, queue: str, interface: str, paused: bool, reason: str = "") -> Answer:
        """QueuePause in one queue. Whoever is paused again has the new reason, or none."""
        kept = reason.encode("utf-8", "surrogateescape")[:NAME_BYTES].decode("utf-8", "surrogateescape")
        if not self._change("QueueMemberPause", queue, interface, paused=paused, paused_reason=kept if paused else ""):
            return Answer.PAUSE_REFUSED
        return Answer.PAUSED if paused else Answer.UNPAUSED

    def _change(self, event: str, queue: str, interface: str, **values: str | int | bool) -> bool:
        there = self._queues.get(fold(queue))
        member = there.members.get(fold(interface)) if there else None
        if there is None or member is None:
            return False
        changed = msgspec.structs.replace(member, **values)
        if changed.paused:
            changed = msgspec.structs.replace(changed, once_paused=True)
        there.members[fold(interface)] = changed
        self._tell(event, there.name, changed)
        return True

    def _tell(self, event: str, queue: str, member: LiveMember) -> None:
        for watcher in self.watchers:
            watcher(event, queue, member)
