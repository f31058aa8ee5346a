"""Keeping one Asterisk in agreement with the roster: look, plan, apply, look again.

`Reconciler.run_once` is one round; `run` is the loop around it. Commits and events only wake the loop. A server that is
away or refuses is recorded lag, with a reason and a retry, never an exception that ends anything.
"""

import asyncio
import random
from collections import deque
from collections.abc import AsyncIterator, Collection, Iterable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import datetime
from enum import StrEnum

import msgspec
import structlog

from plantel import errors
from plantel.access import covers
from plantel.plan import Action, Add, Blocked, Claim, Penalise, Plan, Remove, Snapshot, plan
from plantel.ports import Clock, Outcome, Store, Switch, Transaction
from plantel.roster import Member, fold
from plantel.service import Service

log = structlog.get_logger()

CHUNK = 500
"""Actions sent between two writes of the ledger: a crash leaves at most twice as many additions unconfirmed. Two chunks
fit into what a connection has in flight."""

ROUNDS = 4
"""Looks within one `run_once`; what still disagrees then waits for the next wake."""

LARGE = 5000
"""Members and ledger lines from which a plan takes long enough to be noticed."""

LATE = 60.0
"""Seconds in which an addition without an answer may still come about: Asterisk carries out what it has read from a
connection, also when that has ended."""

TAKEN_SECONDS = 30
"""How long to wait while another process works on the server."""

FIRST_PAUSE, LONGEST_PAUSE = 0.5, 30.0
"""Seconds of back-off after a failure, doubled each time; the pause taken is a random half to whole of it."""


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


