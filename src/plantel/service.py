"""The use cases of one instance. Each change is one transaction, decided inside it, journalled, and durable on return.

Whoever calls gives an `Actor`; rights are checked here, once, for every door (wire call, JSON API, command line).
"""

from collections.abc import Awaitable, Callable, Collection, Hashable, Iterable, Mapping, Sequence
from datetime import datetime
from functools import partial
from typing import NoReturn

import msgspec

from plantel import errors
from plantel.access import Actor, Role
from plantel.batch import Batch, Change, Kind, Problem, Source, decide_add, settle
from plantel.batch_ids import BatchIds
from plantel.drift import DriftRecord
from plantel.phones import PhoneRules
from plantel.plan import NO_REASONS, Claim, Observed
from plantel.ports import Clock, Entry, Store, Transaction
from plantel.roster import Campaign, Interfaces, Member, Origin, check_reason, fold
from plantel.tally import Tally, together
from plantel.why.facts import Trace
from plantel.why.tracing import trace

_ids = BatchIds()

CAMPAIGNS_MOST = 20_000
"""With so many campaigns, queues that are found do not become more: a server that has other queues at each look would
fill the store. To declare one goes on working."""

CAMPAIGNS_SLICE = 500
"""Queues that become campaigns in one transaction, 20 ms at most: others' adds go in between."""

_LINES = 20
"""Of an agent's history, to find the beginning of a pause that is minutes old."""


ITEMS = 100_000
"""Items of one batch, unless a site says otherwise: what the API promises to take in one go."""

Heard = Callable[[frozenset[str], int, Sequence[Change]], None]
"""Told after a commit about members: the folded campaigns concerned, the store's revision, what it changed."""


class Verification(msgspec.Struct, frozen=True):
    """What the servers tell of the phones of members.

    `unknown`: the members (folded campaign, interface) whose phone their servers, named, do not know. `unverified`: why
    of some phone nobody told whether it exists; None where of each somebody did.
    """

    unknown: Mapping[tuple[str, str], str] = {}
    unverified: errors.PhonesUnverified | None = None


Verify = Callable[[Sequence[Member]], Awaitable[Verification]]


Refusal = tuple[str, list[errors.PlantelError]]
"""A recorded batch that is refused, and why. Raised as BatchRefused once that is stored."""


class Receipt(msgspec.Struct, frozen=True):
    """A stored batch. `changes` is empty when everything was so already; `campaigns` (folded) are all that it named,
    `members` those that it named or took away. `warnings`: what was stored all the same.
    """

    batch: str
    revision: int
    changes: Sequence[Change]
    campaigns: frozenset[str]
    members: Sequence[Member] = ()
    warnings: tuple[errors.PlantelError, ...] = ()


class Wanted(msgspec.Struct):
    """The items of a request, looked through by `Service.wanted`: whoever may be sent the same again keeps it.

    `campaigns`: every name of a campaign in them, once for each spelling. `members`: the distinct ones. `problems`:
    what is wrong with the others, as far as their service can tell by itself.
    """

    items: Sequence[Member | errors.InvalidItem]
    campaigns: Collection[str]
    members: Sequence[Member]
    problems: Sequence[errors.InvalidItem]
    stored: tuple[Hashable, Receipt] | None = None
    """The version of the roster (`Transaction.version`) in which it had them all, and what there is to say of it."""
    asked: tuple[tuple[str, ...], str | None] | None = None
    """The last answer of `forbidden_to`, with the patterns of whoever asked."""

    def forbidden_to(self, actor: Actor) -> str | None:
        """One of the campaigns that is not the actor's, None if all are. For any thread."""
        asked = self.asked
        if asked is None or asked[0] != actor.campaigns:
            forbidden = next((name for name in self.campaigns if not actor.reaches(name)), None)
            asked = self.asked = actor.campaigns, forbidden
        return asked[1]


