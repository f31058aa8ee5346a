"""A site in simulated time: Plantels on one store, their Asterisks, and whatever can go wrong, drawn from one seed.

The store, the servers, the time and the people are simulated; the service and the reconcilers are the real ones. What
must always hold is checked after each step, and what must hold once all is quiet, at quiet moments in between. The same
seed does the same again.
"""

import asyncio
import random
from collections.abc import Awaitable, Callable, Collection

import msgspec
import pytest

from plantel import errors, reconcile
from plantel.access import Actor, Role
from plantel.batch import Kind, Source
from plantel.phones import AS_SENT, PhoneRules
from plantel.plan import DriftKind, LiveMember, Membership
from plantel.ports import Entry
from plantel.roster import Member, as_reason, fold
from plantel.service import Receipt
from plantel.testing.fake_switch import FakeSwitch
from plantel.testing.memory_store import MemoryData
from tests.support.rosters import NOON
from tests.support.simulation.process import INTERVAL, Process
from tests.support.simulation.server import Server
from tests.support.simulation.story import Broken, Story, at
from tests.support.simulation.weather import Weather
from tests.support.virtual_time import VirtualTimeLoop

QUEUES = ("Ventas->", "POWER<-", "Línea 100%")
AGENTS = ("ana", "eva", "José Ñandú", "leo", "ida")
PHONES = ("SIP/1001", "SIP/1002", "sip/Ana", "SIP/aNA", "PJSIP/1002", "Local/44@agents/n")
STRANGERS = ("SIP/8001", "SIP/8002")
"""Phones that the roster never names."""

RULES = (
    AS_SENT,
    AS_SENT,
    PhoneRules({"SIP/": "PJSIP/"}),
    PhoneRules({"SIP/": "PJSIP/"}, {"Local/{phone}@agents/n": "PJSIP/{phone}"}),
    PhoneRules({"Local/44@": "Local/45@", "PJSIP/": "SIP/"}, {"SIP/{phone}": "hint:{phone}@agents"}),
)
"""Of which each server has one: what it calls the phones, and whose state counts."""
REASONS = ("", "", "lunch", "training")
"""What is given for a pause."""

OPERATOR = Actor("operator", Role.ADMIN)

Agent = tuple[str, str]
"""Folded campaign and membername."""

UNDER_WAY = 10.0
"""Seconds that a round may take in bad weather: what was done at a phone so shortly before a pause was declared here
may still count as later, where that round had looked before and writes its ledger after."""

QUIET = 200.0
"""Seconds in which everything settles: the longest back-off and several intervals."""