class Reconciler:
    """One server of one instance.

    `campaigns`: patterns of those that it has to carry; without any, it carries those whose queues it has, and `sole`
    says that no other server could carry the rest, so that a missing queue is a fault here.
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
        interval: float = 30.0,
    ) -> None:
        self._store = store
        self._switch = switch
        self._service = service
        self._clock = clock
        self._campaigns = tuple(campaigns)
        self._sole = sole
        self._interval = interval
        self._woken = asyncio.Event()
        self._dirty: set[str] | None = None
        self._awaited: dict[str, int] = {}
        self._blocked: dict[str, errors.PlantelError] = {}
        self._present: frozenset[str] | None = None
        self._new: list[str] = []
        self._doubted: dict[tuple[str, str], float] = {}
        self._settled: set[asyncio.Future[None]] = set()
        self.status = Status(switch.name, State.STARTING)
        switch.listen(self._heard)

    @property
    def name(self) -> str:
        return self._switch.name

    # --- what others ask ---------------------------------------------------------------------------------------------

    def wake(self, campaigns: Collection[str] | None, revision: int = 0) -> None:
        """Look again at these campaigns (folded; None: at everything), whose newest change is `revision`."""
        for campaign in campaigns or ():
            if self.carries(campaign):
                self._awaited[campaign] = max(revision, self._awaited.get(campaign, 0))
        self._mark(campaigns)

    def carries(self, campaign: str) -> bool:
        """Whether this server has to show the members of `campaign`, as far as is known."""
        if self._campaigns:
            return covers(self._campaigns, campaign)
        return self._sole or self._present is None or fold(campaign) in self._present

    def behind(self, campaigns: Collection[str]) -> errors.PlantelError | None:
        """Why the server does not yet show these campaigns (folded) as the roster has them; None where it does."""
        if self.status.state in (State.AWAY, State.STARTING):
            return self.status.reasons[0] if self.status.reasons else errors.SwitchNotReady(server=self.name)
        for campaign in campaigns:
            if campaign in self._blocked:
                return self._blocked[campaign]
            if campaign in self._awaited:
                return errors.SwitchBehind(server=self.name)
        return None

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
        """
        async with self._alone():
            refusals: dict[str, errors.PlantelError] = {}
            tried: tuple[Action, ...] = ()
            for _ in range(ROUNDS):
                revision, found = await self.look(queues)
                await self._discover()
                await self._settle_ledger(found)
                if found.observed:
                    await self._service.observe(self.name, found.observed)
                elif not found.actions:
                    refusals = {}
                    break
                elif found.actions == tried:
                    break  # nothing got through: what was refused will be refused again
                refusals = await self._apply(found)
                tried = found.actions
            self._conclude(queues, revision, found, refusals)
            return found

    @asynccontextmanager
    async def _alone(self) -> AsyncIterator[None]:
        async with AsyncExitStack() as held:
            try:
                await held.enter_async_context(
                    self._store.lease(f"reconcile {self._service.instance}/{self.name}", TAKEN_SECONDS)
                )
            except TimeoutError:
                raise errors.SwitchTaken(server=self.name, seconds=TAKEN_SECONDS) from None
            yield

    async def look(self, queues: Collection[str] | None = None) -> tuple[int, Plan]:
        """The roster's revision and the plan that a look at the server gives now; changes nothing."""
        snapshot = await self._switch.snapshot(queues)
        seen = frozenset(fold(queue) for queue in snapshot.queues)
        if snapshot.asked is not None:
            self._present = None if self._present is None else (self._present - snapshot.asked) | seen
        else:
            self._new = [queue for queue in snapshot.queues if self._shares(queue)]
            self._present = seen
            self.status = msgspec.structs.replace(
                self.status, queues=len(snapshot.queues), members=sum(map(len, snapshot.queues.values()))
            )

        def work(transaction: Transaction) -> tuple[int, list[Member], list[Claim]]:
            return (
                transaction.revision(),
                transaction.members(self._service.instance, queues),
                transaction.claims(self._service.instance, self.name, queues),
            )

        revision, members, claims = await self._store.read(work)
        if len(members) + len(claims) < LARGE:
            return revision, self._plan(members, snapshot, claims)
        # off the event loop, so that Asterisk's events and everybody's requests are read meanwhile
        return revision, await asyncio.to_thread(self._plan, members, snapshot, claims)

    async def _discover(self) -> None:
        """Make the queues that a full look has shown known as campaigns."""
        if self._new:
            await self._service.discover(self._new)
            self._new = []

    def _plan(self, members: Iterable[Member], snapshot: Snapshot, claims: Iterable[Claim]) -> Plan:
        shared = [member for member in members if self._shares(member.campaign)]
        return plan(shared, snapshot, claims, obliged=self.carries)

    def _shares(self, queue: str) -> bool:
        return not self._campaigns or covers(self._campaigns, queue)

    async def _settle_ledger(self, found: Plan) -> None:
        """Write the ledger lines that need no action: released ones, and members that were right already.

        An addition that was never confirmed and is not there is only released once it can no longer come about.
        """
        now = asyncio.get_running_loop().time()
        released = []
        for claim in found.released:
            unconfirmed = claim.added and claim.paused is None
            if not unconfirmed or now - self._doubted.setdefault(claim.key, now) >= LATE:
                self._doubted.pop(claim.key, None)
                released.append(claim)
        await self._write_ledger(found.settled, released)

    async def _apply(self, found: Plan) -> dict[str, errors.PlantelError]:
        """Carry out the actions, chunk by chunk; returns the first refusal of each queue (folded) that had one.

        The ledger lines of a chunk's additions are stored before it is sent, and confirmed after it, while Asterisk
        works on the chunk before: two are always on their way, so that it never waits for us.
        """
        outcome = _Applied(found)
        sent: deque[tuple[Sequence[Action], asyncio.Task[list[Outcome]]]] = deque()
        try:
            for start in range(0, len(found.actions), CHUNK):
                chunk = found.actions[start : start + CHUNK]
                intents = _intents(chunk)
                for claim in intents if self._doubted else ():
                    self._doubted.pop(claim.key, None)
                confirm, drop = outcome.learn(*await _oldest(sent)) if len(sent) > 1 else ((), ())
                await self._write_ledger([*confirm, *intents], drop)
                sent.append((chunk, asyncio.create_task(self._switch.apply(chunk))))
                await asyncio.sleep(0)  # it is under way before anything else is done
            while sent:
                await self._write_ledger(*outcome.learn(*await _oldest(sent)))
        finally:
            for _, task in sent:
                task.cancel()
            await asyncio.gather(*(task for _, task in sent), return_exceptions=True)
        return outcome.refusals

    async def _write_ledger(self, put: Sequence[Claim], drop: Sequence[Claim]) -> None:
        if not put and not drop:
            return

        def work(transaction: Transaction) -> None:
            transaction.drop_claims(self._service.instance, self.name, drop)
            transaction.put_claims(self._service.instance, self.name, put)

        await self._store.write(work)

    def _conclude(
        self,
        queues: Collection[str] | None,
        revision: int,
        found: Plan,
        refusals: dict[str, errors.PlantelError],
    ) -> None:
        blocked = {fold(one.member.campaign): _reason(one, self.name) for one in reversed(found.blocked)} | refusals
        looked_at = None if queues is None else {fold(queue) for queue in queues}
        if looked_at is None:
            self._blocked = blocked
        else:
            self._blocked = {name: why for name, why in self._blocked.items() if name not in looked_at} | blocked
        if not found.actions and not found.observed:
            self._awaited = {
                campaign: needed
                for campaign, needed in self._awaited.items()
                if needed > revision or (looked_at is not None and campaign not in looked_at)
            }
        reasons = tuple(self._blocked.values())
        state = State.LAGGING if reasons or found.actions else State.AGREED
        self.status = msgspec.structs.replace(self.status, looked=self._clock.now())
        self._become(state, reasons)

    def _become(self, state: State, reasons: tuple[errors.PlantelError, ...]) -> None:
        """Note how it stands, log it where that is news, and tell who waits for it."""
        before = self.status
        self.status = msgspec.structs.replace(before, state=state, reasons=reasons)
        if (before.state, [one.code for one in before.reasons]) != (state, [one.code for one in reasons]):
            level = log.info if state is State.AGREED else log.warning
            level("server", server=self.name, state=str(state), reasons=[str(one) for one in reasons])
        self._announce()

    # --- the loop ----------------------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Reconcile at once, then whenever woken and every `interval`, until cancelled. Failures are waited out."""
        pause = FIRST_PAUSE
        self._mark(None)
        while True:
            try:
                async with asyncio.timeout(self._interval):
                    await self._woken.wait()
                queues = self._dirty
            except TimeoutError:
                queues = None
            self._woken.clear()
            self._dirty = set()
            try:
                await self.run_once(queues)
            except Exception as trouble:
                error = trouble if isinstance(trouble, errors.PlantelError) else errors.PlantelError()
                if error is not trouble:
                    # a fault of ours must not end the loop, nor the service with it
                    log.exception("reconcile", server=self.name)
                self._become(State.AWAY, (error,))
                await asyncio.sleep(pause * random.uniform(0.5, 1))  # noqa: S311 -- spreads retries, guards nothing
                pause = min(2 * pause, LONGEST_PAUSE)
                self._mark(None)
            else:
                pause = FIRST_PAUSE

    def _heard(self, queue: str | None) -> None:
        self._mark(None if queue is None else {fold(queue)})

    def _mark(self, campaigns: Collection[str] | None) -> None:
        if campaigns is None or (self._dirty is None and self._woken.is_set()):
            self._dirty = None
        else:
            self._dirty = (self._dirty or set()) | set(campaigns)
        self._woken.set()

    def _announce(self) -> None:
        for future in self._settled:
            if not future.done():
                future.set_result(None)


