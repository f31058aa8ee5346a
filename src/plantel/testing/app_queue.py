"""The queues of an Asterisk, in memory: the state behind `FakeSwitch` and `AmiServer`.

Behaves as `apps/app_queue.c` of Asterisk 16 does where members are added, changed and removed; the answers are its own
words, seen on 16.28.
"""

from collections.abc import Callable, Iterable, Mapping
from enum import StrEnum

import msgspec

from plantel.plan import LiveMember, Membership
from plantel.roster import fold


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
    def __init__(self, name: str, static: Iterable[LiveMember]) -> None:
        self.name = name
        self.static = tuple(static)
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
        self.watchers: list[Callable[[str, str, LiveMember], None]] = []
        self._unread: list[Callable[[], object]] = []

    def configure(self, queue: str, static: Iterable[LiveMember] = ()) -> None:
        """Declare a queue, as `queues.conf` does, with its static members. A queue of that name starts anew."""
        self._queues[fold(queue)] = _Queue(
            queue,
            (
                msgspec.structs.replace(member, membership=Membership.STATIC, once_paused=member.paused)
                for member in static
            ),
        )

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

    def set_status(self, interface: str, status: int) -> None:
        """Let the device state of a phone be `status`, in every queue that has it. No event comes of it here."""
        for queue in self._queues.values():
            if (member := queue.members.get(fold(interface))) is not None:
                queue.members[fold(interface)] = msgspec.structs.replace(member, status=status)

    def add(self, queue: str, interface: str, membername: str, penalty: int, paused: bool) -> Answer:
        """QueueAdd. A negative penalty becomes 0; an empty name becomes the interface."""
        there = self._queues.get(fold(queue))
        if there is None:
            return Answer.ADD_NO_QUEUE
        if fold(interface) in there.members:
            return Answer.ADD_ALREADY_THERE
        member = LiveMember(interface, membername or interface, max(0, penalty), paused, once_paused=paused)
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

    def pause(self, queue: str, interface: str, paused: bool) -> Answer:
        """QueuePause in one queue."""
        if not self._change("QueueMemberPause", queue, interface, paused=paused):
            return Answer.PAUSE_REFUSED
        return Answer.PAUSED if paused else Answer.UNPAUSED

    def _change(self, event: str, queue: str, interface: str, **values: int | bool) -> bool:
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