class Service:
    """The roster of one instance.

    `interfaces` is the site's allow-list. With `verify`, new members' phones are verified: an unknown one is warned of
    or, with `phones_required`, refused; that some could not be verified is only warned of. `heard` is called on the
    event loop after each commit that changed members, before the call returns. `names` gives all that the servers call
    an interface. A batch has at most `most` items. All methods raise StoreError where the store fails, and then nothing
    was changed.
    """

    def __init__(
        self,
        store: Store,
        instance: str,
        clock: Clock,
        interfaces: Interfaces,
        heard: Heard,
        verify: Verify | None = None,
        *,
        phones_required: bool = False,
        names: Callable[[str], Collection[str]] = lambda interface: (interface,),
        most: int = ITEMS,
    ) -> None:
        self._store = store
        self.instance = instance
        self._clock = clock
        self._interfaces = interfaces
        self._heard = heard
        self._verify = verify
        self._phones_required = phones_required
        self._names = names
        self.most = most

    # --- members -----------------------------------------------------------------------------------------------------

    def wanted(self, items: Sequence[Member | errors.InvalidItem]) -> Wanted:
        """For `add`. For any thread."""
        members: Sequence[Member] = [item for item in items if isinstance(item, Member)]
        problems: Sequence[errors.InvalidItem] = ()
        campaigns = dict.fromkeys([member.campaign for member in members])
        if len(members) < len(items):
            problems = Tally(item for item in items if isinstance(item, errors.InvalidItem)).told()
        elif len(members) > 1:
            members, problems = settle(members)
        if not_allowed := self._interfaces.check(items):
            problems = together(problems, not_allowed)
        return Wanted(items, campaigns, members, problems)

    async def add(self, actor: Actor, items: Sequence[Member | errors.InvalidItem] | Wanted, source: Source) -> Receipt:
        """Put every item into its campaign, or none.

        An item that could not even be read comes as its error. An agent already there is updated, moved to the phone
        sent, and whoever else is on that phone in that campaign is replaced. Raises BatchRefused, once the refusal is
        recorded, with the problems found, as `Tally` tells them; AccessRefused where the actor may not, recorded as
        well.
        """
        return await self._add(actor, items, source)

    async def _add(
        self,
        actor: Actor,
        asked: Sequence[Member | errors.InvalidItem] | Wanted,
        source: Source,
        also: Callable[[Receipt, Transaction], None] | None = None,
    ) -> Receipt:
        """`also` is part of the transaction that stores the batch."""
        wanted = asked if isinstance(asked, Wanted) else self.wanted(asked)
        await self._check_allowed(actor, wanted, source)
        items, problems = wanted.items, wanted.problems
        doubts, unverified = ([], []) if self._verify is None else await self._doubts(self._verify, items, problems)
        if self._phones_required:
            problems = together(problems, doubts)
        stored = None

        def work(transaction: Transaction) -> Receipt | Refusal:
            nonlocal stored
            batch = self._batch(actor, source, len(items))
            if wanted.stored is not None and not problems and also is None:
                version, before = wanted.stored
                if version == transaction.version():  # sent again, and nobody has changed anything since
                    transaction.record(batch, ())
                    return msgspec.structs.replace(before, batch=batch.id)
            campaigns = transaction.campaigns(self.instance)
            unknown = _unknown_campaigns(wanted, campaigns)
            if problems or unknown:
                return _refuse(transaction, batch, together(problems, unknown))
            receipt = _commit(transaction, batch, wanted, campaigns)
            if declared := _pauses_declared(receipt.changes):
                transaction.forget_pauses(self.instance, self._by_all_names(declared))
            if also is not None:
                also(receipt, transaction)
            if wanted is asked:
                stored = transaction.version(), msgspec.structs.replace(receipt, changes=())
            return receipt

        result = await self._store.write(work, like=(self.instance, wanted.members))
        if isinstance(result, tuple):
            raise errors.BatchRefused(*result)
        wanted.stored = stored or wanted.stored
        warnings = (*unverified, *doubts)
        return self._tell(msgspec.structs.replace(result, warnings=warnings) if warnings else result)

    async def _check_allowed(self, actor: Actor, wanted: Wanted, source: Source) -> None:
        """Raise what `add` raises where there is nothing to add, or the actor may not."""
        actor.check_write()
        if not wanted.items:
            await self.refuse(actor, source, errors.EmptyBatch())
        if len(wanted.items) > self.most:
            await self.refuse(actor, source, errors.TooManyItems(most=self.most), len(wanted.items))
        # asked before all else: it must not tell what exists
        forbidden = wanted.forbidden_to(actor)
        if forbidden is not None:
            await self.refuse(actor, source, errors.CampaignForbidden(campaign=forbidden), len(wanted.items))

    async def _doubts(
        self,
        verify: Verify,
        items: Sequence[Member | errors.InvalidItem],
        problems: Iterable[errors.InvalidItem],
    ) -> tuple[list[errors.InvalidItem], list[errors.PhonesUnverified]]:
        """The items, right in all else, whose phone does not exist as far as is known; and why not more is known."""
        wrong = {problem.item for problem in problems}
        asked = [
            (number, one) for number, one in enumerate(items, 1) if isinstance(one, Member) and number not in wrong
        ]
        found = await verify([item for _, item in asked])
        doubts = Tally()
        for number, item in asked:
            if servers := found.unknown.get((fold(item.campaign), item.interface)):
                doubts.make(
                    errors.PhoneUnknown, key="interface1", item=number, interface=item.interface, servers=servers
                )
        return doubts.told(), [] if found.unverified is None else [found.unverified]

    async def refuse(self, actor: Actor, source: Source, problem: errors.PlantelError, items: int = 0) -> NoReturn:
        """Record a batch that cannot even be decided, and raise BatchRefused; of a reader nothing is recorded."""
        actor.check_write()
        refusal = await self._store.write(
            lambda transaction: _refuse(transaction, self._batch(actor, source, items), [problem])
        )
        raise errors.BatchRefused(*refusal)

    async def remove(self, actor: Actor, campaign: str, agents: Sequence[str], source: Source) -> Receipt:
        """Take these agents, named by membername or by interface, out of the campaign; all or none."""
        return await self._change(actor, campaign, agents, source, lambda member, _: Change(Kind.REMOVED, member, None))

    async def pause(
        self, actor: Actor, campaign: str, agents: Sequence[str], source: Source, *, paused: bool, reason: str = ""
    ) -> Receipt:
        """Pause these agents, named by membername or by interface, in the campaign, or end their pause; all or none.

        It stands against every pause made or ended on a server before, also where no look has shown that one yet.
        `reason` is given to the servers, too; one who is paused already keeps the reason unless another one is given.
        """
        try:
            if reason and not paused:
                raise errors.ReasonWithoutPause(key="reason")
            check_reason(reason)
        except errors.InvalidItem as problem:
            await self._check_change(actor, campaign, len(agents), source)
            await self.refuse(actor, source, problem, len(agents))

        def change(member: Member, present: str) -> Change | None:
            if member.paused is paused and reason in {"", present}:
                return None
            return Change(Kind.UPDATED, member, msgspec.structs.replace(member, paused=paused), reason)

        return await self._change(actor, campaign, agents, source, change, pausing=True)

    async def _change(
        self,
        actor: Actor,
        campaign: str,
        agents: Sequence[str],
        source: Source,
        change: Callable[[Member, str], Change | None],
        also: Callable[[Receipt, Transaction], None] | None = None,
        *,
        pausing: bool = False,
    ) -> Receipt:
        """`change` is given each member and, where it is `pausing`, the reason of the pause that there is."""
        await self._check_change(actor, campaign, len(agents), source)

        def work(transaction: Transaction) -> Receipt | Refusal:
            batch = self._batch(actor, source, len(agents))
            problems = Tally()
            chosen: dict[str, Member] = {}
            if fold(campaign) not in transaction.campaigns(self.instance):
                problems.make(errors.UnknownCampaign, campaign=campaign)
            else:
                present = transaction.members(self.instance, [campaign])
                by_agent = {member.membername: member for member in present}
                by_phone = {member.phone: member for member in present}
                for number, agent in enumerate(agents, 1):
                    member = by_agent.get(agent) or by_phone.get(fold(agent))
                    if member is not None:
                        chosen[member.membername] = member
                    else:
                        problems.make(errors.UnknownMember, item=number, member=agent, campaign=campaign)
            if found := problems.told():
                return _refuse(transaction, batch, found)
            reasons = NO_REASONS
            if pausing:
                reasons = transaction.reasons(self.instance, chosen.values())
                transaction.forget_pauses(self.instance, self._by_all_names(chosen.values()))
            changes = [
                made
                for member in chosen.values()
                if (made := change(member, reasons.get((fold(campaign), member.membername), ""))) is not None
            ]
            revision = transaction.record(batch, changes)
            receipt = Receipt(batch.id, revision, changes, frozenset({fold(campaign)}), list(chosen.values()))
            if also is not None:
                also(receipt, transaction)
            return receipt

        result = await self._store.write(work)
        if isinstance(result, tuple):
            raise errors.BatchRefused(*result)
        return self._tell(result)

    async def _check_change(self, actor: Actor, campaign: str, agents: int, source: Source) -> None:
        """Raise what `_change` raises where the actor may not, or names too many."""
        actor.check_write()
        if not actor.reaches(campaign):
            await self.refuse(actor, source, errors.CampaignForbidden(campaign=campaign), agents)
        if agents > self.most:
            await self.refuse(actor, source, errors.TooManyItems(most=self.most), agents)

    async def adopt(self, actor: Actor, server: str, found: Sequence[Member | errors.InvalidItem]) -> Receipt:
        """Take over members that somebody else added to `server`, as they were found there: from now on the roster has
        them, and they count as Plantel's own. All or none. Raises BatchRefused, ActionForbidden, CampaignForbidden.
        """
        claims = [
            Claim(one.campaign, one.interface, True, one.paused, one.penalty, membername=one.membername)
            for one in found
            if isinstance(one, Member)
        ]
        return await self._add(actor, found, Source.CLI, partial(_claim, self.instance, server, claims))

    async def release(
        self, actor: Actor, campaign: str, agents: Sequence[str], servers: Mapping[str, PhoneRules]
    ) -> Receipt:
        """Take these agents out of the roster, and leave them on the servers: nobody's, as far as Plantel is concerned.

        `servers` by name, with what each calls the phones. All or none; raises as `remove` does.
        """
        return await self._change(
            actor,
            campaign,
            agents,
            Source.CLI,
            lambda member, _: Change(Kind.REMOVED, member, None),
            partial(_disclaim, self.instance, servers),
        )

    async def drifts(
        self, actor: Actor, *, server: str | None = None, campaign: str | None = None, limit: int = 100
    ) -> list[DriftRecord]:
        """The newest drift records that the actor may see, oldest first. Raises CampaignForbidden."""
        if campaign is not None:
            actor.check_campaign(campaign)
        return await self._store.read_long(
            lambda tx: tx.drifts(self.instance, server=server, campaign=campaign, within=actor.within, limit=limit)
        )

    async def observe(self, server: str, seen: Sequence[Observed]) -> None:
        """Take over pauses that were made or ended on `server`, or given another reason there, together with the ledger
        lines that acknowledge them.

        Journalled under the server's name, with the reason given there. A member that the roster has changed meanwhile
        keeps what the roster says, and so does one whose pause was declared meanwhile, even as it was (the ledger no
        longer has it as asserted).
        """

        def work(transaction: Transaction) -> Receipt:
            batch = self._batch(Actor(f"server:{server}", Role.INTEGRATOR), Source.SERVER, len(seen))
            members = [one.member for one in seen]
            present = {
                (fold(member.campaign), member.membername): member
                for member in transaction.members_like(self.instance, members)
            }
            lines = transaction.claims(self.instance, server, list({member.campaign for member in members}))
            asserted = {line.key for line in lines if line.paused is not None}
            reasons = transaction.reasons(self.instance, present.values())
            changes: list[Change] = []
            taken: list[Claim] = []
            for one in seen:
                if one.claim.key not in asserted:
                    continue
                agent = (fold(one.member.campaign), one.member.membername)
                before = present.get(agent)
                if before is None or msgspec.structs.replace(before, paused=one.member.paused) != one.member:
                    continue
                taken.append(one.claim)
                if before != one.member or one.reason != reasons.get(agent, ""):
                    changes.append(Change(Kind.UPDATED, before, one.member, one.reason))
            transaction.put_claims(self.instance, server, taken)
            revision = transaction.record(batch, changes) if changes else transaction.revision()
            campaigns = frozenset(fold(change.member.campaign) for change in changes)
            return Receipt(batch.id, revision, changes, campaigns)

        self._tell(await self._store.write(work))

    async def unexplained(self, seen: Sequence[Observed]) -> tuple[Observed, ...]:
        """Those of `seen` whose pause was begun by a server that wrote it into the store itself, without a reason."""
        return await self._store.read(lambda tx: tuple(one for one in seen if _unexplained(tx, self.instance, one)))

    async def explain(self, server: str, seen: Sequence[Observed]) -> None:
        """Give the pauses that `unexplained` gives the reasons that `server` tells, journalled under its name."""

        def work(transaction: Transaction) -> Receipt:
            batch = self._batch(Actor(f"server:{server}", Role.INTEGRATOR), Source.SERVER, len(seen))
            changes = [
                Change(Kind.UPDATED, one.member, one.member, one.reason)
                for one in seen
                if _unexplained(transaction, self.instance, one)
                and one.member in transaction.members_like(self.instance, [one.member])
            ]
            revision = transaction.record(batch, changes) if changes else transaction.revision()
            campaigns = frozenset(fold(change.member.campaign) for change in changes)
            return Receipt(batch.id, revision, changes, campaigns)

        self._tell(await self._store.write(work))

    async def members(self, actor: Actor, campaign: str) -> list[Member]:
        """The members of one campaign, by membername. Raises UnknownCampaign, CampaignForbidden."""
        actor.check_campaign(campaign)

        def work(transaction: Transaction) -> list[Member]:
            if fold(campaign) not in transaction.campaigns(self.instance):
                raise errors.UnknownCampaign(campaign=campaign)
            return transaction.members(self.instance, [campaign])

        return await self._store.read(work)

    async def reasons(self, actor: Actor, campaign: str) -> dict[str, str]:
        """What was given for the pauses in one campaign, by membername. Raises CampaignForbidden."""
        actor.check_campaign(campaign)
        found = await self._store.read(lambda tx: tx.reasons(self.instance, tx.members(self.instance, [campaign])))
        return {membername: reason for (_, membername), reason in found.items()}

    async def refused_members(self, actor: Actor) -> list[Member]:
        """The members that could not be added today, as far as the actor may see them: `Interfaces.refused`."""

        def work(transaction: Transaction) -> list[Member]:
            reached = actor.reached(transaction.campaigns(self.instance).values())
            return self._interfaces.refused(transaction.members(self.instance, reached))

        return await self._store.read_long(work)

    async def members_at(self, actor: Actor, moment: datetime, campaign: str | None = None) -> list[Member]:
        """The roster as it was at `moment` (aware), as far as the actor may see it. Raises CampaignForbidden."""
        if campaign is not None:
            actor.check_campaign(campaign)

        def work(transaction: Transaction) -> list[Member]:
            members = transaction.members_at(self.instance, moment, campaign)
            if campaign is not None or not actor.campaigns:
                return members
            return [member for member in members if actor.reaches(member.campaign)]

        return await self._store.read_long(work)

    # --- campaigns ---------------------------------------------------------------------------------------------------

    async def campaigns(self, actor: Actor) -> list[Campaign]:
        """The campaigns that the actor may see, by name."""

        def work(transaction: Transaction) -> list[Campaign]:
            known = transaction.campaigns(self.instance).values()
            return sorted((one for one in known if actor.reaches(one.name)), key=lambda one: one.name)

        return await self._store.read(work)

    async def declare(self, actor: Actor, name: str) -> Campaign:
        """Declare a campaign. Raises NameTaken, InvalidItem, ActionForbidden, CampaignForbidden."""
        actor.check_admin()
        actor.check_campaign(name)
        campaign = Campaign(self.instance, name)
        await self._store.write(lambda transaction: transaction.add_campaign(campaign))
        return campaign

    async def discover(self, names: Collection[str]) -> int:
        """Make queues found on an Asterisk known as campaigns. Names that could not be campaigns are passed over.

        Returns how many others were left out, since there are CAMPAIGNS_MOST.
        """
        found, left_out = await self._store.read(partial(_undiscovered, self.instance, names))
        for start in range(0, len(found), CAMPAIGNS_SLICE):
            some = found[start : start + CAMPAIGNS_SLICE]
            await self._store.write(partial(_discover, self.instance, some))
        return left_out

    async def dissolve(self, actor: Actor, name: str, source: Source) -> Receipt:
        """Remove a campaign with its members, journalled. Raises NoSuchThing, ActionForbidden, CampaignForbidden."""
        actor.check_admin()
        actor.check_campaign(name)

        def work(transaction: Transaction) -> Receipt:
            batch = self._batch(actor, source, 1)
            changes = [Change(Kind.REMOVED, member, None) for member in transaction.members(self.instance, [name])]
            revision = transaction.record(batch, changes)
            transaction.remove_campaign(self.instance, name)
            return Receipt(batch.id, revision, changes, frozenset({fold(name)}))

        return self._tell(await self._store.write(work))

    # --- history -----------------------------------------------------------------------------------------------------

    async def batch(self, actor: Actor, batch: str) -> tuple[Batch, list[Entry]]:
        """A batch and its journal lines, as far as the actor may see them.

        Who may not see every campaign sees the batches that are their own, and of others, that touch what they may see,
        that part. Raises NoSuchThing.
        """

        def work(transaction: Transaction) -> tuple[Batch, list[Entry]]:
            found = transaction.batch(self.instance, batch)
            if found is None:
                raise errors.NoSuchThing(name=batch)
            theirs = actor.within is not None and found.actor != actor.name
            try:
                lines = transaction.journal(self.instance, batch=batch, within=actor.within)
            except errors.HistoryForgotten:
                if theirs:  # nobody knows any more what it touched
                    raise errors.NoSuchThing(name=batch) from None
                raise
            if theirs and not lines:
                raise errors.NoSuchThing(name=batch)
            return msgspec.structs.replace(found, items=len(lines)) if theirs else found, lines

        return await self._store.read_long(work)

    async def batches(self, actor: Actor, limit: int = 100) -> list[Batch]:
        """The newest batches, newest first, without problems; only their own for who may not see every campaign."""
        whose = actor.name if actor.campaigns else None
        return await self._store.read_long(lambda tx: tx.batches(self.instance, limit, actor=whose, problems=False))

    async def journal(
        self, actor: Actor, *, campaign: str | None = None, membername: str | None = None, limit: int = 100
    ) -> list[Entry]:
        """The newest journal lines that the actor may see, oldest first. Raises CampaignForbidden."""
        if campaign is not None:
            actor.check_campaign(campaign)
        return await self._store.read_long(
            lambda tx: tx.journal(
                self.instance, campaign=campaign, membername=membername, within=actor.within, limit=limit
            )
        )

    async def trace(self, actor: Actor, agent: str, campaign: str | None = None) -> list[Trace]:
        """What is known of an agent: see `why.tracing.trace`. Raises UnknownCampaign, CampaignForbidden."""
        if campaign is not None:
            actor.check_campaign(campaign)
        return await self._store.read_long(
            lambda transaction: trace(transaction, self.instance, actor, agent, campaign)
        )

    # --- helpers -----------------------------------------------------------------------------------------------------

    def _batch(self, actor: Actor, source: Source, items: int) -> Batch:
        """A new one, of now: made within its transaction, so that what is stored later is not of an earlier time."""
        now = self._clock.now()
        return Batch(_ids.new(now), self.instance, actor.name, source, now, items)

    def _by_all_names(self, members: Iterable[Member]) -> list[Member]:
        """The members, once for each name that a server has for their phone."""
        return [
            msgspec.structs.replace(member, interface=name)
            for member in members
            for name in self._names(member.interface)
        ]

    def _tell(self, receipt: Receipt) -> Receipt:
        if receipt.campaigns:  # also without changes: another process may have made them, and nobody has looked since
            self._heard(receipt.campaigns, receipt.revision, receipt.changes)
        return receipt