def _intents(actions: Sequence[Action]) -> list[Claim]:
    """The unconfirmed ledger lines of the additions."""
    return [Claim(action.queue, action.interface, added=True) for action in actions if isinstance(action, Add)]


async def _oldest(
    sent: deque[tuple[Sequence[Action], asyncio.Task[list[Outcome]]]],
) -> tuple[Sequence[Action], list[Outcome]]:
    """Wait for the chunk that was sent first. Raises SwitchError; the chunk is then still in `sent`."""
    chunk, task = sent[0]
    outcomes = await asyncio.shield(task)
    sent.popleft()
    return chunk, outcomes


class _Applied:
    """What carrying out a plan has taught so far."""

    def __init__(self, found: Plan) -> None:
        self.refusals: dict[str, errors.PlantelError] = {}
        """The first of each queue (folded)."""
        self._found = found
        self._wanted: dict[tuple[str, str], Claim] | None = None
        self._renamed: Collection[tuple[str, str]] = ()

    def learn(self, chunk: Sequence[Action], outcomes: Sequence[Outcome]) -> tuple[list[Claim], list[Claim]]:
        """The ledger lines that the outcomes confirm, and those that they end.

        A phone that is removed and added again stays ours in between.
        """
        if self._wanted is None:  # only now: by this time Asterisk is busy, and this takes a while for a large plan
            self._wanted = {claim.key: claim for claim in self._found.claims}
            removed = {_key(one) for one in self._found.actions if isinstance(one, Remove)}
            self._renamed = self._wanted.keys() & removed
        confirm: dict[tuple[str, str], Claim] = {}
        drop: dict[tuple[str, str], Claim] = {}
        for action, outcome in zip(chunk, outcomes, strict=True):
            key = _key(action)
            if outcome is not None:
                self.refusals.setdefault(key[0], outcome)
            if isinstance(action, Remove):
                if outcome is None and key not in self._renamed:
                    drop[key] = Claim(action.queue, action.interface, added=True)
            elif outcome is None:
                if not isinstance(action, Penalise):  # a line tells of the addition and of the pause
                    confirm[key] = self._wanted[key]
            elif isinstance(action, Add) and key not in self._found.ours:
                # refused, so it is not ours: somebody else put this phone there between the look and the action
                drop[key] = Claim(action.queue, action.interface, added=True)
        return list(confirm.values()), list(drop.values())


