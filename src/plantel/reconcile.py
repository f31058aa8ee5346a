"""Keeping one Asterisk in agreement with the roster: look, plan, apply, look again.

`Reconciler.run_once` is one round; `run` is the loop around it. Commits and events only wake the loop. A server that is
away or refuses is recorded lag, with a reason and a retry, never an exception that ends anything.
"""

import asyncio
import random
from collections import deque
from collections.abc import AsyncIterator, Callable, Collection, Iterable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from datetime import datetime
from enum import StrEnum
from functools import partial
from itertools import zip_longest
from typing import TypeVar

import msgspec
import structlog

from plantel import errors, realtime
from plantel.access import Actor, covers
from plantel.application import Application
from plantel.batch import Change
from plantel.contest import Contests
from plantel.doubt import Doubt, Key, key
from plantel.drift import DriftRecord, DriftWatch
from plantel.echo import Echoes, Expected
from plantel.language import visible
from plantel.lasting import Lasting
from plantel.phones import AS_SENT, PhoneRules, shown
from plantel.plan import (
    Action,
    Add,
    Claim,
    Demand,
    Drift,
    LiveMember,
    Membership,
    Plan,
    Reasons,
    Snapshot,
    compare,
    foreign,
)
from plantel.ports import Clock, Lease, Outcome, Store, Switch, Transaction
from plantel.roster import Member, fold
from plantel.service import CAMPAIGNS_MOST, Receipt, Service
from plantel.workers import Workers

T = TypeVar("T")

log = structlog.get_logger()

CHUNK = 500
"""Actions sent between two writes of the ledger: a crash leaves at most twice as many additions unconfirmed. Two chunks
fit into what a connection has in flight."""

ROUNDS = 4
"""Looks within one `run_once`; what still disagrees then waits for the next wake."""

GLANCE_MOST = 4
"""Changes of a commit that are brought about by a look at the members concerned alone."""

GLANCES = 2
"""Such looks: one to act upon, one to see that it is done."""

LARGE = 1000
"""Members, ledger lines or actions from which work on them takes longer than anything may on the event loop: 5 ms."""

SLICE = 1000
"""Ledger lines, drifts or pauses written in one transaction: others' adds go in between."""

QUEUES_WAITING_MOST = 1000
"""Queues that wait to be looked at by name. With more, everything is looked at."""

REST_FROM, LONGEST_REST = 0.01, 5.0
"""A round that took so many seconds is followed by a rest as long, but for what the roster wants: a server that tells
of changes without end is looked at half of the time at most."""

STEADY = 4
"""A server that has been well for so many times the last pause counts as one that never failed."""

TAKEN_SECONDS = 30
"""How long to wait while another process works on the server."""

FIRST_PAUSE, LONGEST_PAUSE = 0.5, 30.0
"""Seconds of back-off after a failure, doubled each time; the pause taken is a random half to whole of it."""


_Roster = tuple[Sequence[Member], Reasons]
"""Members, and the reasons of those that are paused."""

_aside = Workers("plans", 2, 1_000)
"""Where large plans are made: not on the event loop, so that everybody's requests are served meanwhile, nor in the
threads of others."""


class State(StrEnum):
    """How it stands with one server."""

    STARTING = "starting"
    AGREED = "agreed"
    LAGGING = "lagging"
    """Reached, but something cannot be made true; see `reasons`."""
    AWAY = "away"
    """Not reached; see `reasons`."""


class Status(msgspec.Struct, frozen=True):
    """What is known of one server. `looked`: the last time that its members were seen."""

    server: str
    state: State
    reasons: tuple[errors.PlantelError, ...] = ()
    looked: datetime | None = None
    queues: int = 0
    members: int = 0


def lease_name(instance: str, server: str) -> str:
    """The lease that who changes anything on this server has to hold."""
    return f"reconcile {instance}/{server}"


