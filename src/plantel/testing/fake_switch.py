"""A Switch without a network: Asterisk's semantics in memory, and the ways in which a real one fails, at will."""

import asyncio
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from functools import partial

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
from plantel.why.closeup import Closeup

_VERBS: Mapping[type[Action], str] = {
    Add: "QueueAdd",
    Remove: "QueueRemove",
    Penalise: "QueuePenalty",
    Pause: "QueuePause",
}


class FakeSwitch:
    """An Asterisk with `queues`, or one more connection to that of `pbx`.

    Somebody else's changes are made on `pbx`; they are heard of, as live events are. What fails, until it is set back:

    failure          the SwitchError that every question and apply raise at once. `cut()` sets SwitchUnreachable
    partial_failure  the SwitchError that snapshots of some queues raise, while those of all queues succeed
    hanging          they get no answer: SwitchTimeout after `answer_seconds`
    cut_after        the connection goes once so many actions of the next apply are carried out, with the answers to all
                     of them (then it is back to None)
    privileged       False: changes are refused for lack of a privilege, snapshots are not
    told             False: the user may not ask for the state of phones, nor for what QueueStatus does not tell
    deaf             True: no change is heard of; a connection made or lost still is

    How long things take, asked anew each time; at first nothing does:

    pace             seconds before each look and each action is done, and before its answer comes
    lag              seconds by which an event is late
    aftermath        seconds until Asterisk carries out what it was sent before the connection was lost or the caller
                     cancelled, at the latest before anybody's next action; None: never

    `looks` counts the snapshots that were asked for.
    """

    def __init__(
        self,
        name: str = "pbx1",
        queues: Iterable[str] = (),
        *,
        pbx: AppQueue | None = None,
        answer_seconds: float = 10.0,
    ) -> None:
        self._name = name
        self.pbx = pbx or AppQueue()
        for queue in queues:
            self.pbx.configure(queue)
        self.pbx.watchers.append(self._changed)
        self.failure: SwitchError | None = None
        self.partial_failure: SwitchError | None = None
        self.hanging = False
        self.cut_after: int | None = None
        self.privileged = True
        self.restarts = 0
        self.told = True
        self.deaf = False
        self.pace: Callable[[], float] = lambda: 0
        self.lag: Callable[[], float] = lambda: 0
        self.aftermath: Callable[[], float | None] = lambda: None
        self.looks = 0
        self._answer_seconds = answer_seconds
        self._connected = False
        self._losses = 0
        self._losses_at_look = 0
        self._order = asyncio.Lock()  # on one connection things are done one after another
        self._heard: Callable[[str | None, str], None] = lambda _queue, _interface: None

    @property
    def name(self) -> str:
        return self._name

    async def snapshot(
        self, queues: Collection[str] | None = None, interfaces: Collection[str] | None = None
    ) -> Snapshot:
        self.looks += 1
        async with self._order:
            losses = await self._reach()
            if queues is not None and self.partial_failure is not None:
                raise self.partial_failure
            await self._pass(losses)
            members = self.pbx.members()
            await self._pass(losses)
            self._losses_at_look = losses
        if queues is None:
            return Snapshot(members)
        asked = frozenset(fold(queue) for queue in queues)
        found = {queue: members[queue] for queue in members if fold(queue) in asked}
        if interfaces is not None:
            found = {
                queue: tuple(one for one in those if one.interface in interfaces) for queue, those in found.items()
            }
        return Snapshot(found, asked)

    async def apply(self, actions: Sequence[Action]) -> list[Outcome]:
        """As `ports.Switch` has it; to remove what is not there is done, as for AmiSwitch."""
        if not actions:
            return []
        async with self._order:
            if self._losses != self._losses_at_look:
                raise self._unreachable("the connection was lost since the last look")
            losses = await self._reach()
            outcomes: list[Outcome] = []
            try:
                for action in actions:
                    await self._pass(losses)
                    self._cut_now(len(outcomes))
                    self.pbx.catch_up()
                    outcomes.append(self._carry_out(action))
                self._cut_now(len(outcomes))
                await self._pass(losses)
            except (SwitchError, asyncio.CancelledError):
                self._outlive(actions[len(outcomes) :])
                raise
        return outcomes

    async def devices(self, interfaces: Collection[str]) -> Mapping[str, DeviceState | None]:
        await self._reach()
        return {interface: self.pbx.device(interface) if self.told else None for interface in interfaces}

    async def examine(self, queue: str, interface: str) -> Closeup | None:
        await self._reach()
        return self.pbx.closeup(queue, interface, told=self.told)

    def listen(self, heard: Callable[[str | None, str], None]) -> None:
        self._heard = heard

    async def close(self) -> None:
        """End the connection. A later call makes a new one."""
        if self._connected:
            self._connected = False
            self._losses += 1
        self._losses_at_look = self._losses

    def add_queue(self, queue: str, static: Iterable[LiveMember] = ()) -> None:
        """Configure a queue and reload."""
        self.pbx.configure(queue, static)
        self.reloaded()

    def drop_queue(self, queue: str) -> None:
        """Take a queue out of the configuration and reload."""
        self.pbx.drop(queue)
        self.reloaded()

    def reloaded(self) -> None:
        """Have a reload be heard of."""
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

    async def _reach(self) -> int:
        """Connect if needed; returns how often the connection was lost so far."""
        await asyncio.sleep(0)
        if self.failure is not None:
            self._lose()
            raise self.failure
        await self._hang()
        if not self._connected:
            self._connected = True
            self._tell(None)
        return self._losses

    async def _pass(self, losses: int) -> None:
        """Let the time pass that a thing takes. Raises where the connection is lost, or hangs, meanwhile."""
        if seconds := self.pace():
            await asyncio.sleep(seconds)
        await self._hang()
        if self._losses != losses:
            raise SwitchUnreachable(server=self.name, detail="Asterisk closed the connection")

    async def _hang(self) -> None:
        if self.hanging:
            await asyncio.sleep(self._answer_seconds)
            self._lose()
            raise SwitchTimeout(server=self.name, seconds=self._answer_seconds)

    def _cut_now(self, done: int) -> None:
        if self.cut_after == done:
            self.cut_after = None
            self._lose()
            raise SwitchUnreachable(server=self.name, detail="Asterisk closed the connection")

    def _outlive(self, actions: Sequence[Action]) -> None:
        """Asterisk has read these before it saw the connection end."""
        if (seconds := self.aftermath()) is not None:
            for action in actions:
                self.pbx.leave(partial(self._carry_out, action))
            asyncio.get_running_loop().call_later(seconds, self.pbx.catch_up)

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
            case Pause(queue, interface, paused, reason, _):
                answer = self.pbx.pause(queue, interface, paused, reason)
        return self._outcome(action, answer)

    def _outcome(self, action: Action, answer: Answer) -> Outcome:
        if answer.succeeded or answer is Answer.REMOVE_NOT_THERE:
            return None
        if answer in {Answer.ADD_NO_QUEUE, Answer.REMOVE_NO_QUEUE}:
            return QueueMissing(server=self.name, queue=action.queue)
        if answer is Answer.NOT_DYNAMIC:
            return MemberNotDynamic(server=self.name, queue=action.queue, interface=action.interface)
        return ActionRefused(server=self.name, action=_VERBS[type(action)], detail=str(answer))

    def _changed(self, _event: str, queue: str, member: LiveMember) -> None:
        if not self.deaf:
            self._tell(queue, member.interface)

    def _lose(self) -> None:
        if self._connected:
            self._tell(None)
            self._connected = False
            self._losses += 1

    def _unreachable(self, detail: str) -> SwitchUnreachable:
        return SwitchUnreachable(server=self.name, detail=detail)

    def _tell(self, queue: str | None, interface: str = "") -> None:
        if self._connected:
            loop = asyncio.get_running_loop()
            if seconds := self.lag():
                loop.call_later(seconds, self._hear, queue, interface)
            else:
                loop.call_soon(self._hear, queue, interface)

    def _hear(self, queue: str | None, interface: str) -> None:
        self._heard(queue, interface)