def _undiscovered(instance: str, names: Collection[str], transaction: Transaction) -> tuple[list[Campaign], int]:
    """The campaigns that queues of these names are to become, and how many of them are too many."""
    known = transaction.campaigns(instance)
    found: list[Campaign] = []
    for name in names:
        if fold(name) not in known:
            try:
                found.append(Campaign(instance, name, Origin.DISCOVERED))
            except errors.InvalidItem:
                continue
    room = max(0, CAMPAIGNS_MOST - len(known))
    return found[:room], len(found[room:])


def _discover(instance: str, campaigns: Sequence[Campaign], transaction: Transaction) -> None:
    transaction.add_campaigns(instance, campaigns)


def _commit(transaction: Transaction, batch: Batch, wanted: Wanted, campaigns: Mapping[str, Campaign]) -> Receipt:
    """Store what is wanted, `campaigns` being all that there are."""
    members = _spelled(wanted, campaigns)
    changes = decide_add(*transaction.unlike(batch.instance, members))
    concerned = frozenset(map(fold, wanted.campaigns))
    return Receipt(batch.id, transaction.record(batch, changes), changes, concerned, members)


def _unexplained(transaction: Transaction, instance: str, one: Observed) -> bool:
    """Whether the pause in which this member is was begun by a server, and nothing was given for it yet."""
    campaign, membername = one.member.campaign, one.member.membername
    for entry in reversed(transaction.journal(instance, campaign=campaign, membername=membername, limit=_LINES)):
        if entry.change.reason:
            return False
        if entry.change.before is None or not entry.change.before.paused:
            return entry.actor.startswith("server:")
    return False