def _key(action: Action) -> tuple[str, str]:
    return fold(action.queue), fold(action.interface)


def _reason(blocked: Blocked, server: str) -> errors.PlantelError:
    member = blocked.member
    return blocked.error(server=server, queue=member.campaign, interface=member.interface)


class Delivery:
    """The servers of one instance together: where its campaigns stand."""

    def __init__(self, reconcilers: Sequence[Reconciler]) -> None:
        self.reconcilers = tuple(reconcilers)

    def wake(self, campaigns: Collection[str] | None, revision: int = 0) -> None:
        """A commit changed these campaigns (folded; None: any)."""
        for reconciler in self.reconcilers:
            reconciler.wake(campaigns, revision)

    def behind(self, campaigns: Collection[str]) -> errors.PlantelError | None:
        """Why some server does not yet show these campaigns (folded) as the roster has them; None where all do."""
        for campaign in campaigns:
            carriers = [one for one in self.reconcilers if one.carries(campaign)]
            if self.reconcilers and not carriers:
                servers = ", ".join(one.name for one in self.reconcilers)
                return errors.QueueMissing(server=servers, queue=campaign)
            for reconciler in carriers:
                if (reason := reconciler.behind([campaign])) is not None:
                    return reason
        return None

    async def live(self, campaigns: Collection[str], deadline: float) -> errors.PlantelError | None:
        """Wait at most `deadline` seconds until `behind` gives None; returns what it gives in the end."""
        try:
            async with asyncio.timeout(deadline):
                while (reason := self.behind(campaigns)) is not None:
                    waits = [asyncio.ensure_future(one.settled()) for one in self.reconcilers]
                    try:
                        await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
                    finally:
                        for wait in waits:
                            wait.cancel()
        except TimeoutError:
            return self.behind(campaigns)
        return reason