class Reconciler:
    """One server of one instance.

    `campaigns`: patterns of those that it has to carry; without any, it carries those whose queues it has, and `sole`
    says that no other server could carry the rest, so that a missing queue is a fault here. Without `repair`, what
    somebody changes on the server is reported and left; only a restart is made good. `phones`: what it calls the phones
    of the roster. `realtime`: it reads the roster itself, and is only watched.
    """

    def __init__(
        self,
        store: Store,
        switch: Switch,
        service: Service,
        clock: Clock,
        *,
        campaigns: Sequence[str] = (),
        sole: bool = True,
        repair: bool = True,
        phones: PhoneRules = AS_SENT,
        realtime: bool = False,
        interval: float = 30.0,
    ) -> None:
        self._store = store
        self._switch = switch
        self._service = service
        self._clock = clock
        self._campaigns = tuple(campaigns)
        self._sole = sole
        self._repair = repair
        self.phones = phones
        self._realtime = realtime
        self._interval = interval
        self._woken = asyncio.Event()
        self._wanted = asyncio.Event()
        """Set where it is the roster that wants something, not the server that tells of it."""
        self._dirty: set[str] | None = None
        self._glances: dict[str, list[Member]] = {}
        """Members to look at, by folded campaign."""
        self._own: set[str] = set()
        """The campaigns of which it is this process that changed such members, so that there is something to do."""
        self._echoes = Echoes()
        self._neighbours = Expected()
        self._doubt = Doubt()
        self._contests = Contests()
        self._awaited: dict[str, int] = {}
        self._blocked: dict[Key, errors.PlantelError] = {}
        """What cannot be made true, by folded queue and phone: the roster's name for it, or the server's."""
        self._present: frozenset[str] | None = None
        self._sizes: Mapping[str, int] = {}
        """How many members each queue had at the last look at all."""
        self._strangers: dict[str, Collection[str]] = {}
        """As the last look at each queue (folded) had them; see `Plan`."""
        self._demand: tuple[int | None, Demand] = None, Demand(())
        """What the whole roster wanted at a look, with its revision then. No later roster has the same."""
        self._new: list[str] = []
        self._left_out: tuple[errors.SwitchTooMuch, ...] = ()
        """Why not every queue of the last look over all became a campaign."""
        self._watch = DriftWatch(switch.name)
        self._unkept: list[DriftRecord] = []
        """Made, and not stored so far: the store may be away just then."""
        self._settled: set[asyncio.Future[None]] = set()
        self.status = Status(switch.name, State.STARTING)
        self._news = Lasting(_gist(self.status), self._log_status)
        switch.listen(self._heard)

    @property
    def name(self) -> str:
        return self._switch.name

    @property
    def switch(self) -> Switch:
        """For questions; what changes members goes through here."""
        return self._switch

    # --- what others ask ---------------------------------------------------------------------------------------------

    def status_for(self, actor: Actor) -> Status:
        """The status as far as the actor may see it: of what is in queues, only of the campaigns that it reaches."""
        if not actor.campaigns:
            return self.status
        sizes = [size for queue, size in self._sizes.items() if actor.reaches(queue)]
        status = msgspec.structs.replace(self.status, queues=len(sizes), members=sum(sizes))
        if status.state is not State.LAGGING:
            return status
        return msgspec.structs.replace(status, reasons=self._reasons(actor))

    def _reasons(self, actor: Actor | None = None) -> tuple[errors.PlantelError, ...]:
        """Of each queue (of one of the actor's campaigns) in which something cannot be made true, why."""
        first: dict[str, errors.PlantelError] = {}
        for (queue, _), why in self._blocked.items():
            first.setdefault(queue, why)
        return tuple(why for queue, why in first.items() if actor is None or actor.reaches(queue))

    def wake(
        self,
        campaigns: Collection[str] | None,
        revision: int = 0,
        changes: Sequence[Change] = (),
        *,
        elsewhere: bool = False,
    ) -> None:
        """Look again at these campaigns (folded; None: at everything), whose newest change is `revision`.

        A few `changes`, which have to be all there are, can be brought about without a look at whole campaigns.
        `elsewhere`: another process made them, and may be about to do the same.
        """
        self._wanted.set()
        for campaign in campaigns or ():
            if self.carries(campaign):
                self._awaited[campaign] = max(revision, self._awaited.get(campaign, 0))
        watched = self.status.state in (State.AGREED, State.LAGGING)
        if 0 < len(changes) <= GLANCE_MOST and watched and self.phones is AS_SENT and not self._realtime:
            for change in changes:
                for side in (change.before, change.after):
                    if side is not None and self._shares(side.campaign):
                        self._glance_at(side)
                        if elsewhere:
                            self._neighbours.expect(side)
                        else:
                            self._own.add(fold(side.campaign))
        else:
            self._mark(campaigns)

    def _glance_at(self, member: Member) -> None:
        self._glances.setdefault(fold(member.campaign), []).append(member)
        self._woken.set()

    def carries(self, campaign: str) -> bool:
        """Whether this server has to show the members of `campaign`, as far as is known."""
        if self._campaigns:
            return covers(self._campaigns, campaign)
        return self._sole or self._present is None or fold(campaign) in self._present

    def obliged(self, campaign: str) -> bool:
        """Whether a missing queue of that name is a fault here, and not just another server's share."""
        return covers(self._campaigns, campaign) if self._campaigns else self._sole

    async def owns(self, campaign: str, interface: str) -> bool:
        """Whether it was Plantel that put this phone into that queue, as the ledger has it."""
        key = (fold(campaign), fold(interface))
        instance = self._service.instance
        claims = await self._store.read(lambda transaction: transaction.claims(instance, self.name, [campaign]))
        return any(claim.added for claim in claims if claim.key == key)

    def behind(self, campaign: str, members: Iterable[Member]) -> errors.PlantelError | None:
        """Why the server does not yet show these members of `campaign` as the roster has them, or still shows one that
        the roster has no more; None where all is so."""
        if self.status.state in (State.AWAY, State.STARTING):
            return self.status.reasons[0] if self.status.reasons else errors.SwitchNotReady(server=self.name)
        folded = fold(campaign)
        if self._blocked:
            for member in members:
                reason = self._blocked.get((folded, member.phone)) or self._blocked.get(
                    (folded, fold(self.phones.called(member.interface)))
                )
                if reason is not None:
                    return reason
        return errors.SwitchBehind(server=self.name) if folded in self._awaited else None

    async def hindrance(self, member: Member) -> errors.PlantelError | None:
        """Why a look at this moment finds that the member cannot, or is not to, be put right; None where it may.

        It needs no round before it, so it is for who only asks. Raises SwitchError, StoreError.
        """
        _, found = await self.look([member.campaign])
        reasons: list[errors.PlantelError] = [one.reason(self.name) for one in found.blocked if one.member == member]
        due = {key(action) for action in found.actions}
        reasons += [
            _drifted(one, self.name)
            for one in found.drifts
            if one.member == member and (fold(member.campaign), fold(one.interface)) not in due
        ]
        return next(iter(reasons), None)

    @property
    def agrees(self) -> bool:
        """Whether nothing was in the way at the last look."""
        return not self._blocked

    async def settled(self) -> None:
        """Return after the next round has ended, however it ended."""
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._settled.add(future)
        try:
            await future
        finally:
            self._settled.discard(future)

    # --- one round ---------------------------------------------------------------------------------------------------

    async def run_once(self, queues: Collection[str] | None = None) -> Plan:
        """Bring these queues (None: all) into agreement; returns the last plan, `agreed` or telling what is in the way.

        Raises SwitchError where the server fails, StoreError where the store does. Either way nothing is lost: the next
        round starts from a fresh look. Of all processes on this store one at a time does this for one server: two could
        take each other's additions for somebody else's. Raises SwitchTaken where another does not come to an end.

        To see that there is nothing to do takes no lease: so that whoever cannot reach the server keeps nobody waiting.
        """
        if not self._awaited or self.status.state is State.AWAY:
            self._watch.looks()
            revision, found = await self.look(queues)
            if _at_rest(found):
                await self._discover()
                await self._keep(await self._watch.concluded(self._clock.now(), queues, (), repaired=self._repair))
                await self._conclude(queues, revision, found, {})
                return found
        async with self.alone() as lease:
            refusals: dict[Key, errors.PlantelError] = {}
            tried: tuple[Action, ...] = ()
            for _ in range(ROUNDS):
                self._watch.looks()
                revision, found = await self.look(queues)
                await self._watch.saw(found.drifts)
                await self._discover()
                settled, released = self._doubt.settled(found.settled), self._doubt.released(found.released)
                await self._write_ledger(lease, settled, released)
                if found.observed:
                    await self._take_over(lease, found)
                elif not found.actions:
                    refusals = {}
                    break
                elif found.actions == tried and refusals:
                    break  # nothing got through: what was refused will be refused again
                due, contested = await self._due(found)
                refusals = contested | await self._apply(lease, due)
                tried = found.actions
            repaired = self._repair and not self._realtime
            refused = {at for at, why in refusals.items() if not isinstance(why, errors.MemberContested)}
            await self._keep(
                await self._watch.concluded(self._clock.now(), queues, found.drifts, repaired=repaired, refused=refused)
            )
            await self._conclude(queues, revision, found, refusals)
            return found

    async def _glance(self, glances: Mapping[str, Sequence[Member]]) -> set[str]:
        """Bring these members of each campaign (folded) into agreement, without a look at all of its members.

        Returns the campaigns for which that was not enough: something unusual is seen, or was refused.
        """
        if not self._own.intersection(glances):
            # another node is about to do it, or has done it
            revision, found = await self._look_at(glances)
            if _at_rest(found) and not found.blocked and self._switch.restarts == self._watch.restarts:
                return self._conclude_glance(glances, revision)
        self._own.difference_update(glances)
        async with self.alone() as lease:
            for _ in range(GLANCES):
                revision, found = await self._look_at(glances)
                restarted = self._switch.restarts != self._watch.restarts
                # a line to be released may stand for a member in another spelling, which a glance does not see
                if restarted or found.observed or found.drifts or found.blocked or found.released:
                    return set(glances)
                await self._write_ledger(lease, self._doubt.settled(found.settled), ())
                if not found.actions:
                    return self._conclude_glance(glances, revision)
                if any(self._strange(action) for action in found.actions):
                    return set(glances)
                due, contested = await self._due(found)
                self._echoes.expect(due.actions)
                if contested or await self._apply(lease, due):
                    return set(glances)
            return set(glances)

    def _strange(self, action: Action) -> bool:
        """Whether it adds a phone that somebody else has put there in another spelling, which a glance does not see."""
        return isinstance(action, Add) and fold(action.interface) in self._strangers.get(fold(action.queue), ())

    def _conclude_glance(self, glances: Mapping[str, Sequence[Member]], revision: int) -> set[str]:
        unsure = {
            campaign
            for campaign, members in glances.items()
            if any((campaign, member.phone) in self._blocked for member in members)
        }
        for campaign in glances.keys() - unsure:
            # what came meanwhile may be about other members
            waiting = self._dirty is None or campaign in self._dirty or campaign in self._glances
            if not waiting and self._awaited.get(campaign, 0) <= revision:
                self._awaited.pop(campaign, None)
        self._announce()
        return unsure

    async def _look_at(self, glances: Mapping[str, Sequence[Member]]) -> tuple[int, Plan]:
        keys = {(campaign, member.phone) for campaign, members in glances.items() for member in members}
        every = [member for members in glances.values() for member in members]
        interfaces = {member.interface for member in every}

        def work(transaction: Transaction) -> tuple[int, Demand, list[Claim]]:
            instance = self._service.instance
            members = transaction.members_like(instance, every)
            wanted = [member for member in members if (fold(member.campaign), member.phone) in keys]
            return (
                transaction.revision(),
                Demand(wanted, reasons=transaction.reasons(instance, wanted)),
                transaction.claims(instance, self.name, glances.keys(), interfaces),
            )

        snapshot, (revision, demand, claims) = await asyncio.gather(
            self._switch.snapshot(glances.keys(), interfaces), self._store.read(work)
        )
        lines = [claim for claim in claims if claim.key in keys]
        return revision, compare(demand, snapshot, lines, obliged=self.carries, repair=self._repair)

    @asynccontextmanager
    async def alone(self) -> AsyncIterator[Lease]:
        """While no other process works on this server. Raises SwitchTaken."""
        async with AsyncExitStack() as held:
            try:
                lease = await held.enter_async_context(
                    self._store.lease(lease_name(self._service.instance, self.name), TAKEN_SECONDS)
                )
            except TimeoutError:
                raise errors.SwitchTaken(server=self.name, seconds=TAKEN_SECONDS) from None
            yield lease

    async def _keep(self, records: Sequence[DriftRecord]) -> None:
        if records:
            log.warning("drift", server=self.name, records=len(records), first=msgspec.to_builtins(records[0]))
            self._unkept += records
        while unkept := tuple(self._unkept[:SLICE]):
            await self._store.write(partial(_record_drifts, self._service.instance, unkept))
            del self._unkept[: len(unkept)]

    async def foreign(self, campaign: str) -> list[LiveMember]:
        """The members of `campaign` on the server that somebody else added. Raises SwitchError."""
        snapshot = await self._switch.snapshot([campaign])
        instance = self._service.instance
        claims = await self._store.read(lambda tx: tx.claims(instance, self.name, [campaign]))
        found = foreign(snapshot, claims)
        if self._realtime:
            members = await self._store.read(lambda tx: tx.members(instance, [campaign]))
            ours = {fold(self.phones.called(member.interface)) for member in members}
            found = [one for one in found if one.membership is Membership.DYNAMIC or fold(one.interface) not in ours]
        return found

    async def adopt(self, actor: Actor, campaign: str, agents: Collection[str]) -> Receipt:
        """Make foreign dynamic members, named by membername or interface, the roster's and Plantel's own.

        Raises BatchRefused where one of them is not there, or cannot be in a roster.
        """
        async with self.alone():
            live = {
                name: one
                for one in await self.foreign(campaign)
                if one.membership is Membership.DYNAMIC
                for name in (one.membername, visible(one.membername), fold(one.interface))
            }
            items: list[Member | errors.InvalidItem] = []
            for number, agent in enumerate(agents, 1):
                there = live.get(agent) or live.get(fold(agent))
                try:
                    if there is None:
                        raise errors.UnknownMember(member=agent, campaign=campaign)
                    items.append(Member(campaign, there.membername, there.interface, there.penalty, there.paused))
                except errors.InvalidItem as error:
                    items.append(error.at(number))
            return await self._service.adopt(actor, self.name, items)

    async def look(self, queues: Collection[str] | None = None) -> tuple[int, Plan]:
        """The roster's revision and the plan that a look at the server gives now; changes nothing."""
        if not self._realtime:
            return await self._look(queues)
        # the roster is seen after what Asterisk has read of it: what is older than both is compared
        before = await self._store.read(lambda transaction: transaction.revision())
        _, found = await self._look(queues)
        if found.drifts or found.blocked:
            _, again = await self._look(queues)
            found = realtime.standing(found, again)
        if found.observed:
            unexplained = [one for some in _slices(found.observed) for one in await self._service.unexplained(some)]
            found = msgspec.structs.replace(found, observed=tuple(unexplained))
        return before, found

    async def _look(self, queues: Collection[str] | None) -> tuple[int, Plan]:
        snapshot = await self._switch.snapshot(queues)
        self._watch.restarts = self._switch.restarts
        live = len(snapshot.queues) + sum(map(len, snapshot.queues.values()))
        seen, new = await _off_loop(live, partial(self._names, snapshot))
        if snapshot.asked is not None:
            self._present = None if self._present is None else (self._present - snapshot.asked) | seen
        else:
            self._new = new
            self._present = seen
            self._sizes = {queue: len(members) for queue, members in snapshot.queues.items()}
            self.status = msgspec.structs.replace(
                self.status, queues=len(snapshot.queues), members=live - len(snapshot.queues)
            )

        def work(transaction: Transaction) -> tuple[int, Demand | _Roster, list[Claim]]:
            instance = self._service.instance
            revision = transaction.revision()
            claims = transaction.claims(instance, self.name, queues)
            kept, demand = self._demand
            if queues is None and kept == revision:
                return revision, demand, claims
            members = transaction.members(instance, queues)
            return revision, (members, transaction.reasons(instance, members)), claims

        revision, roster, claims = await self._store.read(work)
        self._doubt.look(claims, queues)
        size = live + len(claims) + (roster.size if isinstance(roster, Demand) else len(roster[0]))
        demand, found = await _off_loop(size, partial(self._plan, roster, snapshot, claims))
        if queues is None:
            self._demand = revision, demand
        kept = {} if snapshot.asked is None else self._strangers
        self._strangers = {name: those for name, those in kept.items() if name not in seen} | dict(found.strangers)
        return revision, found

    async def _discover(self) -> None:
        """Make the queues that a full look has shown known as campaigns."""
        if self._new:
            found = await self._service.discover(self._new)
            self._new = []
            self._left_out = (
                (errors.SwitchTooMuch(server=self.name, what="campaigns", most=CAMPAIGNS_MOST),) if found else ()
            )

    def _names(self, snapshot: Snapshot) -> tuple[frozenset[str], list[str]]:
        """The queues of a snapshot (folded), and those, as they are spelled, that may become campaigns."""
        seen = frozenset(fold(queue) for queue in snapshot.queues)
        return seen, [] if snapshot.asked is not None else [queue for queue in snapshot.queues if self._shares(queue)]

    def _plan(self, roster: "Demand | _Roster", snapshot: Snapshot, claims: Collection[Claim]) -> tuple[Demand, Plan]:
        if isinstance(roster, Demand):
            demand = roster
        else:
            members, reasons = roster
            demand = Demand((one for one in members if self._shares(one.campaign)), self.phones, reasons)
        if self._realtime:
            return demand, realtime.compare(demand, snapshot, claims, obliged=self.carries)
        repair = self._repair or self._watch.restarted
        found = compare(demand, snapshot, claims, obliged=self.carries, repair=repair)
        if not repair and self._watch.presume_restart(claims, found.drifts):
            found = compare(demand, snapshot, claims, obliged=self.carries)
        return demand, found

    def _shares(self, queue: str) -> bool:
        return not self._campaigns or covers(self._campaigns, queue)

    async def _take_over(self, lease: Lease, found: Plan) -> None:
        """Have the roster take over the pauses that were made or ended there."""
        take_over = self._service.explain if self._realtime else self._service.observe
        for some in _slices(found.observed):
            lease.check()  # another may have seen newer
            await take_over(self.name, some)

    async def _due(self, found: Plan) -> tuple[Plan, dict[Key, errors.PlantelError]]:
        """The part of the plan that is for now, and the reason for each of the other actions, which have to wait, by
        folded queue and phone."""
        loop = asyncio.get_running_loop()
        actions, held, wait = await _off_loop(
            len(found.actions), partial(self._contests.part, found.actions, loop.time())
        )
        if not held:
            return found, {}
        loop.call_later(wait, self._mark, {fold(one.queue) for one in held})
        return await _off_loop(len(found.claims), partial(self._without, found, actions, held))

    def _without(
        self, found: Plan, actions: tuple[Action, ...], held: Collection[Action]
    ) -> tuple[Plan, dict[Key, errors.PlantelError]]:
        """The plan with these actions, `held` being left out; and the reason for each of those."""
        contested: dict[Key, errors.PlantelError] = {
            key(one): errors.MemberContested(
                server=self.name, queue=one.queue, interface=shown(one.sent or one.interface, one.interface)
            )
            for one in held
        }
        # such a member may be given another change now: that does not assert the penalty
        claims = (
            msgspec.structs.replace(claim, penalty=None) if claim.key in contested else claim for claim in found.claims
        )
        return msgspec.structs.replace(found, actions=actions, claims=tuple(claims)), contested

    async def _apply(self, lease: Lease, found: Plan) -> dict[Key, errors.PlantelError]:
        """Carry out the actions, chunk by chunk; returns what was refused, by folded queue and interface.

        The ledger lines of a chunk are stored, unconfirmed, before it is sent, and confirmed after it, while Asterisk
        works on the chunk before: two are always on their way, so that it never waits for us.
        """
        outcome = Application(found)
        sent: deque[tuple[Sequence[Action], asyncio.Task[list[Outcome]]]] = deque()
        try:
            for start in range(0, len(found.actions), CHUNK):
                chunk = found.actions[start : start + CHUNK]
                confirm, drop = outcome.learn(*await _oldest(sent)) if len(sent) > 1 else ((), ())
                await self._write_ledger(lease, [*self._doubt.confirmed(confirm), *outcome.intents(chunk)], drop)
                lease.check()  # nothing can call back what Asterisk is told
                sent.append((chunk, asyncio.create_task(self._switch.apply(chunk))))
                await asyncio.sleep(0)  # it is under way before anything else is done
                if start == 0:
                    await _off_loop(len(found.actions), outcome.prepare)
            while sent:
                confirm, drop = outcome.learn(*await _oldest(sent))
                await self._write_ledger(lease, self._doubt.confirmed(confirm), drop)
        except BaseException:
            self._doubt.begin(action for chunk, _ in sent for action in chunk)
            raise
        finally:
            for _, task in sent:
                task.cancel()
            await asyncio.gather(*(task for _, task in sent), return_exceptions=True)
        return outcome.refusals

    async def _write_ledger(self, lease: Lease, put: Collection[Claim], drop: Collection[Claim]) -> None:
        for some, gone in zip_longest(_slices(list(put)), _slices(list(drop)), fillvalue=()):
            await self._store.write(partial(self._put_ledger, lease, some, gone))

    def _put_ledger(
        self, lease: Lease, put: Collection[Claim], drop: Collection[Claim], transaction: Transaction
    ) -> None:
        """A unit of work."""
        lease.check()
        transaction.drop_claims(self._service.instance, self.name, drop)
        transaction.put_claims(self._service.instance, self.name, put)

    async def _conclude(
        self,
        queues: Collection[str] | None,
        revision: int,
        found: Plan,
        refusals: dict[Key, errors.PlantelError],
    ) -> None:
        size = len(found.drifts) + len(found.blocked)
        blocked = await _off_loop(size, partial(_hindrances, found, self.name)) | refusals
        looked_at = None if queues is None else {fold(queue) for queue in queues}
        if looked_at is None:
            self._blocked = blocked
        else:
            self._blocked = {key: why for key, why in self._blocked.items() if key[0] not in looked_at} | blocked
        if not found.actions and not found.observed:
            self._awaited = {
                campaign: needed
                for campaign, needed in self._awaited.items()
                if needed > revision or (looked_at is not None and campaign not in looked_at)
            }
        reasons = (*self._reasons(), *self._left_out)
        state = State.LAGGING if reasons or found.actions else State.AGREED
        self.status = msgspec.structs.replace(self.status, looked=self._clock.now())
        self._become(state, reasons)

    def _become(self, state: State, reasons: tuple[errors.PlantelError, ...]) -> None:
        """Note how it stands, log it where that is news, and tell who waits for it."""
        before = self.status.state
        self.status = msgspec.structs.replace(self.status, state=state, reasons=reasons)
        # under load it lags and agrees by turns; that a server is away, or back, is news by itself
        reached = (State.AGREED, State.LAGGING)
        self._news.see(_gist(self.status), at_once=before not in reached or state not in reached)
        self._announce()

    def _log_status(self) -> None:
        state = self.status.state
        level = log.info if state is State.AGREED else log.warning
        level("server", server=self.name, state=str(state), reasons=[str(one) for one in self.status.reasons])

    # --- the loop ----------------------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Reconcile at once, then whenever woken and every `interval`, until cancelled. Failures are waited out."""
        pause = FIRST_PAUSE
        loop = asyncio.get_running_loop()
        failed = loop.time()
        self._mark(None)
        while True:
            try:
                async with asyncio.timeout(self._interval):
                    await self._woken.wait()
                queues = self._dirty
            except TimeoutError:
                queues = None
            glances, self._glances = self._glances, {}
            self._woken.clear()
            self._wanted.clear()
            self._dirty = set()
            begun = loop.time()
            try:
                if queues is not None:
                    single = {campaign: those for campaign, those in glances.items() if campaign not in queues}
                    queues = queues | await self._glance(single) if single else queues
                if queues is None or queues:
                    await self.run_once(queues)
            except Exception as trouble:
                self._watch.lost()
                error = trouble if isinstance(trouble, errors.PlantelError) else errors.PlantelError()
                if error is not trouble:
                    # a fault of ours must not end the loop, nor the service with it
                    log.exception("reconcile", server=self.name)
                self._become(State.AWAY, (error,))
                await asyncio.sleep(pause * random.uniform(0.5, 1))  # noqa: S311 -- spreads retries, guards nothing
                pause = min(2 * pause, LONGEST_PAUSE)
                failed = loop.time()
                self._mark(None)
            else:
                if loop.time() - failed >= STEADY * pause:
                    pause = FIRST_PAUSE
                await self._rest(loop.time() - begun)

    async def _rest(self, took: float) -> None:
        """After a round that took so many seconds: until the roster wants something, or as long."""
        if took >= REST_FROM:
            with suppress(TimeoutError):
                async with asyncio.timeout(min(took, LONGEST_REST)):
                    await self._wanted.wait()

    def _heard(self, queue: str | None, interface: str = "") -> None:
        if queue is not None:
            if self._echoes.heard(queue, interface):
                return
            self._watch.announced(queue, interface)
            if (member := self._neighbours.heard(queue, interface)) is not None:
                self._glance_at(member)
                return
        self._mark(None if queue is None else {fold(queue)})

    def _mark(self, campaigns: Collection[str] | None) -> None:
        if campaigns is None or (self._dirty is None and self._woken.is_set()):
            self._dirty = None
        elif self._dirty is None:
            self._dirty = set(campaigns)
        else:
            self._dirty.update(campaigns)
        if self._dirty is not None and len(self._dirty) > QUEUES_WAITING_MOST:
            self._dirty = None
        self._woken.set()

    def _announce(self) -> None:
        for future in self._settled:
            if not future.done():
                future.set_result(None)


