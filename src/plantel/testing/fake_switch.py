"""A Switch without a network: Asterisk's semantics in memory, and the ways in which a real one fails, at will."""

import asyncio
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence

from plantel.closeup import Closeup
from plantel.device import DeviceState
from plantel.errors import (
    ActionRefused,
    MemberNotDynamic,
    PrivilegeMissing,
    QueueMissing,
    SwitchError,
    SwitchTimeout,
    SwitchUnreachable,
)
from plantel.plan import Action, Add, LiveMember, Pause, Penalise, Remove, Snapshot
from plantel.ports import Outcome
from plantel.roster import fold
from plantel.testing.app_queue import Answer, AppQueue

_VERBS: Mapping[type[Action], str] = {
    Add: "QueueAdd",
    Remove: "QueueRemove",
    Penalise: "QueuePenalty",
    Pause: "QueuePause",
}


class FakeSwitch:
    """An Asterisk with `queues`. Somebody else's changes are made on `pbx`; they are heard of, as live events are.

    What fails, until it is set back:

    failure      the SwitchError that every question and apply raise at once. `cut()` sets SwitchUnreachable
    hanging      they get no answer: SwitchTimeout after `answer_seconds`
    cut_after    the connection goes once so many actions of the next apply are carried out (then it is back to None)
    privileged   False: changes are refused for lack of a privilege, snapshots are not
    told         False: the user may not ask for the state of phones, nor for what QueueStatus does not tell
    """

    def __init__(self, name: str = "pbx1", queues: Iterable[str] = (), *, answer_seconds: float = 10.0) -> None:
        self._name = name
        self.pbx = AppQueue()
        for queue in queues:
            self.pbx.configure(queue)
        self.pbx.watch = self._changed
        self.failure: SwitchError | None = None
        self.hanging = False
        self.cut_after: int | None = None
        self.privileged = True
        self.restarts = 0
        self.told = True
        self._answer_seconds = answer_seconds
        self._connected = False
        self._lost_since_look = False
        self._heard: Callable[[str | None], None] = lambda _queue: None

    @property
    def name(self) -> str:
        return self._name

    async def snapshot(self, queues: Collection[str] | None = None) -> Snapshot:
        await self._reach()
        self._lost_since_look = False
        members = self.pbx.members()
        if queues is None:
            return Snapshot(members)
        asked = frozenset(fold(queue) for queue in queues)
        return Snapshot({queue: members[queue] for queue in members if fold(queue) in asked}, asked)

    async def apply(self, actions: Sequence[Action]) -> list[Outcome]:
        """As `ports.Switch` has it; to remove what is not there is done, as for AmiSwitch."""
        if not actions:
            return []
        if self._lost_since_look:
            raise self._unreachable("the connection was lost since the last look")
        await self._reach()
        outcomes: list[Outcome] = []
        for action in actions:
            if self.cut_after == len(outcomes):
                self.cut_after = None
                self._lose()
                raise self._unreachable("Asterisk closed the connection")
            outcomes.append(self._carry_out(action))
        return outcomes

    async def devices(self, interfaces: Collection[str]) -> Mapping[str, DeviceState | None]:
        await self._reach()
        return {interface: self.pbx.device(interface) if self.told else None for interface in interfaces}

    async def examine(self, queue: str, interface: str) -> Closeup | None:
        await self._reach()
        return self.pbx.closeup(queue, interface, told=self.told)

    def listen(self, heard: Callable[[str | None], None]) -> None:
        self._heard = heard

    async def close(self) -> None:
        """End the connection. A later call makes a new one."""
        self._connected = self._lost_since_look = False

    def add_queue(self, queue: str, static: Iterable[LiveMember] = ()) -> None:
        """Configure a queue and reload."""
        self.pbx.configure(queue, static)
        self._tell(None)

    def drop_queue(self, queue: str) -> None:
        """Take a queue out of the configuration and reload."""
        self.pbx.drop(queue)
        self._tell(None)

    def restart(self) -> None:
        """Restart Asterisk: dynamic members are gone, and so is the connection."""
        self.pbx.restart()
        self.restarts += 1
        self._lose()

    def cut(self) -> None:
        """Make the server unreachable until `mend`."""
        self.failure = self._unreachable("connection refused")
        self._lose()

    def mend(self) -> None:
        """Set back `failure` and `hanging`."""
        self.failure = None
        self.hanging = False

    async def _reach(self) -> None:
        await asyncio.sleep(0)
        if self.failure is not None:
            self._lose()
            raise self.failure
        if self.hanging:
            await asyncio.sleep(self._answer_seconds)
            self._lose()
            raise SwitchTimeout(server=self.name, seconds=self._answer_seconds)
        if not self._connected:
            self._connected = True
            self._tell(None)

    def _carry_out(self, action: Action) -> Outcome:
        if not self.privileged:
            return PrivilegeMissing(server=self.name, action=_VERBS[type(action)])
        match action:
            case Add(queue, interface, membername, penalty, paused, state_interface):
                answer = self.pbx.add(queue, interface, membername, penalty, paused, state_interface)
            case Remove(queue, interface):
                answer = self.pbx.remove(queue, interface)
            case Penalise(queue, interface, penalty):
                answer = self.pbx.penalise(queue, interface, penalty)
            case Pause(queue, interface, paused):
                answer = self.pbx.pause(queue, interface, paused)
        return self._outcome(action, answer)

    def _outcome(self, action: Action, answer: Answer) -> Outcome:
        if answer.succeeded or answer is Answer.REMOVE_NOT_THERE:
            return None
        if answer in {Answer.ADD_NO_QUEUE, Answer.REMOVE_NO_QUEUE}:
            return QueueMissing(server=self.name, queue=action.queue)
        if answer is Answer.NOT_DYNAMIC:
            return MemberNotDynamic(server=self.name, queue=action.queue, interface=action.interface)
        return ActionRefused(server=self.name, action=_VERBS[type(action)], detail=str(answer))

    def _changed(self, _event: str, queue: str, _member: LiveMember) -> None:
        self._tell(queue)

    def _lose(self) -> None:
        if self._connected:
            self._connected = False
            self._lost_since_look = True
            asyncio.get_running_loop().call_soon(self._heard, None)

    def _unreachable(self, detail: str) -> SwitchUnreachable:
        return SwitchUnreachable(server=self.name, detail=detail)

    def _tell(self, queue: str | None) -> None:
        if self._connected:
            asyncio.get_running_loop().call_soon(self._heard, queue)