class Simulation:
    """`steps` steps in the life of one site; in one of four only people change things, and nothing fails."""

    def __init__(self, seed: int, steps: int) -> None:
        self.seed = seed
        self.draw = random.Random(seed)
        self.data = MemoryData()
        self.story = Story(self.data)
        self.weather = Weather(self.draw)
        self.servers = [
            Server(f"pbx{number + 1}", self.story, self.draw.choice(RULES), repair=self.draw.random() < 0.7)
            for number in range(self.draw.choice((1, 2)))
        ]
        self.processes = [
            Process(number + 1, self.servers, self.data, self.weather, self.story)
            for number in range(self.draw.choice((1, 1, 2)))
        ]
        self._steps = steps
        self._stormy = self.draw.random() < 0.75
        self._answered: list[tuple[Receipt, list[Member]]] = []
        self._declared: list[tuple[int, Agent, float]] = []
        """Answered pauses: the revision after them, campaign and agent, and when they were asked for."""
        self._meddled: set[str] = set()
        """Queues (folded) with which somebody else did something since it was last quiet."""

    def run(self) -> list[str]:
        """The story. Raises Broken with it, and with the seed."""
        with pytest.MonkeyPatch.context() as patch, asyncio.Runner(loop_factory=VirtualTimeLoop) as runner:
            patch.setattr(reconcile, "random", self.draw)
            patch.setattr(reconcile, "log", self.story)
            patch.setattr(reconcile, "CHUNK", self.draw.choice((1, 2, 500)))
            try:
                runner.run(self._run())
            except Exception as broken:
                raise Broken(
                    f"{broken!r}\n\nPLANTEL_SIM_SEED={self.seed} does it again. What happened:\n"
                    + "\n".join(self.story.told)
                ) from broken
        return self.story.told

    async def _run(self) -> None:
        for server in self.servers:
            for queue in QUEUES:
                if self.draw.random() < 0.8:
                    server.pbx.configure(queue, self._static(server))
        for process in self.processes:
            process.start()
        await self._quiet()
        for server in self.servers:
            server.watched = not self._stormy
        for number in range(self._steps):
            self.weather.fair = not self._stormy or (number // 20) % 2 == 0
            await self._step()
            await asyncio.sleep(self.draw.choice((0, 0, 0.001, 0.002, 0.01, 0.1, 1, 15)))
            self._check()
            if self.draw.random() < 0.03:
                await self._quiet()
        await self._quiet()
        for process in self.processes:
            await process.kill()

    # --- what happens ------------------------------------------------------------------------------------------------

    async def _step(self) -> None:
        people: list[tuple[int, Callable[[], None]]] = [
            (24, self._add),
            (8, self._remove),
            (10, self._pause),
            (20, self._meddle),
        ]
        troubles: list[tuple[int, Callable[[], None]]] = [
            (5, self._cut),
            (2, self._hang),
            (3, self._fail_partly),
            (2, self._deafen),
            (2, self._fail_store),
            (2, self._deny),
            (2, self._restart),
            (2, self._reconfigure),
            (12, self._mend),
            (3, self._start),
        ]
        choices = people + (troubles if self._stormy else [])
        if self._stormy and self.draw.random() < 0.04:
            await self._kill()
            return
        (step,) = self.draw.choices([step for _, step in choices], [weight for weight, _ in choices])
        step()

    def _process(self) -> Process | None:
        running = [process for process in self.processes if process.running]
        return self.draw.choice(running) if running else None

    def _member(self) -> Member:
        return Member(
            self.draw.choice(QUEUES),
            self.draw.choice(AGENTS),
            self.draw.choice(PHONES),
            self.draw.randrange(3),
            self.draw.random() < 0.3,
        )

    def _static(self, server: Server) -> list[LiveMember]:
        return [
            LiveMember(server.phones.called(phone), f"static {phone}", 1)
            for phone in (*PHONES[:2], STRANGERS[0])
            if self.draw.random() < 0.15
        ]

    def _request(self, text: str, work: Callable[[Process], object]) -> None:
        process = self._process()
        if process is not None:
            self.story.tell(f"{process.name}: {text}")
            work(process)

    def _add(self) -> None:
        items = [self._member() for _ in range(self.draw.choice((1, 1, 2, 4)))]
        wait = self.draw.random() < 0.3
        gone = self.draw.choice((0.0005, 0.005, 0.5)) if self._stormy and self.draw.random() < 0.1 else None

        def work(process: Process) -> None:
            task = process.call(self._adding(process, items, wait=wait))
            if gone is not None:
                asyncio.get_running_loop().call_later(gone, task.cancel)

        self._request(f"add {items}", work)

    async def _adding(self, process: Process, items: list[Member], *, wait: bool) -> None:
        try:
            receipt = await process.service.add(OPERATOR, items, Source.API)
        except (errors.BatchRefused, errors.StoreError) as error:
            self.story.tell(f"  {process.name}: 0 {error}")
            return
        self._answered.append((receipt, items))
        self.story.tell(f"  {process.name}: 1 for {items} at {receipt.revision}")
        if wait and await process.delivery.live(receipt, 5) is None:
            self._check_live(receipt, items)

    def _remove(self) -> None:
        queue, agents = self._chosen()

        async def work(process: Process) -> None:
            await self._changing(process.service.remove(OPERATOR, queue, agents, Source.API))

        self._request(f"remove {agents} from {queue}", lambda process: process.call(work(process)))

    def _pause(self) -> None:
        queue, agents = self._chosen()
        paused = self.draw.random() < 0.5
        reason = self.draw.choice(REASONS) if paused else ""

        async def work(process: Process) -> None:
            began = asyncio.get_running_loop().time()
            receipt = await self._changing(
                process.service.pause(OPERATOR, queue, agents, Source.API, paused=paused, reason=reason)
            )
            if receipt is not None:
                self._declared.append((receipt.revision, (fold(queue), agents[0]), began))

        self._request(f"pause={paused} {reason} {agents} in {queue}", lambda process: process.call(work(process)))

    def _chosen(self) -> tuple[str, list[str]]:
        """A queue and somebody of its roster, or anybody."""
        queue = self.draw.choice(QUEUES)
        present = sorted(self.data.state.rosters.get(("default", fold(queue)), ()))
        return queue, [self.draw.choice(present or AGENTS)]

    async def _changing(self, call: Awaitable[Receipt]) -> Receipt | None:
        try:
            receipt = await call
        except (errors.BatchRefused, errors.StoreError) as error:
            self.story.tell(f"  0 {error}")
            return None
        self._answered.append((receipt, []))
        self.story.tell(f"  1 at {receipt.revision}")
        return receipt

    def _meddle(self) -> None:
        """Somebody else does something on a server."""
        server = self.draw.choice(self.servers)
        queue, phone = self.draw.choice(QUEUES), self.draw.choice(PHONES + STRANGERS)
        if self.draw.random() < 0.7:
            phone = server.phones.called(phone)
        flag = self.draw.random() < 0.5
        name, penalty = self.draw.choice((*AGENTS, "stranger")), self.draw.randrange(3)
        reason = self.draw.choice((*REASONS, "a|b"))
        pbx = server.pbx
        do: Callable[[], object] = self.draw.choice(
            (
                lambda: pbx.add(queue, phone, name, penalty, flag),
                lambda: pbx.remove(queue, phone),
                lambda: pbx.penalise(queue, phone, penalty),
                lambda: pbx.pause(queue, phone, flag, reason),
                lambda: pbx.pause(queue, phone, flag, reason),
            )
        )
        self._meddled.add(fold(queue))
        server.meddle(do)

    # --- what goes wrong ---------------------------------------------------------------------------------------------

    def _line(self) -> FakeSwitch:
        return self.draw.choice(self.draw.choice(self.processes).lines)

    def _cut(self) -> None:
        line = self._line()
        if self.draw.random() < 0.3:
            line.cut()
        else:
            line.cut_after = self.draw.randrange(4)
        self.story.tell(f"cut {line.name}, cut_after={line.cut_after}")

    def _hang(self) -> None:
        line = self._line()
        line.hanging = True
        self.story.tell(f"hang {line.name}")

    def _fail_partly(self) -> None:
        line = self._line()
        line.partial_failure = errors.SwitchTimeout(server=line.name, seconds=1)
        self.story.tell(f"no partial snapshots of {line.name}")

    def _deafen(self) -> None:
        line = self._line()
        line.deaf = True
        self.story.tell(f"no events of {line.name}")

    def _deny(self) -> None:
        line = self._line()
        line.privileged = False
        self.story.tell(f"no privilege on {line.name}")

    def _fail_store(self) -> None:
        process = self.draw.choice(self.processes)
        process.store.failing = True
        self.story.tell(f"{process.name}: no store")

    def _mend(self) -> None:
        process = self.draw.choice(self.processes)
        process.mend()
        self.story.tell(f"{process.name}: mended")

    def _restart(self) -> None:
        place = self.draw.randrange(len(self.servers))
        self.story.tell(f"restart {self.servers[place].name}")
        self._meddled.update(map(fold, QUEUES))
        self.servers[place].restart()
        for process in self.processes:
            process.lines[place].restart()

    def _reconfigure(self) -> None:
        """Drop a queue, or make one."""
        place, queue = self.draw.randrange(len(self.servers)), self.draw.choice(QUEUES)
        server = self.servers[place]
        self.story.tell(f"reconfigure {queue} on {server.name}")
        self._meddled.add(fold(queue))
        if server.live(queue) is None:
            server.pbx.configure(queue, self._static(server))
        else:
            server.drop(queue)
        for process in self.processes:
            process.lines[place].reloaded()

    async def _kill(self) -> None:
        process = self.draw.choice(self.processes)
        self.story.tell(f"{process.name}: killed")
        await process.kill()
        if self.draw.random() < 0.7:
            self._begin(process)

    def _start(self) -> None:
        for process in self.processes:
            if not process.running:
                self._begin(process)

    def _begin(self, process: Process) -> None:
        self.story.tell(f"{process.name}: started")
        process.start()

    # --- what must hold ----------------------------------------------------------------------------------------------

    def _check(self) -> None:
        """What holds at every moment."""
        self.story.check()
        for process in self.processes:
            process.check()

    def _check_live(self, receipt: Receipt, items: list[Member]) -> None:
        """Delivery is said to be live: what nobody has changed is shown."""
        later = [
            side
            for _, entry in self.data.state.journal
            if entry.revision > receipt.revision
            for side in (entry.change.before, entry.change.after)
            if side is not None
        ]
        for server in self.servers:
            touched = {value for side in later for value in (_agent(side), at(side, server.phones))}
            for item in items:
                key = at(item, server.phones)
                if key[0] in self._meddled or {_agent(item), key} & touched:
                    continue
                live = server.live(item.campaign)
                if live is not None:
                    there = live.get(key[1])
                    self._check_member(server, item, there)
                    if there is None or there.penalty != item.penalty:
                        raise Broken(f"{server.name}: {there} is not as {item}, and said to be live")

    def _check_member(self, server: Server, member: Member, there: LiveMember | None) -> None:
        """It is there as the roster has it; but for what others changed, where that is only to be reported."""
        key = at(member, server.phones)
        if (kind := _drifted(member, there)) is not None and (server.repair or key not in server.disturbed):
            raise Broken(f"{server.name}: {kind}: {there} is not as {member}")
        if there is None:
            return
        if there.paused != member.paused:
            raise Broken(f"{server.name}: {there} is not as {member}")
        reason = self.data.state.reasons.get(("default", *_agent(member)), "")
        if there.paused and as_reason(there.paused_reason) != reason:
            raise Broken(f"{server.name}: {there} has not the reason {reason!r}")
        theirs = key in server.foreign or there.membership is Membership.STATIC
        if there.membername != member.membername and not theirs:
            raise Broken(f"{server.name}: {there} has not the name of {member}")
        state = server.phones.state(server.phones.called(member.interface))
        if state and fold(state) != fold(there.state_interface) and not theirs:
            raise Broken(f"{server.name}: {there} does not show the state of {state}")

    async def _quiet(self) -> None:
        """Mend everything, let it settle, and look closely."""
        self.story.tell("quiet")
        self.weather.fair = True
        self._start()
        for process in self.processes:
            process.mend()
        await asyncio.sleep(QUIET)
        self._check()
        actions = sum(server.actions for server in self.servers)
        revision = self.data.state.revision
        looks = sum(process.looks for process in self.processes)
        await asyncio.sleep(QUIET)
        if sum(server.actions for server in self.servers) != actions or self.data.state.revision != revision:
            raise Broken("it does not come to rest")
        most = 2 * QUIET / INTERVAL * len(self.servers) * len(self.processes)
        if (looked := sum(process.looks for process in self.processes) - looks) > most:
            raise Broken(f"{looked} looks in {QUIET} quiet seconds")
        roster = [member for members in self.data.state.rosters.values() for member in members.values()]
        for server in self.servers:
            self._check_server(server, roster)
        for process in self.processes:
            await self._check_process(process, roster)
        self._check_journal(roster)
        self._check_pauses()
        self._check()
        self.story.begin_chapter()
        for server in self.servers:
            server.begin_chapter()
        self._meddled.clear()

    def _check_server(self, server: Server, roster: list[Member]) -> None:
        """It shows the roster, everybody else's members, and nothing more."""
        wanted, _ = server.wanted(roster)
        for queue in QUEUES:
            live = server.live(queue)
            if live is None:
                continue
            for (campaign, phone), member in wanted.items():
                if campaign == fold(queue):
                    self._check_member(server, member, live.get(phone))
            for phone, there in live.items():
                key = (fold(queue), phone)
                if there.membership is Membership.DYNAMIC and key not in wanted and key not in server.foreign:
                    raise Broken(f"{server.name}: {there} is left over in {queue}")
        for key, claim in self.data.state.claims.get(("default", server.name), {}).items():
            if claim.added and (key in server.firm or (key in server.protected and not server.named(key))):
                raise Broken(f"{server.name}: {claim}, but somebody else put it there")

    async def _check_process(self, process: Process, roster: list[Member]) -> None:
        """It has nothing left to do, and says truly how it stands."""
        for server, reconciler in zip(self.servers, process.delivery.reconcilers, strict=True):
            _, found = await reconciler.look()
            if found.actions or found.observed or found.settled or found.released:
                raise Broken(f"{process.name} has more to do on {reconciler.name}: {found}")
            told = {(fold(one.member.campaign), fold(one.interface), one.kind) for one in found.drifts}
            drifts = self._drifts(server, roster)
            if told != drifts:
                raise Broken(f"{process.name} sees drifts on {server.name}: {told}, not {drifts}")
            kept = {
                (fold(one.campaign), fold(one.interface), one.kind)
                for _, one in self.data.state.drifts
                if one.server == server.name
            }
            if forgotten := {one for one in drifts if one not in kept and (one[0], "", one[2]) not in kept}:
                raise Broken(f"{server.name}: no record of {forgotten}")
        for queue in QUEUES:
            members = [member for member in roster if fold(member.campaign) == fold(queue)]
            if not members and len(self.servers) > 1 and all(server.live(queue) is None for server in self.servers):
                self._check_said(process, queue, [], {errors.QueueMissing})
            for member in members:
                self._check_said(process, queue, [member], self._reasons(member, roster))

    def _check_said(
        self, process: Process, queue: str, members: list[Member], expected: Collection[type[errors.PlantelError]]
    ) -> None:
        said = process.delivery.behind(Receipt("", 0, (), frozenset({fold(queue)}), members))
        if (said is None) is bool(expected) or (said is not None and type(said) not in expected):
            raise Broken(f"{process.name} says of {members} in {queue}: {said!r}, not {expected}")

    def _reasons(self, member: Member, roster: list[Member]) -> set[type[errors.PlantelError]]:
        """Why the member is not as the roster has it, on some server."""
        found: set[type[errors.PlantelError]] = set()
        if all(server.live(member.campaign) is None for server in self.servers):
            found.add(errors.QueueMissing)
        for server in self.servers:
            live = server.live(member.campaign)
            if live is None:
                continue
            _, lost = server.wanted(roster)
            there = live.get(at(member, server.phones)[1])
            if member in lost:
                found.add(errors.PhoneShared)
                continue
            if there is not None and there.membername != member.membername:
                found.add(errors.MemberNotOurs)
            if _drifted(member, there) is not None:
                found.add(errors.MemberDrifted)
        return found

    def _drifts(self, server: Server, roster: list[Member]) -> set[tuple[str, str, DriftKind]]:
        """What is not as the roster has it."""
        wanted, _ = server.wanted(roster)
        return {
            (*key, kind)
            for key, member in wanted.items()
            if (live := server.live(member.campaign)) is not None
            and (kind := _drifted(member, live.get(key[1]))) is not None
        }

    def _check_journal(self, roster: list[Member]) -> None:
        """The journal tells how the roster came about, and what was answered `1` is in it."""
        answered: dict[int, list[Member]] = {}
        for receipt, items in self._answered:
            answered.setdefault(receipt.revision, []).extend(items)
        state: dict[Agent, Member] = {}
        for _, entry in self.data.state.journal:
            agent = _agent(entry.change.member)
            if state.pop(agent, None) != entry.change.before:
                raise Broken(f"the journal does not follow: {entry}")
            if entry.change.after is not None:
                state[agent] = entry.change.after
            for item in answered.pop(entry.revision, ()):
                if not _same(item, state.get(_agent(item))):
                    raise Broken(f"{item} was answered 1 and is not in the roster of {entry.revision}")
        if sorted(state.values(), key=repr) != sorted(roster, key=repr) or any(answered.values()):
            raise Broken(f"the journal does not lead to the roster: {state} {roster} {answered}")

    def _check_pauses(self) -> None:
        """What was journalled under a server's name was done there, and after all that was declared before."""
        declared: dict[Agent, float] = {}
        for _, entry in self.data.state.journal:
            agent = _agent(entry.change.member)
            if entry.actor != OPERATOR.name:
                asked = [at for revision, who, at in self._declared if who == agent and revision < entry.revision]
                self._check_observed(entry, max(declared[agent], *asked, 0))
            elif entry.change.kind is not Kind.UPDATED:
                declared[agent] = 0.0
            elif _pauses(entry):
                declared[agent] = (entry.at - NOON).total_seconds()

    def _check_observed(self, entry: Entry, declared: float) -> None:
        after = entry.change.member
        if not _pauses(entry):
            raise Broken(f"observed, and not only a pause: {entry}")
        server = next(server for server in self.servers if f"server:{server.name}" == entry.actor)
        key = at(after, server.phones)
        made = server.paused_by_others.get(key, [])
        done = (after.paused, entry.change.reason)
        if not any(moment >= declared - UNDER_WAY and one == done for moment, one in made):
            raise Broken(f"observed, but nobody did it since {declared}: {entry}; {made}")


def _same(item: Member, stored: Member | None) -> bool:
    """Equal but for the spelling of the phone: of several spellings in one batch one is stored."""
    return (
        stored is not None
        and msgspec.structs.replace(stored, interface=item.interface) == item
        and (stored.phone == item.phone)
    )


def _drifted(member: Member, there: LiveMember | None) -> DriftKind | None:
    """What is not as the roster has it, of that which may stay so; a pause never does."""
    if there is None:
        return DriftKind.REMOVED
    return DriftKind.PENALTY if there.penalty != member.penalty else None


def _agent(member: Member) -> Agent:
    return fold(member.campaign), member.membername


def _pauses(entry: Entry) -> bool:
    """Whether the change is one of the pause, or of its reason."""
    before, after = entry.change.before, entry.change.after
    return before is not None and after is not None and (before.paused is not after.paused or before == after)