async def _off_loop(size: int, work: Callable[[], T]) -> T:
    """What `work` returns; it is done elsewhere if its `size` is LARGE."""
    return work() if size < LARGE else await _aside.run(work)


def _slices(items: Sequence[T]) -> list[Sequence[T]]:
    return [items[start : start + SLICE] for start in range(0, len(items), SLICE)]


def _hindrances(found: Plan, server: str) -> dict[Key, errors.PlantelError]:
    """Why a member is not as the roster has it, by folded campaign and phone."""
    drifts = {(fold(one.member.campaign), one.member.phone): _drifted(one, server) for one in found.drifts}
    return drifts | {(fold(one.member.campaign), one.member.phone): one.reason(server) for one in found.blocked}


def _gist(status: Status) -> tuple[State, tuple[str, ...]]:
    """What has to change for a new status to be news."""
    return status.state, tuple(one.code for one in status.reasons)


def _at_rest(found: Plan) -> bool:
    """Whether there is nothing to do, and nothing to write down."""
    return not (found.actions or found.observed or found.drifts or found.settled or found.released)


def _record_drifts(instance: str, records: Sequence[DriftRecord], transaction: Transaction) -> None:
    """A unit of work."""
    transaction.add_drifts(instance, records)


async def _oldest(
    sent: deque[tuple[Sequence[Action], asyncio.Task[list[Outcome]]]],
) -> tuple[Sequence[Action], list[Outcome]]:
    """Wait for the chunk that was sent first. Raises SwitchError; the chunk is then still in `sent`."""
    chunk, task = sent[0]
    outcomes = await asyncio.shield(task)
    sent.popleft()
    return chunk, outcomes


def _drifted(drift: Drift, server: str) -> errors.PlantelError:
    phone = shown(drift.member.interface, drift.interface)
    return errors.MemberDrifted(server=server, queue=drift.member.campaign, interface=phone, kind=str(drift.kind))
