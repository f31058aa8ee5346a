"""The servers of one instance together: where its campaigns and members stand."""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Collection, Sequence
from contextlib import AsyncExitStack
from functools import partial

from plantel import errors
from plantel.access import Actor
from plantel.batch import Change
from plantel.ports import Entry
from plantel.reconcile import Reconciler, Status
from plantel.roster import Member, fold
from plantel.service import Receipt, Service
from plantel.workers import Workers

LARGE = 1000
"""Members of a batch, with which it takes 1 ms to find out why some are not delivered."""

_aside = Workers("standing", 1, 1_000)


async def _alone() -> None:
    """There are no other processes."""


class Delivery:
    """The servers of one instance together: where its campaigns stand."""

    def __init__(self, reconcilers: Sequence[Reconciler]) -> None:
        self.reconcilers = tuple(reconcilers)
        self.catch_up: Callable[[], Awaitable[None]] = _alone
        """Has what other processes have committed by now taken into account here. Raises StoreError."""
        self._own: deque[range] = deque()
        """The revisions of journal lines that this process wrote, and may still hear of from the store."""

    def statuses(self, actor: Actor) -> list[Status]:
        """How it stands with each server, as far as the actor may see it. Raises ActionForbidden for readers."""
        actor.check_write()
        return [one.status_for(actor) for one in self.reconcilers]

    def wake(self, campaigns: Collection[str] | None, revision: int = 0, changes: Sequence[Change] = ()) -> None:
        """A commit made these changes to these campaigns (folded; None: any)."""
        if changes:
            self._own.append(range(revision - len(changes) + 1, revision + 1))
        for reconciler in self.reconcilers:
            reconciler.wake(campaigns, revision, changes)

    @property
    def newest(self) -> int:
        """The revision of the newest line that this process wrote, as far as it may still hear of it; 0: none."""
        return self._own[-1].stop - 1 if self._own else 0

    def wake_elsewhere(self, revision: int, lines: Sequence[Entry] = ()) -> None:
        """Of all up to `revision` these lines are new in the store: those that another process wrote are news."""
        taken = self._taken(revision)
        own = set[int]().union(*taken) if lines else set[int]()  # after a large batch of our own, it takes a while
        changes = [line.change for line in lines if line.revision not in own]
        campaigns = {fold(change.member.campaign) for change in changes}
        if changes:
            for reconciler in self.reconcilers:
                reconciler.wake(campaigns, revision, changes, elsewhere=True)

    def _taken(self, revision: int) -> list[range]:
        """Our own revisions up to that one, which nobody asks for again."""
        taken: list[range] = []
        while self._own and self._own[0].start <= revision:
            taken.append(self._own.popleft())
        return taken

    async def release(self, actor: Actor, campaign: str, agents: Sequence[str], service: Service) -> Receipt:
        """Take agents out of the roster, and leave them in Asterisk, as nobody's. Raises as `Service.remove` does."""
        async with AsyncExitStack() as held:
            for reconciler in sorted(self.reconcilers, key=lambda one: one.name):
                await held.enter_async_context(reconciler.alone())
            return await service.release(actor, campaign, agents, {one.name: one.phones for one in self.reconcilers})

    def behind(self, receipt: Receipt) -> errors.PlantelError | None:
        """Why some server does not yet show a stored batch's members as it has them; None where all do."""
        members: dict[str, list[Member]] = {campaign: [] for campaign in receipt.campaigns}
        if any(not one.agrees for one in self.reconcilers):
            for member in receipt.members:
                members[fold(member.campaign)].append(member)
        for campaign, those in members.items():
            carriers = self._carriers(campaign)
            if self.reconcilers and not carriers:
                return self._missing(campaign)
            for reconciler in carriers:
                if (reason := reconciler.behind(campaign, those)) is not None:
                    return reason
        return None

    async def lag(self, receipt: Receipt) -> errors.PlantelError | None:
        """As `behind`; of a large batch, found out in a thread."""
        if len(receipt.members) <= LARGE or all(one.agrees for one in self.reconcilers):
            return self.behind(receipt)
        return await _aside.run(partial(self.behind, receipt))

    def standing(self, member: Member) -> list[tuple[str, errors.PlantelError | None]]:
        """How the member stands on each server that carries the campaign: None where it is as the roster has it.

        With the servers' names; all of them together where none has the queue.
        """
        carriers = self._carriers(member.campaign)
        if self.reconcilers and not carriers:
            missing = self._missing(member.campaign)
            return [(one.name, missing) for one in self.reconcilers]
        return [(one.name, one.behind(member.campaign, [member])) for one in carriers]

    def _carriers(self, campaign: str) -> list[Reconciler]:
        return [one for one in self.reconcilers if one.carries(campaign)]

    def _missing(self, campaign: str) -> errors.PlantelError:
        return errors.QueueMissing(server=", ".join(one.name for one in self.reconcilers), queue=campaign)

    def names(self, interface: str) -> set[str]:
        """All that the servers call this interface of the roster."""
        return {interface, *(one.phones.called(interface) for one in self.reconcilers)}

    def called(self, member: Member) -> dict[str, str]:
        """What the servers that carry the campaign call the member's phone, where it is not what was sent."""
        found: dict[str, str] = {}
        for one in self.reconcilers:
            if one.carries(member.campaign):
                there = one.phones.called(member.interface)
                if there != member.interface:
                    found[one.name] = there
        return found

    async def live(self, receipt: Receipt, deadline: float) -> errors.PlantelError | None:
        """Wait at most `deadline` seconds until `behind` gives None; returns what it gives in the end."""
        try:
            async with asyncio.timeout(deadline):
                while True:
                    waits = [asyncio.ensure_future(one.settled()) for one in self.reconcilers]
                    try:
                        if await self.lag(receipt) is None:
                            return None
                        await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
                    finally:
                        for wait in waits:
                            wait.cancel()
        except TimeoutError:
            return await self.lag(receipt)