def _claim(instance: str, server: str, claims: Sequence[Claim], _receipt: Receipt, transaction: Transaction) -> None:
    transaction.put_claims(instance, server, claims)


def _disclaim(instance: str, servers: Mapping[str, PhoneRules], receipt: Receipt, transaction: Transaction) -> None:
    """End the claims on what `receipt` took away."""
    gone = [change.before for change in receipt.changes if change.before is not None]
    for server, phones in servers.items():
        claims = [Claim(one.campaign, phones.called(one.interface), added=True) for one in gone]
        transaction.drop_claims(instance, server, claims)


def _pauses_declared(changes: Iterable[Change]) -> list[Member]:
    """The members whose pause is another now than before, on the phone that they had."""
    return [
        change.after
        for change in changes
        if change.before is not None
        and change.after is not None
        and change.kind is Kind.UPDATED
        and change.before.paused is not change.after.paused
    ]


def _refuse(transaction: Transaction, batch: Batch, problems: Iterable[errors.PlantelError]) -> Refusal:
    found = list(problems)
    transaction.record(msgspec.structs.replace(batch, problems=tuple(map(Problem.of, found))), ())
    return batch.id, found


def _unknown_campaigns(wanted: Wanted, campaigns: Mapping[str, Campaign]) -> list[errors.InvalidItem]:
    unknown = {name for name in wanted.campaigns if fold(name) not in campaigns}
    if not unknown:
        return []
    tally = Tally()
    for number, item in enumerate(wanted.items, 1):
        if isinstance(item, Member) and item.campaign in unknown:
            tally.make(errors.UnknownCampaign, key="queueName", item=number, campaign=item.campaign)
    return tally.told()


def _spelled(wanted: Wanted, campaigns: Mapping[str, Campaign]) -> Sequence[Member]:
    """The members with their campaigns spelled as declared."""
    declared = {name: campaigns[fold(name)].name for name in wanted.campaigns}
    if all(name == spelled for name, spelled in declared.items()):
        return wanted.members
    return [msgspec.structs.replace(member, campaign=declared[member.campaign]) for member in wanted.members]
